"""The worth of contributions: measured block by block, told member by member.

A requester that holds rows out measures each round, after its blocks' sums are opened. The value of
a block is its Shapley value in the game 'how much lower is the loss on the rows held out after a
step on the mean of these blocks' (Ghorbani and Zou 2019; over rounds: Wang et al. 2020, 'A
principled approach to data valuation for federated learning'). It sees block sums alone: no
gradient of a single owner enters. Over the job, values become worths of members by running means or
by regression; docs/spec/worth.md says which and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol.arith.learning import models
from protocol.arith.learning.models import Floats, Model
from protocol.arith.learning.shapley import shapley
from protocol.arith.learning.training import Training, apply_gradient
from protocol.arith.learning.worth_fit import Observations, fit
from protocol.arith.learning.worth_record import MAX_VALUE, MeasuredRound, decode
from protocol.arith.numbers.entropy import uniform_from_seed
from protocol.errors import FatalError
from protocol.params import MAX_COHORT, TELLING_BLOCKS

#: Rows that one coalition's loss is taken on: a round's sample of a larger holdout. Differences
#: between coalitions on the same rows vary far less than losses do, and rounds draw anew.
MEASURED_ROWS: Final = 4096

#: A coalition's loss counts as at most this many times what it is without any block. Otherwise one
#: round in which one block throws the model far would outweigh the job: nearly everybody's worth
#: would be how much they diluted it.
LOSS_CAP: Final = 2.0


def measure(
    model: Model,
    weights: Floats,
    momentum: Floats | None,
    training: Training,
    blocks: Sequence[tuple[Floats, int]],
    x: Floats,
    y: Floats,
    seed: bytes,
) -> tuple[float, ...]:
    """The Shapley value of each block in a round, in units of the model's loss.

    `weights` and `momentum` (None before the first round) are the model's before the step, `blocks`
    the opened mean gradients with their numbers of contributors, in any order; (x, y) the
    requester's own rows, as models.py states them, in no owner's training set. v(S) is minus the
    loss (without ridge) after `apply_gradient` on the mean of the blocks in S, weighed by
    contributors as the round's own step weighs them; v of no block is the model moved by ridge and
    momentum alone. Values add up to v(all) - v(none). Zeros where the loss without any
    block is beyond MAX_VALUE or no number: such a model tells nothing.

    At most max(256, 2 len(blocks)) steps and losses: about (rows + contributors) x parameters
    multiplications each. `seed` (32 bytes) draws rows and orders; the same arguments give the same
    values on the same machine. Raises InputError for rows that do not fit the model, FatalError for
    blocks that do not.
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

    def loss_after(coalition: int) -> float:
        chosen = [b for i, b in enumerate(blocks) if coalition >> i & 1]
        contributors = sum(number for _, number in chosen)
        mean = np.zeros_like(weights)
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it meets the cap
            for gradient, number in chosen:
                mean += gradient * (number / contributors)
            moved, _ = apply_gradient(model, weights, mean, training, momentum)
            return models.loss(model, moved, features, targets)

    start = loss_after(0)
    worst = LOSS_CAP * start  # and so no value is beyond it either way
    if not worst <= MAX_VALUE:
        return (0.0,) * len(blocks)

    def utility(coalition: int) -> float:
        loss = loss_after(coalition) if coalition else start
        return -loss if loss < worst else -worst  # a loss that is not a number counts as worst

    return shapley(len(blocks), utility, seed)


def _sample(x: Floats, y: Floats, seed: bytes) -> tuple[Floats, Floats]:
    """All rows, or MEASURED_ROWS of them."""
    if len(x) <= MEASURED_ROWS:
        return x, y
    keys = uniform_from_seed(seed, "worth/rows", len(x))
    chosen = np.sort(np.argsort(keys, kind="stable")[:MEASURED_ROWS])
    return x[chosen], y[chosen]


def worth_of_members(record: bytes, member_count: int, shuffled: bool) -> tuple[float, ...] | None:
    """Each member's worth per contribution, by index, signed; None where nothing tells them apart.

    Fixed blocks: the mean, over the rounds recorded for a member, of its block's value divided by
    its block's size. Shuffled blocks: worth_fit.py's regression. Means and least squares are
    unbiased whatever a round's noise; a maximum would pay for it.

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
    # With two blocks, a bad one's harm is mostly the other's gain; with one nothing is compared.
    telling = [each for each in rounds if len(each.values) >= TELLING_BLOCKS]
    if not telling or 2 * len(telling) < len(rounds):
        return None
    if not shuffled:
        return tuple(_means(rounds, member_count).tolist())
    worths = fit(_observations(telling), member_count)
    if worths is None:
        return None
    seen = np.zeros(member_count, dtype=bool)
    for each in rounds:
        seen[each.members] = True
    return tuple(np.where(seen, worths, 0.0).tolist())


def _means(rounds: Sequence[MeasuredRound], member_count: int) -> Floats:
    totals = np.zeros(member_count)
    counts = np.zeros(member_count)
    for each in rounds:
        totals[each.members] += np.repeat(each.values / each.sizes, each.sizes)
        counts[each.members] += 1.0
    return np.divide(totals, counts, out=totals, where=counts > 0.0)


def _observations(rounds: Sequence[MeasuredRound]) -> Observations:
    return Observations(
        values=np.concatenate([each.values for each in rounds]),
        sizes=np.concatenate([each.sizes for each in rounds]),
        members=np.concatenate([each.members for each in rounds]),
        rounds=np.repeat(np.arange(len(rounds)), [len(each.values) for each in rounds]),
    )
