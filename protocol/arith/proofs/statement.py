"""What is proven, to whom, and in how many elements: everything that follows from public terms.

The statement: a dealer's `values` integers, as elements of the field, have an L2 norm of at most
`bound`. docs/spec/proofs.md derives each number here, and what a false proof's chances are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.arith.proofs.field import ELEMENT_BYTES
from protocol.errors import InputError
from protocol.params import (
    MAX_BLOCK,
    MAX_PROVEN_BOUND,
    MAX_PROVEN_VALUES,
    MIN_BLOCK,
    PROOF_SOUNDNESS_BITS,
    PROOF_TRIES_BITS,
)

#: Points at which polynomials are compared: a false identity survives one with 2^-51 at most.
POINTS: Final = 4

#: Places of the bits of the squared norm: MAX_PROVEN_BOUND squared has 38.
BIT_PLACES: Final = 64

#: A projection of an honest vector is beyond so many bounds with a chance below 2^-91: never.
TAIL: Final = 8

#: Range of the masks that hide projections, over that of the projections.
SPREAD: Final = 128


@dataclass(frozen=True)
class Statement:
    """A claim about `values` integers, dealt to `members`, any `threshold` of whom rebuild it, up
    to `corrupt` of whom lie.

    Raises InputError, naming the field, beyond the limits of params.py, or unless
    corrupt < threshold <= members - corrupt and 2 threshold > members + corrupt.
    """

    values: int
    bound: int
    members: int
    threshold: int
    corrupt: int

    def __post_init__(self) -> None:
        for name, number, low, high in (
            ("values", self.values, 1, MAX_PROVEN_VALUES),
            ("bound", self.bound, 1, MAX_PROVEN_BOUND),
            ("members", self.members, MIN_BLOCK, MAX_BLOCK),
            ("corrupt", self.corrupt, 0, self.members),
        ):
            if not low <= number <= high:
                raise InputError(f"is {number}, {low} to {high} are allowed", name)
        low, high = (self.members + self.corrupt) // 2 + 1, self.members - self.corrupt
        if not low <= self.threshold <= high:
            raise InputError(
                f"is {self.threshold}; of {self.members} members with {self.corrupt} corrupt, "
                f"{low} to {high} rebuild a secret",
                "threshold",
            )

    @cached_property
    def length(self) -> int:
        """Values on a wire: the power of two from 8 on that makes proof and word smallest, the
        lesser of two that do."""
        sizes = [1 << bits for bits in range(3, 13)]
        return min(sizes, key=lambda size: 2 * POINTS * -(-self.values // size) + 2 * size)

    @property
    def wires(self) -> int:
        """Wires: rows of the vector, the last filled up with zeros that nobody is dealt."""
        return -(-self.values // self.length)

    @property
    def bits(self) -> int:
        """Bits that the squared norm is told in."""
        return (self.bound**2).bit_length()

    @property
    def weights(self) -> tuple[int, ...]:
        """What each bit counts: powers of two, and for the last what is left of bound squared, so
        that bits make 0 to bound^2 and nothing else."""
        low = tuple(1 << place for place in range(self.bits - 1))
        return (*low, self.bound**2 - sum(low))

    @cached_property
    def rows(self) -> int:
        """Random projections: each leaves a false vector half a chance, and as many wrong vectors
        may be at stake as there are sets of `threshold` members. Two bits are to spare; a multiple
        of 8."""
        sets = math.comb(self.members, self.threshold)
        needed = PROOF_SOUNDNESS_BITS + PROOF_TRIES_BITS + 2 + (sets - 1).bit_length()
        return -(-needed // 8) * 8

    @property
    def tail(self) -> int:
        """The most that an honest vector's projection is."""
        return TAIL * self.bound

    @property
    def spread(self) -> int:
        """The most that the mask of a projection is."""
        return SPREAD * self.tail

    @property
    def window(self) -> int:
        """The most that a masked projection may be."""
        return self.spread - self.tail

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The elements of a piece, in order: the vector, then the proof."""
        return (
            ("vector", self.values),
            ("wire blinders", POINTS * self.wires),
            ("bits", self.bits),
            ("bit blinders", POINTS),
            ("squares", 2 * self.length + 2 * POINTS - 1),
            ("quotient", BIT_PLACES + 2 * POINTS - 1),
            ("masks", self.rows),
        )

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where each part of a piece lies."""
        found, start = {}, 0
        for name, count in self.parts:
            found[name] = slice(start, start + count)
            start += count
        return found

    @cached_property
    def elements(self) -> int:
        """Elements of a piece."""
        return sum(count for _, count in self.parts)

    @property
    def piece_bytes(self) -> int:
        """Bytes of a piece."""
        return ELEMENT_BYTES * self.elements

    @property
    def word_elements(self) -> int:
        """Elements of a word: at each point all wires, their squares, bits and quotient; the sum;
        masked projections."""
        return POINTS * (self.wires + 3) + 1 + self.rows

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return ELEMENT_BYTES * self.word_elements

    def allowance(self, present: int) -> int:
        """Wrong ones that can be corrected, and named, among `present` words or sums; below 0 too
        few are there to say anything.

        `corrupt` liars and threshold - 1 honest members stand behind another polynomial at most.
        So one that all but a of m members stand behind is the true one if
        m - a > threshold - 1 + corrupt.
        """
        return min(self.corrupt, present - self.threshold - self.corrupt)


def honest_bound(norm: float, values: int, deviation: float = 0.0) -> int:
    """The bound that an honest contribution keeps, in steps of the wire's grid.

    `norm` is the most that the vector's L2 norm is before rounding, in steps. Stochastic rounding
    moves each of `values` coordinates by less than one step, so the vector by less than
    sqrt(values). `deviation` is the noise's, in steps, 0 without: the norm of sub-Gaussian noise is
    at most deviation sqrt(d + 2 sqrt(d t) + 2 t) but with a chance of exp(-t) (Hsu, Kakade and
    Zhang 2012, Theorem 1), here 2^-40. Cutting a value off at the range's end makes it smaller.

    Raises InputError, naming the bound, where it is beyond params.MAX_PROVEN_BOUND: the grid is too
    fine.
    """
    exponent = 40 * math.log(2)
    noise = deviation * math.sqrt(values + 2 * math.sqrt(values * exponent) + 2 * exponent)
    found = math.ceil(norm + math.sqrt(values) + noise)
    if found > MAX_PROVEN_BOUND:
        raise InputError(
            f"is {found} steps of the grid, {MAX_PROVEN_BOUND} can be proven: fewer "
            "encryption.value_bits make the grid coarser",
            "bound",
        )
    return found
