"""Floats to signed integers of a declared width and scale, rounded stochastically.

The scale is fixed by the job's spec: an exponent that travelled would tell the magnitude of one
owner's gradient (docs/design.md, section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.arith.numbers.entropy import Entropy, draw
from protocol.errors import FatalError, InputError
from protocol.params import VALUE_BITS

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """[-clip, clip] on the integers [-max_int, max_int], max_int = 2^(value_bits - 1) - 1.

    The lowest two's-complement value is left out, so that the range is symmetric and a sum of k
    values is at most k x max_int either way. Raises InputError on a width outside
    params.VALUE_BITS or a clip that is not a finite number above 0.
    """

    value_bits: int
    clip: float

    def __post_init__(self) -> None:
        low, high = VALUE_BITS
        if not low <= self.value_bits <= high:
            raise InputError(f"is {self.value_bits}, {low} to {high} are allowed", "value_bits")
        if not (math.isfinite(self.clip) and self.clip > 0.0):
            raise InputError(f"is {self.clip}, must be above 0", "clip")

    @property
    def max_int(self) -> int:
        """The integer that stands for `clip`."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def step(self) -> float:
        """The distance of neighbouring values, in the unit of `clip`."""
        return self.clip / self.max_int

    def quantise(self, values: Floats, entropy: Entropy) -> Integers:
        """Integers whose expectation is values / step, for values within the clip.

        Stochastic rounding: x becomes floor(x) + 1 with probability x - floor(x), decided by 32
        fresh bits a value, so that the bias is at most 2^-32 of a step. Values outside the clip
        saturate at it (an honest gradient has none but by float error, see training.py). Raises
        FatalError on a value that is not finite.
        """
        if not np.isfinite(values).all():
            raise FatalError("a value to be quantised is not finite")
        scaled = np.clip(values / self.step, -self.max_int, self.max_int)
        floor = np.floor(scaled)
        coins = np.frombuffer(draw(entropy, 4 * values.size), dtype="<u4").reshape(values.shape)
        # coin < fraction * 2^32 has probability ceil(fraction * 2^32) / 2^32, and never holds for 0
        up = coins < (scaled - floor) * 2.0**32
        return np.asarray(floor, dtype=np.int64) + up

    def restore(self, integers: Integers, summands: int = 1) -> Floats:
        """The mean of `summands` quantised values, from their integer sum."""
        if summands < 1:
            raise FatalError(f"a mean over {summands} summands")
        return np.asarray(integers, dtype=np.float64) * (self.step / summands)
