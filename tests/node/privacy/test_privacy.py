"""The privacy ledger: no round is charged twice, none runs past the budget, come what may."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kits.budgets import MODEL, ROWS, Inline, computed, fill, job, noisy_spec
from kits.examples import examples
from kits.paths import ROOT

from node.data.datasets import import_file
from node.privacy import ledger as privacy_ledger
from node.privacy import reserving as privacy
from node.privacy.ledger import Limit, Reserve
from node.store.blobs import Blobs
from node.store.store import Store
from node.work import noisy as noisy_tasks
from node.work import tasks
from node.workers.compute import open_compute
from protocol.arith import kernels
from protocol.arith.noise.accountant import spent
from protocol.errors import InputError, StateError
from protocol.layout.noise import Charge, NoisePlan, noise_clip
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.spec.job import JobSpec, encode_spec
from protocol.spec.parts import Faulty
from scripts.testing.keeper import mark

PLAN = NoisePlan(0.1, 1.5)
LIMIT = Limit(8.0, 1e-5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        fill(opened, "ward", "lab")
        yield opened


@pytest.fixture
def services(store: Store) -> Any:
    return SimpleNamespace(store=store, compute=Inline())


def set_aside(store: Store, number: int, dataset: str = "ward", rounds: int = 3) -> None:
    with store.transaction() as tx:
        seen = privacy_ledger.entries(tx, dataset)
        wanted = Reserve(dataset, job(number), b"\x11" * 20, PLAN, rounds)
        assert privacy_ledger.reserve(tx, wanted, LIMIT, seen)


def charged(store: Store, number: int) -> int:
    with store.snapshot() as tx:
        found = privacy_ledger.entry(tx, job(number))
        assert found is not None
        return found.charged


# Charges


def test_a_round_is_charged_once_however_often_it_is_tried(store: Store) -> None:
    set_aside(store, 1)
    for _ in range(3):
        with store.transaction() as tx:
            privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
    assert charged(store, 1) == 1
    with store.transaction() as tx:
        privacy_ledger.charge(tx, "ward", job(1), 7, MODEL)  # rounds may be missed
    assert charged(store, 1) == 2


def test_a_round_is_drawn_once_on_one_model(store: Store) -> None:
    set_aside(store, 1)
    with store.transaction() as tx:
        privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
        with pytest.raises(InputError, match="round 0 was charged on another model"):
            privacy_ledger.charge(tx, "ward", job(1), 0, b"m" * 32)
        privacy_ledger.keep(tx, job(1), 0)
        privacy_ledger.keep(tx, job(1), 0)
        # Asked for again although it was kept: its file is gone, and may have been sent.
        with pytest.raises(InputError, match="round 0 was drawn once, and that draw is gone"):
            privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
        privacy_ledger.charge(tx, "ward", job(1), 1, b"m" * 32)
    assert charged(store, 1) == 2


def test_no_round_runs_beyond_what_is_reserved(store: Store) -> None:
    set_aside(store, 1, rounds=2)
    with store.transaction() as tx:
        privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
        privacy_ledger.charge(tx, "ward", job(1), 1, MODEL)
        with pytest.raises(InputError, match="round 2 would pass the 2 rounds of ward"):
            privacy_ledger.charge(tx, "ward", job(1), 2, MODEL)
        privacy_ledger.charge(tx, "ward", job(1), 1, MODEL)  # an attempt more of a paid round
    assert charged(store, 1) == 2


def test_nothing_is_charged_without_a_reserve_on_that_data_set(store: Store) -> None:
    set_aside(store, 1)
    with store.transaction() as tx:
        for dataset, number in (("lab", 1), ("ward", 2)):
            with pytest.raises(InputError, match=f"no privacy of {dataset} is reserved"):
                privacy_ledger.charge(tx, dataset, job(number), 0, MODEL)


def test_a_crash_before_the_commit_charges_nothing_and_after_it_once(
    store: Store, tmp_path: Path
) -> None:
    set_aside(store, 1)
    store.close()
    script = """
import os, signal, sys
from pathlib import Path
from node.privacy import ledger as privacy_ledger
from node.store.store import Store
store = Store.open(Path(sys.argv[1]))
with store.transaction() as tx:
    privacy_ledger.charge(tx, "ward", bytes([1]) * 32, 0, bytes(32))
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "assay.db"
    for moment, total in (("before", 0), ("after", 1), ("after", 1)):
        died = subprocess.run(
            [sys.executable, "-c", script, str(path), moment],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **mark()},
        )
        assert died.returncode == -signal.SIGKILL
        with Store.open(path) as opened:
            assert charged(opened, 1) == total


