"""Affine maps: T steps in one, and nothing but the noised statistic in them."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kits.examples import examples
from kits.real_data import breast_cancer, digits

from protocol.arith.learning.feature_map import FeatureMap, MapKind
from protocol.arith.learning.models import Family, Floats, Model, accuracy, clipped_gradient, loss
from protocol.arith.noise.accountant import multiplier
from protocol.arith.sealed.affine import NOISE_RIDGE, local_map, project, surrogate
from protocol.arith.sealed.statistics import Statistics, exact, noised, targets
from protocol.errors import FatalError, InputError

FAMILIES = (
    Model(Family.LINEAR, 6),
    Model(Family.LOGISTIC, 6),
    Model(Family.SOFTMAX, 6, 2),
    Model(Family.SOFTMAX, 6, 5),
)
NAMES = [f"{model.family}-{model.outputs}" for model in FAMILIES]


def rows_for(model: Model, rows: int, seed: int = 1) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    u = generator.normal(size=(rows, model.inputs))
    u /= np.maximum(1.0, np.linalg.norm(u, axis=1, keepdims=True))
    if model.classes:
        return u, generator.integers(0, model.classes, rows).astype(np.float64)
    return u, generator.random(rows)


def statistics_from(
    model: Model, rows: int, multiplier: float, seed: int, size: float = 1.0
) -> Statistics:
    """Rows' statistics and Gaussian noise from a seed: the daemon's noise cannot be seeded."""
    plain = exact(model, *rows_for(model, rows, seed))
    noise = np.random.default_rng(seed).normal(size=plain.numbers.shape)
    numbers = plain.numbers + np.rint(noise * (size * multiplier * 2.0**30)).astype(np.int64)
    return Statistics(plain.features, plain.outputs, rows, multiplier, numbers)


# The surrogate


def surrogate_loss(model: Model, weights: Floats, u: Floats, y: Floats, ridge: float) -> float:
    """The loss that the map descends, by its definition: W is (p, C), without biases."""
    curvature, factor = surrogate(model)
    missed = u @ weights - factor * targets(model, y)
    squares = np.mean(np.sum(missed**2, axis=1))
    return float(curvature / 2 * squares + ridge / 2 * np.sum(weights**2))


def surrogate_gradient(model: Model, weights: Floats, u: Floats, y: Floats, ridge: float) -> Floats:
    curvature, factor = surrogate(model)
    missed = u @ weights - factor * targets(model, y)
    return np.asarray(curvature * u.T @ missed / len(u) + ridge * weights)


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
def test_one_step_descends_the_surrogate_s_loss(model: Model) -> None:
    """(W - step(W)) / rate is the loss's gradient, by finite differences."""
    u, y = rows_for(model, 40)
    rate, ridge = 0.25, 0.03
    step = local_map(model, exact(model, u, y), 1, rate, ridge)
    weights = np.random.default_rng(3).normal(size=(6, model.outputs))
    if model.family is Family.SOFTMAX:
        weights -= weights.mean(axis=1, keepdims=True)
    gradient = -(step.matrix @ weights + step.offset) / rate
    for place in np.ndindex(weights.shape):
        around = []
        for sign in (1.0, -1.0):
            moved = weights.copy()
            moved[place] += sign * 1e-4
            around.append(surrogate_loss(model, moved, u, y, ridge))
        assert math.isclose((around[0] - around[1]) / 2e-4, gradient[place], abs_tol=1e-6)


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
def test_the_surrogate_is_cross_entropy_to_second_order_at_zero(model: Model) -> None:
    u, y = rows_for(model, 40)
    zero = np.zeros((6, model.outputs))
    true, _ = clipped_gradient(model, np.zeros(model.parameter_count), u, y, np.inf)
    wanted = true[: zero.size].reshape(zero.shape)
    assert np.allclose(surrogate_gradient(model, zero, u, y, 0.0), wanted, atol=1e-12)
    # Second differences along scores that sum to 0 over the classes (softmax sees no others).
    way = np.random.default_rng(4).normal(size=zero.shape)
    if model.family is Family.SOFTMAX:
        way -= way.mean(axis=1, keepdims=True)
    small = 1e-3

    def along(size: float) -> float:
        flat = np.concatenate([(size * way).reshape(-1), np.zeros(model.outputs)])
        return loss(model, flat, u, y) - surrogate_loss(model, size * way, u, y, 0.0)

    assert abs(along(small) - 2 * along(0.0) + along(-small)) / small**2 < 1e-3


