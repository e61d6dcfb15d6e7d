"""The settings that docs/spec/arithmetic.md recommends, on real data, quantised as in a job."""

from __future__ import annotations

import numpy as np
import pytest
from kits.real_data import digits

from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.pooled import train_to_convergence
from protocol.arith.learning.training import Training, apply_gradient, local_gradient
from protocol.arith.numbers.fixedpoint import FixedPoint

MODEL = Model(Family.SOFTMAX, 64, 10)
TRAINING = Training(100, 32, 1.0, 4.0, ridge=1e-4, momentum=0.5)
START = models.initial(MODEL, bytes(32))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.ci) for seed in (1, 2))]
)
def test_skewed_owners_of_digits_come_within_two_points_of_pooled(entropy_from, seed: int) -> None:
    data, target = digits()
    x, y = data / 16, target.astype(np.float64)
    random = np.random.default_rng(seed)
    held, rest = np.split(random.permutation(len(x)), [len(x) // 4])
    size = random.uniform(0.5, 1.5, 5)
    owners: list[list[int]] = [[] for _ in size]
    for label in range(10):
        rows = rest[y[rest] == label]
        share = random.dirichlet(np.full(5, 2.0)) * size
        cuts = (np.cumsum(share / share.sum())[:-1] * len(rows)).astype(int)
        for owner, part in zip(owners, np.split(rows, cuts), strict=True):
            owner.extend(part)

    fixed, entropy = FixedPoint(16, TRAINING.clip_norm), entropy_from(seed)
    weights, state = START, None
    for number in range(12):
        total = np.zeros(MODEL.parameter_count, dtype=np.int64)
        for position, owner in enumerate(owners):
            batches = bytes([seed, number, position]) + bytes(29)
            gradient, _ = local_gradient(MODEL, weights, x[owner], y[owner], TRAINING, batches)
            total += fixed.quantise(gradient, entropy)
        weights, state = apply_gradient(MODEL, weights, fixed.restore(total, 5), TRAINING, state)

    pooled = train_to_convergence(MODEL, START, x[rest], y[rest], ridge=TRAINING.ridge)
    target = models.accuracy(MODEL, pooled.weights, x[held], y[held])
    assert target > 0.94
    assert models.accuracy(MODEL, weights, x[held], y[held]) >= target - 0.02
