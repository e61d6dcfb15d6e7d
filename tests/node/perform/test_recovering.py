"""A blob that is lost here comes from whoever else of the job has it, and the effect goes on."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Sequence
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
from node.perform import dispatch, recovering
from node.perform.recovering import recover, size_of
from node.store.blobs import BlobLost, BlobRef, Blobs
from protocol.machines.effects import ReadJob
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase, Role
from protocol.owner.state import OwnerRound, OwnerState
from protocol.requester.state import ContributionRecord
from protocol.wire.blobs import blob_digest
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
    await Node(node, nothing, nothing, inbox, nothing, tuple(lost))._run_engine()
    assert [each.broken for each in machines[:2]] == ["its list is lost"] * 2
    assert "the disk fails" in machines[2].broken
    assert machines[3].broken == ""
    assert len(runs) == 1
    assert runs[0] < 2 * recovering._SECONDS


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
