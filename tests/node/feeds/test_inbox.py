"""What announcements can make a node do: a stranger's word against what the chain holds."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.books import REQUESTER, Job, Person, enrol, make_job
from kits.inbox import (
    CONTENT,
    DIGEST,
    DOMAIN,
    JOB,
    OWNER,
    READY,
    ROSTER,
    SPEC,
    STRANGER,
    TRUE,
    Desk,
    known,
    open_desk,
    requesting,
    training,
)
from trio.testing import wait_all_tasks_blocked

from node.engine.engine import Machine
from node.feeds.inbox import next_asked
from node.net.fetch import BlobSink
from node.store.blobs import BlobRef
from protocol.books.enrolment import job_id
from protocol.errors import PeerError
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase, Role
from protocol.requester.state import RequesterRound, RequesterState, RosterRecord, Rosters
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import encode
from protocol.wire.envelope import Frame
from protocol.wire.messages import Announce, Ask, Contribution, Enrol, Open, Told


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as found:
        yield found


async def test_a_posted_job_is_followed(desk: Desk) -> None:
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    assert desk.engine.machines[JOB].context.spec == SPEC


async def test_what_the_chain_does_not_hold_is_not_even_fetched(desk: Desk) -> None:
    await desk.hear(STRANGER, TRUE, b"\x01" * 32)
    await desk.hear(STRANGER, Announce(b"\x02" * 32, 100))
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    assert desk.fetched == [DIGEST]
    assert list(desk.engine.machines) == [JOB]


@pytest.mark.parametrize(
    "lie",
    [Announce(b"\x02" * 32, 100), dataclasses.replace(TRUE, spec_size=5), TRUE],
    ids=["another spec", "another size", "another's job"],
)
async def test_nobody_silences_a_job_by_announcing_it_falsely(desk: Desk, lie: Announce) -> None:
    await desk.hear(STRANGER, lie)
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    assert desk.engine.machines[JOB].context.requester == REQUESTER.peer


async def test_a_stranger_that_trickles_keeps_nobody_waiting(desk: Desk) -> None:
    async def trickle(sink: BlobSink) -> None:
        desk.fetch = None  # the next fetch is an honest one
        await trio.sleep_forever()

    desk.fetch = trickle
    await desk.hear(STRANGER, TRUE)
    with trio.fail_after(10):
        while desk.fetch is not None:  # noqa: ASYNC110
            await trio.sleep(0.01)
    await desk.hear(REQUESTER, TRUE)
    await known(desk)


async def test_two_jobs_may_name_one_spec(desk: Desk) -> None:
    """Anybody can post a job with another's spec: fetched twice at once, it is one file."""
    other = job_id(DOMAIN, STRANGER.account, DIGEST)
    desk.posted[other] = STRANGER.account
    await desk.hear(STRANGER, TRUE, other)
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    assert desk.fetched == [DIGEST, DIGEST]
    assert list(desk.engine.machines) == [JOB]


