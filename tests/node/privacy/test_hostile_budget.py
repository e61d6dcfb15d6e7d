"""A budget that goes down and up again: no job may live on what it was found to fit before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.budgets import MODEL, ROWS, Inline, fill, job, noisy_spec

from node.privacy import ledger as privacy_ledger
from node.privacy import reserving as privacy
from node.store.store import Store
from protocol.arith.noise.accountant import spent
from protocol.errors import InputError
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        fill(opened, "ward")
        yield opened


async def test_a_job_that_fits_a_small_budget_does_not_run_beside_one_that_fits_a_larger(
    store: Store,
) -> None:
    """Each fits alone: the smaller job epsilon 3, the larger 5; both together neither."""
    services: Any = SimpleNamespace(store=store, compute=Inline())
    rounds = 4

    def run(number: int) -> int:
        """How many rounds of a job are charged, if it is let."""
        done = 0
        for round_ in range(rounds):
            try:
                with store.transaction() as tx:
                    privacy_ledger.charge(tx, "ward", job(number), round_, MODEL)
            except InputError:
                continue
            done += 1
        return done

    async def allow(epsilon: float) -> None:
        changed = with_changes(Policy.closed(), {"epsilon": epsilon})
        await privacy.set_policy(services, "ward", changed)

    for number, epsilon in ((1, 5.0), (2, 3.0)):
        spec = noisy_spec(epsilon, rounds=rounds)
        assert await privacy.reserve_job(services, "ward", job(number), spec, ROWS) == ""
    await allow(3.0)  # room for the second alone
    await allow(5.0)  # room for the first alone
    assert (run(1), run(2)) == (rounds, 0)
    with store.snapshot() as tx:
        told = tuple(each.told for each in privacy_ledger.entries(tx, "ward"))
    assert spent(tuple(sorted(c for c in told if c.steps)), 1e-5) <= 5.0
    await allow(8.0)  # both, as at first
    assert run(2) == rounds
    await trio.lowlevel.checkpoint()
