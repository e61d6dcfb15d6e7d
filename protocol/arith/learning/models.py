"""Model families, their losses, and per-record gradients clipped by norm.

A model's weights are one flat float64 vector: layer by layer, first the matrix (inputs x outputs,
row by row), then the bias. All families share one forward and one backward pass: linear, logistic
and softmax have one layer, dense has a ReLU layer before it.

Shapes: `x` is (rows, inputs) float64; `y` is (rows,): class numbers from 0 (any dtype that holds
them exactly), or float targets for the linear family.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol.arith.numbers.entropy import uniform_from_seed
from protocol.errors import FatalError, InputError
from protocol.params import MAX_PARAMETERS

Floats: TypeAlias = npt.NDArray[np.float64]
Layer: TypeAlias = tuple[Floats, Floats]


class Family(StrEnum):
    """A model's family: its function, and the loss that it is trained by."""

    LINEAR = "linear"  # one output, half the squared error
    LOGISTIC = "logistic"  # one output, classes 0 and 1, cross entropy
    SOFTMAX = "softmax"  # one output a class, cross entropy
    DENSE = "dense"  # one hidden ReLU layer, then softmax


#: Where a linear model's error stops to count by its square and counts by its size, in the unit of
#: the target (its range is 1): one row with a wrong target moves the mean by this much at most.
WRONG_SCALE: Final = 0.1

_ONE_OUTPUT = frozenset({Family.LINEAR, Family.LOGISTIC})


@dataclass(frozen=True, slots=True)
class Model:
    """An architecture. `outputs` is the number of classes (1 for linear and logistic).

    Raises InputError where a size does not fit the family or the protocol's limit.
    """

    family: Family
    inputs: int
    outputs: int = 1
    hidden: int = 0

    def __post_init__(self) -> None:
        if self.family not in tuple(Family):
            raise InputError(f"is {self.family!r}, known are {', '.join(Family)}", "model.family")
        object.__setattr__(self, "family", Family(self.family))
        if self.inputs < 1:
            raise InputError(f"is {self.inputs}, at least 1 is needed", "model.inputs")
        if self.family in _ONE_OUTPUT and self.outputs != 1:
            raise InputError(f"is {self.outputs}, a {self.family} model has 1", "model.outputs")
        if self.family not in _ONE_OUTPUT and self.outputs < 2:
            raise InputError(f"is {self.outputs}, at least 2 classes are needed", "model.outputs")
        if (self.family is Family.DENSE) != (self.hidden > 0) or self.hidden < 0:
            wanted = "at least 1" if self.family is Family.DENSE else "0"
            raise InputError(
                f"is {self.hidden}, a {self.family} model has {wanted}", "model.hidden"
            )
        if self.parameter_count > MAX_PARAMETERS:
            raise InputError(
                f"has {self.parameter_count} parameters, {MAX_PARAMETERS} fit", "model"
            )

    @property
    def classes(self) -> int:
        """How many classes `y` may name; 0 where the target is a number."""
        if self.family is Family.LINEAR:
            return 0
        return 2 if self.family is Family.LOGISTIC else self.outputs

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each layer."""
        if self.family is Family.DENSE:
            return (self.inputs, self.hidden), (self.hidden, self.outputs)
        return ((self.inputs, self.outputs),)

    @property
    def parameter_count(self) -> int:
        """Length of the weight vector."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in self.shapes)


def layers(model: Model, vector: Floats) -> list[Layer]:
    """Views (matrix, bias) into a vector of the model's layout; writing to them writes to it."""
    if vector.shape != (model.parameter_count,):
        raise FatalError(f"{model} has {model.parameter_count} parameters, not {vector.shape}")
    views: list[Layer] = []
    start = 0
    for fan_in, fan_out in model.shapes:
        middle, end = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        views.append((vector[start:middle].reshape(fan_in, fan_out), vector[middle:end]))
        start = end
    return views


