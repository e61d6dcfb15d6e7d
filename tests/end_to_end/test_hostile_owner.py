"""Owners that cannot or will not do their part: data that does not fit, batches that are none.

Four honest daemons, a fifth whose data fits no job, and an owner that the test drives by hand: from
its enrolment on it sends what no honest owner sends. What shows before the commitment is in no
round; what does not is paid for once, and moves no model. Once it behaves, the job goes on, and
everybody is paid.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from kits.attacks.hand_owner import Attempt, HandOwner
from kits.attacks.hostile import Hostile, hostile
from kits.daemons import clouds
from kits.daemons.jobs import (
    TAKES_ALL,
    add_data,
    ends,
    happened,
    paid_in_full,
    post,
    released_once,
    requester_state,
    secrets_of,
    stayed,
    stored,
    waits_because,
)
from kits.daemons.processes import Daemon, Swarm, until

from node.chain import events
from node.console.client import CallError
from node.control.codes import Exit
from node.net.errors import Refused
from protocol.arith.numbers.shape import HEADER_BYTES
from protocol.arith.paillier.cryptosystem import PublicKey
from protocol.params import SHARE_BOX_BYTES, SHARE_BYTES, SHARE_HASH_BYTES
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import open_envelope
from protocol.wire.messages import Contribution, Ready

pytestmark = pytest.mark.waits(120)

#: Data that `data add` takes and the job cannot use, with the words that its owner is told.
UNFIT = {
    "missing": ("x_0,side\n1,0\n", "no column 'x_1'"),
    "text": ("x_0,x_1,side\n1,much,0\n2,1,1\n", "'much'; a number from -5 to 5 is declared"),
    "outside": (
        "x_0,x_1,side\n1,1,0\n1,7.5,0\n",
        "x_1: outside.csv, line 3: '7.5'; a number from -5",
    ),
    "empty-cell": ("x_0,x_1,side\n1,,0\n2,1,1\n", "a number from -5 to 5 is declared"),
    "nan": ("x_0,x_1,side\n1,nan,0\n2,1,1\n", "a number from -5 to 5 is declared"),
    "class": ("x_0,x_1,side\n1,1,2\n", "one of 0, 1 is declared"),
}

#: Files that no data set can be made of.
UNREADABLE = {
    "no-rows": ("x_0,x_1,side\n", "no rows"),
    "nothing": ("", "has no columns"),
    "ragged": ("x_0,x_1,side\n1,2,0,5\n", "line 2"),
}


def rest_little(swarm: Swarm) -> None:
    """Attempts fail here by the dozen: their requester rests a moment between them, and not for up
    to a minute. How long it rests is tests/protocol's to hold."""
    site = swarm.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from protocol.requester import turn as requester_turn\n"
        "assert requester_turn._REST_MS < requester_turn._LONGEST_REST_MS\n"
        "requester_turn._LONGEST_REST_MS = requester_turn._REST_MS\n"
    )
    swarm.requester.site = site


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("hostile"), owners=5)
    rest_little(swarm)
    try:
        trio.run(swarm.start)
        add_data(swarm, swarm.owners[:4])
        for name, (text, _) in UNFIT.items():
            swarm.owners[4].call("data.add", name=name, path=written(swarm, name, text))
        yield swarm
    finally:
        swarm.destroy()


def written(swarm: Swarm, name: str, text: str) -> str:
    path = swarm.folder / f"{name}.csv"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def job(swarm: Swarm) -> str:
    """Posted; every daemon has looked at it, four have enrolled."""
    unfit: Daemon = swarm.owners[4]
    for name in UNFIT:
        unfit.call("policy.set", dataset=name, changes={"no_noise": True})
    unfit.call("policy.set", dataset="outside", changes=TAKES_ALL)
    job = post(swarm, rounds=5, ready=12, contribute=8)
    trio.run(until, lambda: swarm.requester.show(job)["summary"]["enrolled"] == 4, 60, "four enrol")
    return job


async def test_an_owner_whose_data_does_not_fit_stays_out_and_knows_why(
    swarm: Swarm, job: str
) -> None:
    """Its policy takes the job; had it enrolled, its block could never train."""
    why = f"outside: {UNFIT['outside'][1]}"
    assert (await waits_because(swarm.owners[4], job, why)).startswith(why)


