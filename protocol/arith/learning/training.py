"""Local steps of an owner, and the requester's step on their mean.

An owner runs T mini-batch steps from the round's weights w_0. Step t moves by the mean clipped
gradient c_t of its batch and shrinks the matrices by the ridge term (never the biases):

    w_{t+1} = D w_t - rate c_t,    D = 1 - rate ridge on matrices, 1 on biases,
    w_T     = D^T w_0 - rate T g,  g = (1 / T) sum_t D^(T-1-t) c_t.

The owner reports g. The ridge term depends on no data, so the requester applies D^T itself,
exactly, and g carries none of it: |c_t| <= clip_norm and 0 < D <= 1 give |g| <= clip_norm, so that
no coordinate of g leaves [-clip_norm, clip_norm] (fixedpoint.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Floats, Model, clipped_gradient, layers
from protocol.arith.numbers.entropy import generator
from protocol.errors import InputError


@dataclass(frozen=True, slots=True)
class Training:
    """How a job trains. Raises InputError, naming the field, where a value makes no sense.

    `local_steps` steps of `batch_rows` rows at step size `rate`, records clipped to `clip_norm`;
    the requester moves by `server_rate` times a momentum-`momentum` average of the rounds' steps.
    """

    local_steps: int
    batch_rows: int
    rate: float
    clip_norm: float
    ridge: float = 0.0
    server_rate: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        for field, count in (("local_steps", self.local_steps), ("batch_rows", self.batch_rows)):
            if count < 1:
                raise InputError(f"is {count}, at least 1 is needed", f"training.{field}")
        for field, value in (
            ("rate", self.rate),
            ("clip_norm", self.clip_norm),
            ("server_rate", self.server_rate),
        ):
            if not (math.isfinite(value) and value > 0.0):
                raise InputError(f"is {value}, must be above 0", f"training.{field}")
        if not 0.0 <= self.momentum < 1.0:
            raise InputError(f"is {self.momentum}, must lie in [0, 1)", "training.momentum")
        if not (self.ridge >= 0.0 and self.rate * self.ridge < 1.0):
            raise InputError(
                f"is {self.ridge}, must lie in [0, {1.0 / self.rate:g}), below 1 / rate",
                "training.ridge",
            )


def _decay(model: Model, factor: float) -> Floats:
    """A vector of the model's layout: `factor` on matrices, 1 on biases."""
    vector = np.ones(model.parameter_count)
    for matrix, _ in layers(model, vector):
        matrix[...] = factor
    return vector


def _batches(
    rows: int, batch_rows: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.intp]]:
    """Endless mini-batches without replacement: each epoch is one shuffle, its short tail joined to
    the next one's head, so that every batch has min(batch_rows, rows) rows."""
    size = min(batch_rows, rows)
    waiting = np.empty(0, dtype=np.intp)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, random.permutation(rows)])
        yield waiting[:size]
        waiting = waiting[size:]


def local_gradient(
    model: Model, weights: Floats, x: Floats, y: Floats, training: Training, seed: bytes
) -> tuple[Floats, int]:
    """The vector g above for one owner's rows, and how many records were clipped over all steps.

    `seed` (32 bytes, drawn in secret by the owner's node) fixes the batches: the same arguments
    give the same vector on the same machine.
    """
    factor = 1.0 - training.rate * training.ridge
    decay = _decay(model, factor) if factor < 1.0 else None
    current = weights.copy()
    total = np.zeros_like(current)
    clipped = 0
    batches = _batches(len(x), training.batch_rows, generator(seed, "batches"))
    for _, chosen in zip(range(training.local_steps), batches, strict=False):
        gradient, over = clipped_gradient(model, current, x[chosen], y[chosen], training.clip_norm)
        clipped += over
        if decay is not None:
            total *= decay
            current *= decay
        total += gradient
        current -= training.rate * gradient
    return total / training.local_steps, clipped


def apply_gradient(
    model: Model,
    weights: Floats,
    mean_gradient: Floats,
    training: Training,
    momentum_state: Floats | None,
) -> tuple[Floats, Floats]:
    """The requester's step on the owners' mean g: (new weights, new momentum state).

    The round's move is (D^T - 1) w - rate T g, FedAvg's average model minus the last one. It enters
    a heavy ball (FedAvgM, Hsu, Qi and Brown 2019): m <- momentum m + move, w <- w + server_rate m.
    `momentum_state` is None before the first round.
    """
    move = mean_gradient * (-training.rate * training.local_steps)
    if training.ridge > 0.0:
        shrink = (1.0 - training.rate * training.ridge) ** training.local_steps - 1.0
        for (part, _), (matrix, _) in zip(layers(model, move), layers(model, weights), strict=True):
            part += shrink * matrix
    if momentum_state is not None:
        move += training.momentum * momentum_state
    return weights + training.server_rate * move, move
