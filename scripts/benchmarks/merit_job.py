"""A job with noise and blocks drawn anew each round, its owners' part made here, its worth measured
by the product: what merit's figures are taken from.

An owner's gradient is the product's, over all of its rows; its noise is Gaussian, its norm a
multiple of the round's mean gradient's. Masks, ciphertexts and a wire's rounding are left out: they
add to a round's sum what it would have without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from protocol.arith.learning import models, worth
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import Training, apply_gradient, local_gradient
from protocol.arith.learning.worth_fit import estimate
from protocol.arith.learning.worth_record import append, decode
from protocol.books.merit import MAX_WEIGHT, merit_weights
from scripts.benchmarks.figures import BenchError

OWNERS, BLOCK, NOISE = 20, 5, 2.0

SEED = bytes(range(32))

#: Plain steps, as specs have them where they say nothing else, at a rate that is still learning
#: after 40 rounds.
TRAINING = Training(local_steps=1, batch_rows=1 << 20, rate=0.5, clip_norm=100.0)


class Part(Enum):
    """What an owner does. One that copies sends the last round's mean gradient, which two models
    tell whoever is in the job; `OLDER` sends that of four rounds before it, `MODEL` the weights
    themselves, turned round."""

    HONEST = "honest"
    ZERO = "zero"
    RANDOM = "random"
    COPY = "copying"
    OLDER = "older copy"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Case:
    """A data set in the clear: (rows, inputs), classes, and the model that is trained."""

    model: Model
    x: Floats
    y: Floats


def digits() -> Case:
    """1,797 images of 8 by 8, ten classes: 650 weights."""
    x, y = _datasets().load_digits(return_X_y=True)
    return Case(Model(Family.SOFTMAX, 64, 10), x / 16.0, y.astype(np.float64))


def tumours() -> Case:
    """569 rows of 30 numbers, two classes: 31 weights, so that noise has few ways to go."""
    x, y = _datasets().load_breast_cancer(return_X_y=True)
    low, high = x.min(axis=0), x.max(axis=0)
    return Case(Model(Family.LOGISTIC, 30), (x - low) / (high - low), y.astype(np.float64))


def _datasets() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise BenchError("scikit-learn is not installed: scripts/setup installs it") from error
    return datasets


Rows = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Job:
    """Owners' rows and parts, and the requester's hold-out: as it is, and as it is measured on."""

    model: Model
    owners: tuple[Rows, ...]
    parts: tuple[Part, ...]
    holdout: Rows
    measured_on: Rows
    training: Training = TRAINING


def job(
    case: Case,
    seed: int,
    wrong: Sequence[float] = (),
    parts: Mapping[int, Part] | None = None,
    holdout_wrong: float = 0.0,
) -> Job:
    """Rows dealt to OWNERS at random, a quarter held out. `wrong`: what share of each owner's
    labels is wrong (none, where it is empty), each another class at random."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(case.x))
    held, rest = np.split(order, [len(order) // 4])
    classes = max(case.model.classes, 2)

    def turned(y: Floats, share: float) -> Floats:
        bad = random.random(len(y)) < share
        return np.where(bad, (y + random.integers(1, classes, len(y))) % classes, y)

    shares = wrong or (0.0,) * OWNERS
    dealt = np.array_split(rest, OWNERS)
    owners = tuple(
        (case.x[rows], turned(case.y[rows], share))
        for rows, share in zip(dealt, shares, strict=True)
    )
    named = parts or {}
    return Job(
        case.model,
        owners,
        tuple(named.get(owner, Part.HONEST) for owner in range(OWNERS)),
        (case.x[held], case.y[held]),
        (case.x[held], turned(case.y[held], holdout_wrong)),
    )


@dataclass(slots=True)
class Played:
    """A job's rounds: the record of worth, each round's model and momentum before its step, and the
    mean norm of a gradient in it."""

    record: bytes | None = None
    standing: list[tuple[Floats, Floats | None]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


def play(played_by: Job, rounds: int, seed: int, noise: float = NOISE) -> Played:
    """All rounds, with every owner in each."""
    random = np.random.default_rng(seed)
    model, training = played_by.model, played_by.training
    weights, momentum = models.initial(model, SEED), None
    means: list[Floats] = []
    played = Played()
    for number in range(rounds):
        played.standing.append((weights, momentum))
        true = [gradient(played_by, owner, weights) for owner in range(OWNERS)]
        played.norms.append(float(np.mean([np.linalg.norm(each) for each in true])))
        sent = _sent(played_by, weights, means, true, noise * played.norms[-1], random)
        dealt = [np.sort(each) for each in random.permutation(OWNERS).reshape(-1, BLOCK)]
        blocks = [(np.mean([sent[m] for m in members], axis=0), BLOCK) for members in dealt]
        before = means[-1] if means else None
        known = (model, weights, momentum, training)
        values = worth.measure(*known, blocks, *played_by.measured_on, SEED, before)
        entries = [(tuple(map(int, m)), value) for m, value in zip(dealt, values, strict=True)]
        played.record = append(played.record, number, entries)
        means.append(worth.mean_of(blocks))
        weights, momentum = apply_gradient(model, weights, means[-1], training, momentum)
    return played


def _sent(
    played_by: Job,
    weights: Floats,
    means: Sequence[Floats],
    true: Sequence[Floats],
    noise: float,
    random: np.random.Generator,
) -> list[Floats]:
    """What each owner contributes, with noise of that norm."""
    norm = float(np.mean([np.linalg.norm(each) for each in true]))

    def drawn(length: float) -> Floats:
        each = random.normal(size=len(weights))
        return np.asarray(each * (length / np.linalg.norm(each)))

    nothing = np.zeros_like(weights)
    sends: Mapping[Part, Callable[[int], Floats]] = {
        Part.HONEST: lambda owner: true[owner] + drawn(noise),
        Part.ZERO: lambda _: nothing,
        Part.RANDOM: lambda _: drawn(np.hypot(norm, noise)),
        Part.COPY: lambda _: means[-1] if means else nothing,
        Part.OLDER: lambda _: means[-5] if len(means) > 4 else nothing,
        Part.MODEL: lambda _: -weights * norm / max(float(np.linalg.norm(weights)), 1e-9),
    }
    return [sends[part](owner) for owner, part in enumerate(played_by.parts)]


def gradient(played_by: Job, owner: int, weights: Floats) -> Floats:
    """An owner's gradient without noise."""
    rows = played_by.owners[owner]
    return local_gradient(played_by.model, weights, *rows, played_by.training, SEED)[0]


def worths(played: Played) -> Floats:
    """Members' worths as the product finds them; equal, where nothing tells."""
    if played.record is None:
        raise BenchError("no round was played")
    found = worth.worth_of_members(played.record, OWNERS, shuffled=True)
    return np.ones(OWNERS) if found is None else np.asarray(found)


def errors(played: Played) -> tuple[float, float, float]:
    """What a worth errs by, in parts of the mean worth: by values, as the product states it; at the
    least, by noise alone; and by own parts.

    The least is Cramer and Rao's bound for any unbiased estimate from the blocks' values: noise of
    norm v in d weights has the deviation v / sqrt(d) in the one direction that is looked at, a
    block's sum sqrt(BLOCK) of that, and R rounds tell (n - BLOCK) / (n - 1) of R differences.
    """
    if played.record is None:
        raise BenchError("no round was played")
    rounds = decode(played.record)
    observed = worth.observations(rounds)
    told, own = (estimate(observed, v, OWNERS) for v in (observed.values, observed.own))
    level = float(told.worths.mean())
    count = len(played.standing[0][0])
    noise = NOISE * float(np.sqrt(np.mean(np.square(played.norms)))) * np.sqrt(BLOCK / count)
    least = noise / np.sqrt(len(rounds) * (OWNERS - BLOCK) / (OWNERS - 1))
    own_error = float(own.errors.mean() / own.worths.mean())
    return float(told.errors.mean()) / level, float(least) / level, own_error


def shares(played: Played) -> Floats:
    """Each owner's share of a pot, in parts of an equal one: by weights, as evidence shows them."""
    weights = np.array(merit_weights(worths(played).tolist()), dtype=np.float64) / MAX_WEIGHT
    return weights / weights.mean() if weights.any() else np.ones(OWNERS)