def test_a_job_that_is_over_gives_back_what_it_did_not_use(store: Store) -> None:
    set_aside(store, 1, rounds=10)
    with store.transaction() as tx:
        privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
        privacy_ledger.release(tx, job(1))
        privacy_ledger.release(tx, job(9))  # never heard of
        (entry,) = privacy_ledger.entries(tx, "ward")
        assert entry.bound == entry.told == Charge(PLAN.rate, PLAN.multiplier, 1)
        with pytest.raises(InputError, match="gave its privacy of ward back"):
            privacy_ledger.charge(tx, "ward", job(1), 1, MODEL)
        privacy_ledger.charge(tx, "ward", job(1), 0, MODEL)
    first = entry.released
    with store.transaction() as tx:
        privacy_ledger.release(tx, job(1))
        (entry,) = privacy_ledger.entries(tx, "ward")
    assert entry.released == first


# Reserves


def test_a_reserve_fixes_the_plan_for_good(store: Store) -> None:
    set_aside(store, 1)
    with store.transaction() as tx:
        other = Reserve("ward", job(1), b"\x11" * 20, NoisePlan(0.5, 9.0), 99)
        assert privacy_ledger.reserve(tx, other, LIMIT, ())
        assert privacy_ledger.plan_of(tx, job(1)) == PLAN
        with pytest.raises(StateError, match="no privacy is reserved for job 02020202"):
            privacy_ledger.plan_of(tx, job(2))


def test_a_job_moves_to_another_data_set_only_before_its_first_charge(store: Store) -> None:
    set_aside(store, 1)
    set_aside(store, 1, dataset="lab")
    with store.transaction() as tx:
        assert privacy_ledger.entries(tx, "ward") == ()
        privacy_ledger.charge(tx, "lab", job(1), 0, MODEL)
        again = Reserve("ward", job(1), b"\x11" * 20, PLAN, 3)
        with pytest.raises(InputError, match="trains on lab already"):
            privacy_ledger.reserve(tx, again, LIMIT, ())


def test_what_was_looked_at_must_still_stand(store: Store) -> None:
    set_aside(store, 1)
    with store.transaction() as tx:
        wanted = Reserve("ward", job(2), b"\x11" * 20, PLAN, 3)
        assert not privacy_ledger.reserve(tx, wanted, LIMIT, ())
        assert privacy_ledger.entry(tx, job(2)) is None


async def test_whole_jobs_are_reserved_and_the_one_too_many_is_refused(services: Any) -> None:
    store, spec = services.store, noisy_spec(4.0)
    assert await privacy.reserve_job(services, "ward", job(1), spec, ROWS) == ""
    assert await privacy.reserve_job(services, "ward", job(2), spec, ROWS) == ""
    assert await unaffordable(services, "ward", noisy_spec(7.0), ROWS) != ""
    why = await privacy.reserve_job(services, "ward", job(3), noisy_spec(7.0), ROWS)
    assert "all jobs of ward would cost epsilon" in why
    assert "the policy allows 8, of which" in why
    # Another data set has a budget of its own, and a job without noise needs none.
    assert await privacy.reserve_job(services, "lab", job(3), noisy_spec(7.0), ROWS) == ""
    assert await privacy.reserve_job(services, "ward", job(4), noisy_spec(None), ROWS) == ""
    with store.snapshot() as tx:
        assert [e.job for e in privacy_ledger.entries(tx, "ward")] == [job(1), job(2)]
    # A job that ends early frees its rounds, and what it told stays told.
    with store.transaction() as tx:
        privacy_ledger.charge(tx, "ward", job(2), 0, MODEL)
        privacy_ledger.release(tx, job(2))
    assert await privacy.reserve_job(services, "ward", job(5), noisy_spec(7.0), ROWS) == ""
    with store.snapshot() as tx:
        total = spent([e.bound for e in privacy_ledger.entries(tx, "ward")], 1e-5)
    assert 7.0 < total <= 8.0


