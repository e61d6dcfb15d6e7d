"""A dry run: the statistics and rounds that owners would have, and what came of them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.work import dry_run as dry
from node.work import tasks
from node.work.dry_run import DryRun, dry_run, read_rows
from protocol import params
from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.noise import accountant
from protocol.arith.sealed import affine, statistics
from protocol.errors import InputError
from protocol.layout.noise import RECORD_NORM
from protocol.spec.toml import Draft, parse_toml

_SPEC = """
title = "Clouds"
purpose = "research"
[[features]]
names = "c_{{1..6}}"
low = 0
high = 1
[target]
name = "label"
{target}
[model]
family = "{family}"
bias = 0.5
{model}
[training]
rounds = {rounds}
local_steps = {steps}
batch_rows = 100
clip_norm = 1.5
{training}
[privacy]
sealed = true
[encryption]
key_bits = 2048
value_bits = 18
[cohort]
min_owners = {owners}
block_size = 5
[payment]
rate = 1
"""
_CLASSES = 'classes = ["a", "b", "c"]'


def draft(
    family: str = "softmax",
    target: str = _CLASSES,
    model: str = "",
    training: str = "",
    rounds: int = 3,
    steps: int = 4,
    owners: int = 11,
) -> Draft:
    return parse_toml(_SPEC.format(**locals()))


def clouds(rows: int, seed: int = 5, classes: int = 3) -> tuple[Floats, Floats]:
    """Rows around a centre for each class, and their classes."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, rows)
    centres = np.random.default_rng(1).uniform(0.2, 0.8, (classes, 6))
    x = np.clip(centres[y] + random.normal(0.0, 0.15, (rows, 6)), 0.0, 1.0)
    return x, y.astype(np.float64)


def plain(found: DryRun) -> DryRun:
    return dataclasses.replace(found, seconds=0.0)


