"""What contributions were worth: Shapley values of owners, with every owner's rows in sight.

Two games of 20 owners, both played without noise; a coalition's utility is the mean probability
that its model gives to the right class of a row held out. A round's game lets each coalition make
that round's step from the job's own model, and adds up over rounds (Wang et al. 2020). The other
trains each coalition for the whole job (Ghorbani and Zou 2019). Orders are sampled (shapley.py), by
two seeds, and how far the two agree is told: 2^20 coalitions are not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import apply_gradient
from scripts.benchmarks.merit_job import OWNERS, SEED, Job, Played, gradient
from scripts.benchmarks.shapley import shapley

_SEEDS = (bytes(32), bytes([1]) * 32)

Truth = tuple[Floats, float]


def right(model: Model, weights: Floats, x: Floats, y: Floats) -> float:
    """The mean probability that the right class is given."""
    given = models.link(model, models.scores(model, weights, x))
    if model.family is Family.LOGISTIC:
        return float(np.mean(np.where(y > 0.5, given[:, 0], 1.0 - given[:, 0])))
    return float(np.mean(given[np.arange(len(y)), y.astype(np.intp)]))


def of_rounds(job: Job, played: Played, evaluations: int) -> Truth:
    """Owners' values, summed over the rounds' games; and how well two samples correlate."""

    def of_round(standing: tuple[Floats, Floats | None], seed: bytes) -> Floats:
        weights, momentum = standing
        true = np.array([gradient(job, owner, weights) for owner in range(OWNERS)])

        def utility(members: list[int]) -> float:
            mean = true[members].mean(axis=0) if members else np.zeros_like(weights)
            moved, _ = apply_gradient(job.model, weights, mean, job.training, momentum)
            return right(job.model, moved, *job.holdout)

        return _values(utility, seed, evaluations)

    return _truth(lambda seed: np.sum([of_round(each, seed) for each in played.standing], axis=0))


def of_training(job: Job, rounds: int, evaluations: int) -> Truth:
    """Owners' values where each coalition trains by itself, from the start."""
    known: dict[tuple[int, ...], float] = {}

    def utility(members: list[int]) -> float:
        key = tuple(members)
        if key not in known:
            known[key] = right(job.model, _trained(job, members, rounds), *job.holdout)
        return known[key]

    return _truth(lambda seed: _values(utility, seed, evaluations))


def _trained(job: Job, members: Sequence[int], rounds: int) -> Floats:
    weights, momentum = models.initial(job.model, SEED), None
    for _ in range(rounds if members else 0):
        mean = np.mean([gradient(job, owner, weights) for owner in members], axis=0)
        weights, momentum = apply_gradient(job.model, weights, mean, job.training, momentum)
    return weights


def _values(utility: Callable[[list[int]], float], seed: bytes, evaluations: int) -> Floats:
    def of_bits(coalition: int) -> float:
        return utility([owner for owner in range(OWNERS) if coalition >> owner & 1])

    return np.array(shapley(OWNERS, of_bits, seed, evaluations))


def _truth(sampled: Callable[[bytes], Floats]) -> Truth:
    one, other = (sampled(seed) for seed in _SEEDS)
    return (one + other) / 2.0, float(np.corrcoef(one, other)[0, 1])
