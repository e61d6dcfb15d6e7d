"""A sealed job's training without its ciphertexts: on exact integers, and in the clear.

Encryption changes no number: sealed_rounds.py makes and opens every ciphertext of some rounds, and
finds the integers that are computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from node.work import sealed as sealed_tasks
from node.work import tasks
from protocol.arith import kernels
from protocol.arith.learning.models import Floats, accuracy, check_rows
from protocol.arith.noise.mechanism import add_noise
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.arith.sealed import affine, statistics
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.sealed.affine import Quantised
from protocol.arith.sealed.statistics import Statistics
from protocol.spec.job import JobSpec
from scripts.benchmarks.sealed_job import Split

Features = tuple[Floats, Floats]


class Rounds:
    """A sealed job on exact integers, as its requester sees it: `weights` are those that the next
    round's ciphertexts hold, (p C,)."""

    def __init__(self, spec: JobSpec, steps: Sequence[Quantised], counts: Sequence[int]) -> None:
        self._spec, self._counts = spec, tuple(counts)
        self._model, self._envelope = tasks.model_of(spec), tasks.envelope_of(spec)
        # A block's sum of M w + b, over its owners: lanes have room for it, int64 more.
        self._matrix = np.sum([step.matrix for step in steps], axis=0)
        self._offset = np.sum([step.offset for step in steps], axis=0)
        self._vector = encode_vector(Kind.MODEL, np.zeros(self._model.parameter_count))
        self._momentum: bytes | None = None
        self._turn = 0

    @property
    def weights(self) -> Integers:
        """Integers, one of them `fixed_point.step` of the envelope."""
        weighed = self.vector[: self._spec.parameter_count]
        return sealed.quantise_weights(self._envelope, weighed)[0]

    @property
    def vector(self) -> Floats:
        """The requester's own floats, biases (0) and all."""
        return decode_vector(Kind.MODEL, self._vector, self._model.parameter_count)

    def turn(self) -> None:
        """One round."""
        spec = self._spec
        self._turn += 1
        weights = self.weights.reshape(spec.feature_count, spec.outputs)
        sums = (self._matrix @ weights + self._offset).reshape(-1)
        move = sealed_tasks.mean_move(spec, sums, self._counts)
        training = tasks.training_of(spec)
        stepped, moving, _ = kernels.apply(
            self._model, self._vector, self._momentum, [move], training, self._turn
        )
        self._vector, self._momentum, _ = sealed_tasks.within_limit(spec, stepped, moving)


def features_of(spec: JobSpec, split: Split) -> list[Features]:
    """Each owner's rows as the job has them."""
    mapped, model = tasks.feature_map_of(spec), tasks.model_of(spec)
    return [check_rows(model, mapped.rows(part.inputs()), part.targets()) for part in split.parts]


def step_of(spec: JobSpec, kept: Statistics) -> Quantised:
    """What an owner of such statistics multiplies with."""
    training, layout = spec.training, spec.layout
    if layout is None:
        raise ValueError("the job is not sealed")
    found = affine.local_map(
        tasks.model_of(spec), kept, training.local_steps, training.rate, training.ridge
    )
    weight = spec.counted_rows(kept.rows) / training.batch_rows
    return affine.quantised(found, weight, layout, spec.model.weight_limit)


def sealed_vector(spec: JobSpec, kept: Sequence[Statistics]) -> Floats:
    """The model after all rounds."""
    rounds = Rounds(spec, [step_of(spec, each) for each in kept], [each.rows for each in kept])
    for _ in range(spec.training.rounds):
        rounds.turn()
    return rounds.vector


def clear_vector(spec: JobSpec, owners: Sequence[Features]) -> Floats:
    """The same training in the clear: each owner takes its local steps one by one, in float64, on
    its rows; their moves are averaged by rows. No statistics on a grid, no affine map, no fixed
    point, nothing rounded."""
    model, training = tasks.model_of(spec), spec.training
    curvature, factor = affine.surrogate(model)
    sides = []
    for u, y in owners:
        t = factor * statistics.targets(model, y)
        bent = curvature * (u.T @ u) / len(u) + training.ridge * np.eye(model.inputs)
        pulled = curvature * (u.T @ t) / len(u)
        size = min(training.rate, 1.0 / float(np.linalg.eigvalsh(bent)[-1]))
        sides.append((bent, pulled, size, min(len(u), training.batch_rows)))
    total = sum(counted for *_, counted in sides)
    weights = np.zeros((model.inputs, model.outputs))
    moved = np.zeros_like(weights)
    for _ in range(training.rounds):
        mean = np.zeros_like(weights)
        for bent, pulled, size, counted in sides:
            local = weights.copy()
            for _ in range(training.local_steps):
                local -= size * (bent @ local - pulled)
            mean += (counted / total) * (local - weights)
        moved = training.momentum * moved + mean
        weights = weights + training.server_rate * moved
    return np.concatenate([weights.reshape(-1), np.zeros(model.outputs)])


def percent(spec: JobSpec, vector: Floats, split: Split) -> float:
    """A model's accuracy on the requester's rows."""
    u = tasks.feature_map_of(spec).rows(split.holdout.inputs())
    return 100.0 * accuracy(tasks.model_of(spec), vector, u, split.holdout.targets())


def noised(exact: Statistics, sigma: float) -> Statistics:
    """statistics.noised of the same rows, which need not be summed again."""
    numbers = add_noise(exact.numbers, sigma)
    return Statistics(exact.features, exact.outputs, exact.rows, sigma, numbers)
