"""The numbers behind an owner's noise: its plan, its charges, and the grid that all owners share.

Pure mathematics over the spec's public terms, so that requester and owners come to the same values.
docs/spec/privacy.md states the mechanism and proves its guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from protocol.errors import InputError
from protocol.params import VALUE_BITS

#: The L2 norm of a record of norm `clip_norm`, in units of the grid that noise is added on. Fine
#: enough that cutting off fractions costs nothing; 2^24 records still sum below 2^54.
RECORD_NORM: Final = 1 << 30

#: Steps of the wire's grid that one record may move a contribution by, at the least. Noise of a
#: multiplier above 1/8 then has a deviation above one step, and rounding it to whole steps shifts
#: its mean by less than 2 exp(-2 pi^2) of a step: it adds no bias and hardly any variance.
MIN_RECORD_STEPS: Final = 8

#: So many deviations of noise fit in the wire's range: 1 value in 10^15 lies beyond.
_DEVIATIONS: Final = 8


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """How one owner's data set takes part in one noisy job, fixed when the job is reserved.

    `rate` in (0, 1]: each row's probability of being in a round's sample. `multiplier`: deviation
    of the noise over the sensitivity, which is RECORD_NORM on the grid.
    """

    rate: float
    multiplier: float

    def __post_init__(self) -> None:
        if not 0.0 < self.rate <= 1.0:
            raise InputError(f"is {self.rate}, must lie in (0, 1]", "rate")
        if not (math.isfinite(self.multiplier) and self.multiplier > 0.0):
            raise InputError(f"is {self.multiplier}, must be above 0", "multiplier")


@dataclass(frozen=True, slots=True, order=True)
class Charge:
    """`steps` rounds under one plan, as the accountant composes them."""

    rate: float
    multiplier: float
    steps: int


def sampling_rate(batch_rows: int, rows: int) -> float:
    """Each row's probability of being sampled: `batch_rows` rows are expected, or all there are."""
    if rows < 1:
        raise InputError("the data set has no rows", "dataset")
    return min(1.0, batch_rows / rows)


def multiplier_bound(epsilon: float, delta: float, rounds: int) -> float:
    """A noise multiplier that suffices for (epsilon, delta) over `rounds`, sampling disregarded.

    From zero-concentrated privacy (Bun and Steinke 2016): T rounds of multiplier s are rho-zCDP
    with rho = T / 2 s^2, hence (rho + 2 sqrt(rho ln(1/delta)), delta)-DP (Proposition 1.3). Solved
    for s, with L = ln(1/delta): s = sqrt(T / 2) (sqrt(L + epsilon) + sqrt(L)) / epsilon. It sets
    the wire's range alone; the accountant sets the noise itself.
    """
    log = -math.log(delta)
    return math.sqrt(rounds / 2) * (math.sqrt(log + epsilon) + math.sqrt(log)) / epsilon


def noise_clip(
    clip_norm: float, batch_rows: int, rounds: int, epsilon: float | None, delta: float
) -> float:
    """The value that the largest integer of a contribution stands for (FixedPoint's clip).

    Without noise `clip_norm` itself. With noise: a sample of twice the expected rows, all pointing
    one way, and `_DEVIATIONS` deviations of noise on top; what lies beyond is cut to it, after the
    noise, so that this costs no privacy.
    """
    if epsilon is None:
        return clip_norm
    bound = multiplier_bound(epsilon, delta, rounds)
    return clip_norm * (2.0 + _DEVIATIONS * bound / batch_rows)


def record_steps(
    value_bits: int, batch_rows: int, rounds: int, epsilon: float, delta: float
) -> float:
    """How many steps of the wire's grid one record may move a contribution by (its L2 norm)."""
    max_int = (1 << (value_bits - 1)) - 1
    return max_int / (batch_rows * noise_clip(1.0, batch_rows, rounds, epsilon, delta))


def check_resolution(
    value_bits: int, batch_rows: int, rounds: int, epsilon: float, delta: float
) -> None:
    """Raises InputError, naming encryption.value_bits and what would do, where the wire's grid is
    too coarse for one record to be seen on it (MIN_RECORD_STEPS)."""
    steps = record_steps(value_bits, batch_rows, rounds, epsilon, delta)
    if steps < MIN_RECORD_STEPS:
        wanted = value_bits + math.ceil(math.log2(MIN_RECORD_STEPS / steps))
        way = "a larger epsilon, or fewer rounds"
        if wanted <= VALUE_BITS[1]:
            way = f"{wanted} bits give them; else {way}"
        raise InputError(
            f"is {value_bits}: with the range that noise needs, a record of norm clip_norm is "
            f"{steps:.2g} steps of the grid, at least {MIN_RECORD_STEPS} are needed; {way}",
            "encryption.value_bits",
        )