def initial(model: Model, seed: bytes) -> Floats:
    """Weights to start from, the same on every machine.

    Zeros for the convex families; for dense, He's uniform initialisation (He et al. 2015, section
    2.2: variance 2 / fan-in) from `uniform_from_seed(seed, 'initial/<layer>', ...)`, biases zero.
    """
    vector = np.zeros(model.parameter_count)
    if model.family is Family.DENSE:
        for number, (matrix, _) in enumerate(layers(model, vector)):
            bound = np.sqrt(6.0 / matrix.shape[0])
            uniform = uniform_from_seed(seed, f"initial/{number}", matrix.size)
            matrix[...] = ((2.0 * uniform - 1.0) * bound).reshape(matrix.shape)
    return vector


def check_rows(model: Model, x: Floats, y: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
    """`x` and `y` as float64, checked against the model.

    Raises InputError on no rows, another number of columns, values that are not finite, or a class
    that the model does not have.
    """
    features = np.ascontiguousarray(x, dtype=np.float64)
    targets = np.ascontiguousarray(y, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] != model.inputs:
        raise InputError(f"rows have shape {features.shape}, the model takes {model.inputs} inputs")
    if targets.shape != (len(features),):
        raise InputError(f"{len(features)} rows, but targets of shape {targets.shape}")
    if not len(features):
        raise InputError("there are no rows")
    if not (np.isfinite(features).all() and np.isfinite(targets).all()):
        raise InputError("a row holds a value that is not finite")
    known = model.classes
    if known and not ((targets >= 0) & (targets < known) & (targets == np.floor(targets))).all():
        raise InputError(f"a target is none of the classes 0 to {known - 1}")
    return features, targets


def _forward(model: Model, weights: Floats, x: Floats) -> tuple[list[Floats], Floats]:
    """The inputs of each layer, and the last layer's output before its link function."""
    inputs = [x]
    *hidden, (matrix, bias) = layers(model, weights)
    for inner, inner_bias in hidden:
        inputs.append(np.maximum(inputs[-1] @ inner + inner_bias, 0.0))
    return inputs, inputs[-1] @ matrix + bias


def scores(model: Model, weights: Floats, x: Floats) -> Floats:
    """The last layer's output before its link function, (rows, outputs)."""
    return _forward(model, weights, x)[1]


def link(model: Model, scores: Floats) -> Floats:
    """Raw outputs (rows, outputs) to predictions: a linear model's numbers, the probability of
    class 1, or of each class. No intermediate overflows, whatever the weights."""
    if model.family is Family.LINEAR:
        return scores
    if model.family is Family.LOGISTIC:
        half = 0.5 * scores
        return np.asarray(0.5 * (1.0 + np.tanh(half)))
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def loss(model: Model, weights: Floats, x: Floats, y: Floats, ridge: float = 0.0) -> float:
    """Mean loss of the rows, plus ridge / 2 x the squared norm of the matrices (not the biases)."""
    scores = _forward(model, weights, x)[1]
    if model.family is Family.LINEAR:
        mean = 0.5 * np.mean((scores[:, 0] - y) ** 2)
    elif model.family is Family.LOGISTIC:
        mean = np.mean(np.logaddexp(0.0, scores[:, 0]) - y * scores[:, 0])
    else:
        top = scores.max(axis=1)
        total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        mean = np.mean(total - scores[np.arange(len(y)), y.astype(np.intp)])
    penalty = sum(float(np.vdot(matrix, matrix)) for matrix, _ in layers(model, weights))
    return float(mean) + 0.5 * ridge * penalty


def accuracy(model: Model, weights: Floats, x: Floats, y: Floats) -> float:
    """The fraction of rows classified right; for the linear family, the R^2 of the prediction."""
    scores = _forward(model, weights, x)[1]
    if model.family is Family.LINEAR:
        spread = float(np.sum((y - y.mean()) ** 2))
        missed = float(np.sum((y - scores[:, 0]) ** 2))
        return 1.0 - missed / spread if spread > 0.0 else float(missed == 0.0)
    if model.family is Family.LOGISTIC:
        return float(np.mean((scores[:, 0] > 0.0) == (y > 0.5)))
    return float(np.mean(scores.argmax(axis=1) == y))


def _deltas(
    model: Model, weights: Floats, x: Floats, y: Floats
) -> Iterator[tuple[int, Floats, Floats]]:
    """(layer, its inputs, the losses' derivative by its outputs), from the last layer back."""
    inputs, scores = _forward(model, weights, x)
    delta = link(model, scores).copy()
    if model.family in _ONE_OUTPUT:
        delta[:, 0] -= y
    else:
        delta[np.arange(len(y)), y.astype(np.intp)] -= 1.0
    yield from _backward(model, weights, inputs, delta)


def _backward(
    model: Model, weights: Floats, inputs: list[Floats], delta: Floats
) -> Iterator[tuple[int, Floats, Floats]]:
    """The same from the derivative `delta` by the last layer's outputs (rows, outputs)."""
    matrices = layers(model, weights)
    for number in reversed(range(len(matrices))):
        yield number, inputs[number], delta
        if number:
            delta = (delta @ matrices[number][0].T) * (inputs[number] > 0.0)


def wrongness_gradient(model: Model, weights: Floats, x: Floats, y: Floats) -> Floats:
    """The gradient by the weights of the rows' mean wrongness: (parameter_count,).

    A row's wrongness is 1 - p, p the probability that the model gives its class. Over all classes
    it adds up to a constant, so that labels that are wrong at random shrink the mean gradient and
    do not turn it (Ghosh, Kumar and Sastry 2017, 'Robust loss functions under label noise for deep
    neural networks', theorem 1); cross entropy has no such bound. A linear model's is the
    pseudo-Huber loss of its error, at WRONG_SCALE. Weights beyond float64's reach give values that
    are not finite: callers check.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        inputs, scores = _forward(model, weights, x)
        if model.family is Family.LINEAR:
            error = scores - y[:, None]
            delta = error / np.hypot(1.0, error / WRONG_SCALE)
        elif model.family is Family.LOGISTIC:
            p = link(model, scores)
            delta = (1.0 - 2.0 * y[:, None]) * p * (1.0 - p)
        else:
            p, rows, right = link(model, scores), np.arange(len(y)), y.astype(np.intp)
            own = p[rows, right]
            delta = own[:, None] * p
            delta[rows, right] -= own
        parts = list(_backward(model, weights, inputs, delta))
        return _clipped_gradient(model, parts, np.inf)[0]


def clipped_gradient(
    model: Model, weights: Floats, x: Floats, y: Floats, clip_norm: float
) -> tuple[Floats, int]:
    """Mean over the rows of each row's gradient, cut to norm `clip_norm` where it is longer.

    Returns the vector, whose norm is at most `clip_norm`, and how many rows were scaled down. No
    gradient of a single record is ever built: a layer's is the outer product of its input a and
    its delta d, so its squared norm is (|a|^2 + 1) |d|^2, the 1 for the bias (Goodfellow 2015,
    'Efficient per-example gradient computations'). Memory: rows x (inputs + hidden + outputs).
    `clip_norm` infinite gives the plain gradient. Ridge is no part of it: see training.py. Weights
    beyond float64's reach give values that are not finite: callers check.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _clipped_gradient(model, list(_deltas(model, weights, x, y)), clip_norm)


def _clipped_gradient(
    model: Model, parts: list[tuple[int, Floats, Floats]], clip_norm: float
) -> tuple[Floats, int]:
    rows = len(parts[0][1])
    squared = np.zeros(rows)
    for _, inputs, delta in parts:
        squared += (np.einsum("ri,ri->r", inputs, inputs) + 1.0) * np.einsum(
            "ro,ro->r", delta, delta
        )
    norms = np.sqrt(squared)
    over = norms > clip_norm
    scale = np.ones(rows)
    scale[over] = clip_norm / norms[over]
    gradient = np.empty(model.parameter_count)
    views = layers(model, gradient)
    for number, inputs, delta in parts:
        scaled = delta * (scale / rows)[:, None]
        matrix, bias = views[number]
        np.matmul(inputs.T, scaled, out=matrix)
        np.sum(scaled, axis=0, out=bias)
    return gradient, int(np.count_nonzero(over))