@pytest.mark.parametrize("name", UNFIT)
def test_no_word_of_its_owner_makes_it_fit(swarm: Swarm, job: str, name: str) -> None:
    owner = swarm.owners[4]
    with pytest.raises(CallError) as caught:
        owner.call("job.consent", job=job, dataset=name)
    assert caught.value.end is Exit.USAGE
    assert UNFIT[name][1] in str(caught.value)
    assert owner.state(job) == "waiting"
    assert swarm.requester.show(job)["summary"]["enrolled"] == 4


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_data_set_adds_nothing(swarm: Swarm, name: str) -> None:
    owner, (text, words) = swarm.owners[4], UNREADABLE[name]
    before = owner.call("data.list")
    with pytest.raises(CallError) as caught:
        owner.call("data.add", name=name, path=written(swarm, name, text))
    assert caught.value.end is Exit.USAGE
    assert words in str(caught.value)
    assert owner.call("data.list") == before


def test_a_holdout_that_does_not_fit_posts_nothing(swarm: Swarm, job: str) -> None:
    requester = swarm.requester
    before = requester.counts()
    path = written(swarm, "holdout-outside", UNFIT["outside"][0])
    with pytest.raises(CallError) as caught:
        requester.call("job.post", spec=clouds.spec(), holdout=path)
    assert "holdout: does not fit the job" in str(caught.value)
    assert requester.counts() == before


async def test_what_no_honest_owner_says(swarm: Swarm, job: str, tmp_path: Path) -> None:
    key = bytes.fromhex(job[2:])
    spec = stored(swarm.requester, "SELECT body FROM specs")[-1][0]
    csv = clouds.write_csv(tmp_path / "hand.csv", seed=77)
    at = swarm.address
    async with (
        hostile(tmp_path / "owner", swarm.contract, swarm.peer, at) as peer,
        hostile(tmp_path / "outsider", swarm.contract, swarm.peer, at) as outsider,
    ):
        owner = HandOwner(peer, key, spec, tmp_path)
        await owner.enrol()
        with trio.fail_after(300):
            last = await shares_that_do_not_hold(swarm, job, owner)
            last = await headers_that_do_not_hold(swarm, job, owner, outsider, last, csv)
            last = await batches_that_do_not_hold(swarm, job, owner, last, csv)
            assert await commitments(swarm, key) == 0
            last = await what_only_the_sum_shows(swarm, job, owner, last, csv)
            last = await releases_that_do_not_hold(swarm, job, owner, last, csv)
            await owner.release(await contributed(owner, last, csv))
        shown = await ends(swarm, job, 60)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    attempts = [(r["attempt"], r["contributors"], r["closed"]) for r in shown["rounds"]]
    # Of the first the sum was opened, and was none of honest batches; the second stayed closed.
    assert attempts == [(5, 5, 0), (0, 5, 1), (0, 5, 0), (0, 5, 0), (0, 5, 0)]
    assert await commitments(swarm, key) == 5
    paid_in_full(swarm, job)
    paid = {m["account"].lower(): m for m in shown["members"]}
    hand = paid.pop("0x" + peer.keys.account.hex())
    # Every contribution has its rate; who keeps back what it promised has no merit.
    assert int(hand["claimed"]) == 5 * int(shown["summary"]["rate"])
    assert hand["withheld"]
    for honest in paid.values():
        assert int(honest["claimed"]) > int(hand["claimed"])
        assert not honest["withheld"]
    for daemon in swarm.owners[:4]:
        await until(lambda d=daemon: d.state(job) == "finished", 30, "the owner saw its pay")
        assert released_once(daemon, job) == {0: 5, 1: 0, 2: 0, 3: 0, 4: 0}
        await until(lambda d=daemon: not secrets_of(d, job), 10, "its secrets are destroyed")
    for daemon in (swarm.requester, *swarm.owners):
        assert daemon.call("status")["problems"] == []


async def shares_that_do_not_hold(swarm: Swarm, job: str, owner: HandOwner) -> Attempt:
    """Ready that nobody could rely on is not counted; boxes are opened by whom they are for, who
    names their sender, and contributes nothing under such a roster."""
    first = await owner.opened((-1, -1))
    more = {
        name: (*getattr(first.ready, name), getattr(first.ready, name)[0])
        for name in ("seed_hashes", "key_hashes", "boxes")
    }
    low_order = bytes(32)
    for lies, words in (
        (more, "shares among 6, its block has another number"),
        ({"mask_key": low_order}, "its mask key or share key is of low order"),
        ({"share_key": low_order}, "its mask key or share key is of low order"),
        ({"mask_key": await mask_key_of(swarm, first)}, "its mask key is another member's"),
    ):
        await owner.say_ready(first, **lies)
        await blamed(swarm, f"member {owner.member}: {words}")
    assert owner.member not in who_is_ready(swarm, job)
    one, other = owner.mates[:2]
    boxes = changed(first.ready.boxes, one, SHARE_BOX_BYTES)
    hashes = changed(first.ready.key_hashes, other, SHARE_HASH_BYTES)
    await owner.say_ready(first, boxes=boxes, key_hashes=hashes)
    await owner.frozen(first)
    for words in (
        f"share of the seed for member {one}: not what its hash covers",
        f"share of the key for member {other}: not what its hash covers",
    ):
        await refuses(swarm, job, first, f"member {owner.member}: {words}")
    await fails(swarm, job, first, "")
    return first