async def test_one_job_alone_costs_what_its_spec_says(services: Any) -> None:
    spec = noisy_spec(4.0)
    assert await privacy.reserve_job(services, "ward", job(1), spec, ROWS) == ""
    plan = await privacy.plan(services, job(1))
    assert plan.rate == 32 / ROWS
    assert plan == await privacy.plan_for(services, spec, ROWS)
    cost = spent([Charge(plan.rate, plan.multiplier, spec.training.rounds)], spec.privacy.delta)
    assert 3.99 < cost <= 4.0
    exactly = with_changes(Policy.closed(), {"epsilon": 4.0})
    await privacy.set_policy(services, "lab", exactly)
    assert await unaffordable(services, "lab", spec, ROWS) == ""
    await privacy.set_policy(services, "lab", with_changes(exactly, {"delta": 1e-7}))
    assert "at delta 1e-07; the policy allows 4" in await unaffordable(services, "lab", spec, ROWS)


async def test_of_two_that_come_at_once_the_budget_takes_one(services: Any) -> None:
    answers: dict[int, str] = {}

    async def take(number: int) -> None:
        answers[number] = await privacy.reserve_job(
            services, "ward", job(number), noisy_spec(6.5), ROWS
        )

    async with trio.open_nursery() as nursery:
        for number in range(1, 5):
            nursery.start_soon(take, number)
    assert sorted(bool(why) for why in answers.values()) == [False, True, True, True]


async def test_what_the_accountant_said_is_not_asked_again(services: Any) -> None:
    spec = noisy_spec()
    await unaffordable(services, "ward", spec, ROWS)
    asked = list(services.compute.calls)
    assert sorted(asked) == ["multiplier", "spent"]
    await unaffordable(services, "ward", spec, ROWS)
    await privacy.reserve_job(services, "ward", job(1), spec, ROWS)
    assert services.compute.calls == asked


async def test_a_spec_whose_noise_cannot_be_is_refused_with_its_field(services: Any) -> None:
    coarse = noisy_spec()
    with pytest.raises(
        Faulty, match=r"encryption\.value_bits: is 8: with the range that noise needs"
    ):
        dataclasses.replace(coarse, encryption=dataclasses.replace(coarse.encryption, value_bits=8))
    spec = noisy_spec(rounds=1)
    tiny = dataclasses.replace(
        spec,
        privacy=dataclasses.replace(spec.privacy, epsilon=1e-4),
        encryption=dataclasses.replace(spec.encryption, value_bits=32),
    )
    assert (await unaffordable(services, "ward", tiny, 32)).startswith("privacy.epsilon")
    with pytest.raises(InputError, match="adds no noise"):
        await privacy.plan_for(services, noisy_spec(None), ROWS)


async def unaffordable(services: Any, dataset: str, spec: JobSpec, rows: int) -> str:
    """Why a job would not be reserved, without reserving it; empty if it would."""
    if spec.privacy.epsilon is None:
        return ""
    wanted = await privacy._wanted(services, dataset, b"", spec, rows)
    return wanted if isinstance(wanted, str) else (await privacy._look(services, wanted))[0]


# A budget that changes


async def test_a_smaller_budget_stops_the_jobs_that_no_longer_fit(services: Any) -> None:
    store, policy = services.store, with_changes(Policy.closed(), {"accept": "auto"})
    for number in (1, 2):
        assert not await privacy.reserve_job(services, "ward", job(number), noisy_spec(), ROWS)

    def run(number: int, round_: int) -> None:
        with store.transaction() as tx:
            privacy_ledger.charge(tx, "ward", job(number), round_, MODEL)

    run(1, 0)
    run(2, 0)
    # Room for one of them, whole: the elder, beside what the other has told.
    smaller = with_changes(policy, {"epsilon": 4.8})
    await privacy.set_policy(services, "ward", smaller)
    run(1, 1)
    with pytest.raises(InputError, match=r"now allows epsilon 4\.8 at delta 1e-05"):
        run(2, 1)
    run(2, 0)  # told already
    assert (charged(store, 1), charged(store, 2)) == (2, 1)
    # For neither.
    await privacy.set_policy(services, "ward", with_changes(policy, {"epsilon": 1}))
    for number in (1, 2):
        with pytest.raises(InputError, match="round 5 does not run"):
            run(number, 5)
    # The owner thinks again.
    await privacy.set_policy(services, "ward", policy)
    run(1, 5)
    run(2, 5)
    # Another delta is another budget: 7 was enough for both at 1e-5.
    await privacy.set_policy(services, "ward", with_changes(policy, {"epsilon": 7}))
    run(2, 4)
    await privacy.set_policy(services, "ward", with_changes(policy, {"epsilon": 7, "delta": 1e-9}))
    run(1, 6)
    with pytest.raises(InputError, match="delta 1e-09"):
        run(2, 6)


