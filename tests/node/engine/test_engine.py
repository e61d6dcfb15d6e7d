"""The engine: a machine that breaks stops alone, and says why."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from kits.books import make_job

from node.engine import engine as engine_module
from node.engine.engine import Engine, Machine, Wanted
from node.store import records
from node.store import store as store_module
from node.store.blobs import BlobsFull
from node.store.store import Store, StoreFull
from node.workers.compute import WorkerDied
from protocol.addresses import to_checksum
from protocol.machines import inputs
from protocol.machines.effects import ReadJob
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner import machine as owner
from protocol.owner.state import OwnerState
from protocol.requester.state import EnrolmentRecord, Enrolments, RequesterState
from protocol.wire.envelope import envelope_digest
from protocol.wire.messages import RefusalCode, Refuse
from protocol.wire.parts import Part

JOB = make_job(11)
ME = JOB.people[0]
CONTEXT = JobContext(JOB.id, JOB.spec, 1000, JOB.spec_digest, ME.peer, ME.account)
LATER = 1_700_000_000_000


def machine(number: int) -> Machine:
    """An owner's machine that has just heard of a job."""
    context = dataclasses.replace(CONTEXT, job=bytes([number]) * 32)
    return Machine(Role.OWNER, context, OwnerState())


async def run(path: Path, machines: list[Machine], perform: Any, *fed: tuple[bytes, int]) -> None:
    with Store.open(path / "assay.db") as store:
        engine = Engine(store, perform, lambda machine, events: None)
        for each in machines:
            engine.add(each)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            for key, at in fed:
                await engine.feed(key, inputs.Tick(at))
            await trio.testing.wait_all_tasks_blocked(0.05)
            await engine.drain()
            nursery.cancel_scope.cancel()
        for each in machines:
            kept = await store.read(lambda tx, key=each.key: records.events(tx, job=key))
            broken = [event.facts["text"] for event in kept if event.kind == "broken"]
            assert broken == ([each.broken] if each.broken else [])


async def test_a_machine_that_breaks_hears_no_more_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = machine(1), machine(2)
    steps: list[bytes] = []
    honest = owner.step

    def step(context: JobContext, state: OwnerState, input_: inputs.Input) -> Any:
        steps.append(context.job)
        if context.job == bad.key:
            raise IndexError("a mistake of ours")
        return honest(context, state, input_)

    async def perform(wanted: Wanted) -> None:
        assert isinstance(wanted.effect, ReadJob)

    monkeypatch.setattr(owner, "step", step)
    told = [(bad.key, LATER), (good.key, LATER), (bad.key, LATER), (good.key, LATER)]
    await run(tmp_path, [bad, good], perform, *told)
    assert bad.broken == "IndexError: a mistake of ours"
    assert bad.state == OwnerState()
    assert bad.topics() == ()
    assert not good.broken
    assert steps == [bad.key, good.key, good.key]


async def test_an_effect_that_breaks_stops_its_job_alone(tmp_path: Path) -> None:
    bad, good = machine(1), machine(2)
    done: list[bytes] = []

    async def perform(wanted: Wanted) -> None:
        if wanted.machine is bad:
            raise RuntimeError("no such part")
        done.append(wanted.machine.key)

    await run(tmp_path, [bad, good], perform, (bad.key, LATER), (good.key, LATER))
    assert bad.broken == "ReadJob: no such part"
    assert not good.broken
    assert done == [good.key]