@given(
    st.integers(1, 40),
    st.integers(1, 7),
    st.sampled_from([(Family.LINEAR, 1), (Family.LOGISTIC, 1), (Family.SOFTMAX, 4)]),
    st.integers(0, 2**32),
)
def test_statistics_are_the_owners_but_for_the_grid(
    rows: int, p: int, family: tuple[Family, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    model = Model(family[0], p, family[1])
    u = random.normal(size=(rows, p))
    u /= np.maximum(1.0, np.linalg.norm(u, axis=1, keepdims=True)) * (1 + 1e-12)
    y = random.integers(0, max(model.classes, 2), rows).astype(np.float64)
    found = dry._statistics(u, statistics.targets(model, y), None, random)
    owners = statistics.exact(model, u, y)
    assert (found.features, found.outputs, found.rows, found.multiplier) == (
        owners.features,
        owners.outputs,
        owners.rows,
        0.0,
    )
    assert np.abs(found.numbers - owners.numbers).max() <= rows + 1


def test_noise_has_the_owners_deviation_in_every_number() -> None:
    model, p, multiplier = Model(Family.SOFTMAX, 100, 3), 100, 0.7
    random = np.random.default_rng(3)
    u, t = np.zeros((1, p)), statistics.targets(model, np.zeros(1))
    found = dry._statistics(u, t, multiplier, random)
    assert found.multiplier == multiplier
    numbers = found.numbers / (multiplier * RECORD_NORM)
    count = p * (p + 1) // 2 + 3 * p
    assert numbers.shape == (count,)
    for part in (numbers[:p], numbers[p : p * (p + 1) // 2], numbers[-3 * p :]):
        assert abs(part.mean()) < 4.5 / math.sqrt(len(part))
        assert abs(part.std() - 1.0) < 4.5 / math.sqrt(2 * len(part))


def descended(given: Draft, u: Floats, y: Floats, owners: tuple[Floats, ...]) -> Floats:
    """All rounds of the surrogate's gradient descent, step by step and owner by owner: no map, no
    fixed point. Returns the weights (p, C)."""
    spec = dry._posted(given, bytes(32))
    model, training = tasks.model_of(spec), spec.training
    curvature, factor = affine.surrogate(model)
    wanted = factor * statistics.targets(model, y)
    weights, momentum = np.zeros((model.inputs, model.outputs)), 0.0
    for _ in range(training.rounds):
        moves, total = np.zeros_like(weights), 0.0
        for chosen in owners:
            rows, ends = u[chosen], wanted[chosen]
            hessian = curvature * rows.T @ rows / len(rows) + training.ridge * np.eye(u.shape[1])
            step = min(training.rate, 1.0 / np.linalg.eigvalsh(hessian)[-1])
            local = weights.copy()
            for _ in range(training.local_steps):
                slope = curvature * rows.T @ (rows @ local - ends) / len(rows)
                local -= step * (slope + training.ridge * local)
            weight = min(len(rows), training.batch_rows)
            moves += weight * (local - weights)
            total += weight
        momentum = training.momentum * momentum + moves / total
        weights = weights + training.server_rate * momentum
    return weights


@pytest.mark.parametrize(
    ("family", "target", "classes"),
    [("softmax", _CLASSES, 3), ("logistic", 'classes = ["a", "b"]', 2)],
)
@pytest.mark.parametrize("training", ["", "ridge = 0.1\nmomentum = 0.5\nserver_rate = 0.7"])
def test_rounds_are_gradient_descent_of_every_owner(
    family: str, target: str, classes: int, training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven owners make blocks of six and five; the two of more than 100 rows weigh as 100."""
    job = draft(family, target, training=training, rounds=4)
    x, y = clouds(900, classes=classes)
    spec = dry._posted(job, bytes(32))
    u = tasks.feature_map_of(spec).rows(x)
    sixties = (np.arange(start, start + 60) for start in range(150, 690, 60))
    owners = (np.arange(0, 150), np.arange(690, 900), *sixties)
    assert len(owners) == 11
    ends: list[Floats] = []
    accuracy = models.accuracy

    def noted(model: Model, weights: Floats, *rows: Floats) -> float:
        ends.append(weights)
        return accuracy(model, weights, *rows)

    monkeypatch.setattr(dry, "accuracy", noted)
    split = dry._Split(np.arange(0), owners)
    found = dry._run(spec, split, (u, y), (u, y), None, np.random.default_rng(0))
    expected = descended(job, u, y, owners)
    (vector,) = ends
    weights = vector[: expected.size].reshape(expected.shape)
    assert np.abs(weights - expected).max() < 5e-3
    assert np.abs(expected).max() > 0.1
    assert found.score_error <= np.linalg.norm(weights - expected, axis=0).max() + 1e-3
    assert 0.6 < found.reached == accuracy(Model(Family(family), 7, spec.outputs), vector, u, y)


def test_the_same_rows_give_the_same_result() -> None:
    rows = clouds(400)
    first = dry_run(draft(), rows, multiplier=0.6)
    assert plain(dry_run(draft(), rows, multiplier=0.6)) == plain(first)
    assert first.seconds > 0


def test_noise_costs_accuracy_and_less_of_it_where_epsilon_is_larger() -> None:
    rows, job = clouds(1000), draft(steps=50)
    reached = []
    for epsilon in (0.3, 8.0):
        found = dry_run(job, rows, multiplier=accountant.multiplier(epsilon, 1e-5, 1.0, 1))
        assert found.noisy is not None
        assert found.noisy.low <= found.noisy.median <= found.noisy.high
        reached.append(found.noisy.median)
    assert reached[0] + 0.05 < reached[1] <= found.exact.median + 0.02
    assert found.exact.median > 0.85
    assert (found.measure, found.repetitions) == ("accuracy", dry.REPETITIONS)
    assert dry_run(job, rows, multiplier=None).noisy is None


def test_rows_are_shared_out() -> None:
    found = dry_run(draft(), clouds(400), multiplier=None)
    assert (found.rows, found.held_out, found.owners) == (400, 100, 11)
    assert (found.rows_per_owner, found.repeated) == (300 // 11, False)
    fewer = dry_run(draft(), clouds(400), multiplier=None, rows_per_owner=5)
    assert (fewer.rows_per_owner, fewer.repeated) == (5, False)
    more = dry_run(draft(), clouds(400), multiplier=None, rows_per_owner=28)
    assert (more.rows_per_owner, more.repeated) == (28, True)
    apart = dry_run(draft(), clouds(400), multiplier=None, held_out=clouds(33, seed=8))
    assert (apart.held_out, apart.rows_per_owner) == (33, 400 // 11)


def test_owners_and_held_out_rows_never_meet() -> None:
    for repeated, each in ((False, 20), (True, 90)):
        split = dry._Split.drawn(np.random.default_rng(1), 400, 300, 11, each, repeated)
        trained = np.concatenate(split.owners)
        assert [len(owner) for owner in split.owners] == [each] * 11
        assert not set(trained) & set(split.held)
        assert len(split.held) == 100
        assert (len(set(trained)) < len(trained)) is repeated


def test_more_rows_of_an_owner_drown_its_noise() -> None:
    few, many = (
        dry_run(draft(), clouds(1000), multiplier=3.0, rows_per_owner=each) for each in (20, 2000)
    )
    assert few.noisy is not None
    assert many.noisy is not None
    assert many.noisy.median > few.noisy.median + 0.05


def test_weights_that_do_not_fit_are_counted() -> None:
    assert dry_run(draft(), clouds(400), multiplier=None).clipped_weights == 0
    tight = dry_run(draft(model="weight_limit = 0.05"), clouds(400), multiplier=None)
    assert tight.clipped_weights > 0
    assert tight.score_error > 0.05


@pytest.mark.parametrize("family", ["fourier", "dense"])
def test_what_is_seen_stays_below_the_derived_bound(family: str) -> None:
    mapped = f'map = "{family}"\nmap_width = 40\nmap_scale = 1.5'
    found = dry_run(draft(model=mapped), clouds(400), multiplier=0.6)
    assert found.score_bound is not None
    assert 0 < found.score_error < found.score_bound < 1
    for beyond in ("momentum = 0.3", "server_rate = 1.5"):
        assert dry_run(draft(training=beyond), clouds(400), multiplier=0.6).score_bound is None


def test_a_number_is_measured_by_r_squared() -> None:
    x, _ = clouds(400)
    y = np.clip(x @ np.array([0.3, 0.2, 0.1, 0.1, 0.2, 0.1]), 0.0, 1.0)
    job = draft("linear", "low = 0\nhigh = 1", steps=2000, rounds=6)
    found = dry_run(job, (x, y), multiplier=None)
    assert found.measure == "R^2"
    assert 0.9 < found.exact.low <= found.exact.high <= 1.0


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InputError, match="has 14 rows, 11 of them"):
        dry_run(draft(owners=12), clouds(14), multiplier=None)
    assert dry_run(draft(), clouds(14), multiplier=None).rows_per_owner == 1
    with pytest.raises(InputError, match="11 owners need"):
        dry_run(draft(), clouds(10), multiplier=None, held_out=clouds(5))
    for wrong in (0, params.MAX_DATASET_ROWS + 1):
        with pytest.raises(InputError, match="rows_per_owner"):
            dry_run(draft(), clouds(40), multiplier=None, rows_per_owner=wrong)


def write(path: Path, rows: int, last: str = "") -> Path:
    x, y = clouds(rows)
    lines = [",".join([f"c_{column}" for column in range(1, 7)] + ["label"])]
    lines += [
        ",".join([*(f"{value:.4f}" for value in row), "abc"[int(label)]])
        for row, label in zip(x, y, strict=True)
    ]
    path.write_text("\n".join([*lines, *([last] if last else [])]) + "\n")
    return path


def test_rows_are_read_as_owners_read_theirs(tmp_path: Path) -> None:
    x, y = read_rows(write(tmp_path / "rows.csv", 30), draft().terms)
    known = clouds(30)
    assert np.abs(x - known[0]).max() < 1e-4
    assert (y == known[1]).all()
    bad = write(tmp_path / "bad.csv", 3, "0.1,0.2,0.3,0.4,0.5,seven,a")
    with pytest.raises(InputError, match=r"bad\.csv, line 5: 'seven'; a number from 0 to 1"):
        read_rows(bad, draft().terms)


def test_a_file_of_too_many_features_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.csv", 31)
    monkeypatch.setattr(params, "MAX_MATRIX_CELLS", 7 * 30)
    with pytest.raises(InputError, match=r"has 31 rows; 30 of 7 features are allowed"):
        read_rows(path, draft().terms)
    monkeypatch.setattr(params, "MAX_MATRIX_CELLS", 7 * 31)
    assert len(read_rows(path, draft().terms)[0]) == 31
