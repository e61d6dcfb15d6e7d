"""Without the extra `noise` a job with noise is refused, with what to install."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kits.budgets import fill, job, noisy_spec

from node.perform import considering
from node.store import catalogue, people
from node.store.store import Store
from protocol.arith.noise import accountant, libraries, mechanism
from protocol.errors import InputError
from protocol.layout.noise import Charge

NEEDS = r"opendp is missing; pip install 'assay\[noise\]'"


@pytest.fixture(autouse=True)
def without_opendp(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "opendp" else find(name)
    )


def test_nothing_is_added_and_nothing_counted() -> None:
    assert "assay[noise]" in libraries.lacking()
    with pytest.raises(InputError, match=NEEDS):
        mechanism.add_noise(np.zeros(3, dtype=np.int64), 1.0)
    with pytest.raises(InputError, match=NEEDS):
        accountant.spent((Charge(0.015625, 1.5, 7),), 1e-5)


async def test_an_owner_does_not_take_such_a_job(tmp_path: Any) -> None:
    with Store.open(tmp_path / "assay.db") as store:
        fill(store, "ward", epsilon=8)
        with store.snapshot() as tx:
            (dataset,) = catalogue.datasets(tx)
            assert people.is_compared(tx, "ward")
        services: Any = SimpleNamespace(store=store)
        machine: Any = SimpleNamespace(key=job(1), context=SimpleNamespace(spec=noisy_spec(4.0)))
        why = await considering.set_aside(services, machine, dataset)
        assert "assay[noise]" in why
        with store.snapshot() as tx:
            assert tx.execute("SELECT count(*) FROM privacy_reserves").fetchone() == (0,)


def test_all_of_it_is_there_in_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert libraries.lacking() == ""