async def headers_that_do_not_hold(
    swarm: Swarm, job: str, owner: HandOwner, outsider: Hostile, last: Attempt, csv: Path
) -> Attempt:
    """Wrong length, roster, member, block: blamed at once, and not even fetched. A batch of another
    member is found out by what stands in it."""
    attempt = await owner.ready(last.where)
    good = await owner.train(attempt, csv)
    blobs = swarm.requester.counts()[1]
    for lie in (
        {"batch_size": len(good) + 1},
        {"roster_digest": bytes(32)},
        {"member": owner.mates[0]},
        {"block": 1},
    ):
        assert await owner.contribute(attempt, good, **lie) is None
    header = Contribution(0, owner.member, attempt.roster_digest, blob_digest(b"x"), len(good))
    with pytest.raises(Refused, match="an attachment that is not what its message names"):
        await owner.peer.say(header, owner.job, *attempt.where, attachment=good)
    for words in ("names another member or block", "names another frozen roster", "bytes, not"):
        await blamed(swarm, words)
    # At most the four honest owners' batches have come meanwhile.
    assert swarm.requester.counts()[1] - blobs <= 4
    await from_nobody_enrolled(swarm, outsider, owner.job, attempt, good)
    stolen = await batch_of_another(swarm, attempt)
    await owner.contribute(attempt, good, batch_digest=stolen)
    await fails(swarm, job, attempt, "made by another member")
    return attempt


async def batches_that_do_not_hold(
    swarm: Swarm, job: str, owner: HandOwner, last: Attempt, csv: Path
) -> Attempt:
    """Ciphertexts out of range, no units, and a batch that nobody has."""
    public = PublicKey.from_bytes(owner.spec.modulus)
    garbage = b"\xff" * public.ciphertext_bytes
    no_unit = int(public.n).to_bytes(public.ciphertext_bytes, "big")
    for ciphertext, words in ((garbage, "outside"), (no_unit, "unit")):
        last = await owner.ready(last.where)
        good = await owner.train(last, csv)
        await owner.contribute(last, good[:HEADER_BYTES] + ciphertext)
        # The first word stands: a better batch comes too late.
        await owner.contribute(last, good)
        await fails(swarm, job, last, words)
    last = await owner.ready(last.where)
    nowhere = blob_digest(b"a batch that nobody has")
    await owner.contribute(last, await owner.train(last, csv), batch_digest=nowhere)
    await fails(swarm, job, last, "")
    return last


