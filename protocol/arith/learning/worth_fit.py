"""Members' worths from the values of blocks that change every round: a regression, then a mixture.

A block's value is modelled as the worths of its members, plus the round's worth to each
contribution, plus noise:

    y_b = sum of d_m over the members m of b  +  |b| u_r  +  noise,      b a block of round r.

u_r is free, so that nobody is paid for having been there when the model improved fastest: members
are compared with those of the same round alone. d minimises |P (y - A d)|^2 + c |d|^2, A the
incidence of members in blocks, P the projection that takes the u_r out, and c a small ridge (Hoerl
and Kennard 1970). Solved by conjugate gradients on the normal equations; A is never built: applying
it costs one addition for each contribution. The worth t_m of m is d_m plus the mean value of a
contribution, with a standard error s_m from the residuals.

*What is left of chance.* A member either adds nothing (its worth is 0) or is one of many (its worth
is normal with some mean and variance): a spike and a slab (Mitchell and Beauchamp 1988), fitted to
all members by expectation and maximisation (Dempster, Laird and Rubin 1977), with IDLE of them in
the spike at first sight. What is paid is the slab's posterior mean, times the probability that the
member is of the slab: by its values, and once more by its own parts, which are 0 for a copy of what
is known. Neither probability counts where the slab is within FAINT standard errors of nothing:
there no test tells who adds nothing, and doubt speaks for equal worths.

*When it tells*: with TELLING_ROUNDS rounds at least and as many equations (blocks - 1 a round) as
members. Otherwise there is no estimate. Nothing is drawn, and nothing is chosen by comparison:
weights vary smoothly with the values, so that an auditor's last bits do not turn a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Floats
from protocol.params import TELLING_ROUNDS

Indices = npt.NDArray[np.intp]

#: The ridge, in units of a member's mean number of rounds: it bounds the condition number where
#: equations are barely enough, and draws worths by less than a hundredth towards equal elsewhere.
RIDGE: Final = 1.0 / 256.0

#: The part of members that is taken to add nothing before anything is known of them. The higher,
#: the less an idle owner keeps, and the more an honest one loses by bad luck (docs/spec/worth.md).
IDLE: Final = 0.75

#: Standard errors below which the slab is not told from nothing; from one more on it is, fully.
FAINT: Final = 2.0

#: Steps of expectation and maximisation. They settle within some tens.
_STEPS: Final = 100

#: A standard error is at least this part of the worths' own size: where blocks fit exactly, what is
#: left are roundings.
_LEAST: Final = 1e-6

#: Relative residual at which a solution is one: far below any noise.
_RESIDUAL: Final = 1e-12
_ITERATIONS: Final = 800


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Blocks of all rounds: value, own part, size and round (0, 1, ... ascending) of each, and
    their members, block by block."""

    values: Floats
    own: Floats
    sizes: Indices
    members: Indices
    rounds: Indices


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Each seen member's worth per contribution by least squares, and its standard error."""

    worths: Floats
    errors: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What a member's worth is, if it adds anything; and the probability that it does, as far as
    the estimates can tell."""

    slab: Floats
    adds: Floats


def fit(observed: Observations, member_count: int) -> Floats | None:
    """Each member's worth per contribution, or None if the rounds do not tell (see above).

    A member that was in no block has 0.
    """
    count = int(observed.rounds[-1]) + 1 if len(observed.rounds) else 0
    seen = np.bincount(observed.members, minlength=member_count) > 0
    if count < TELLING_ROUNDS or len(observed.values) - count < int(np.count_nonzero(seen)):
        return None
    if not np.any(observed.values):
        return None
    found = np.zeros(member_count)
    told = mixture(estimate(observed, observed.values, member_count))
    adds = told.adds
    if np.any(observed.own != observed.values):
        if not np.any(observed.own):
            return found
        adds = adds * mixture(estimate(observed, observed.own, member_count)).adds
    found[seen] = told.slab * adds
    return found


def estimate(observed: Observations, values: Floats, member_count: int) -> Estimate:
    """Least squares of `values`, one a block, for the members that were in a block.

    The error of m is s / sqrt(D_m (1 - g)): s^2 the residuals' mean square by the degrees of
    freedom, D_m the sum over m's rounds of 1 - |b|^2 / (sum of |b|^2), g members by equations (what
    Marchenko and Pastur's law makes of 1 / D_m where memberships are drawn at random).
    """
    scale = float(np.abs(values).max())
    system = _System(observed, member_count)
    appearances = np.bincount(observed.members, minlength=member_count)
    seen = appearances > 0
    members = int(np.count_nonzero(seen))
    y = values / scale  # no square under- or overflows
    deviations = system.solve(y, RIDGE * len(observed.members) / members)
    fitted = system.sum_members(deviations)
    level = float(y.sum() - fitted.sum()) / len(observed.members)
    left = system.centre(y - fitted)
    equations = len(y) - int(observed.rounds[-1]) - 1
    spread = float(np.vdot(left, left)) / (equations - (members - 1))
    told = system.told()[seen] * (1.0 - (members - 1) / equations)
    worths = deviations[seen] + level
    size = float(np.sqrt(np.mean(worths**2)))
    # A member that was only in rounds of one block was never compared: nothing is known of it.
    errors = np.sqrt(spread / np.maximum(told, 1e-12))
    return Estimate(scale * worths, scale * np.maximum(errors, _LEAST * size))


def mixture(told: Estimate) -> Mixture:
    """The spike and the slab that fit the estimates best, and what they make of each member."""
    scale = float(np.abs(told.worths).max())
    if not scale:
        return Mixture(np.zeros_like(told.worths), np.ones_like(told.worths))
    worths, squares = told.worths / scale, (told.errors / scale) ** 2
    mean, variance = float(worths.mean()), max(float(worths.var() - squares.mean()), 0.0)
    adds, prior = np.full_like(worths, 1.0 - IDLE), float(np.log((1.0 - IDLE) / IDLE))
    for _ in range(_STEPS):
        whole = variance + squares
        # The logarithm of slab by spike, each a normal density at the estimate.
        odds = np.log(squares / whole) + worths**2 / squares - (worths - mean) ** 2 / whole
        odds = np.clip(0.5 * odds + prior, -500.0, 500.0)
        adds = 1.0 / (1.0 + np.exp(-odds))
        if not (total := float(adds.sum())) > 1e-9:
            break
        mean = float(np.vdot(adds, worths)) / total
        variance = max(float(np.vdot(adds, (worths - mean) ** 2 - squares)) / total, 0.0)
    slab = (mean * squares + worths * variance) / (squares + variance)
    power = np.sqrt((mean**2 + variance) / squares)
    sure = np.clip(power - FAINT, 0.0, 1.0)
    return Mixture(scale * slab, 1.0 - sure * (1.0 - adds))


class _System:
    """A and P of some blocks, as functions."""

    def __init__(self, observed: Observations, member_count: int) -> None:
        self._members = observed.members
        self._member_count = member_count
        self._starts = np.cumsum(observed.sizes) - observed.sizes
        self._counts = observed.sizes
        self._sizes = observed.sizes.astype(np.float64)
        self._rounds = observed.rounds
        self._squares = np.bincount(self._rounds, weights=self._sizes**2)

    def sum_members(self, worths: Floats) -> Floats:
        """A d: for each block, the sum over its members."""
        return np.asarray(np.add.reduceat(worths[self._members], self._starts))

    def told(self) -> Floats:
        """The diagonal of A' P A."""
        return self._give_members(1.0 - self._sizes**2 / self._squares[self._rounds])

    def _give_members(self, values: Floats) -> Floats:
        """A' v: for each member, the sum over its blocks."""
        spread = np.repeat(values, self._counts)
        sums = np.bincount(self._members, weights=spread, minlength=self._member_count)
        return np.asarray(sums, dtype=np.float64)

    def centre(self, values: Floats) -> Floats:
        """P v: less each round's least-squares worth of a contribution, times the block's size."""
        each = np.bincount(self._rounds, weights=self._sizes * values) / self._squares
        return np.asarray(values - self._sizes * each[self._rounds])

    def _normal(self, worths: Floats, ridge: float) -> Floats:
        return np.asarray(
            self._give_members(self.centre(self.sum_members(worths))) + ridge * worths
        )

    def solve(self, values: Floats, ridge: float) -> Floats:
        """(A' P A + ridge) d = A' P y, by conjugate gradients (Hestenes and Stiefel 1952)."""
        residual = self._give_members(self.centre(values))
        worths = np.zeros(self._member_count)
        direction = residual.copy()
        squared = float(np.vdot(residual, residual))
        enough = (_RESIDUAL**2) * squared
        for _ in range(_ITERATIONS):
            if squared <= enough:
                break
            image = self._normal(direction, ridge)
            step = squared / float(np.vdot(direction, image))
            worths += step * direction
            residual -= step * image
            previous, squared = squared, float(np.vdot(residual, residual))
            direction = residual + (squared / previous) * direction
        return worths
