"""Gradients against finite differences, clipping against a loop over records."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Model, clipped_gradient
from protocol.arith.numbers.entropy import uniform_from_seed
from protocol.errors import FatalError, InputError
from protocol.params import MAX_PARAMETERS

MODELS = [
    Model(Family.LINEAR, 4),
    Model(Family.LOGISTIC, 5),
    Model(Family.SOFTMAX, 4, 3),
    Model(Family.DENSE, 5, 4, 7),
]


def rows(model: Model, seed: int, count: int = 23) -> tuple[models.Floats, models.Floats]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, model.inputs))
    y = random.integers(0, model.classes, count) if model.classes else random.normal(size=count)
    return x, y.astype(np.float64)


def some_weights(model: Model, seed: int) -> models.Floats:
    return np.random.default_rng(seed).normal(scale=0.7, size=model.parameter_count)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_gradient_is_the_loss_s_derivative(model: Model) -> None:
    x, y = rows(model, 1)
    weights = some_weights(model, 2)
    gradient, clipped = clipped_gradient(model, weights, x, y, math.inf)
    assert clipped == 0
    step = 1e-6
    for index in range(model.parameter_count):
        nudge = np.zeros_like(weights)
        nudge[index] = step
        rise = models.loss(model, weights + nudge, x, y) - models.loss(model, weights - nudge, x, y)
        assert gradient[index] == pytest.approx(rise / (2 * step), abs=1e-7)


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("clip", [0.05, 1.0, 3.0])
def test_clipping_equals_a_loop_over_records(model: Model, clip: float) -> None:
    x, y = rows(model, 3)
    weights = some_weights(model, 4)
    total, over = np.zeros(model.parameter_count), 0
    for row in range(len(x)):
        single, _ = clipped_gradient(model, weights, x[row : row + 1], y[row : row + 1], math.inf)
        norm = np.linalg.norm(single)
        over += int(norm > clip)
        total += single * min(1.0, clip / norm)
    gradient, clipped = clipped_gradient(model, weights, x, y, clip)
    np.testing.assert_allclose(gradient, total / len(x), rtol=1e-10, atol=1e-12)
    assert clipped == over
    assert np.linalg.norm(gradient) <= clip * (1 + 1e-12)


@given(
    model=st.sampled_from(MODELS),
    scale=st.floats(1e-3, 1e150),
    clip=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
@examples(0.6)
def test_norm_never_exceeds_the_clip(model: Model, scale: float, clip: float, seed: int) -> None:
    x, y = rows(model, seed, 8)
    weights = some_weights(model, seed)
    gradient, _ = clipped_gradient(
        model, weights * min(scale, 1e100), x * min(scale, 1e50), y, clip
    )
    assert np.isfinite(gradient).all()
    assert np.linalg.norm(gradient) <= clip * (1 + 1e-9)


def test_ridge_counts_matrices_and_not_biases() -> None:
    model = Model(Family.SOFTMAX, 2, 2)
    x, y = rows(model, 5)
    weights = np.array([1.0, 2.0, 3.0, 4.0, 50.0, 60.0])
    plain, ridged = (models.loss(model, weights, x, y, ridge) for ridge in (0.0, 0.1))
    assert ridged - plain == pytest.approx(0.05 * (1 + 4 + 9 + 16))


def test_gradients_are_finite_even_at_extreme_weights() -> None:
    for model in MODELS[1:]:
        x, y = rows(model, 6)
        with np.errstate(over="raise", invalid="raise"):
            gradient, _ = clipped_gradient(model, some_weights(model, 7) * 1e5, x, y, math.inf)
        assert np.isfinite(gradient).all()


def test_accuracy_counts_what_is_right() -> None:
    x = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    weights = np.array([1.0, 0.0])
    logistic = Model(Family.LOGISTIC, 1)
    assert models.accuracy(logistic, weights, x, np.array([1.0, 0.0, 1.0, 1.0])) == 0.75
    linear = Model(Family.LINEAR, 1)
    assert models.accuracy(linear, weights, x, x[:, 0]) == 1.0
    assert models.accuracy(linear, np.zeros(2), x, x[:, 0]) == 0.0
    softmax = Model(Family.SOFTMAX, 1, 2)
    assert (
        models.accuracy(softmax, np.array([-1.0, 1.0, 0, 0]), x, np.array([1, 0, 1, 1.0])) == 0.75
    )


def test_initial_weights_follow_the_seed_and_the_published_stream() -> None:
    model = Model(Family.DENSE, 3, 2, 4)
    seed = bytes(range(32))
    vector = models.initial(model, seed)
    assert vector.tobytes() == models.initial(model, seed).tobytes()
    assert not np.array_equal(vector, models.initial(model, bytes(32)))
    (inner, inner_bias), (outer, outer_bias) = models.layers(model, vector)
    assert not inner_bias.any()
    assert not outer_bias.any()
    assert (np.abs(inner) <= math.sqrt(6 / 3)).all()
    assert (np.abs(outer) <= math.sqrt(6 / 4)).all()
    # the stream by hand, as docs/spec/arithmetic.md has it
    stream = hashlib.shake_256(b"assay/initial/0\0" + seed).digest(8)
    first = (int.from_bytes(stream, "little") >> 11) * 2.0**-53
    assert inner[0, 0] == (2 * first - 1) * np.sqrt(6.0 / 3)
    assert not models.initial(Model(Family.SOFTMAX, 3, 2), seed).any()


def test_he_initialisation_has_the_variance_it_should() -> None:
    uniform = uniform_from_seed(bytes(32), "initial/0", 200_000)
    assert uniform.min() >= 0.0
    assert uniform.max() < 1.0
    assert np.mean(uniform) == pytest.approx(0.5, abs=0.005)
    assert np.var(uniform) == pytest.approx(1 / 12, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("boosted", 3, 2), "model.family"),
        ((Family.SOFTMAX, 0, 2), "model.inputs"),
        ((Family.SOFTMAX, 3, 1), "model.outputs"),
        ((Family.LINEAR, 3, 2), "model.outputs"),
        ((Family.DENSE, 3, 2, 0), "model.hidden"),
        ((Family.DENSE, 3, 2, -1), "model.hidden"),
        ((Family.LOGISTIC, 3, 1, 5), "model.hidden"),
        ((Family.LINEAR, MAX_PARAMETERS), "model"),
    ],
)
def test_architectures_that_make_no_sense_are_refused(arguments: tuple, field: str) -> None:
    with pytest.raises(InputError) as caught:
        Model(*arguments)
    assert caught.value.field == field


def test_the_largest_model_is_allowed() -> None:
    assert Model(Family.LINEAR, MAX_PARAMETERS - 1).parameter_count == MAX_PARAMETERS


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((2, 3)), np.zeros(2), "takes 4 inputs"),
        (np.zeros((2, 4)), np.zeros(3), "targets of shape"),
        (np.zeros((0, 4)), np.zeros(0), "no rows"),
        (np.full((1, 4), np.nan), np.zeros(1), "not finite"),
        (np.zeros((1, 4)), np.full(1, np.inf), "not finite"),
        (np.zeros((1, 4)), np.full(1, 3.0), "none of the classes"),
        (np.zeros((1, 4)), np.full(1, -1.0), "none of the classes"),
        (np.zeros((1, 4)), np.full(1, 0.5), "none of the classes"),
    ],
)
def test_rows_that_do_not_fit_are_refused(x: models.Floats, y: models.Floats, says: str) -> None:
    with pytest.raises(InputError, match=says):
        models.check_rows(Model(Family.SOFTMAX, 4, 3), x, y)


def test_a_vector_of_another_length_is_our_own_fault() -> None:
    with pytest.raises(FatalError, match="15 parameters"):
        models.layers(Model(Family.SOFTMAX, 4, 3), np.zeros(14))
