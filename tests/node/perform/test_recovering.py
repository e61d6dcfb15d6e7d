"""A blob that is lost here comes from whoever else of the job has it, and the effect goes on."""

from __future__ import annotations

import dataclasses
import errno
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import digest_of, make_job
from kits.requester import RequesterKit, requester_at

from node.assembly import Node
from node.engine.engine import Machine
from node.net.errors import Unreachable
from node.net.fetch import BlobServer, Part, Want
from node.perform import dispatch, recovering
from node.perform.recovering import recover, size_of
from node.store.blobs import BlobLost, BlobRef, Blobs
from protocol.errors import PeerError
from protocol.machines.effects import ReadJob
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase, Role
from protocol.owner.state import OwnerRound, OwnerState
from protocol.requester.state import ContributionRecord
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import encode
from protocol.wire.identity import peer_id_text
from protocol.wire.messages import Open

JOB = make_job(5)
ME = JOB.people[0]
CONTENT = b"what every owner needs"
REF = BlobRef(blob_digest(CONTENT), len(CONTENT))


def owner() -> Machine:
    """In a round whose model is the content."""
    opening = Open(digest_of("list"), 900, REF.digest, REF.size, 1, 2)
    round_ = OwnerRound(0, 0, Phase.OPEN, opening, digest_of("opening"))
    context = JobContext(JOB.id, JOB.spec, 1000, JOB.spec_digest, ME.peer, ME.account)
    return Machine(Role.OWNER, context, OwnerState(round=round_))


class Peers:
    """The swarm: a first request fails, then the content comes."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int, list[str]]] = []

    def connected(self) -> list[str]:
        return ["a neighbour"]

    async def fetch(self, digest: bytes, size: int, peers: Sequence[str], sink: Any) -> None:
        self.asked.append((digest, size, list(peers)))
        await trio.lowlevel.checkpoint()
        if len(self.asked) == 1:
            raise Unreachable(peers[0], "not now")
        sink.write(0, CONTENT)
        sink.finish()


def services(folder: Path) -> Any:
    return SimpleNamespace(blobs=Blobs(folder), swarm=Peers())


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
async def test_it_is_fetched_and_the_effect_begins_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    node, tries = services(tmp_path), list[int]()
    path = node.blobs.path(node.blobs.put(CONTENT).digest)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"x" + CONTENT[1:] if damage == "flipped" else CONTENT[:-1])

    async def examine(of: Any, wanted: Any, effect: Any) -> None:
        tries.append(len(tries))
        size = of.blobs.size(REF.digest)
        if size is None:
            raise BlobLost(REF.digest, "blobs")
        assert of.blobs.get(BlobRef(REF.digest, size)) == CONTENT

    monkeypatch.setattr(dispatch.chain, "read_job", examine)
    wanted: Any = SimpleNamespace(id=1, machine=owner(), effect=ReadJob(), pointless=False)
    await dispatch.perform(node, wanted)
    assert tries == [0, 1]
    requester = peer_id_text(JOB.spec.requester.peer_id)
    assert node.swarm.asked == [
        (REF.digest, REF.size, [requester, "a neighbour"]),
        (REF.digest, REF.size, ["a neighbour", requester]),
    ]
    assert node.blobs.get(REF) == CONTENT


async def test_what_nobody_else_has_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    """A blob that no other node can know by its size is asked of nobody; others are given up."""
    node = services(tmp_path)
    assert not await recover(node, owner(), BlobLost(digest_of("a sum"), "blobs"))
    assert node.swarm.asked == []

    async def never(*_: Any) -> None:
        await trio.sleep_forever()

    node.swarm.fetch = never
    assert not await recover(node, owner(), BlobLost(REF.digest, "blobs"))
    assert trio.current_time() >= recovering._SECONDS


async def test_peers_that_are_slow_on_purpose_do_not_use_up_the_time(
    tmp_path: Path, autojump_clock: Any
) -> None:
    node = services(tmp_path)
    node.swarm.connected = lambda: ["slow 1", "slow 2", "a neighbour"]

    async def fetch(digest: bytes, size: int, peers: Sequence[str], sink: Any) -> None:
        if peers[0] != "a neighbour":
            await trio.sleep_forever()
        sink.write(0, CONTENT)
        sink.finish()

    node.swarm.fetch = fetch
    assert await recover(node, owner(), BlobLost(REF.digest, "blobs"))
    assert node.blobs.get(REF) == CONTENT


async def test_lists_that_are_lost_are_fetched_at_once_and_stop_their_jobs_alone(
    tmp_path: Path, autojump_clock: Any
) -> None:
    """One that nobody gives, one that the disk does not take, and one that comes."""
    node, runs = services(tmp_path), list[float]()
    fetch = node.swarm.fetch

    async def fetched(digest: bytes, size: int, peers: Sequence[str], sink: Any) -> None:
        if size == 1:
            await trio.sleep_forever()
        if size == 2:
            raise OSError(errno.EIO, "the disk fails")
        await fetch(digest, size, peers, sink)

    async def run() -> None:
        runs.append(trio.current_time())

    node.swarm.fetch = fetched
    node.engine = SimpleNamespace(run=run)
    machines, lost = [], []
    for digest, size in (
        (b"\x01" * 32, 1),
        (b"\x05" * 32, 1),
        (b"\x02" * 32, 2),
        (REF.digest, REF.size),
    ):
        machine = owner()
        opening = Open(digest_of("list"), 900, digest, size, 1, 2)
        machine.state = OwnerState(
            round=OwnerRound(0, 0, Phase.OPEN, opening, digest_of("opening"))
        )
        machine.broken = "its list is lost"
        machines.append(machine)
        lost.append((machine, BlobLost(digest, "blobs")))
    inbox: Any = SimpleNamespace(machines_changed=lambda: None)
    nothing: Any = None
    await Node(node, nothing, nothing, inbox, nothing, nothing, nothing, tuple(lost))._run_engine()
    assert [each.broken for each in machines[:2]] == ["its list is lost"] * 2
    assert "the disk fails" in machines[2].broken
    assert machines[3].broken == ""
    assert len(runs) == 1
    assert runs[0] < 2 * recovering._SECONDS


async def _until(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - threads work on it
            await trio.sleep(0.01)


def _idle(missing: recovering.Missing) -> bool:
    return not missing._waiting


def _missing(folder: Path, *machines: Machine) -> tuple[Any, recovering.Missing]:
    node = services(folder)
    node.home = SimpleNamespace(blobs=folder)
    node.engine = SimpleNamespace(machines={each.context.job: each for each in machines})
    return node, recovering.Missing(node)


async def test_what_owners_still_have_to_fetch_is_missed_when_one_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a requester that does not need it any more itself; and by nobody else."""
    monkeypatch.setattr(recovering, "_PAUSE", 0.0)
    asking = owner()
    asking.role = Role.REQUESTER
    for machine, wanted in ((asking, True), (owner(), False)):
        node, missing = _missing(tmp_path, machine)
        server = BlobServer(node.blobs, Counter(), missing.note)
        question = encode(Want(REF.digest, REF.size, Part.CHUNK, 0))
        async with trio.open_nursery() as nursery:
            for _ in range(3):  # before it can come back
                with pytest.raises(PeerError, match="is not held here"):
                    await server.answer("a member", question)
            nursery.start_soon(missing.run)
            await _until(partial(_idle, missing))
            assert node.blobs.holds(REF) == wanted
            if wanted:
                assert await server.answer("a member", question) == CONTENT
                assert len(node.swarm.asked) == 2
                node.blobs.delete(REF.digest)
            nursery.cancel_scope.cancel()


