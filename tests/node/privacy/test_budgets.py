"""What `assay privacy` tells: budgets from the ledger, and jobs without noise by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from kits.budgets import ROWS, Inline, fill, job, noisy_spec

from node.engine.clock import Clock
from node.privacy import budgets
from node.privacy import ledger as privacy_ledger
from node.privacy import reserving as privacy
from node.store import catalogue
from node.store.migrations import MIGRATIONS
from node.store.store import Store
from protocol.errors import InputError
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.requester.state import RequesterState
from protocol.wire.codec import encode


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        fill(opened, "ward", "lab", epsilon=8)
        yield opened


@pytest.fixture
def services(store: Store) -> Any:
    engine = SimpleNamespace(machines={})
    return SimpleNamespace(store=store, compute=Inline(), engine=engine, clock=Clock())


def know(services: Any, number: int, dataset: str, epsilon: float | None) -> Any:
    """A machine that trains a job on a data set."""
    spec = dataclasses.replace(noisy_spec(epsilon), title=f"Job {number}")
    machine = SimpleNamespace(
        key=job(number), state=OwnerState(dataset=dataset), context=SimpleNamespace(spec=spec)
    )
    services.engine.machines[machine.key] = machine
    return machine


async def take(services: Any, number: int, rounds: int) -> Any:
    machine = know(services, number, "ward", 4.0)
    spec = machine.context.spec
    assert not await privacy.reserve_job(services, "ward", machine.key, spec, ROWS)
    with services.store.transaction() as tx:
        for round_ in range(rounds):
            privacy_ledger.charge(tx, "ward", machine.key, round_, bytes(32))
    return machine


async def test_spent_reserved_and_left_make_the_budget(services: Any) -> None:
    await take(services, 1, 20)
    await take(services, 2, 5)
    lab, ward = await budgets.privacy(services)
    assert (lab.dataset, lab.spent, lab.reserved, lab.left) == ("lab", 0.0, 0.0, 8.0)
    assert ward.spent is not None
    assert ward.reserved is not None
    assert ward.spent + ward.reserved + ward.left == pytest.approx(8.0)
    assert 4.0 < ward.spent < ward.spent + ward.reserved < 8.0
    assert [(j.title, j.charged, j.reserved) for j in ward.jobs] == [
        ("Job 1", 20, 0),
        ("Job 2", 5, 15),
    ]
    assert ward.bounded
    first, second = (j.epsilon or 0.0 for j in ward.jobs)
    assert 3.9 < first <= 4.0
    assert 0 < second < first
    assert await budgets.spent(services, "ward") == ward.spent
    # What is released is left again, what was charged stays spent.
    with services.store.transaction() as tx:
        privacy_ledger.release(tx, job(2))
    (after,) = await budgets.privacy(services, "ward")
    assert (after.spent, after.reserved) == (ward.spent, 0.0)
    assert after.left > ward.left


async def test_a_job_without_noise_has_no_bound_and_is_named(services: Any) -> None:
    await take(services, 1, 1)
    bare = know(services, 2, "ward", None)
    _, ward = await budgets.privacy(services)
    assert ward.bounded  # it was taken, and told nothing yet
    assert [j.epsilon for j in ward.jobs if not j.noisy] == [0.0]
    assert await budgets.spent(services, "ward") == ward.spent
    assert await budgets.job_spent(services, bare) == 0.0
    bare.state = dataclasses.replace(bare.state, contributed=((bytes(32), 0),))
    lab, ward = await budgets.privacy(services)
    assert lab.bounded
    assert not ward.bounded
    assert ward.spent  # the budget of noisy jobs goes on
    assert [(j.title, j.noisy, j.epsilon) for j in ward.jobs if not j.noisy] == [
        ("Job 2", False, None)
    ]
    assert await budgets.spent(services, "ward") is None
    assert await budgets.job_spent(services, bare) is None


async def test_a_job_s_own_cost_is_at_its_own_delta(services: Any) -> None:
    machine = await take(services, 1, 20)
    whole = await budgets.job_spent(services, machine)
    assert whole is not None
    assert 3.9 < whole <= 4.0
    elsewhere = SimpleNamespace(key=job(7), state=RequesterState(), context=machine.context)
    assert await budgets.job_spent(services, elsewhere) == 0.0  # type: ignore[arg-type]


async def test_a_data_set_that_is_not_there_is_named(services: Any) -> None:
    with pytest.raises(InputError, match="there is no data set 'attic'"):
        await budgets.privacy(services, "attic")


#: As versions wrote it that knew less of a data set.
_OLD_DATASET = (
    "INSERT INTO datasets (name, source, digest, rows, bytes, columns, added)"
    " VALUES ('ward', '/w.csv', ?, 1, 1, '[]', 0)"
)


def test_policies_without_the_newest_terms_keep_their_word_and_get_the_defaults(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.db"
    said = with_changes(Policy.closed(), {"accept": "auto", "no_noise": True, "max_rounds": 200})
    newest = [1, 1, 1, False, b"", False, []]
    assert msgpack.unpackb(encode(said))[-7:] == newest
    before = msgpack.packb(msgpack.unpackb(encode(said))[:-7], use_bin_type=True)
    with Store.open(path, MIGRATIONS[:6]) as old, old.transaction() as tx:
        tx.execute(_OLD_DATASET, (b"d" * 32,))
        tx.execute("INSERT INTO policies (name, body, updated) VALUES ('ward', ?, 0)", (before,))
    with Store.open(path) as new, new.snapshot() as tx:
        assert catalogue.policy_of(tx, "ward") == said


def test_policies_from_before_there_was_a_budget_are_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Store.open(path, MIGRATIONS[:3]) as old, old.transaction() as tx:
        tx.execute(_OLD_DATASET, (b"d" * 32,))
        tx.execute("INSERT INTO policies (name, body, updated) VALUES ('ward', x'00', 0)")
    with Store.open(path) as new, new.snapshot() as tx:
        assert catalogue.policies(tx) == {}
        assert not catalogue.policy_of(tx, "ward").decided
