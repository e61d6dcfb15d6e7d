"""A budget over time: what the ledger knew at each moment, and the last is what it knows now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.budgets import ROWS, Inline, fill, job, noisy_spec

from node.engine.clock import Clock
from node.privacy import budgets, ledger, past
from node.privacy import reserving as privacy
from node.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        fill(opened, "ward", "lab", epsilon=8)
        yield opened


@pytest.fixture
def services(store: Store) -> Any:
    engine = SimpleNamespace(machines={})
    return SimpleNamespace(store=store, compute=Inline(), engine=engine, clock=Clock())


async def take(services: Any, number: int, rounds: int) -> bytes:
    """Reserve a job and charge some of its rounds."""
    spec = dataclasses.replace(noisy_spec(4.0), title=f"Job {number}")
    assert not await privacy.reserve_job(services, "ward", job(number), spec, ROWS)
    with services.store.transaction() as tx:
        for round_ in range(rounds):
            ledger.charge(tx, "ward", job(number), round_, bytes(32))
    return job(number)


def happened(store: Store, first: float) -> None:
    """Give the ledger's rows moments of their own, a second apart, in their order."""
    with store.transaction() as tx:
        at = first
        for (key,) in tx.execute("SELECT job FROM privacy_reserves ORDER BY rowid").fetchall():
            tx.execute("UPDATE privacy_reserves SET at = ? WHERE job = ?", (at, key))
            for (round_,) in tx.execute(
                "SELECT round FROM privacy_charges WHERE job = ? ORDER BY round", (key,)
            ).fetchall():
                at += 1
                tx.execute(
                    "UPDATE privacy_charges SET at = ? WHERE job = ? AND round = ?",
                    (at, key, round_),
                )
            at += 1


async def ward(services: Any) -> Any:
    (found,) = await past.with_history(services, await budgets.privacy(services, "ward"))
    return found


async def test_nothing_has_happened_yet(services: Any) -> None:
    assert (await ward(services)).history == ()


async def test_a_charge_moves_what_was_reserved_and_the_last_moment_is_now(services: Any) -> None:
    await take(services, 1, 3)
    happened(services.store, 1000.0)
    found = await ward(services)
    assert [each.at for each in found.history] == [1000.0, 1001.0, 1002.0, 1003.0]
    first, *_, last = found.history
    assert first.spent == 0.0
    spent = [each.spent for each in found.history]
    assert spent == sorted(spent)
    assert len(set(spent)) == 4
    for each in found.history:
        assert each.spent + each.reserved + each.left == pytest.approx(found.epsilon)
        assert each.left == first.left, "what is reserved is gone from the first moment on"
    assert (last.spent, last.reserved, last.left) == (found.spent, found.reserved, found.left)


async def test_a_job_that_is_over_gives_back_what_it_did_not_use(services: Any) -> None:
    key = await take(services, 1, 2)
    with services.store.transaction() as tx:
        ledger.release(tx, key)
        tx.execute("UPDATE privacy_reserves SET released = 2000.0")
    happened(services.store, 1000.0)
    *before, last = (await ward(services)).history
    assert last.at == 2000.0
    assert last.left > before[-1].left
    assert (last.spent, last.reserved) == (before[-1].spent, 0.0)


async def test_many_moments_are_thinned_and_the_ends_stay(services: Any) -> None:
    await take(services, 1, 20)
    await take(services, 2, 20)
    happened(services.store, 1000.0)
    history = (await ward(services)).history
    assert len(history) == past.MOST_POINTS
    assert (history[0].at, history[-1].at) == (1000.0, 1041.0)
    assert len({each.at for each in history}) == past.MOST_POINTS