async def what_only_the_sum_shows(
    swarm: Swarm, job: str, owner: HandOwner, last: Attempt, csv: Path
) -> Attempt:
    """A value far beyond what the spec allows, under true masks; then a seed that is none.

    Both are well formed, so that they are committed and paid; the model does not move.
    """
    public = PublicKey.from_bytes(owner.spec.modulus)
    last = await owner.ready(last.where)
    good = await owner.train(last, csv)
    n, square = int(public.n), int(public.n) ** 2
    value = int.from_bytes(good[HEADER_BYTES:], "big") * (1 + n * (n // 3)) % square
    huge = good[:HEADER_BYTES] + value.to_bytes(public.ciphertext_bytes, "big")
    await owner.contribute(last, huge)
    await owner.release(last)
    await applied(swarm, job, last)
    stayed(swarm, job, 0)
    last = await owner.opened(last.where)
    await owner.say_ready(last, seed_hash=os.urandom(32))
    await owner.frozen(last)
    await owner.contribute(last, await owner.train(last, csv))
    await owner.release(last)
    await applied(swarm, job, last)
    await blamed(swarm, f"member {owner.member}: its shares do not make the secret")
    closed = "block 0 stays closed: a member shared out no shares of its secret"
    assert (*last.where, closed) in happened(swarm.requester, job, "block-closed")
    stayed(swarm, job, 1)
    return last


async def releases_that_do_not_hold(
    swarm: Swarm, job: str, owner: HandOwner, last: Attempt, csv: Path
) -> Attempt:
    """Too many shares, others than were sealed, none at all: the others' are enough."""
    last = await contributed(owner, last, csv)
    honest = (await owner.shares(last)).shares
    await owner.release(last, shares=(*honest, honest[0]))
    await blamed(swarm, f"member {owner.member}: releases 6 shares")
    bad = changed(honest, owner.mates[0], SHARE_BYTES)
    await owner.release(last, shares=bad)
    await applied(swarm, job, last)
    await blamed(swarm, f"member {owner.member}: released shares that are not what was sealed")
    last = await contributed(owner, last, csv)
    await applied(swarm, job, last)
    assert {o.member for o in requester_state(swarm, job).owed} == {owner.member}
    assert [r for r, _, _ in happened(swarm.requester, job, "block-closed")] == [1]
    return last


async def contributed(owner: HandOwner, last: Attempt, csv: Path) -> Attempt:
    """The next attempt, honestly."""
    attempt = await owner.ready(last.where)
    await owner.contribute(attempt, await owner.train(attempt, csv))
    return attempt


def who_is_ready(swarm: Swarm, job: str) -> set[int]:
    round_ = requester_state(swarm, job).round
    assert round_ is not None
    return {record.member for record in round_.ready}


def changed(parts: tuple[bytes, ...], place: int, size: int) -> tuple[bytes, ...]:
    """Other bytes in one place."""
    return (*parts[:place], os.urandom(size), *parts[place + 1 :])


async def mask_key_of(swarm: Swarm, attempt: Attempt) -> bytes:
    """A mask key that an honest member has said in private; its thief works with the requester."""

    def said() -> list[Ready]:
        rows = stored(swarm.requester, "SELECT body FROM messages WHERE kind = 'Ready'")
        found = [open_envelope(body) for (body,) in rows]
        mine = attempt.ready
        return [
            e.body
            for e in found
            if isinstance(e.body, Ready)
            and e.context == attempt.place
            and e.body.mask_key != mine.mask_key
        ]

    await until(lambda: bool(said()), 30, "somebody else is ready")
    return said()[0].mask_key


async def batch_of_another(swarm: Swarm, attempt: Attempt) -> bytes:
    """The digest of an honest member's batch, which the requester has found sound."""

    def said() -> list[bytes]:
        rows = stored(swarm.requester, "SELECT body FROM messages WHERE kind = 'Contribution'")
        found = [open_envelope(body) for (body,) in rows]
        return [
            e.body.batch_digest
            for e in found
            if isinstance(e.body, Contribution)
            and e.context == attempt.place
            and (swarm.requester.home.blobs / e.body.batch_digest.hex()).exists()
        ]

    await until(lambda: bool(said()), 30, "an honest batch is here")
    return said()[0]


async def from_nobody_enrolled(
    swarm: Swarm, outsider: Hostile, job: bytes, attempt: Attempt, good: bytes
) -> None:
    """A true header for a true batch, signed by somebody who stands in no list."""
    batch = good[:-1] + bytes([good[-1] ^ 1])
    header = Contribution(0, 0, attempt.roster_digest, blob_digest(batch), len(batch))
    reply = await outsider.say(header, job, *attempt.where, attachment=batch)
    assert reply is None
    assert not (swarm.requester.home.blobs / blob_digest(batch).hex()).exists()


async def blamed(swarm: Swarm, words: str) -> None:
    """The requester's log names who did what."""
    log = swarm.requester.log
    await until(lambda: words in log.read_text(), 20, f"blamed: {words}")


async def refuses(swarm: Swarm, job: str, attempt: Attempt, words: str) -> None:
    """An honest owner tells what is wrong with a roster."""

    def told() -> bool:
        said = happened(swarm.requester, job, "refusal")
        return any((r, a) == attempt.where and words in text for r, a, text in said)

    await until(told, 30, f"an owner refuses: {words}")


async def fails(swarm: Swarm, job: str, attempt: Attempt, words: str) -> None:
    """The attempt is given up, and the requester's events say which batch was refused, and why."""

    def told() -> Counter[str]:
        counts: Counter[str] = Counter()
        for kind in ("attempt-failed", "batch-refused"):
            for r, a, text in happened(swarm.requester, job, kind):
                counts[kind] += (r, a) == attempt.where and (
                    kind == "attempt-failed" or words in text
                )
        return counts

    await until(lambda: told()["attempt-failed"] == 1, 30, "the attempt fails")
    assert told()["batch-refused"] == (1 if words else 0)
    assert swarm.requester.show(job)["summary"]["round"] == attempt.place.round


async def applied(swarm: Swarm, job: str, attempt: Attempt) -> None:
    """The requester is done with the round of this attempt."""

    def done() -> bool:
        said = happened(swarm.requester, job, "round-applied")
        return any((r, a) == attempt.where for r, a, _ in said)

    await until(done, 60, f"round {attempt.place.round} is applied")


async def commitments(swarm: Swarm, job: bytes) -> int:
    said = await swarm.chain.events(swarm.contract, job)
    return sum(isinstance(each.event, events.Committed) for each in said)
