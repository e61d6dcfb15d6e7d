"""Members' worths from the values of blocks that change every round: ridge regression.

A block's value is modelled as the worths of its members, plus the round's worth to each
contribution, plus noise:

    y_b = sum of d_m over the members m of b  +  |b| u_r  +  noise,      b a block of round r.

u_r is free, so that nobody is paid for having been there when the model improved fastest: members
are compared with those of the same round alone. d is shrunk towards 0, that is, towards equal
worth: it minimises  |P (y - A d)|^2 + c |d|^2,  A the incidence of members in blocks, P the
projection that takes the u_r out (Hoerl and Kennard 1970; as the posterior mean, c is the variance
of the noise over that of d). Solved by conjugate gradients on the normal equations; A is never
built: applying it costs one addition for each contribution.

*How strong*: c runs over 4^j x (mean number of rounds a member was in), j = 2 down to -4. Each is
judged by how well it predicts rounds that it has not seen, in 4-fold cross-validation over rounds
(fold = place of the round modulo 4); d = 0, equal worths, is judged with them, as the strongest.
The strongest is taken whose error exceeds the least one by at most one standard error of that
difference over the folds (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3): doubt speaks
for equal worths, and no owner is paid for luck.

*When it tells*: with 4 rounds at least, with as many equations (blocks - 1 a round) as members, and
if the choice is not equal worths. Otherwise there is no estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Floats
from protocol.params import TELLING_ROUNDS

Indices = npt.NDArray[np.intp]

#: Folds of the cross-validation, and so the fewest rounds that tell.
FOLDS: Final = TELLING_ROUNDS

#: Strengths of the shrinkage, strongest first, in units of a member's mean number of rounds.
STRENGTHS: Final = tuple(4.0**j for j in range(2, -5, -1))

#: Relative residual at which a solution is one: far below any noise. The weakest shrinkage has a
#: condition number near 4^4 x the spread of A'A, and ends in about 100 iterations.
_RESIDUAL: Final = 1e-8
_ITERATIONS: Final = 400


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Blocks of all rounds: value, size and round (0, 1, ... ascending) of each, and their members,
    block by block."""

    values: Floats
    sizes: Indices
    members: Indices
    rounds: Indices

    def of(self, chosen: npt.NDArray[np.bool_]) -> Observations:
        """The chosen blocks alone."""
        return Observations(
            self.values[chosen],
            self.sizes[chosen],
            self.members[np.repeat(chosen, self.sizes)],
            self.rounds[chosen],
        )


def fit(observed: Observations, member_count: int) -> Floats | None:
    """Each member's worth per contribution, or None if the rounds do not tell (see above).

    The mean worth of all contributions plus d_m; a member that was in no block has the mean.
    """
    count = int(observed.rounds[-1]) + 1 if len(observed.rounds) else 0
    appearances = np.bincount(observed.members, minlength=member_count)
    seen = int(np.count_nonzero(appearances))
    if count < FOLDS or len(observed.values) - count < seen:
        return None
    size = float(np.abs(observed.values).max())
    if not size:
        return None
    observed = replace(observed, values=observed.values / size)  # no square under- or overflows
    scale = len(observed.members) / seen
    strength = _cross_validate(observed, member_count, scale)
    if strength is None:
        return None
    system = _System(observed, member_count)
    deviations = system.solve(strength * scale, np.zeros(member_count))
    left = float(observed.values.sum() - system.sum_members(deviations).sum())
    return np.asarray(size * (deviations + left / len(observed.members)))


def _cross_validate(observed: Observations, member_count: int, scale: float) -> float | None:
    """The strength to take, or None for equal worths."""
    errors = np.empty((FOLDS, 1 + len(STRENGTHS)))
    for fold in range(FOLDS):
        held = observed.rounds % FOLDS == fold
        known = _System(observed.of(~held), member_count)
        asked = _System(observed.of(held), member_count)
        errors[fold, 0] = np.vdot(asked.centred, asked.centred)
        deviations = np.zeros(member_count)
        for number, strength in enumerate(STRENGTHS, 1):
            # From the strongest down, each solution is a good start for the next.
            deviations = known.solve(strength * scale, deviations)
            missed = asked.centred - asked.centre(asked.sum_members(deviations))
            errors[fold, number] = np.vdot(missed, missed)
    excess = errors - errors[:, [int(np.argmin(errors.sum(axis=0)))]]
    doubt = excess.std(axis=0, ddof=1) * np.sqrt(FOLDS)
    taken = int(np.argmax(excess.sum(axis=0) <= doubt))  # the first; the best one is among them
    return STRENGTHS[taken - 1] if taken else None


class _System:
    """A, P and y of some blocks, as functions."""

    def __init__(self, observed: Observations, member_count: int) -> None:
        self._members = observed.members
        self._member_count = member_count
        self._starts = np.cumsum(observed.sizes) - observed.sizes
        self._counts = observed.sizes
        self._sizes = observed.sizes.astype(np.float64)
        _, self._rounds = np.unique(observed.rounds, return_inverse=True)
        self._squares = np.bincount(self._rounds, weights=self._sizes**2)
        self.centred = self.centre(observed.values)
        self._right = self._give_members(self.centred)

    def sum_members(self, worths: Floats) -> Floats:
        """A d: for each block, the sum over its members."""
        return np.asarray(np.add.reduceat(worths[self._members], self._starts))

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

    def solve(self, ridge: float, start: Floats) -> Floats:
        """(A' P A + ridge) d = A' P y, by conjugate gradients (Hestenes and Stiefel 1952)."""
        worths = start.copy()
        residual = self._right - self._normal(worths, ridge)
        direction = residual.copy()
        squared = float(np.vdot(residual, residual))
        enough = (_RESIDUAL**2) * float(np.vdot(self._right, self._right))
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
