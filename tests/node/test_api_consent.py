"""What the daemon answers to a person's own word: taking a job by hand, claiming for oneself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import make_job
from kits.budgets import ROWS, Inline, enter, fill, job, noisy_spec

from node.api import Api
from node.engine.clock import Clock
from node.engine.engine import Machine
from node.privacy import reserving as privacy
from node.store import catalogue
from node.store.catalogue import Dataset
from node.store.store import Store
from protocol.errors import InputError, StateError
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.policy.policy import Accept
from protocol.requester.state import RequesterState
from protocol.tokens import NO_TOKENS

JOB = make_job(5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        fill(opened, "ward", epsilon=8)
        columns = tuple((name, "number") for name in noisy_spec(4.0).columns)
        with opened.transaction() as tx:
            whole = Dataset("whole", "/w.csv", b"d" * 32, 1000, 1, columns, 0.0)
            enter(tx, whole)
        yield opened


@pytest.fixture
def services(store: Store) -> Any:
    """The parts that are asked here."""
    engine = SimpleNamespace(machines={})
    keys = SimpleNamespace(account=b"\x22" * 20)
    return SimpleNamespace(
        store=store,
        engine=engine,
        clock=Clock(),
        keys=keys,
        domain=None,
        tokens_shown=lambda: NO_TOKENS,
        config=SimpleNamespace(hours=None),
    )


def add(services: Any, state: OwnerState | RequesterState, **terms: Any) -> str:
    spec = dataclasses.replace(noisy_spec(4.0), **terms)
    role = Role.OWNER if isinstance(state, OwnerState) else Role.REQUESTER
    context = JobContext(job(1), spec, 1000, JOB.spec_digest, b"me", b"\x22" * 20)
    services.engine.machines[job(1)] = Machine(role, context, state)
    return "0x" + job(1).hex()


def api(services: Any) -> Any:
    nothing: Any = None
    return Api(services, nothing, nothing, nothing, nothing, nothing, nothing)


async def test_what_a_policy_rules_out_is_refused_by_the_state_with_the_next_command(
    services: Any, store: Store
) -> None:
    policy = await store.read(lambda tx: catalogue.policy_of(tx, "whole"))
    never = dataclasses.replace(policy, decided=True, accept=Accept.NEVER)
    await privacy.set_policy(services, "whole", never)
    waiting = add(services, OwnerState(phase=JobPhase.WAITING))
    with pytest.raises(StateError, match="accept=never") as caught:
        await api(services).job_consent(waiting, "whole")
    assert caught.value.__notes__ == ["assay policy show whole"]


async def test_data_without_the_columns_are_wrong_input(services: Any) -> None:
    target = dataclasses.replace(noisy_spec(4.0).target, name="elsewhere")
    waiting = add(services, OwnerState(phase=JobPhase.WAITING), target=target)
    with pytest.raises(InputError, match="no column 'elsewhere'"):
        await api(services).job_consent(waiting, "whole")


class Claims:
    """Remembers whom it was asked to claim for."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def claim(self, _: Machine, account: str | None) -> tuple[()]:
        self.asked.append(account)
        return ()


async def test_an_owner_claims_for_itself_unless_it_says_otherwise(services: Any) -> None:
    answers = api(services)
    answers._books = claims = Claims()
    mine, other = "0x" + "33" * 20, "0x" + "44" * 20
    owned = add(services, OwnerState(phase=JobPhase.FINISHING, payout=b"\x33" * 20))
    await answers.claim(owned, None, False)
    await answers.claim(owned, None, True)
    await answers.claim(owned, other, False)
    with pytest.raises(InputError, match="everybody"):
        await answers.claim(owned, other, True)
    add(services, RequesterState(phase=JobPhase.PAYING))
    await answers.claim(owned, None, False)
    assert claims.asked == [mine, None, other, None]


async def test_a_policy_shows_which_jobs_run_on_it_and_which_it_halts(
    services: Any, store: Store
) -> None:
    services.compute = Inline()
    spec = noisy_spec(4.0)
    assert not await privacy.reserve_job(services, "ward", job(1), spec, ROWS)
    running = add(services, OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    shown = await api(services).policy_show("ward")
    assert (shown.running, shown.halted) == ((running,), ())
    assert (await api(services).policy_show("whole")).running == ()
    policy = await store.read(lambda tx: catalogue.policy_of(tx, "ward"))
    await privacy.set_policy(services, "ward", dataclasses.replace(policy, epsilon=1.0))
    assert (await api(services).policy_show("ward")).halted == (running,)
    add(services, OwnerState(phase=JobPhase.FINISHING, dataset="ward"))
    over = await api(services).policy_show("ward")
    assert (over.running, over.halted) == ((), ())