# The map


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
@pytest.mark.parametrize("steps", [1, 2, 7, 500, 10_000])
@pytest.mark.parametrize(("rate", "ridge"), [(0.3, 0.0), (0.3, 0.02), (1e9, 0.0)])
def test_the_map_is_its_steps_one_after_the_other(
    model: Model, steps: int, rate: float, ridge: float
) -> None:
    """Plain descent on the rows themselves. A rate that is too large is cut to what descends."""
    u, y = rows_for(model, 40)
    found = local_map(model, exact(model, u, y), steps, rate, ridge)
    curvature, _ = surrogate(model)
    largest = curvature * np.linalg.eigvalsh(u.T @ u / len(u))[-1] + ridge
    weights = np.random.default_rng(5).normal(size=(6, model.outputs))
    wanted = weights.copy()
    for _ in range(steps):
        gradient = surrogate_gradient(model, wanted, u, y, ridge)
        wanted -= min(rate, 1 / largest) * gradient
    assert np.allclose(weights + found.matrix @ weights + found.offset, wanted, atol=1e-6)


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
@pytest.mark.parametrize("rows", [3, 200, 100_000])
def test_steps_on_a_noised_statistic_use_it_projected_and_ridged(model: Model, rows: int) -> None:
    statistics = statistics_from(model, min(rows, 300), 0.9, rows)
    statistics = Statistics(6, model.outputs, rows, 0.9, statistics.numbers)
    curvature, factor = surrogate(model)
    values, vectors = np.linalg.eigh(statistics.gram)
    gram = (vectors * project(values, rows)) @ vectors.T + NOISE_RIDGE * 0.9 * np.eye(6)
    bent = curvature * gram / rows + 0.001 * np.eye(6)
    moments = statistics.moments
    if model.family is Family.SOFTMAX:
        moments = moments - moments.mean(axis=1, keepdims=True)
    step = min(0.5, 1 / np.linalg.eigvalsh(bent)[-1])
    weights = np.random.default_rng(6).normal(size=(6, model.outputs))
    wanted = weights.copy()
    for _ in range(25):
        wanted -= step * (bent @ wanted - curvature * factor * moments / rows)
    found = local_map(model, statistics, 25, 0.5, 0.001)
    assert np.allclose(weights + found.matrix @ weights + found.offset, wanted, atol=1e-6)


@given(
    model=st.sampled_from(FAMILIES),
    rows=st.integers(1, 50),
    multiplier=st.sampled_from([0.0, 0.01, 0.6, 4.0, 1e3]),
    steps=st.sampled_from([1, 3, 100, 10_000]),
    rate=st.floats(1e-6, 1e6),
    ridge=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    size=st.sampled_from([1.0, 30.0]),
    seed=st.integers(0, 2**32 - 1),
)
@examples(2)
def test_no_map_expands(
    model: Model,
    rows: int,
    multiplier: float,
    steps: int,
    rate: float,
    ridge: float,
    size: float,
    seed: int,
) -> None:
    statistics = statistics_from(model, rows, multiplier, seed, size)
    found = local_map(model, statistics, steps, rate, ridge)
    assert (found.matrix == found.matrix.T).all()
    assert np.isfinite(found.offset).all()
    values = np.linalg.eigvalsh(np.eye(6) + found.matrix)
    assert values[0] >= 0.0
    assert values[-1] <= 1.0
    # And exactly: no row of M - I is longer than 1.
    for row in found.matrix:
        assert sum(Fraction(value) ** 2 for value in row.tolist()) <= 1


def test_the_widest_map_stays_inside_in_spite_of_rounding() -> None:
    model = Model(Family.SOFTMAX, 300, 3)
    found = local_map(model, statistics_from(model, 40, 2.0, 8), 10_000, 1e9)
    values = np.linalg.eigvalsh(np.eye(300) + found.matrix)
    assert values[0] >= 0.0
    assert values[-1] <= 1.0
    assert (np.linalg.norm(found.matrix, axis=1) <= 1.0).all()


def test_statistics_of_nothing_move_nothing() -> None:
    model = Model(Family.LOGISTIC, 3)
    found = local_map(model, exact(model, np.zeros((5, 3)), np.zeros(5)), 100, 1.0)
    assert np.abs(found.matrix).max() < 1e-9
    assert (found.offset == 0.0).all()


