"""Obfuscators made while no worker is busy: what a worker keeps, and when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gmpy2
import pytest
import trio
import trio.testing
from kits.books import make_spec

from node.perform import idle
from node.work import pool as pool_tasks
from node.work import tasks
from protocol.errors import AssayError, InputError
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.owner.state import OwnerRound, OwnerState
from protocol.requester.state import RequesterState
from protocol.spec.job import EncryptionSpec, Envelope, Family, JobSpec, ModelSpec, encode_spec
from protocol.wire.messages import Open


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    key = tasks.generate_key(2048, False)
    short = EncryptionSpec(Envelope.PAILLIER, 2048, 16)
    dense = ModelSpec(Family.DENSE, 200)  # so that a contribution takes several ciphertexts
    return replace(make_spec(), model=dense, encryption=short, modulus=key.modulus, base=key.base)


@pytest.fixture
def work(spec: JobSpec, tmp_path: Path) -> Iterator[tasks.Work]:
    pool_tasks._pool.cache_clear()
    yield tasks.Work(tmp_path, encode_spec(spec))
    pool_tasks._pool.cache_clear()


def test_a_worker_s_pool_fills_up_to_one_contribution(spec: JobSpec, work: tasks.Work) -> None:
    needed = spec.packing.ciphertexts(spec.parameter_count)
    assert pool_tasks.filled(spec) is None
    assert needed > 3
    assert not pool_tasks.fill(work, needed - 1)
    assert pool_tasks.fill(work, 100)
    assert pool_tasks.fill(work, 100)
    pool = pool_tasks.filled(spec)
    assert pool is not None
    assert len(pool) == needed
    assert pool.public == tasks.envelope_of(spec).public
    assert pool.public.base is not None
    assert len(set(pool.take(needed))) == needed
    assert pool_tasks.filled(spec) is None


def test_masks_alone_need_none(spec: JobSpec) -> None:
    masks = replace(spec, encryption=EncryptionSpec(Envelope.MASKS, 2048, 16))
    assert pool_tasks.filled(masks) is None


def test_a_job_s_key_is_checked_before_its_rows(spec: JobSpec, tmp_path: Path) -> None:
    """A bad n or h costs a refusal before the owner enrols, not a broken round after."""
    rows = tasks.Rows(tmp_path, bytes(32), "ward")
    n = int.from_bytes(spec.modulus, "big")
    base = next(x for x in range(2, 100) if gmpy2.jacobi(x, n) == -1)
    threefold = n - n % 6 + 3  # odd, and 3 divides it
    for change, says in (
        ({"base": base.to_bytes(256, "big")}, r"key\.base: has Jacobi symbol -1"),
        ({"modulus": threefold.to_bytes(256, "big"), "base": b""}, r"key\.n: has a prime factor"),
    ):
        with pytest.raises(InputError, match=says):
            tasks.fits(rows, replace(spec, **change), True)


@dataclass
class Machine:
    """What idle work looks at in a machine."""

    state: OwnerState | RequesterState
    context: Any
    key: bytes = b"job"
    broken: str = ""


class Services:
    """A node whose workers note what they are asked, and are full at the third time."""

    def __init__(self, machine: Machine) -> None:
        self.engine = SimpleNamespace(machines={machine.key: machine})
        self.home = SimpleNamespace(blobs=Path("/blobs"))
        self.compute = self
        self.running = self.waiting = 0
        self.asked: list[int] = []
        self.fault: AssayError | None = None

    async def spec_bytes(self, context: Any) -> bytes:
        return b"spec"

    def statistics(self) -> Services:
        return self

    async def run(self, function: Any, work: tasks.Work, count: int) -> bool:
        assert function is pool_tasks.fill
        assert work == tasks.Work(Path("/blobs"), b"spec")
        self.asked.append(count)
        if self.fault is not None:
            raise self.fault
        return len(self.asked) % 3 == 0


@pytest.fixture
def machine(spec: JobSpec) -> Machine:
    return Machine(OwnerState(phase=JobPhase.ENROLLED), SimpleNamespace(spec=spec))


async def looked(services: Services, times: int, clock: trio.testing.MockClock) -> int:
    """How often workers were asked while the loop looked `times` more."""
    before = len(services.asked)
    with trio.move_on_after(times * idle._PAUSE + 0.5):
        await idle.fill_pools(services)  # type: ignore[arg-type]
    return len(services.asked) - before


async def test_pools_are_filled_once_and_again_after_a_contribution(
    machine: Machine, autojump_clock: trio.testing.MockClock
) -> None:
    services = Services(machine)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.fill_pools, services)
        await trio.sleep(3.5)
        assert len(services.asked) == 3  # until full, and then no more
        machine.state = OwnerState(phase=JobPhase.TRAINING, round=round_(b""))
        await trio.sleep(3)
        assert len(services.asked) == 3  # its first round has used up nothing yet
        machine.state = OwnerState(phase=JobPhase.TRAINING, round=round_(b"b" * 32))
        await trio.sleep(3)
        assert len(services.asked) == 6
        nursery.cancel_scope.cancel()


def round_(batch: bytes) -> OwnerRound:
    opening = Open(b"c" * 32, 2000, b"m" * 32, 64, 1000, 2000)
    return OwnerRound(0, 0, Phase.OPEN, opening, b"o" * 32, batch_digest=batch)


@pytest.mark.parametrize(
    "change",
    ["running", "waiting", "declined", "requester", "masks", "broken"],
)
async def test_nothing_is_made_where_it_is_of_no_use(
    machine: Machine, spec: JobSpec, change: str, autojump_clock: trio.testing.MockClock
) -> None:
    services = Services(machine)
    if change in ("running", "waiting"):
        setattr(services, change, 1)
    elif change == "declined":
        machine.state = OwnerState(phase=JobPhase.DECLINED)
    elif change == "requester":
        machine.state = RequesterState()
    elif change == "masks":
        alone = replace(spec, encryption=EncryptionSpec(Envelope.MASKS, 2048, 16))
        machine.context = SimpleNamespace(spec=alone)
    else:
        machine.broken = "for a reason"
    assert await looked(services, 3, autojump_clock) == 0


async def test_a_worker_that_dies_is_no_harm(
    machine: Machine, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    services = Services(machine)
    services.fault = AssayError("the worker died")
    assert await looked(services, 3, autojump_clock) == 1
    assert "no obfuscators made ahead" in caplog.text