async def test_no_fetch_ends_the_inbox(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(sink: BlobSink) -> None:
        desk.fetch = None
        raise OSError("no space left on device")

    desk.fetch = breaks
    await desk.hear(STRANGER, TRUE)
    with trio.fail_after(10):
        while "looking at an announcement failed" not in caplog.text:  # noqa: ASYNC110
            await trio.sleep(0.01)
    await desk.hear(REQUESTER, TRUE)
    await known(desk)


async def test_one_peer_tells_machines_a_few_things_a_second(desk: Desk) -> None:
    """Each costs a transaction; nobody else is kept waiting, and asking is free."""
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    for _ in range(16):
        assert await desk.told(STRANGER, READY) is None
    with pytest.raises(PeerError, match="too many messages"):
        await desk.told(STRANGER, READY)
    assert isinstance(await desk.told(STRANGER, Ask()), Told)
    assert await desk.told(Person(9), READY) is None


async def test_what_is_only_refused_is_not_kept(desk: Desk) -> None:
    """A requester answers every enrolment that does not hold; it need not remember them."""
    context = JobContext(JOB, SPEC, len(CONTENT), DIGEST, OWNER.peer, OWNER.account)
    state = RequesterState(phase=JobPhase.ENROLLING)
    machine = Machine(Role.REQUESTER, context, state)
    desk.engine.add(machine)
    for rows in range(5):
        bad = Enrol(STRANGER.account, STRANGER.payout, rows, STRANGER.sealing_key, bytes(65))
        assert await desk.told(STRANGER, bad) is None
    assert await desk.messages() == []
    good = enrol(SPEC, JOB, STRANGER).body
    assert await desk.told(STRANGER, good) is None
    assert [message.kind for message in await desk.messages()] == ["Enrol"]


@pytest.mark.parametrize("lie", [{}, {"roster_digest": bytes(32)}, {"member": 2}, {"block": 1}])
async def test_only_a_batch_that_may_count_is_kept(desk: Desk, lie: dict[str, Any]) -> None:
    """What rides along with a header of no use would fill the disk at the rate of gossip."""
    posted = make_job(11)
    member = posted.members_of([0])[0]
    state = contributing(posted)
    desk.engine.add(requesting(posted, state))
    batch = bytes(posted.spec.packing.batch_bytes(posted.spec.parameter_count))
    header = Contribution(0, member, ROSTER, blob_digest(batch), len(batch))
    header = dataclasses.replace(header, **lie)
    person = next(p for p in posted.people if p.peer == posted.cohort.members[member].peer)
    said = person.say(posted.place(0), header)
    await desk.inbox.take(encode(Frame(encode(said), batch)), person.peer)
    assert desk.blobs.holds(BlobRef(blob_digest(batch), len(batch))) == (not lie)
    await wait_all_tasks_blocked()
    assert [type(effect).__name__ for effect in desk.wanted] == ["Blame" if lie else "ComputeCheck"]


def contributing(posted: Job) -> RequesterState:
    """A requester whose first round awaits block 0's contributions."""
    opening = Open(DIGEST, 1, DIGEST, 1, 2**50, 2**51)
    rosters = Rosters.of([RosterRecord(0, tuple(posted.members_of([0])), ROSTER, 1)])
    round_ = RequesterRound(0, 0, Phase.CONTRIBUTE, opening, DIGEST, 0, rosters=rosters)
    return training(posted, round=round_)


def asked_in(idle: bool, there: set[str], until: float) -> list[tuple[float, str]]:
    """When whom, for as long as nothing changes."""
    asked, now, when = dict[str, float](), 0.0, list[tuple[float, str]]()
    while now < until:
        now += 2
        peer = next_asked(there, asked, now, idle)
        if peer is not None:
            asked[peer] = now
            when.append((now, peer))
    return when


def test_peers_are_asked_for_jobs_at_once_once_and_then_rarely() -> None:
    """A job that was announced before this node came is learnt from the first peer that knows."""
    when = asked_in(False, set("abc"), 2000)
    assert when[:5] == [(2, "a"), (4, "b"), (6, "c"), (306, "a"), (606, "b")]
    assert next_asked(set("abcd"), dict(map(reversed, when)), 2000) == "d"
    assert next_asked(set(), {}, 2000) is None


def test_a_node_without_a_job_asks_more_often() -> None:
    """Whom no gossip reaches joins by asking alone."""
    assert asked_in(True, set("ab"), 200)[:4] == [(2, "a"), (4, "b"), (64, "a"), (124, "b")]


def test_a_crowd_is_asked_little_by_little() -> None:
    when = asked_in(False, set("abcdefghij"), 60)
    assert [peer for _, peer in when] == list("abcdefghij")
    assert [now for now, _ in when] == [2, 4, 6, 8, 22, 24, 26, 28, 42, 44]
