"""What announcements can make a node do: a stranger's word against what the chain holds."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from books_kit import REQUESTER, Job, Person, enrol, make_job, make_spec
from trio.testing import wait_all_tasks_blocked

from node.blobs import BlobRef, Blobs
from node.engine import Engine, Machine
from node.inbox import Inbox
from node.net.errors import FetchFailed
from node.net.fetch import BlobSink
from node.records import StoredMessage, messages_of
from node.store import Store
from protocol.blobs import blob_digest
from protocol.codec import decode, encode
from protocol.enrolment import job_id, spec_domain
from protocol.envelope import Context, Frame, open_envelope
from protocol.errors import PeerError
from protocol.identity import peer_id_text
from protocol.job import JobPhase
from protocol.machine import JobContext
from protocol.messages import (
    Acknowledge,
    Announce,
    Ask,
    Body,
    Contribution,
    Enrol,
    Open,
    Ready,
    Told,
)
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.requester_state import RequesterRound, RequesterState
from protocol.round import Phase, Role
from protocol.spec import encode_spec

SPEC = make_spec()
CONTENT = encode_spec(SPEC)
DIGEST = blob_digest(CONTENT)
DOMAIN = spec_domain(SPEC)
JOB = job_id(DOMAIN, REQUESTER.account, DIGEST)
STRANGER, OWNER = Person(7), Person(8)


@dataclass
class Desk:
    """An inbox on a real store, engine and blobs; chain and network say what the test wants."""

    inbox: Inbox
    engine: Engine
    posted: dict[bytes, bytes]
    store: Store
    blobs: Blobs
    fetched: list[bytes] = field(default_factory=list)
    fetch: Callable[[BlobSink], Any] | None = None

    async def messages(self) -> list[StoredMessage]:
        """What is kept of the job."""
        return await self.store.read(lambda tx: messages_of(tx, JOB))

    async def told(self, person: Person, body: Body) -> Body:
        """The reply to what `person` says in private, signed as it should be."""
        place = Context(DOMAIN.chain_id, DOMAIN.contract, JOB, 0, 0)
        frame = encode(Frame(encode(person.say(place, body)), b""))
        reply = await self.inbox.answer(peer_id_text(person.peer), frame)
        return open_envelope(decode(Frame, reply, MAX_STREAM_MESSAGE_BYTES).envelope).body

    async def hear(self, person: Person, body: Announce, job: bytes = JOB) -> None:
        """`person` announces, and hands the frame on itself."""
        place = Context(DOMAIN.chain_id, DOMAIN.contract, job, 0, 0)
        frame = encode(Frame(encode(person.say(place, body)), b""))
        await self.inbox.take(frame, person.peer)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with _desk(tmp_path) as found:
        yield found


@asynccontextmanager
async def _desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async def job(wanted: bytes) -> Any:
        poster = found.posted.get(wanted)
        return None if poster is None else SimpleNamespace(requester=poster)

    async def fetch(digest: bytes, size: int, peers: Sequence[str], sink: BlobSink) -> None:
        found.fetched.append(digest)
        if found.fetch is not None:
            await found.fetch(sink)
            return
        if (digest, size) != (DIGEST, len(CONTENT)):
            raise FetchFailed(digest, {})
        await trio.to_thread.run_sync(sink.write, 0, CONTENT)
        await wait_all_tasks_blocked()
        await trio.to_thread.run_sync(sink.finish)

    async def perform(wanted: Any) -> None:
        """What a job that is followed wants is not looked at here."""

    (tmp_path / "blobs").mkdir()
    with Store.open(tmp_path / "assay.db") as store:
        engine = Engine(store, perform, lambda machine, events: None)
        services: Any = SimpleNamespace(
            domain=DOMAIN,
            engine=engine,
            store=store,
            blobs=Blobs(tmp_path / "blobs"),
            chain=SimpleNamespace(job=job),
            keys=SimpleNamespace(account=OWNER.account, sign_peer=OWNER._peer_key.sign),
            place=lambda job, *at: Context(DOMAIN.chain_id, DOMAIN.contract, job, *at),
            swarm=SimpleNamespace(
                peer_id_bytes=OWNER.peer, peers=list, fetch=fetch, subscribe=_subscribe
            ),
        )
        found = Desk(Inbox(services), engine, {JOB: REQUESTER.account}, store, services.blobs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            nursery.start_soon(found.inbox.run)
            await wait_all_tasks_blocked()
            yield found
            nursery.cancel_scope.cancel()


async def _subscribe(topic: str, judge: object) -> trio.MemoryReceiveChannel[Any]:
    return trio.open_memory_channel[Any](0)[1]


TRUE = Announce(DIGEST, len(CONTENT))


async def known(desk: Desk, job: bytes = JOB) -> None:
    with trio.fail_after(10):
        while job not in desk.engine.machines:  # noqa: ASYNC110 - an engine has no event for it
            await trio.sleep(0.01)


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
        assert isinstance(await desk.told(STRANGER, Ready(DIGEST)), Acknowledge)
    with pytest.raises(PeerError, match="too many messages"):
        await desk.told(STRANGER, Ready(DIGEST))
    assert isinstance(await desk.told(STRANGER, Ask()), Told)
    assert isinstance(await desk.told(Person(9), Ready(DIGEST)), Acknowledge)


async def test_what_is_only_refused_is_not_kept(desk: Desk) -> None:
    """A requester answers every enrolment that does not hold; it need not remember them."""
    context = JobContext(JOB, SPEC, len(CONTENT), DIGEST, OWNER.peer, OWNER.account)
    state = RequesterState(phase=JobPhase.ENROLLING)
    machine = Machine(Role.REQUESTER, context, state)
    desk.engine.add(machine)
    for rows in range(5):
        bad = Enrol(STRANGER.account, STRANGER.payout, rows, bytes(65))
        assert isinstance(await desk.told(STRANGER, bad), Acknowledge)
    assert await desk.messages() == []
    good = enrol(SPEC, JOB, STRANGER).body
    assert isinstance(await desk.told(STRANGER, good), Acknowledge)
    assert [message.kind for message in await desk.messages()] == ["Enrol"]


@pytest.mark.parametrize("lie", [{}, {"frozen_digest": bytes(32)}, {"member": 2}, {"block": 1}])
async def test_only_a_batch_that_may_count_is_kept(desk: Desk, lie: dict[str, Any]) -> None:
    """What rides along with a header of no use would fill the disk at the rate of gossip."""
    posted = make_job(11)
    member = posted.members_of([0])[0]
    state = contributing(posted)
    me, account = REQUESTER.peer, REQUESTER.account
    context = JobContext(posted.id, posted.spec, 1000, posted.spec_digest, me, account)
    context = dataclasses.replace(context, cohort=posted.cohort)
    desk.engine.add(Machine(Role.REQUESTER, context, state))
    batch = bytes(posted.spec.packing.batch_bytes(posted.spec.parameter_count))
    header = Contribution(0, member, FROZEN, blob_digest(batch), len(batch))
    header = dataclasses.replace(header, **lie)
    person = next(p for p in posted.people if p.peer == posted.cohort.members[member].peer)
    said = person.say(posted.place(0), header)
    await desk.inbox.take(encode(Frame(encode(said), batch)), person.peer)
    assert desk.blobs.holds(BlobRef(blob_digest(batch), len(batch))) == (not lie)


FROZEN = blob_digest(b"the frozen roster")


def contributing(posted: Job) -> RequesterState:
    """A requester whose first round awaits block 0's contributions."""
    opening = Open(DIGEST, 1, DIGEST, 1, 2**50, 2**51)
    round_ = RequesterRound(0, 0, Phase.CONTRIBUTE, opening, DIGEST, 0, blocks=(0,))
    round_ = dataclasses.replace(round_, frozen_digest=FROZEN)
    return RequesterState(phase=JobPhase.TRAINING, seed=posted.seed, round=round_)
