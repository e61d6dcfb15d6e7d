"""An owner sees how many rows a job can use before it consents; nothing else follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import make_spec
from kits.budgets import job

from node.data.datasets import add_dataset
from node.engine.clock import Clock
from node.home.home import Home
from node.jobs import standing
from node.perform import considering
from node.privacy import ledger
from node.store import catalogue, versions
from node.store.store import Store
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.spec.parts import ClassTarget, Envelope, NumberFeature
from protocol.tokens import NO_TOKENS

SPEC = dataclasses.replace(
    make_spec(noisy=True),
    features=(NumberFeature("age", 0.0, 120.0),),
    target=ClassTarget("stay", ("short", "long")),
    encryption=dataclasses.replace(make_spec().encryption, envelope=Envelope.MASKS),
)
#: As many rows: one owner whose rows fit, one with some, one with none.
FILES = {
    "all": "age,stay\n" + "40,short\n" * 40,
    "some": "age,stay\n" + "40,short\n" * 10 + "x,short\n" * 30,
    "none": "age,stay\n" + "40,kurz\n" * 40,
}


class Here:
    """Computes in this process."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    run_aside = run


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Any]:
    home = Home(tmp_path / "home")
    home.create()
    fed: list[Any] = []

    async def feed(key: bytes, input_: Any, completes: int | None = None) -> None:
        fed.append(input_)

    with Store.open(home.database) as store:
        yield SimpleNamespace(
            home=home,
            store=store,
            engine=SimpleNamespace(machines={}, feed=feed),
            clock=Clock(),
            compute=Here(),
            keys=SimpleNamespace(account=b"\x22" * 20, derive=lambda _: bytes(32)),
            config=SimpleNamespace(overlap=0.1, payout=None, hours=()),
            tokens_shown=lambda: NO_TOKENS,
            fed=fed,
        )


async def consider(services: Any, folder: Path, which: str, **terms: Any) -> Any:
    """Hold the job against one data set, under a policy; the machine."""
    file = folder / f"{which}.csv"
    await trio.Path(file).write_text(FILES[which])
    await add_dataset(services.home, services.store, services.compute, "ward", file)
    policy = with_changes(Policy.closed(), {"epsilon": 10, "delta": 1e-3, **terms})
    await services.store.run(lambda tx: catalogue.save_policy(tx, "ward", policy))
    context = SimpleNamespace(spec=SPEC)
    machine = SimpleNamespace(
        key=job(1), state=OwnerState(phase=JobPhase.WAITING), context=context, broken=""
    )
    services.engine.machines[machine.key] = machine
    await considering.consider(services, SimpleNamespace(machine=machine, id=1))  # type: ignore[arg-type]
    return machine


@pytest.mark.parametrize(("which", "usable"), [("all", 40), ("some", 10), ("none", 0)])
@pytest.mark.parametrize("accept", ["ask", "auto"])
async def test_how_many_rows_a_job_can_use_is_known_before_consent(
    services: Any, tmp_path: Path, which: str, usable: int, accept: str
) -> None:
    machine = await consider(services, tmp_path, which, accept=accept)
    (fit,) = await services.store.read(lambda tx: versions.fits_of(tx, machine.key))
    assert (fit.dataset, fit.rows, fit.usable) == ("ward", 40, usable)
    assert bool(fit.why) == (usable < 40)
    known = standing.Known([], fits=(fit,))
    assert [each.usable for each in standing.fits(machine, known)] == [usable]
    machine.state = OwnerState(phase=JobPhase.TRAINING, dataset="other")
    assert standing.fits(machine, known) == ()


@pytest.mark.parametrize("accept", ["ask", "auto"])
async def test_what_is_said_of_a_job_does_not_hang_on_usable_rows(
    services: Any, tmp_path: Path, accept: str
) -> None:
    """The same input to the machine, the same reserve: nobody else can tell the three apart."""
    said = []
    for number, which in enumerate(FILES):
        with Store.open(tmp_path / f"{number}.db") as store:
            services.store = store
            services.fed.clear()
            await consider(services, tmp_path, which, accept=accept)
            (input_,) = services.fed
            entries = await store.read(lambda tx: ledger.entries(tx, "ward"))
            use = await store.read(lambda tx: versions.use_of(tx, job(1)))
        assert isinstance(
            input_, inputs.ActionConsent if accept == "auto" else inputs.ActionWithhold
        )
        assert (use is not None) == (accept == "auto")
        said.append((dataclasses.replace(input_, at=0), [(e.plan, e.rounds) for e in entries]))
    assert said[0] == said[1] == said[2]