async def test_a_refusal_is_told_with_the_account_that_refuses(tmp_path: Path) -> None:
    who = JOB.people[3]
    record = EnrolmentRecord(who.peer, who.account, who.payout, who.sealing_key, bytes(32))
    state = RequesterState(phase=JobPhase.ROOTING, enrolments=Enrolments.of([record]))
    asked = Machine(Role.REQUESTER, CONTEXT, state)
    said = who.say(JOB.place(), Refuse(RefusalCode.INVALID, "this owner could not train"))
    told: list[str] = []

    async def perform(_: Wanted) -> None:
        """Nothing is to be done."""

    with Store.open(tmp_path / "assay.db") as store:
        engine = Engine(
            store, perform, lambda _, events: told.extend(e.facts["text"] for e in events)
        )
        engine.add(asked)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            message = inputs.ReceiveMessage(LATER, said, envelope_digest(said))
            await engine.feed(asked.key, message)
            nursery.cancel_scope.cancel()
    assert told == [f"{to_checksum(who.payout)}: invalid: this owner could not train"]


@pytest.mark.parametrize(
    "full", [BlobsFull("the disk is full"), OSError(errno.ENOSPC, "No space left on device")]
)
async def test_an_effect_without_room_on_the_disk_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Exception, caplog: Any
) -> None:
    monkeypatch.setattr(engine_module, "_ROOM_SECONDS", 0.001)
    job = machine(1)
    done = trio.Event()
    tries: list[int] = []

    async def perform(wanted: Wanted) -> None:
        tries.append(wanted.id)
        if len(tries) < 4:
            raise full
        done.set()

    with Store.open(tmp_path / "assay.db") as store:
        engine = Engine(store, perform, lambda machine, events: None)
        engine.add(job)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            await engine.feed(job.key, inputs.Tick(LATER))
            with trio.fail_after(10):
                await done.wait()
            nursery.cancel_scope.cancel()
    assert not job.broken
    assert len(tries) == 4
    assert len(set(tries)) == 1
    assert len([each for each in caplog.records if "waits for room" in each.getMessage()]) == 1


async def test_an_effect_whose_worker_is_killed_is_tried_again_later(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Later each time, and said each time; the job is not stopped."""
    job, done = machine(1), trio.Event()
    tries: list[float] = []
    told: list[str] = []

    async def perform(wanted: Wanted) -> None:
        tries.append(trio.current_time())
        if len(tries) < 9:
            raise WorkerDied("the worker that computed add was killed")
        done.set()

    def observe(_: Machine, events: Sequence[records.Event]) -> None:
        told.extend(f"{each.kind}: {each.facts['text']}" for each in events)

    with Store.open(tmp_path / "assay.db") as store:
        engine = Engine(store, perform, observe)
        engine.add(job)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            await engine.feed(job.key, inputs.Tick(LATER))
            await done.wait()
            nursery.cancel_scope.cancel()
    assert not job.broken
    waited = [round(after - before) for before, after in itertools.pairwise(tries)]
    assert waited == [5, 10, 20, 40, 80, 160, 300, 300]
    assert len(told) == 8
    assert told[0] == (
        "worker-died: ReadJob is tried again in 5 s: the worker that computed add was killed"
    )


async def test_a_step_that_waits_for_room_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store rolls the transaction back and runs it again: numbers of effects have no gap."""
    monkeypatch.setattr(store_module, "_ROOM_SECONDS", 0.001)
    job = machine(1)
    refused: list[int] = []
    real = records.save_machine

    def save(tx: Any, row: records.Machine, parts: Sequence[Part]) -> None:
        real(tx, row, parts)
        if len(refused) < 3:
            refused.append(row.seq)
            raise StoreFull("the disk is full")

    async def perform(wanted: Wanted) -> None:
        """Nothing."""

    monkeypatch.setattr(records, "save_machine", save)
    with Store.open(tmp_path / "assay.db") as store:
        store.patient = True
        engine = Engine(store, perform, lambda machine, events: None)
        engine.add(job)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            with trio.fail_after(10):
                await engine.feed(job.key, inputs.Tick(LATER))
            nursery.cancel_scope.cancel()
        stored = await store.read(lambda tx: tx.execute("SELECT seq FROM machines").fetchall())
    assert refused == [1, 1, 1]
    assert job.seq == 1
    assert [row[0] for row in stored] == [1]
