"""A policy that is set while a job is held against the old one is not lost on that job."""

from __future__ import annotations

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
from protocol.machines import inputs
from protocol.machines.effects import Consider
from protocol.machines.job import JobPhase
from protocol.policy.terms import with_changes
from protocol.tokens import NO_TOKENS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        yield opened


@pytest.mark.parametrize("change", ["", "policy", "data"])
async def test_what_changed_while_a_job_was_judged_is_looked_at(
    change: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`policy set` and `data add` find no job that waits, because it is being judged."""
    fill(store, "ward", epsilon=1.0)
    state = SimpleNamespace(phase=JobPhase.CONSIDERING)
    key, fed = digest_of("job"), list[Any]()
    machine: Any = SimpleNamespace(
        key=key, state=state, context=SimpleNamespace(spec=noisy_spec(4.0))
    )

    async def feed(job: bytes, said: Any, done: int | None = None) -> None:
        fed.append(said)
        state.phase = JobPhase.WAITING

    real = considering.standing

    async def standing(*given: Any) -> Any:
        if change == "policy":
            with store.transaction() as tx:
                policy = with_changes(catalogue.policy_of(tx, "ward"), {"epsilon": 8.0})
                catalogue.save_policy(tx, "ward", policy)
        if change == "data":
            fill(store, "clinic", epsilon=8.0)
        return await real(*given)

    async def others(*_: Any) -> tuple[()]:
        return ()

    monkeypatch.setattr(considering, "standing", standing)
    monkeypatch.setattr(considering.joins, "others", others)
    engine = SimpleNamespace(machines={key: machine}, feed=feed)
    services: Any = SimpleNamespace(
        store=store,
        engine=engine,
        clock=Clock(),
        keys=SimpleNamespace(account=b"\x01" * 20),
        config=SimpleNamespace(payout=None, hours=()),
        tokens_shown=lambda: NO_TOKENS,
    )
    await considering.consider(services, Wanted(7, machine, Consider()))
    withheld, *again = fed
    assert isinstance(withheld, inputs.ActionWithhold)
    assert [type(each) for each in again] == ([inputs.ActionReconsider] if change else [])
