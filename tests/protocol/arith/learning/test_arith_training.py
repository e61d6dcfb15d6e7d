"""The identities that training.py states, and that training learns."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Model, clipped_gradient
from protocol.arith.learning.pooled import train_to_convergence
from protocol.arith.learning.training import Training, _batches, apply_gradient, local_gradient
from protocol.arith.numbers.entropy import SEED_BYTES, generator
from protocol.errors import FatalError, InputError

SEED = bytes(range(SEED_BYTES))


def clusters(seed: int, rows: int = 90, classes: int = 3) -> tuple[models.Floats, models.Floats]:
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, rows)
    centres = np.eye(classes) * 2.0
    return random.normal(size=(rows, classes)) + centres[y], y.astype(np.float64)


@pytest.mark.parametrize("ridge", [0.0, 0.05])
@pytest.mark.parametrize("model", [Model(Family.SOFTMAX, 3, 3), Model(Family.DENSE, 3, 3, 5)])
def test_the_requester_rebuilds_the_owner_s_weights_exactly(model: Model, ridge: float) -> None:
    """One owner, server rate 1, no momentum: apply_gradient must end where local SGD ended."""
    x, y = clusters(1)
    training = Training(local_steps=17, batch_rows=8, rate=0.3, clip_norm=0.8, ridge=ridge)
    start = models.initial(model, SEED) + 0.1
    weights = start.copy()
    for _, rows in zip(range(17), _batches(len(x), 8, generator(SEED, "batches")), strict=False):
        gradient, _ = clipped_gradient(model, weights, x[rows], y[rows], 0.8)
        for (part, _), (matrix, _) in zip(
            models.layers(model, gradient), models.layers(model, weights), strict=True
        ):
            part += ridge * matrix
        weights -= 0.3 * gradient
    mean, _ = local_gradient(model, start, x, y, training, SEED)
    rebuilt, momentum = apply_gradient(model, start, mean, training, None)
    np.testing.assert_allclose(rebuilt, weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(momentum, weights - start, rtol=1e-8, atol=1e-12)


@given(
    ridge=st.floats(0, 0.9),
    clip=st.floats(1e-3, 10),
    rate=st.floats(1e-3, 1.0),
    size=st.floats(0.01, 1e6),
    steps=st.integers(1, 12),
)
@examples(0.6)
def test_no_reported_gradient_is_longer_than_the_clip(
    ridge: float, clip: float, rate: float, size: float, steps: int
) -> None:
    model = Model(Family.DENSE, 3, 3, 4)
    x, y = clusters(2, 20)
    training = Training(steps, 7, rate, clip, ridge)
    start = models.initial(model, SEED) * size + size
    gradient, _ = local_gradient(model, start, x, y, training, SEED)
    assert np.linalg.norm(gradient) <= clip * (1 + 1e-9)


def test_local_training_replays_from_its_seed_and_leaves_its_input_alone() -> None:
    model = Model(Family.SOFTMAX, 3, 3)
    x, y = clusters(3)
    training = Training(5, 8, 0.5, 1.0)
    start = models.initial(model, SEED)
    first, _ = local_gradient(model, start, x, y, training, SEED)
    second, _ = local_gradient(model, start, x, y, training, SEED)
    other, _ = local_gradient(model, start, x, y, training, bytes(SEED_BYTES))
    assert first.tobytes() == second.tobytes()
    assert not np.allclose(first, other)
    assert not start.any()


def test_batches_are_whole_and_epochs_use_every_row_once() -> None:
    batches = _batches(10, 4, generator(SEED, "batches"))
    drawn = [next(batches) for _ in range(10)]
    assert {len(batch) for batch in drawn} == {4}
    assert Counter(np.concatenate(drawn).tolist()) == dict.fromkeys(range(10), 4)
    assert sorted(next(_batches(3, 32, generator(SEED, "x"))).tolist()) == [0, 1, 2]


def test_momentum_adds_up_as_a_heavy_ball() -> None:
    model = Model(Family.LINEAR, 1)
    training = Training(2, 1, 0.5, 1.0, server_rate=0.5, momentum=0.5)
    gradient = np.array([1.0, -1.0])
    weights, state = apply_gradient(model, np.zeros(2), gradient, training, None)
    np.testing.assert_allclose(state, [-1.0, 1.0])
    np.testing.assert_allclose(weights, [-0.5, 0.5])
    weights, state = apply_gradient(model, weights, gradient, training, state)
    np.testing.assert_allclose(state, [-1.5, 1.5])
    np.testing.assert_allclose(weights, [-1.25, 1.25])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"local_steps": 0}, "training.local_steps"),
        ({"batch_rows": 0}, "training.batch_rows"),
        ({"rate": 0.0}, "training.rate"),
        ({"rate": math.nan}, "training.rate"),
        ({"clip_norm": math.inf}, "training.clip_norm"),
        ({"server_rate": -1.0}, "training.server_rate"),
        ({"momentum": 1.0}, "training.momentum"),
        ({"momentum": math.nan}, "training.momentum"),
        ({"ridge": -0.1}, "training.ridge"),
        ({"ridge": 10.0}, "training.ridge"),
        ({"ridge": math.nan}, "training.ridge"),
    ],
)
def test_training_that_makes_no_sense_is_refused(changes: dict, field: str) -> None:
    sensible = {"local_steps": 1, "batch_rows": 1, "rate": 0.1, "clip_norm": 1.0}
    Training(**sensible)
    with pytest.raises(InputError) as caught:
        Training(**(sensible | changes))
    assert caught.value.field == field


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(FatalError, match="32 bytes"):
        generator(bytes(31), "batches")


def test_pooled_linear_training_finds_the_ridge_solution() -> None:
    model = Model(Family.LINEAR, 4)
    random = np.random.default_rng(5)
    x = random.normal(size=(60, 4))
    y = x @ [1.0, -2.0, 0.5, 3.0] + 0.7 + 0.1 * random.normal(size=60)
    end = train_to_convergence(model, np.zeros(5), x, y, ridge=0.1, tolerance=1e-9)
    design = np.hstack([x, np.ones((60, 1))])
    penalty = 0.1 * np.diag([1, 1, 1, 1, 0])
    exact = np.linalg.solve(design.T @ design / 60 + penalty, design.T @ y / 60)
    np.testing.assert_allclose(end.weights, exact, atol=1e-6)
    assert end.iterations < 100


@pytest.mark.parametrize("model", [Model(Family.SOFTMAX, 3, 3), Model(Family.DENSE, 3, 3, 16)])
def test_pooled_training_stops_by_itself_at_a_stationary_point(model: Model) -> None:
    x, y = clusters(6, 200)
    start = models.initial(model, SEED)
    end = train_to_convergence(model, start, x, y, ridge=1e-2)
    assert end.iterations < 2000
    assert end.loss < 0.5 * models.loss(model, start, x, y, 1e-2)
    assert end.gradient_norm < 0.01
    assert models.accuracy(model, end.weights, x, y) > 0.8


@pytest.mark.parametrize("model", [Model(Family.SOFTMAX, 3, 3), Model(Family.DENSE, 3, 3, 16)])
def test_skewed_owners_together_come_close_to_pooled(model: Model) -> None:
    x, y = clusters(7, 600)
    hold, hold_y = clusters(8, 600)
    order = np.argsort(y + np.random.default_rng(1).normal(scale=0.5, size=len(y)))
    owners = np.array_split(order, 4)
    training = Training(20, 16, 0.3, 2.0, momentum=0.5)
    weights, state = models.initial(model, SEED), None
    for number in range(6):
        seed = bytes([number]) * SEED_BYTES
        mean = np.mean(
            [local_gradient(model, weights, x[o], y[o], training, seed)[0] for o in owners], axis=0
        )
        weights, state = apply_gradient(model, weights, mean, training, state)
    pooled = train_to_convergence(model, models.initial(model, SEED), x, y, ridge=1e-3)
    target = models.accuracy(model, pooled.weights, hold, hold_y)
    assert models.accuracy(model, weights, hold, hold_y) >= target - 0.02