async def test_a_policy_of_no_data_set_is_refused(services: Any) -> None:
    with pytest.raises(KeyError):
        await privacy.set_policy(services, "nowhere", Policy.closed())


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 4), st.sampled_from([1.0, 3.0, 5.0])),
        st.tuples(st.just("charge"), st.integers(1, 4), st.integers(0, 4)),
        st.tuples(st.just("release"), st.integers(1, 4), st.none()),
        st.tuples(st.just("policy"), st.sampled_from([2.0, 5.0, 8.0]), st.none()),
    ),
    max_size=25,
)


@given(OPERATIONS)
@examples(0.25)
def test_whatever_happens_no_charge_passes_the_budget_it_was_made_under(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, Any, Any]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "assay.db"

    async def play(store: Store) -> None:
        services: Any = SimpleNamespace(store=store, compute=Inline())
        limit = 8.0
        for kind, first, second in operations:
            if kind == "reserve":
                spec = noisy_spec(second, rounds=4)
                await privacy.reserve_job(services, "ward", job(first), spec, ROWS)
            elif kind == "policy":
                limit = first
                policy = with_changes(Policy.closed(), {"epsilon": first})
                await privacy.set_policy(services, "ward", policy)
            with store.transaction() as tx:
                before = privacy_ledger.entries(tx, "ward")
                if kind == "release":
                    privacy_ledger.release(tx, job(first))
                elif kind == "charge":
                    try:
                        privacy_ledger.charge(tx, "ward", job(first), second, MODEL)
                    except InputError:
                        assert privacy_ledger.entries(tx, "ward") == before
                    else:
                        after = privacy_ledger.entries(tx, "ward")
                        if after != before:
                            told = tuple(e.told for e in after)
                            assert computed(spent, told, 1e-5) <= limit

    with Store.open(path) as store:
        fill(store, "ward")
        trio.run(play, store)


# The worker


async def test_a_worker_makes_the_noisy_integers_of_a_real_data_set(tmp_path: Path) -> None:
    spec = noisy_spec()
    generator = np.random.default_rng(1)
    columns = {name: generator.uniform(0, 1, 50) for name in spec.columns[:-1]}
    file = tmp_path / "rows.csv"
    lines = [",".join(spec.columns)]
    for index in range(50):
        values = [f"{columns[name][index]:.6f}" for name in spec.columns[:-1]]
        lines.append(",".join([*values, str(spec.target.classes[index % 10])]))  # type: ignore[union-attr]
    file.write_text("\n".join(lines))
    blobs = tmp_path / "blobs"
    for folder in (blobs, tmp_path / "datasets"):
        folder.mkdir()
    async with open_compute() as compute:
        imported = await compute.run(import_file, file, tmp_path / "datasets")
        rows = tasks.Rows(tmp_path / "datasets", imported.copy.digest, "ward")
        work = tasks.Work(blobs, encode_spec(spec))
        model = Blobs(blobs).put(kernels.initial_model(tasks.model_of(spec), spec.seed))
        plan = NoisePlan(32 / 50, 1.5)
        content, facts = await compute.run(noisy_tasks.noisy_gradient, work, rows, model, plan)
        again, _ = await compute.run(noisy_tasks.noisy_gradient, work, rows, model, plan)
    assert content != again
    values = np.frombuffer(content, dtype="<i8")
    assert values.shape == (spec.parameter_count,)
    assert int(np.abs(values).max()) < 1 << (spec.encryption.value_bits - 1)
    told = dict(facts)
    assert 0 < told["rows"] <= 50
    assert told["unusable"] == 0
    training, cost = spec.training, spec.privacy
    clip = noise_clip(
        training.clip_norm, training.batch_rows, training.rounds, cost.epsilon, cost.delta
    )
    step = clip / ((1 << (spec.encryption.value_bits - 1)) - 1)
    deviation = 1.5 * training.clip_norm / training.batch_rows
    assert 0.8 < (values * step).std() / deviation < 1.5
