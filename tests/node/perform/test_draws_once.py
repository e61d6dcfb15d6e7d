"""What a job draws with noise is drawn once, however many of its attempts ask for it at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from kits.budgets import enter

from node.perform import compute, secrets
from node.privacy import draws as gradients
from node.privacy import ledger as privacy_ledger
from node.privacy.ledger import Limit, Reserve
from node.store import catalogue
from node.store.catalogue import Dataset
from node.store.store import Store
from protocol.errors import InputError, Malformed
from protocol.layout.noise import NoisePlan
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes

JOB, ON = b"\x0b" * 32, b"\x05" * 32


@dataclasses.dataclass
class Bench:
    """One charged round of a job, and draws that end when they are told to."""

    services: Any
    gates: list[trio.Event] = dataclasses.field(default_factory=list)
    fault: str = ""  # what is wrong with the model that it is asked to draw for

    async def check(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.fault:
            raise Malformed(self.fault)

    async def draw(self, plan: NoisePlan) -> bytes:
        number = len(self.gates)
        self.gates.append(trio.Event())
        await self.gates[number].wait()
        return b"draw %d" % number

    async def ask(self, into: list[bytes]) -> None:
        place = self.services, JOB, "ward", 0, ON
        into.append(await compute._drawn_once(*place, self.check, self.draw))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Store.open(tmp_path / "assay.db") as store:
        with store.transaction() as tx:
            row = Dataset("ward", "/srv/ward.csv", b"d" * 32, 9, 1, (("x", "number"),), 0.0)
            enter(tx, row)
            policy = with_changes(Policy.closed(), {"accept": "auto"})
            catalogue.save_policy(tx, "ward", policy)
            wanted = Reserve("ward", JOB, b"\x11" * 20, NoisePlan(1.0, 1.5), 1)
            assert privacy_ledger.reserve(tx, wanted, Limit(8.0, 1e-5), ())
        home = SimpleNamespace(gradients=tmp_path / "gradients")
        yield Bench(SimpleNamespace(store=store, home=home))


async def test_a_model_that_is_none_is_refused_before_anything_is_charged(bench: Bench) -> None:
    bench.fault = "a model of another length"
    with pytest.raises(Malformed, match="another length"):
        await bench.ask([])
    assert not bench.gates
    entry = await bench.services.store.read(lambda tx: privacy_ledger.entry(tx, JOB))
    assert entry.charged == 0


async def test_attempts_that_overlap_send_one_draw(bench: Bench) -> None:
    """The requester opens a second attempt while the first one's draw still runs."""
    first: list[bytes] = []
    second: list[bytes] = []
    third: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.ask, first)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(bench.ask, second)
        await trio.testing.wait_all_tasks_blocked(0.05)
        for gate in list(bench.gates):
            gate.set()
            await trio.testing.wait_all_tasks_blocked(0.05)
        for gate in bench.gates:
            gate.set()
    await bench.ask(third)
    assert first == second == third == [b"draw 0"]
    assert len(bench.gates) == 1, "a second draw is a second release, charged as none"


async def test_a_job_that_ends_while_it_draws_leaves_nothing(bench: Bench) -> None:
    completed: list[int] = []

    async def complete(effect: int) -> None:
        completed.append(effect)

    services = bench.services
    services.keys = SimpleNamespace(forget=lambda name: None)
    services.engine = SimpleNamespace(complete=complete)
    wanted: Any = SimpleNamespace(id=7, machine=SimpleNamespace(key=JOB, state=OwnerState()))
    drawn: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.ask, drawn)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(secrets.forget_job, services, wanted)
        await trio.testing.wait_all_tasks_blocked(0.05)
        bench.gates[0].set()
    assert completed == [7]
    assert gradients.load(services.home, JOB, 0, ON) is None
    with pytest.raises(InputError, match="drawn once"):
        await bench.ask(drawn)
