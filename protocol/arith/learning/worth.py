"""The worth of contributions: measured block by block, told member by member.

A requester that holds rows out measures each round, after its blocks' sums are opened. The value of
a block is the Shapley value of the linearised game: the inner product of its sum with the direction
in which the model gets better on those rows (over rounds: Wang et al. 2020, 'A principled approach
to data valuation for federated learning'). In noise this varies far less than a difference of
losses. It sees block sums alone: no gradient of a single owner enters. Over the job, values become
worths of members by running means or by regression; docs/spec/worth.md says which and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from protocol.arith.learning import models
from protocol.arith.learning.models import Floats, Model
from protocol.arith.learning.training import Training, apply_gradient
from protocol.arith.learning.worth_fit import Observations, fit
from protocol.arith.learning.worth_record import MAX_VALUE, MeasuredRound, decode
from protocol.arith.numbers.entropy import checked_seed, uniform_from_seed
from protocol.errors import FatalError
from protocol.params import MAX_COHORT, TELLING_BLOCKS

#: Rows that the direction is taken on: a sample of a larger hold-out, the same in every round.
MEASURED_ROWS: Final = 4096

#: No worth counts for more than this many times the median of the positive ones: an inner product
#: grows with whatever a member multiplies its gradient by.
MOST: Final = 2.0

#: A direction's new part below this, of at most 1, is too near to rounding to be told from it.
_NOTHING_NEW: Final = 1e-6

#: A block's value, and what of it is its own: that no known model or mean gradient could give.
Value: TypeAlias = tuple[float, float]


def measure(
    model: Model,
    weights: Floats,
    momentum: Floats | None,
    training: Training,
    blocks: Sequence[tuple[Floats, int]],
    x: Floats,
    y: Floats,
    seed: bytes,
    before: Floats | None,
) -> tuple[Value, ...]:
    """Each block's value in a round, and its own part, in the unit of a gradient.

    `weights` and `momentum` (None before the first round) are the model's before the step, `blocks`
    the opened mean gradients g_b with their weights n_b, in any order; (x, y) the requester's own
    rows, as models.py states them, in no owner's training set; `before` the mean gradient of the
    last round that was measured, which every owner can compute from two models, or None.

    With G and G' the gradients of the mean wrongness (models.wrongness_gradient) before the step
    and after it, u = (G + G') / (|G| + |G'|), the value is n_b <u, g_b>. By the trapezium rule that
    is, in parts of the direction's length, what the block adds to the round's gain (exact where
    wrongness is quadratic in the weights). The own part is n_b <u', g_b>, u' the part of u that is
    orthogonal to `before`, at length 1 (u itself, where there is none): whoever sends that again,
    at any length, has 0.

    Zeros where a value is no number, or beyond MAX_VALUE: such a model tells nothing. Two gradients
    on at most MEASURED_ROWS rows, whatever the number of blocks. `seed` (32 bytes) draws the rows.
    Raises InputError for rows that do not fit the model, FatalError for blocks that do not.
    """
    features, targets = _sample(*models.check_rows(model, x, y), seed)
    for number, (gradient, contributors) in enumerate(blocks):
        if gradient.shape != weights.shape or contributors < 1:
            raise FatalError(
                f"block {number} has a gradient of shape {gradient.shape} from {contributors}, "
                f"expected {weights.shape} from 1 or more"
            )
    if len(blocks) > MAX_COHORT:
        raise FatalError(f"{len(blocks)} blocks; a job has at most {MAX_COHORT} members")
    if not blocks:
        return ()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        moved, _ = apply_gradient(model, weights, mean_of(blocks), training, momentum)
        ends = [models.wrongness_gradient(model, w, features, targets) for w in (weights, moved)]
        direction = (ends[0] + ends[1]) / sum(float(np.linalg.norm(end)) for end in ends)
        new = direction if before is None else _without(direction, before)
        values = [
            (float(np.vdot(direction, gradient)) * number, float(np.vdot(new, gradient)) * number)
            for gradient, number in blocks
        ]
    if not (np.abs(values) <= MAX_VALUE).all():  # false for what is no number, too
        return ((0.0, 0.0),) * len(blocks)
    return tuple(values)


def mean_of(blocks: Sequence[tuple[Floats, int]]) -> Floats:
    """The mean gradient of a round's blocks, weighed as the round's own step weighs them."""
    contributors = sum(number for _, number in blocks)
    mean = np.zeros_like(blocks[0][0])
    for gradient, number in blocks:
        mean += gradient * (number / contributors)
    return mean


def _without(direction: Floats, before: Floats) -> Floats:
    """The part of `direction` that is orthogonal to `before`, at length 1; nothing, if it is next
    to nothing: then what is new cannot be told from what is known."""
    length = float(np.linalg.norm(before))
    if not length:
        return direction
    unit = before / length
    left = direction - unit * float(np.vdot(unit, direction))
    left -= unit * float(np.vdot(unit, left))  # what rounding left of it
    size = float(np.linalg.norm(left))
    return np.asarray(left / size if size > _NOTHING_NEW else np.zeros_like(left))


def _sample(x: Floats, y: Floats, seed: bytes) -> tuple[Floats, Floats]:
    """All rows, or MEASURED_ROWS of them."""
    checked_seed(seed)
    if len(x) <= MEASURED_ROWS:
        return x, y
    keys = uniform_from_seed(seed, "worth/rows", len(x))
    chosen = np.sort(np.argsort(keys, kind="stable")[:MEASURED_ROWS])
    return x[chosen], y[chosen]


def worth_of_members(record: bytes, member_count: int, shuffled: bool) -> tuple[float, ...] | None:
    """Each member's worth per contribution, by index, signed; None where nothing tells them apart.

    Fixed blocks: the mean, over the rounds recorded for a member, of its block's value divided by
    its block's size. Shuffled blocks: worth_fit.py's regression. Means and least squares are
    unbiased whatever a round's noise; a maximum would pay for it. No worth is more than MOST times
    the median of those that are positive.

    None, which means equal: no row; three blocks in fewer than half of the rounds; shuffled, and
    too few rounds to tell (worth_fit.fit). A member that no round recorded has 0. Raises Malformed
    for a malformed record, FatalError if it names a member beyond `member_count`.
    """
    rounds = decode(record)
    for each in rounds:
        if each.members.size and int(each.members.max()) >= member_count:
            raise FatalError(
                f"round {each.number} records member {int(each.members.max())} of {member_count}"
            )
    # With two blocks nobody can say which of them is the odd one; with one nothing is compared.
    telling = [each for each in rounds if len(each.values) >= TELLING_BLOCKS]
    if not telling or 2 * len(telling) < len(rounds):
        return None
    if not shuffled:
        return _bounded(_means(rounds, member_count))
    worths = fit(observations(telling), member_count)
    if worths is None:
        return None
    seen = np.zeros(member_count, dtype=bool)
    for each in rounds:
        seen[each.members] = True
    return _bounded(np.where(seen, worths, 0.0))


def _bounded(worths: Floats) -> tuple[float, ...]:
    positive = worths[worths > 0.0]
    if positive.size:
        worths = np.minimum(worths, MOST * float(np.median(positive)))
    return tuple(worths.tolist())


def _means(rounds: Sequence[MeasuredRound], member_count: int) -> Floats:
    totals = np.zeros(member_count)
    counts = np.zeros(member_count)
    for each in rounds:
        totals[each.members] += np.repeat(each.values / each.sizes, each.sizes)
        counts[each.members] += 1.0
    return np.divide(totals, counts, out=totals, where=counts > 0.0)


def observations(rounds: Sequence[MeasuredRound]) -> Observations:
    """A record's rounds as worth_fit.py takes them."""
    return Observations(
        values=np.concatenate([each.values for each in rounds]),
        own=np.concatenate([each.own for each in rounds]),
        sizes=np.concatenate([each.sizes for each in rounds]),
        members=np.concatenate([each.members for each in rounds]),
        rounds=np.repeat(np.arange(len(rounds)), [len(each.values) for each in rounds]),
    )
