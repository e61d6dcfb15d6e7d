"""What a requester stores: at every moment its state, and no more for each owner where many are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio
from kits.books import make_job
from simulator import storing

from node.engine.engine import Engine, Machine
from node.store import records
from node.store.blobs import Blobs
from protocol.machines.job import JobPhase
from protocol.machines.round import Role
from protocol.requester.state import RequesterState
from protocol.wire.parts import join


async def test_the_store_has_the_state_after_every_step(tmp_path: Path) -> None:
    """A daemon that dies at any moment of a job begins with the state that the last step left."""
    job = make_job(12, rounds=storing.ROUNDS, block_size=5)
    looked = [0]
    (tmp_path / "blobs").mkdir()
    with storing.Counted.open(tmp_path / "assay.db") as store:
        desk = storing.Desk(job, store, Blobs(tmp_path / "blobs"))

        def observe(machine: Machine, events: Sequence[records.Event]) -> None:
            with store.snapshot() as tx:
                stored = records.load_machine(tx, "requester", job.id)
                parts = records.load_parts(tx, "requester", job.id)
            assert stored is not None
            assert join(RequesterState, stored.state, parts, 1 << 20) == machine.state
            assert stored.seq == machine.seq
            looked[0] += 1

        desk.engine.observe = observe
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.engine.run)
            await storing.run(desk, storing.Spent())
            nursery.cancel_scope.cancel()
        assert desk.state.phase is JobPhase.CLOSED
        assert looked[0] > 100

        again = Engine(store, _nothing, lambda machine, events: None)
        await again.restore([(Role.REQUESTER, desk.machine.context)])
        assert again.machines[job.id].state == desk.state
        assert again.machines[job.id].seq == desk.machine.seq
        assert again.machines[job.id].kept == desk.state


async def _nothing(_: Any) -> None:
    """No effect is carried out."""


async def test_an_owner_costs_its_requester_the_same_among_more(tmp_path: Path) -> None:
    """Bytes that reach the disk, counted; the machine's are a part of them as all others are."""
    each = []
    for owners in (16, 96):
        folder = tmp_path / str(owners)
        folder.mkdir()
        told = await storing.measure(owners, folder)
        assert isinstance(told["stored"], int)
        assert isinstance(told["commits"], int)
        assert told["commits"] < 15 * owners
        each.append(told["stored"] / owners)
    assert each[1] < 1.1 * each[0]
