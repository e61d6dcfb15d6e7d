"""An inbox at its desk: store, engine and follower are real; chain and network obey the test."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from kits.books import REQUESTER, Job, Person, make_spec
from node.chain.cursor import Cursor, save_cursor
from node.chain.events import ChainEvent
from node.engine.clock import Clock
from node.engine.engine import Engine, Machine
from node.feeds.chain import ChainFollower
from node.feeds.inbox import ACKNOWLEDGED, Inbox
from node.net.errors import FetchFailed
from node.net.fetch import BlobSink
from node.store.blobs import Blobs
from node.store.records import StoredMessage, messages_of
from node.store.store import Store
from protocol.books.enrolment import job_id, spec_domain
from protocol.machines.effects import Effect
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.requester.state import GroupRecord, RequesterState
from protocol.spec.job import encode_spec
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Context, Frame, open_envelope
from protocol.wire.identity import peer_id_text
from protocol.wire.messages import Announce, Body, Ready

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
    follower: ChainFollower
    logs: list[ChainEvent]
    asked: list[tuple[int, int]] = field(default_factory=list)
    fetched: list[bytes] = field(default_factory=list)
    wanted: list[Effect] = field(default_factory=list)
    fetch: Callable[[BlobSink], Any] | None = None

    async def messages(self) -> list[StoredMessage]:
        """What is kept of the job."""
        return await self.store.read(lambda tx: messages_of(tx, JOB))

    async def told(self, person: Person, body: Body, job: bytes = JOB, *at: int) -> Body | None:
        """The reply to what `person` says in private, signed as it should be; None: received."""
        place = Context(DOMAIN.chain_id, DOMAIN.contract, job, *(at or (0, 0)))
        frame = encode(Frame(encode(person.say(place, body)), b""))
        reply = await self.inbox.answer(peer_id_text(person.peer), frame)
        if reply == ACKNOWLEDGED:
            return None
        return open_envelope(decode(Frame, reply, MAX_STREAM_MESSAGE_BYTES).envelope).body

    async def hear(self, person: Person, body: Announce, job: bytes = JOB) -> None:
        """`person` announces, and hands the frame on itself."""
        place = Context(DOMAIN.chain_id, DOMAIN.contract, job, 0, 0)
        frame = encode(Frame(encode(person.say(place, body)), b""))
        await self.inbox.take(frame, person.peer)


@asynccontextmanager
async def open_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async def job(wanted: bytes, at: int | str = "latest") -> Any:
        poster = found.posted.get(wanted)
        mined = at == "latest" or any(e.block <= at for e in found.logs if e.job == wanted)
        return SimpleNamespace(requester=poster) if poster is not None and mined else None

    async def logs_of_job(wanted: bytes, first: int, last: int) -> list[ChainEvent]:
        found.asked.append((first, last))
        return [e for e in found.logs if e.job == wanted and first <= e.block <= last]

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
        """What a job wants is only noted here."""
        found.wanted.append(wanted.effect)

    (tmp_path / "blobs").mkdir()
    with Store.open(tmp_path / "assay.db") as store:
        engine = Engine(store, perform, lambda machine, events: None)
        services: Any = SimpleNamespace(
            domain=DOMAIN,
            engine=engine,
            clock=Clock(),
            store=store,
            blobs=Blobs(tmp_path / "blobs"),
            chain=SimpleNamespace(job=job, logs_of_job=logs_of_job),
            keys=SimpleNamespace(account=OWNER.account, sign_peer=OWNER._peer_key.sign),
            place=lambda job, *at: Context(DOMAIN.chain_id, DOMAIN.contract, job, *at),
            swarm=SimpleNamespace(
                peer_id_bytes=OWNER.peer, connected=list, fetch=fetch, subscribe=_subscribe
            ),
        )
        await store.run(lambda tx: save_cursor(tx, Cursor(0, ((READ, bytes(32)),))))
        follower = ChainFollower(services)
        inbox, posted = Inbox(services, follower.introduce), {JOB: REQUESTER.account}
        found = Desk(inbox, engine, posted, store, services.blobs, follower, [])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            nursery.start_soon(found.inbox.run)
            await wait_all_tasks_blocked()
            yield found
            nursery.cancel_scope.cancel()


async def _subscribe(topic: str, judge: object) -> trio.MemoryReceiveChannel[Any]:
    return trio.open_memory_channel[Any](0)[1]


#: The last block whose events the desk has stored.
READ = 9_000

TRUE = Announce(DIGEST, len(CONTENT))
READY = Ready(
    DIGEST, bytes(32), bytes(32), bytes(32), (bytes(16),) * 5, (bytes(16),) * 5, (bytes(64),) * 5
)


async def known(desk: Desk, job: bytes = JOB) -> None:
    with trio.fail_after(10):
        while job not in desk.engine.machines:  # noqa: ASYNC110 - an engine has no event for it
            await trio.sleep(0.01)


ROSTER = blob_digest(b"the frozen roster")


def requesting(posted: Job, state: RequesterState) -> Machine:
    """The requester's machine of a job."""
    me, account = REQUESTER.peer, REQUESTER.account
    context = JobContext(posted.id, posted.spec, 1000, posted.spec_digest, me, account)
    return Machine(Role.REQUESTER, dataclasses.replace(context, cohort=posted.cohort), state)


def training(posted: Job, **changes: Any) -> RequesterState:
    """A requester in training, for whom every owner of the job takes part."""
    groups = tuple(
        GroupRecord(count, root, 5, True, seed)
        for count, root, seed in zip(
            posted.cohort.counts, posted.cohort.roots, posted.seeds, strict=True
        )
    )
    state = RequesterState(phase=JobPhase.TRAINING, groups=groups, adopted=len(groups))
    return dataclasses.replace(state, **changes)
