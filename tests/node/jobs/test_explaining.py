"""What an owner is told of a job: every rule, and nothing that leaves a trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.budgets import ROWS, Inline, enter, fill, job, noisy_spec

from node.control import results as r
from node.engine.clock import Clock
from node.jobs import explaining
from node.perform.compute import Fit
from node.privacy import joins, ledger
from node.privacy import reserving as privacy
from node.store import catalogue, people
from node.store.catalogue import Dataset
from node.store.people import Link
from node.store.store import Store
from protocol.errors import InputError, StateError
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import describe, with_changes
from protocol.requester.state import RequesterState
from protocol.spec.job import MeritBy
from protocol.tokens import NO_TOKENS

COLUMNS = noisy_spec().columns


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        whole = Dataset(
            "ward", "/srv/w", b"w" * 32, ROWS, 1, tuple((c, "number") for c in COLUMNS), 0.0
        )
        with opened.transaction() as tx:
            enter(tx, whole)
        yield opened


@pytest.fixture
def services(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    fits = {"ward": Fit("", ROWS, ROWS)}

    async def fit(services: Any, name: str, terms: Any, *, owner: bool, idle: bool) -> Fit:
        assert owner
        assert idle, "a look runs no encoder"
        return fits[name]

    monkeypatch.setattr(explaining, "fit", fit)
    engine = SimpleNamespace(machines={})
    keys = SimpleNamespace(account=b"\x22" * 20)
    return SimpleNamespace(
        store=store,
        engine=engine,
        clock=Clock(),
        keys=keys,
        compute=Inline(),
        fits=fits,
        tokens_shown=lambda: NO_TOKENS,
    )


def say(store: Store, **terms: Any) -> None:
    with store.transaction() as tx:
        policy = with_changes(Policy.closed(), {"accept": "auto", **terms})
        catalogue.save_policy(tx, "ward", policy)


def machine(services: Any, epsilon: float | None = 4.0, **changes: Any) -> Any:
    spec = dataclasses.replace(noisy_spec(epsilon), **changes)
    made = SimpleNamespace(
        key=job(1), state=OwnerState(phase=JobPhase.WAITING), context=SimpleNamespace(spec=spec)
    )
    services.engine.machines[made.key] = made
    return made


async def explained(services: Any, of: Any, name: str = "ward") -> r.Explained:
    (found,) = await explaining.explain(services, of, name)
    return found


def broken(found: r.Explained) -> dict[str, str]:
    return {rule.rule: rule.outcome for rule in found.rules if rule.outcome != "passes"}


async def test_a_job_that_fits_passes_every_rule(services: Any, store: Store) -> None:
    say(store)
    found = await explained(services, machine(services))
    assert (found.verdict, broken(found)) == ("passes", {})
    names = [rule.rule for rule in found.rules]
    assert len(names) == len(set(names))
    terms = {term.name for term in describe(Policy.closed())}
    # `known` and `delta` decide nothing by themselves: known_least and the budget do;
    # `explain_refusals` decides what is told, `payout` who is paid.
    assert terms - set(names) == {"known", "delta", "explain_refusals", "payout"}
    assert set(names) - terms == {
        "decided",
        "columns",
        "rows",
        "admission",
        "data",
        "budget",
        "merit",
    }
    shares = next(rule.why for rule in found.rules if rule.rule == "merit")
    assert shares.endswith("in equal parts, one for each contribution")
    values = {rule.rule: rule.value for rule in found.rules}
    assert (values["accept"], values["corrupt_least"], values["data"]) == ("auto", 1, None)


async def test_a_pot_that_nobody_can_check_is_called_so(services: Any, store: Store) -> None:
    say(store)
    of = machine(services)
    cohort = dataclasses.replace(of.context.spec.cohort, min_owners=15, max_owners=20)
    for by, words in ((MeritBy.DISCRETION, "discretionary"), (MeritBy.WORTH, "measures again")):
        payment = dataclasses.replace(of.context.spec.payment, merit=7, merit_by=by)
        holdout = bytes(32) if by is MeritBy.WORTH else b""
        spec = of.context.spec
        of.context.spec = dataclasses.replace(spec, payment=payment, cohort=cohort, holdout=holdout)
        (found,) = await explaining.explain(services, of, "ward")
        [rule] = [each for each in found.rules if each.rule == "merit"]
        assert words in rule.why
        assert rule.why.startswith("7 wei, ")
        assert rule.outcome == "passes"


async def test_every_broken_rule_is_named_with_what_it_leads_to(
    services: Any, store: Store
) -> None:
    say(store, accept="ask", price_floor="1 ether", no_noise=True)
    assert not await joins.join(services, _ward(store), job(7), b"\x11" * 20)
    found = await explained(services, machine(services, None))
    assert broken(found) == {"no_noise_jobs": "refused", "price_floor": "waits", "accept": "waits"}
    assert found.verdict == "refused"
    assert not any(rule.rule == "budget" for rule in found.rules)
    # Its own place is none that another job has taken.
    assert not found.taken


async def test_an_undecided_policy_waits(services: Any) -> None:
    found = await explained(services, machine(services))
    assert found.verdict == "waits"
    assert broken(found) == {"decided": "waits", "accept": "waits"}


async def test_rows_that_are_not_used_are_told_and_rows_that_do_not_fit_decide(
    services: Any, store: Store
) -> None:
    say(store)
    of = machine(services)
    services.fits["ward"] = Fit("", ROWS, 317, "3 of 320 rows cannot be used: line 7")
    found = await explained(services, of)
    assert found.verdict == "passes"
    assert next(e.why for e in found.rules if e.rule == "data").startswith("3 of 320 rows")
    services.fits["ward"] = Fit("column x holds text")
    assert broken(await explained(services, of)) == {"data": "impossible"}


async def test_a_budget_that_is_spent_is_told_and_nothing_is_reserved(
    services: Any, store: Store
) -> None:
    say(store, epsilon=4.5)
    of = machine(services)
    found = await explained(services, of)
    assert found.verdict == "passes"
    cost = f"it costs epsilon {of.context.spec.privacy.epsilon:g} of ward at most"
    assert found.rules[-1].why.startswith(cost)
    with store.snapshot() as tx:
        assert ledger.entries(tx, "ward") == ()
    assert not await privacy.reserve_job(services, "ward", job(2), noisy_spec(4.0), ROWS)
    found = await explained(services, of)
    assert broken(found) == {"budget": "refused"}
    assert "spent or reserved" in found.rules[-1].why


async def test_the_stricter_policy_of_the_same_people_is_told(services: Any, store: Store) -> None:
    say(store, no_noise=True, no_noise_jobs=2)
    fill(store, "near", no_noise=True)
    with store.transaction() as tx:
        ward, near = people.versions(tx)
        people.save_link(tx, Link(near, ward, 0.5, apart=False))
    assert not await joins.join(services, _ward(store), job(7), b"\x11" * 20)
    found = await explained(services, machine(services, None))
    assert broken(found) == {"budget": "refused"}
    assert "near" not in found.rules[-1].why
    assert "joined 1 of 1 jobs without noise that the strictest of their" in found.rules[-1].why
    assert (await explained(services, machine(services))).verdict == "passes"


async def test_data_without_the_columns_are_not_read(services: Any, store: Store) -> None:
    fill(store, "lab")
    found = await explained(services, machine(services), "lab")
    assert found.verdict == "impossible"
    assert "has no column" in next(e.why for e in found.rules if e.rule == "columns")
    assert not any(rule.rule in ("data", "budget") for rule in found.rules)


async def test_all_data_sets_by_name_and_what_was_taken(services: Any, store: Store) -> None:
    fill(store, "lab")
    of = machine(services)
    of.state = OwnerState(phase=JobPhase.TRAINING, dataset="ward")
    found = await explaining.explain(services, of, None)
    assert [(each.dataset, each.taken) for each in found] == [("lab", False), ("ward", True)]


async def test_what_cannot_be_explained(services: Any) -> None:
    of = machine(services)
    with pytest.raises(InputError, match="there is no data set 'attic'") as caught:
        await explaining.explain(services, of, "attic")
    assert caught.value.__notes__ == ["assay data list"]
    of.state = RequesterState()
    with pytest.raises(StateError, match="this home posted the job itself"):
        await explaining.explain(services, of, None)


def _ward(store: Store) -> Dataset:
    with store.snapshot() as tx:
        found = catalogue.load_dataset(tx, "ward")
    assert found is not None
    return found