async def test_what_nobody_needs_is_not_looked_for(tmp_path: Path) -> None:
    """However many digests are invented, the queue is short and nobody else is asked."""
    asking = owner()
    asking.role = Role.REQUESTER
    node, missing = _missing(tmp_path, asking)
    for number in range(1_000):
        missing.note(number.to_bytes(32, "big"), 5, False)
    assert len(missing._waiting) == recovering._QUEUE
    async with trio.open_nursery() as nursery:
        nursery.start_soon(missing.run)
        await _until(partial(_idle, missing))
        nursery.cancel_scope.cancel()
    assert node.swarm.asked == []


async def test_a_damaged_blob_is_hashed_once_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds it: each question after that costs one look at the folder."""
    node, missing = _missing(tmp_path)
    content = bytes(3 * 1024 * 1024)
    ref = node.blobs.put(content)
    node.blobs.path(ref.digest).write_bytes(b"x" + content[1:])
    read, hashed = node.blobs.read, list[int]()

    def reading(digest: bytes, offset: int, length: int) -> bytes:
        hashed.append(offset)
        return bytes(read(digest, offset, length))

    monkeypatch.setattr(node.blobs, "read", reading)
    server = BlobServer(node.blobs, Counter(), missing.note)
    question = encode(Want(ref.digest, ref.size, Part.LIST, 0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(missing.run)
        for words in ("damaged here", "not held here", "not held here"):
            with pytest.raises(PeerError, match=words):
                await server.answer("a peer", question)
            await _until(partial(_idle, missing))
        nursery.cancel_scope.cancel()
    assert len(hashed) == 3


def test_a_requester_knows_sizes_of_batches_rosters_and_lists() -> None:
    kit: RequesterKit = requester_at(Phase.CONTRIBUTE)
    batch = ContributionRecord(1, digest_of("message"), digest_of("batch"), 777)
    round_ = kit.round
    state = dataclasses.replace(
        kit.state, round=dataclasses.replace(round_, contributions=round_.contributions.put(batch))
    )
    machine = Machine(Role.REQUESTER, kit.context, state)
    assert size_of(machine, batch.batch) == 777
    assert size_of(machine, state.cohort_digest) == state.cohort_size
    assert size_of(machine, round_.opening.model_digest) == round_.opening.model_size
    rosters = list(round_.rosters)
    assert rosters
    assert [size_of(machine, each.digest) for each in rosters] == [each.size for each in rosters]
    assert size_of(machine, batch.message) is None
    assert size_of(machine, kit.context.spec_digest) == kit.context.spec_bytes
