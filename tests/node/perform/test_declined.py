"""What leaves an owner that does not take a job: words of its policy, and of its data nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import digest_of
from kits.budgets import fill, noisy_spec

from node.engine.clock import Clock
from node.engine.engine import Wanted
from node.perform import considering
from node.store import catalogue
from node.store.store import Store
from protocol.machines.effects import Consider
from protocol.tokens import NO_TOKENS
from protocol.wire.messages import DeclinedTerm


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        yield opened


async def considered(store: Store, monkeypatch: pytest.MonkeyPatch, unfit: str = "") -> Any:
    """The word to the machine, of a node whose data fit or do not."""
    fed: list[Any] = []
    spec = noisy_spec(4.0)
    with store.transaction() as tx:
        for each in catalogue.datasets(tx):
            policy = catalogue.policy_of(tx, each.name)
            catalogue.delete_dataset(tx, each.name)
            columns = tuple((name, "number") for name in spec.columns)
            catalogue.save_dataset(tx, dataclasses.replace(each, columns=columns))
            catalogue.save_policy(tx, each.name, policy)

    async def feed(job: bytes, outcome: Any, done: int) -> None:
        fed.append(outcome)

    async def owner_fit(services: Any, name: str, job: bytes, spec: Any, wanted: Any = None) -> Any:
        return considering.compute.Fit(unfit)

    async def set_aside(services: Any, machine: Any, dataset: Any) -> str:
        return ""

    monkeypatch.setattr(considering.compute, "owner_fit", owner_fit)
    monkeypatch.setattr(considering, "set_aside", set_aside)
    engine = SimpleNamespace(machines={}, feed=feed)
    services: Any = SimpleNamespace(
        store=store,
        engine=engine,
        clock=Clock(),
        keys=SimpleNamespace(account=b"\x01" * 20),
        config=SimpleNamespace(payout=None, hours=()),
        tokens_shown=lambda: NO_TOKENS,
    )
    machine: Any = SimpleNamespace(key=digest_of("job"), context=SimpleNamespace(spec=spec))
    await considering.consider(services, Wanted(7, machine, Consider()))
    return fed[0]


async def test_terms_are_told_where_the_owner_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "ward", epsilon=1.0, explain_refusals=True, max_rounds=1)
    fill(store, "clinic", epsilon=1.0, price_floor="1 ether")
    found = await considered(store, monkeypatch)
    assert found.terms == (DeclinedTerm.EPSILON, DeclinedTerm.ROUNDS)


async def test_what_data_decide_is_never_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One policy takes the job and its data do not fit: then another's terms are not why."""
    fill(store, "ward", epsilon=8.0, explain_refusals=True)
    fill(store, "clinic", epsilon=1.0, explain_refusals=True)
    found = await considered(store, monkeypatch, unfit="ward.csv, line 7: 'x' is no number")
    assert found.terms == ()
    assert "line 7" in found.reason  # for the owner
