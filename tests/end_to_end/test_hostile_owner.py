"""Owners that cannot or will not do their part: data that does not fit, batches that are none.

Four honest daemons, a fifth whose data fits no job, and an owner that the test drives by hand: from
its enrolment on it sends what no honest owner sends. No round is committed with that; once it
behaves, the job goes on, and everybody is paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import clouds
import pytest
import trio
from hostile import Attempt, HandOwner, Hostile, hostile
from jobs_kit import add_data, ends, paid_in_full, post, stored
from processes import Daemon, Swarm, until

from node.chain import events
from node.cli.client import CallError
from node.control.codes import Exit
from node.net.errors import Refused
from protocol.arith.batch import encode_header
from protocol.arith.paillier import PublicKey
from protocol.blobs import blob_digest
from protocol.messages import Acknowledge, Contribution

#: Data that `data add` takes and the job cannot use, with the words that its owner is told.
UNFIT = {
    "missing": ("x_0,side\n1,0\n", "no column 'x_1'"),
    "text": ("x_0,x_1,side\n1,much,0\n2,1,1\n", "'much'; a number from -5 to 5 is declared"),
    "outside": (
        "x_0,x_1,side\n1,1,0\n1,7.5,0\n",
        "x_1: outside.csv, line 3: 7.5; a number from -5",
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


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("hostile"), owners=5)
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
    policy = {"accept": "auto", "no_noise": True}
    for name in UNFIT:
        unfit.call("policy.set", dataset=name, changes={"no_noise": True})
    unfit.call("policy.set", dataset="outside", changes=policy)
    job = post(swarm, rounds=2, ready=5, contribute=3)
    trio.run(until, lambda: swarm.requester.show(job)["summary"]["enrolled"] == 4, 60, "four enrol")
    return job


async def test_an_owner_whose_data_does_not_fit_stays_out_and_knows_why(
    swarm: Swarm, job: str
) -> None:
    """Its policy takes the job; had it enrolled, its block could never train."""
    owner = swarm.owners[4]
    await until(lambda: bool(owner.show(job)["summary"]["reason"]), 30, "it has looked")
    summary = owner.show(job)["summary"]
    assert summary["state"] == "waiting"
    assert summary["reason"].startswith(f"outside: {UNFIT['outside'][1]}")


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


async def test_batches_that_no_honest_owner_sends(swarm: Swarm, job: str, tmp_path: Path) -> None:
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
        public = PublicKey.from_bytes(owner.spec.modulus)
        with trio.fail_after(120):
            first = await owner.ready((-1, -1))
            good = await owner.train(first, csv)
            await what_is_refused_by_its_header(swarm, job, owner, first, good)
            await from_nobody_enrolled(swarm, outsider, key, first, good)
            await owner.contribute(first, batch_of(public, b"\xff" * public.ciphertext_bytes))
            # The first word stands: a better batch comes too late.
            await owner.contribute(first, good)
            await fails(swarm, job, first, "outside")
            second = await owner.ready(first.where)
            no_unit = int(public.n).to_bytes(public.ciphertext_bytes, "big")
            await owner.contribute(second, batch_of(public, no_unit))
            await fails(swarm, job, second, "unit")
            third = await owner.ready(second.where)
            nowhere = blob_digest(b"a batch that nobody has")
            await owner.contribute(third, good, batch_digest=nowhere)
            await fails(swarm, job, third, "")
            assert await commitments(swarm, key) == 0
            last = third
            for _ in range(2):
                last = await owner.ready(last.where)
                await owner.contribute(last, await owner.train(last, csv))
            assert last.where == (1, 0)
        shown = await ends(swarm, job, 60)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert [(r["attempt"], r["contributors"]) for r in shown["rounds"]] == [(3, 5), (0, 5)]
    assert await commitments(swarm, key) == 2
    paid_in_full(swarm, job)
    claimed = {m["account"].lower(): int(m["claimed"]) for m in shown["members"]}
    assert claimed["0x" + peer.keys.account.hex()] > 0
    for daemon in (swarm.requester, *swarm.owners):
        assert daemon.call("status")["problems"] == []


async def what_is_refused_by_its_header(
    swarm: Swarm, job: str, owner: HandOwner, attempt: Attempt, good: bytes
) -> None:
    """Wrong length, roster, member, block: blamed at once, and not even fetched."""
    blobs = swarm.requester.counts()[1]
    for lie in (
        {"batch_size": len(good) + 1},
        {"frozen_digest": bytes(32)},
        {"member": (owner.member + 1) % 5},
        {"block": 1},
    ):
        assert isinstance(await owner.contribute(attempt, good, **lie), Acknowledge)
    header = Contribution(0, owner.member, attempt.frozen, blob_digest(b"x"), len(good))
    with pytest.raises(Refused, match="an attachment that is not what its message names"):
        await owner.peer.say(header, owner.job, *attempt.where, attachment=good)
    log = swarm.requester.tail()
    for words in ("names another member or block", "names another frozen roster", "bytes, not"):
        assert words in log
    # At most the four honest owners' batches have come meanwhile.
    assert swarm.requester.counts()[1] - blobs <= 4


async def from_nobody_enrolled(
    swarm: Swarm, outsider: Hostile, job: bytes, attempt: Attempt, good: bytes
) -> None:
    """A true header for a true batch, signed by somebody who stands in no list."""
    batch = good[:-1] + bytes([good[-1] ^ 1])
    header = Contribution(0, 0, attempt.frozen, blob_digest(batch), len(batch))
    reply = await outsider.say(header, job, *attempt.where, attachment=batch)
    assert isinstance(reply, Acknowledge)
    assert not (swarm.requester.home.blobs / blob_digest(batch).hex()).exists()


def batch_of(public: PublicKey, ciphertext: bytes) -> bytes:
    """A batch of the job's one ciphertext, well formed but for that."""
    return encode_header(public, 1) + ciphertext


async def fails(swarm: Swarm, job: str, attempt: Attempt, words: str) -> None:
    """The attempt is given up, and the requester's events say which batch was refused, and why."""

    def told() -> Counter[str]:
        rows = stored(
            swarm.requester,
            "SELECT kind, json_extract(json, '$.text') FROM events WHERE job = ?"
            " AND json_extract(json, '$.round') = ? AND json_extract(json, '$.attempt') = ?",
            bytes.fromhex(job[2:]),
            *attempt.where,
        )
        return Counter(kind for kind, text in rows if kind != "batch-refused" or words in text)

    await until(lambda: told()["attempt-failed"] == 1, 30, "the attempt fails")
    assert told()["batch-refused"] == (1 if words else 0)
    assert swarm.requester.show(job)["summary"]["round"] == attempt.place.round


async def commitments(swarm: Swarm, job: bytes) -> int:
    said = await swarm.chain.events(swarm.contract, job)
    return sum(isinstance(each.event, events.Committed) for each in said)
