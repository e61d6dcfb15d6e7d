"""What is measured of sealed models is what the figures say, and a wrong result is not a figure."""

from __future__ import annotations

import statistics as spread

import numpy as np
import pytest

from node.work import tasks
from protocol.arith.sealed import affine, statistics
from protocol.spec.job import JobSpec
from scripts.benchmarks import sealed_accuracy, sealed_job, sealed_rounds, sealed_training
from scripts.benchmarks.figures import Side
from scripts.benchmarks.sealed import SUITE
from scripts.benchmarks.sealed_job import BREAST_CANCER, DIGITS_MAPPED, DIGITS_RAW, Case

CASES = (BREAST_CANCER, DIGITS_RAW, DIGITS_MAPPED)
BITS = 2048


class Here:
    """A figure's context without sides."""

    runs = 1

    def side(self, name: str) -> Side:
        raise AssertionError(f"no figure here needs the side {name}")

    def say(self, text: str) -> None:
        pass


def job(case: Case, epsilon: float | None = None, local_steps: int | None = None) -> JobSpec:
    return sealed_job.posted(case, sealed_job.unkeyed(BITS), 1, epsilon, local_steps)


@pytest.mark.parametrize("case", CASES)
def test_six_owners_make_one_block_of_the_recipe_s_job(case: Case) -> None:
    spec, split = job(case), sealed_job.split(case, 1)
    assert spec.privacy.sealed
    assert not spec.privacy.noisy
    assert len(split.parts) == spec.cohort.largest_block == 6
    assert job(case, 4.0).privacy.epsilon == 4.0
    assert job(case, local_steps=7).training.local_steps == 7
    assert split.counts == tuple(len(u) for u, _ in sealed_training.features_of(spec, split))
    rows = len(split.holdout.y) + sum(split.counts)
    assert rows == {"digits": 1797, "breast-cancer": 569}[case.data]


@pytest.mark.parametrize("case", CASES)
def test_integers_follow_what_is_trained_in_the_clear(case: Case) -> None:
    """Two computations that share neither sums nor maps, within the bound that is documented."""
    spec, split = job(case, local_steps=20), sealed_job.split(case, 1)
    owners, model = sealed_training.features_of(spec, split), tasks.model_of(spec)
    kept = [statistics.exact(model, *rows) for rows in owners]
    found = sealed_training.sealed_vector(spec, kept)
    clear = sealed_training.clear_vector(spec, owners)
    layout = spec.layout
    assert layout is not None
    bound = affine.error_bound(
        layout,
        spec.model.weight_limit,
        weights=tuple(count / spec.training.batch_rows for count in split.counts),
        rounds=spec.training.rounds,
    )
    off = (found - clear)[: spec.parameter_count].reshape(-1, spec.outputs)
    assert np.linalg.norm(off, axis=0).max() <= bound.weights
    assert np.abs(clear).max() > 100 * np.abs(off).max() > 0.0
    assert sealed_training.percent(spec, clear, split) > 80.0


def test_noise_is_drawn_anew_and_told() -> None:
    spec, split = job(BREAST_CANCER), sealed_job.split(BREAST_CANCER, 1)
    model = tasks.model_of(spec)
    exact = statistics.exact(model, *sealed_training.features_of(spec, split)[0])
    first, second = (sealed_training.noised(exact, 2.0) for _ in range(2))
    assert first.multiplier == second.multiplier == 2.0
    assert (first.numbers != second.numbers).mean() > 0.99
    deviation = float(np.std((first.numbers - exact.numbers) / statistics.RECORD_NORM))
    assert deviation == pytest.approx(2.0, rel=0.25)  # of 527 numbers: 8 standard errors


def test_accuracies_and_their_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_accuracy, "SPLITS", dict.fromkeys(CASES, 2))
    monkeypatch.setattr(sealed_accuracy, "TO_BEAT", {BREAST_CANCER: {1.0: 10.0, 8.0: 99.9}})
    found = sealed_accuracy.lead(Here())
    curve = sealed_accuracy.curve(BREAST_CANCER, 2)
    assert found.ours == pytest.approx(curve.mean(8.0) - 99.9)
    assert found.parts["breast cancer, epsilon 1"] == (curve.mean(1.0), 10.0)
    assert found.parts["breast cancer, no noise"] == (curve.mean(None), None)
    pair = sealed_accuracy.pair(BREAST_CANCER, 2)
    assert curve.found[None] == pair.sealed
    gap = sealed_accuracy.gap(BREAST_CANCER, Here())
    assert gap.ours == pair.gap == abs(spread.fmean(pair.sealed) - spread.fmean(pair.clear)) < 0.5


@pytest.mark.ci
def test_rounds_by_the_workers_come_out_as_the_integers_say() -> None:
    found = sealed_rounds.run(BREAST_CANCER, BITS, 1)
    sizes = {len(each) for each in (found.empty, found.full, found.filling, found.first)}
    assert sizes == {6}
    assert min(*found.empty, *found.full, *found.filling, *found.first) > 0.0
    layout = job(BREAST_CANCER).layout
    assert layout is not None
    assert found.model_bytes == layout.model_bytes
    assert found.replies == layout.reply_ciphertexts
    assert found.reply_bytes > found.replies * BITS // 4


def test_a_model_that_comes_out_otherwise_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_training.Rounds, "turn", lambda self: None)
    with pytest.raises(ValueError, match="round 0 opened to another model"):
        sealed_rounds.run(BREAST_CANCER, BITS, 7)


def test_one_core_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with pytest.raises(ValueError, match="one core"):
        sealed_rounds.run(BREAST_CANCER, BITS, 9)


def test_every_figure_has_a_name_of_its_own() -> None:
    names = [figure.name for figure in SUITE.figures]
    assert len(set(names)) == len(names)
    assert all(name.startswith("sealed-") for name in names)
    asked = {"heu", "naive", "digits", "accuracy", "binary", "steps", "epsilon"}
    assert {f"sealed-{name}" for name in asked} <= set(names)