def test_the_noised_statistic_is_all_that_a_map_knows_of_the_data() -> None:
    """Two data sets with one statistic: every row turned round, every class the other one."""
    model = Model(Family.LOGISTIC, 6)
    u, y = rows_for(model, 50)
    one, other = exact(model, u, y), exact(model, -u, 1.0 - y)
    assert (one.numbers == other.numbers).all()
    noise = noised(model, np.zeros((50, 6)), y, 0.5).numbers
    maps = []
    for statistics in (one, other):
        drawn = Statistics(6, 1, 50, 0.5, statistics.numbers + noise)
        found = local_map(model, drawn, 50, 2.0, 0.01)
        maps.append(found.matrix.tobytes() + found.offset.tobytes())
    assert maps[0] == maps[1]
    # There is no other way in.
    assert list(inspect.signature(local_map).parameters) == [
        "model",
        "statistics",
        "steps",
        "rate",
        "ridge",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": 0}, "training.local_steps"),
        ({"rate": 0.0}, "training.rate"),
        ({"rate": math.nan}, "training.rate"),
        ({"ridge": -1.0}, "training.ridge"),
        ({"ridge": math.inf}, "training.ridge"),
        ({"model": Model(Family.DENSE, 6, 2, 3)}, "model.family"),
    ],
)
def test_what_is_no_training_names_its_field(change: dict[str, object], field: str) -> None:
    told: dict[str, object] = {"model": FAMILIES[1], "steps": 3, "rate": 1.0, "ridge": 0.0}
    told |= {"statistics": statistics_from(FAMILIES[1], 5, 1.0, 1)} | change
    with pytest.raises(InputError) as caught:
        local_map(**told)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_statistics_of_another_model_are_refused() -> None:
    with pytest.raises(FatalError, match="statistics of 6 x 1"):
        local_map(Model(Family.SOFTMAX, 6, 3), statistics_from(FAMILIES[1], 5, 1.0, 1), 3, 1.0)


# The projection


@given(
    values=hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(-1e3, 1e3)),
    most=st.floats(0.5, 1e4),
    other=hnp.arrays(np.float64, 12, elements=st.floats(0, 1e3)),
)
@examples(3)
def test_projected_eigenvalues_are_the_nearest_that_a_gram_can_have(
    values: Floats, most: float, other: Floats
) -> None:
    found = project(values, most)
    assert (found >= 0.0).all()
    assert found.sum() <= most * (1 + 1e-9)
    if (values >= 0.0).all() and values.sum() <= most:
        assert (found == values).all()
    # Nearer than any other point of the set: the variational inequality of a projection.
    rival = other[: len(values)]
    rival = rival * min(1.0, most / max(rival.sum(), 1e-300))
    assert (values - found) @ (rival - found) <= 1e-6 * (1.0 + np.abs(values).max()) ** 2


def test_projection_brings_a_noised_gram_nearer() -> None:
    model = Model(Family.LOGISTIC, 40)
    for seed in range(10):
        plain = exact(model, *rows_for(model, 60, seed)).gram
        noisy = statistics_from(model, 60, 2.0, seed).gram
        values, vectors = np.linalg.eigh(noisy)
        nearer = (vectors * project(values, 60)) @ vectors.T
        clipped = (vectors * np.maximum(values, 0.0)) @ vectors.T
        distance = np.linalg.norm(nearer - plain)
        assert distance < np.linalg.norm(clipped - plain) < np.linalg.norm(noisy - plain)


# What it is for


def federated(model: Model, u: Floats, y: Floats, epsilon: float | None, seed: int) -> float:
    """Accuracy in percent after 8 rounds of 50 steps among six owners; a fifth is held out."""
    order = np.random.default_rng(seed).permutation(len(u))
    held, *owners = np.split(order, [len(u) // 5 + k * (len(u) * 4 // 30) for k in range(6)])
    sigma = multiplier(epsilon, 1e-5, 1.0, 1) if epsilon else 0.0
    maps = []
    for mine in owners:
        if epsilon is None:
            statistics = exact(model, u[mine], y[mine])
        else:
            statistics = noised(model, u[mine], y[mine], sigma)
        maps.append(local_map(model, statistics, 50, 1e9))
    weights = np.zeros((model.inputs, model.outputs))
    for _ in range(8):
        weights = weights + np.mean([m.matrix @ weights + m.offset for m in maps], axis=0)
    flat = np.concatenate([weights.reshape(-1), np.zeros(model.outputs)])
    return 100 * accuracy(model, flat, u[held], y[held])


def test_digits_are_learnt_with_noise_and_without() -> None:
    """91.6 % on average at epsilon 8 (docs/spec/sealed-statistics.md), deviation 1.5."""
    x, y = digits()
    mapping = FeatureMap(MapKind.NONE, 64, 0, 0.0, 0.3, 0.0, 1.0, bytes(32))
    u = mapping.rows(x / 16.0)
    model = Model(Family.SOFTMAX, 64, 10)
    assert federated(model, u, y, None, 1) > 90.0
    assert federated(model, u, y, 8.0, 1) > 82.0


def test_a_diagnosis_is_learnt_with_noise() -> None:
    x, y = breast_cancer()
    low, high = x.min(axis=0), x.max(axis=0)
    mapping = FeatureMap(MapKind.NONE, 30, 0, 0.0, 0.24, 0.3, 0.7, bytes(32))
    u = mapping.rows((x - low) / (high - low))
    assert federated(Model(Family.LOGISTIC, 31), u, y, 8.0, 2) > 85.0
