"""Jobs without noise are counted for a data set's life, before its owner consents to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.budgets import enter, fill, job, noisy_spec

from node.engine.clock import Clock
from node.perform import considering
from node.privacy import budgets, joins
from node.store import catalogue
from node.store.catalogue import Dataset
from node.store.store import Store
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.tokens import NO_TOKENS

ASKER = b"\x11" * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "assay.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        fill(opened, "ward", no_noise=True)
        yield opened


def services_of(store: Store) -> Any:
    engine = SimpleNamespace(machines={})
    keys = SimpleNamespace(account=b"\x22" * 20)
    return SimpleNamespace(
        store=store, engine=engine, clock=Clock(), keys=keys, tokens_shown=lambda: NO_TOKENS
    )


def data_set(store: Store, name: str = "ward") -> Dataset:
    with store.snapshot() as tx:
        found = catalogue.load_dataset(tx, name)
    assert found is not None
    return found


def machine(services: Any, number: int, state: OwnerState) -> Any:
    spec = noisy_spec(None)
    made = SimpleNamespace(key=job(number), state=state, context=SimpleNamespace(spec=spec))
    services.engine.machines[made.key] = made
    return made


async def test_the_second_job_is_refused_with_the_numbers(store: Store) -> None:
    services, ward = services_of(store), data_set(store)
    assert await joins.join(services, ward, job(1), ASKER) == ""
    assert await joins.join(services, ward, job(1), ASKER) == ""  # the same job is one
    why = await joins.join(services, ward, job(2), ASKER)
    assert why == (
        "ward has joined 1 of 1 jobs without noise that its policy allows in its life "
        "(no_noise_jobs); assay privacy ward"
    )
    assert await joins.others(services, ward, job(1)) == frozenset()
    assert await joins.others(services, ward, job(2)) == {job(1)}
    (shown,) = await budgets.privacy(services, "ward")
    assert (shown.no_noise_joined, shown.no_noise_jobs) == (1, 1)


async def test_a_restart_gives_nothing_back(store: Store, path: Path) -> None:
    assert not await joins.join(services_of(store), data_set(store), job(1), ASKER)
    store.close()
    with Store.open(path) as again:
        assert await joins.join(services_of(again), data_set(again), job(2), ASKER)


async def test_another_name_for_the_same_bytes_is_the_same_data(store: Store) -> None:
    services = services_of(store)
    assert not await joins.join(services, data_set(store), job(1), ASKER)
    fill(store, "copy", no_noise=True)
    with store.transaction() as tx:
        catalogue.delete_dataset(tx, "ward")
    assert await joins.join(services, data_set(store, "copy"), job(2), ASKER)
    with store.transaction() as tx:
        other = dataclasses.replace(data_set(store, "copy"), name="ward", digest=b"e" * 32)
        enter(tx, other)
    # A name that comes again keeps what was told under it.
    assert await joins.others(services, other, job(2)) == {job(1)}


@pytest.mark.parametrize("contributed", [False, True])
async def test_only_a_job_that_told_nothing_no_longer_counts(
    store: Store, contributed: bool
) -> None:
    services, ward = services_of(store), data_set(store)
    assert not await joins.join(services, ward, job(1), ASKER)
    told = ((bytes(32), 0),) if contributed else ()
    machine(services, 1, OwnerState(phase=JobPhase.DECLINED, dataset="ward", contributed=told))
    with store.transaction() as tx:
        joins.over(tx, job(1), used="ward" if contributed else "")
    assert bool(await joins.join(services, ward, job(2), ASKER)) is contributed


async def test_a_job_that_was_joined_before_joins_were_stored_counts(store: Store) -> None:
    services, ward = services_of(store), data_set(store)
    machine(services, 1, OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    assert await joins.join(services, ward, job(2), ASKER)


async def test_a_job_counts_for_the_data_set_that_it_used_alone(store: Store) -> None:
    """Both were set aside for it, by a policy and by hand, and one was taken."""
    services = services_of(store)
    fill(store, "clinic", no_noise=True)
    with store.transaction() as tx:
        apart = dataclasses.replace(data_set(store, "clinic"), digest=b"c" * 32)
        catalogue.delete_dataset(tx, "clinic")
        enter(tx, apart)
    for each in ("ward", "clinic"):
        await joins.join(services, data_set(store, each), job(1), ASKER)
    with store.transaction() as tx:
        joins.over(tx, job(1), used="clinic")
    assert await joins.others(services, data_set(store), job(2)) == frozenset()
    assert await joins.others(services, apart, job(2)) == {job(1)}


async def test_a_join_from_before_counts_under_another_name_of_the_same_bytes(
    store: Store,
) -> None:
    services = services_of(store)
    machine(services, 1, OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    fill(store, "copy", no_noise=True)
    assert await joins.others(services, data_set(store, "copy"), job(2)) == {job(1)}


async def test_what_is_known_of_a_job_goes_into_the_judgement(store: Store) -> None:
    services, ward = services_of(store), data_set(store)
    assert not await joins.join(services, ward, job(1), ASKER)
    waiting = machine(services, 2, OwnerState(phase=JobPhase.CONSIDERING))
    known = await considering.standing(services, waiting, ward)
    assert (known.account, known.unpaid, known.joined) == (b"\x22" * 20, 0, 1)
    assert "no_noise_jobs" in await considering.set_aside(services, waiting, ward)
