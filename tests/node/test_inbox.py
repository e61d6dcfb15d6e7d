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
from books_kit import REQUESTER, Person, make_spec
from trio.testing import wait_all_tasks_blocked

from node.blobs import Blobs
from node.engine import Engine
from node.inbox import Inbox
from node.net.errors import FetchFailed
from node.net.fetch import BlobSink
from node.store import Store
from protocol.blobs import blob_digest
from protocol.codec import encode
from protocol.enrolment import job_id, spec_domain
from protocol.envelope import Context, Frame
from protocol.messages import Announce
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
    fetched: list[bytes] = field(default_factory=list)
    fetch: Callable[[BlobSink], Any] | None = None

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
            keys=SimpleNamespace(account=OWNER.account),
            swarm=SimpleNamespace(
                peer_id_bytes=OWNER.peer, peers=list, fetch=fetch, subscribe=_subscribe
            ),
        )
        found = Desk(Inbox(services), engine, {JOB: REQUESTER.account})
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
