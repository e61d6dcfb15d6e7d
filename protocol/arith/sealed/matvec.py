"""A matrix of plain integers times a vector of ciphertexts: prod_j c_j^m_ij modulo n^2, row by row.

Under Paillier that is the encryption of M x, for ciphertexts of x: what a sealed model's owner
computes (docs/design.md, section 6). Nothing here hides M: a sender must blind the result first.

*One exponent range.* An entry m of b bits in two's complement is u - 2^(b-1) with 0 <= u < 2^b.
Every row then needs the same factor (prod_j c_j)^(-2^(b-1)), and no base needs an inverse but their
product: squaring it b-1 times is what Horner's rule over the bits of u does to its start anyway.

*Shared tables.* What is left is a matrix of bits, b rows for each row of M, and squarings (Straus,
'Addition chains of vectors', Amer. Math. Monthly 71, 1964). Its columns are cut into strips, the
products of all subsets of a strip's bases are written down once, and each row of bits takes one of
them from each strip (the 'four Russians': Arlazarov, Dinic, Kronrod and Faradzev 1970; Lupanov
1956 for rectifier networks; Lim and Lee, CRYPTO '94, for one base cut into pieces). For entries of
H bits in all no method does with much fewer than H / log2 H products (Pippenger, 'On the evaluation
of powers and monomials', SIAM J. Comput. 9, 1980): half of these, for square matrices; the way
there, his second level of tables, gains little at a few hundred rows.

*Arithmetic.* Units are a (1 + b n), as in obfuscation.py: residues a have n's length, b's add up.
A step multiplies a number modulo n^2 by a residue: 1.8 times faster than by a number modulo n^2.
For a subset p of a strip, r_p its residue and ~p its complement, r_p r_~p is the strip's whole
product A modulo n. So the table holds A b_p, for which no inverse is needed, and A is inverted once
a strip.

*Time.* It follows the shape and `entry_bits`, and nothing else to the count of multiplications; but
operands and table look-ups follow the entries, so that this is not constant-time against a program
on the same computer. The entries come from a noised statistic (docs/design.md, section 6): what
time tells of them is no more than the requester may know. Left to itself, `entry_bits` follows the
largest entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from protocol.errors import FatalError

#: The widest entries: their offset form has to fit 64 signed bits.
MAX_ENTRY_BITS: Final = 62

#: Entries of all tables: some 60 MB at 3072 bits. Reached from 1,000 columns.
_MAX_ENTRIES: Final = 1 << 17

#: Columns of a strip: patterns are 16-bit numbers.
_MAX_STRIP: Final = 16

#: In steps, measured at 2048 and 3072 bits: a squaring modulo n^2, an entry of a table, reading an
#: entry's part of the exponent, and adding a strip's to a row's.
_SQUARING: Final = 1.4
_ENTRY: Final = 1.0
_PART: Final = 0.1
_STRIP: Final = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """How a product of one shape is computed: its columns in `strips`, column j in strip
    j modulo `strips`, sizes differing by one at most."""

    rows: int
    columns: int
    entry_bits: int
    strips: int

    @classmethod
    def cheapest(cls, rows: int, columns: int, entry_bits: int) -> Plan:
        """The number of strips that costs least, within the limit on tables."""
        least = max(1, math.ceil(columns / _MAX_STRIP))
        plans = [cls(rows, columns, entry_bits, strips) for strips in range(least, columns)]
        within = [plan for plan in plans if plan.entries <= _MAX_ENTRIES]
        single = cls(rows, columns, entry_bits, columns)
        return min([*within, single], key=lambda plan: plan.cost)

    @property
    def entries(self) -> int:
        """Entries of all tables, the empty products among them."""
        if not self.columns:
            return 0
        size, larger = divmod(self.columns, self.strips)
        return (self.strips + larger) << size

    @property
    def steps(self) -> int:
        """Products of a number modulo n^2 and a residue."""
        return self.rows * self.entry_bits * self.strips

    @property
    def squarings(self) -> int:
        """Squarings modulo n^2."""
        return self.rows * (self.entry_bits - 1)

    @property
    def cost(self) -> float:
        """Everything, in steps."""
        return (
            self.steps * (1 + _PART)
            + self.squarings * _SQUARING
            + self.entries * _ENTRY
            + self.rows * self.strips * _STRIP
        )


def cost(rows: int, columns: int, entry_bits: int) -> float:
    """The cost of `multiply` for a matrix of `rows` x `columns` entries of `entry_bits` signed
    bits, in steps: products of a number modulo n^2 and one of n's length, reduced modulo n^2."""
    return Plan.cheapest(rows, columns, entry_bits).cost


def signed_bits(matrix: npt.NDArray[np.int64]) -> int:
    """The least b with -2^(b-1) <= m < 2^(b-1) for all entries m; at least 1."""
    if not matrix.size:
        return 1
    low, high = int(matrix.min()), int(matrix.max())
    return max(~low if low < 0 else 0, high).bit_length() + 1


def multiply(
    n: int,
    ciphertexts: Sequence[mpz],
    matrix: npt.NDArray[np.int64],
    entry_bits: int | None = None,
) -> list[mpz]:
    """prod_j ciphertexts[j] ** matrix[i, j] modulo n^2, in [1, n^2), for each row i.

    `matrix` is (rows, columns), `ciphertexts` has `columns` units modulo n^2. `entry_bits` is the
    length of all entries in two's complement: give the one that the job fixes, and time does not
    depend on the largest entry; None takes the least that holds them.

    Memory: two numbers modulo n^2 a row, two bytes a step, and tables of 2^17 residues at most, or
    two a column: 14 MB together for 257 x 257 entries of 16 bits at 3072 bits.

    Raises FatalError if the shapes do not fit, an entry does not fit `entry_bits`, which are at
    most 62, or a ciphertext is no unit: read_batch has checked that.
    """
    if matrix.ndim != 2 or matrix.dtype != np.int64 or matrix.shape[1] != len(ciphertexts):
        raise FatalError(
            f"a matrix of shape {matrix.shape} and type {matrix.dtype} does not multiply "
            f"{len(ciphertexts)} ciphertexts: expected are two dimensions, one column each, int64"
        )
    needed = signed_bits(matrix)
    bits = needed if entry_bits is None else entry_bits
    if not needed <= bits <= MAX_ENTRY_BITS:
        raise FatalError(
            f"entries of {needed} signed bits, {bits} allowed: expected are {needed} to "
            f"{MAX_ENTRY_BITS}"
        )
    rows, columns = matrix.shape
    if not rows or not columns:
        return [mpz(1)] * rows
    plan = Plan.cheapest(rows, columns, bits)
    modulus = mpz(n)
    start = _inverse(ciphertexts, modulus * modulus)
    patterns = _patterns(matrix, plan)
    tables, exponents = [], [mpz(0)] * rows
    for strip in range(plan.strips):
        residues, parts, inverse = _table(ciphertexts[strip :: plan.strips], modulus)
        _add_parts(exponents, parts, inverse, patterns[:, :, strip], modulus)
        tables.append(residues)
    return [
        _power(start, tables, patterns[row].tolist(), exponents[row], modulus)
        for row in range(rows)
    ]


def _inverse(ciphertexts: Sequence[mpz], n_squared: mpz) -> mpz:
    """1 / prod_j ciphertexts[j] modulo n^2."""
    product = mpz(1)
    for ciphertext in ciphertexts:
        product = product * ciphertext % n_squared
    try:
        return pow(product, -1, n_squared)
    except ValueError as error:
        raise FatalError("a ciphertext to multiply is no unit modulo n") from error


def _patterns(matrix: npt.NDArray[np.int64], plan: Plan) -> npt.NDArray[np.uint16]:
    """(rows, entry_bits, strips), top bits first: bit i of a pattern is the bit of the strip's
    i-th column, of entries plus 2^(entry_bits - 1)."""
    offset = matrix + (1 << (plan.entry_bits - 1))
    shifts = np.arange(plan.entry_bits)[::-1, None]
    patterns = np.empty((plan.rows, plan.entry_bits, plan.strips), np.uint16)
    for strip in range(plan.strips):
        entries = offset[:, None, strip :: plan.strips]
        weights = 1 << np.arange(entries.shape[2])
        patterns[:, :, strip] = (entries >> shifts & 1) @ weights
    return patterns


def _table(bases: Sequence[mpz], n: mpz) -> tuple[list[mpz], list[mpz], mpz]:
    """Of the products of all subsets of `bases`, the subset's bits its index: residues modulo n;
    exponents b, times the product A of all modulo n (not reduced: 2 len(bases) n^2 at most); 1 / A.

    r_p a_j is r_(p, j) + e n, so that of the product of p's and {j}'s units, b is their b's sum and
    e / r_(p, j); and 1 / r_p is r_~p / A. ~index counts from the list's end: the complement.
    """
    residues, carries = [mpz(1)], [mpz(0)]
    for base in bases:
        carry, residue = divmod(base, n)
        grown = [divmod(product * residue, n) for product in residues[1:]]
        carries += [carry, *(more for more, _ in grown)]
        residues += [residue, *(product for _, product in grown)]
    parts = [mpz(0)]
    for position in range(len(bases)):
        base = 1 << position
        first = carries[base] * residues[~base]
        parts.append(first)
        parts += [
            parts[low] + first + carries[base + low] * residues[~(base + low)]
            for low in range(1, base)
        ]
    return residues, parts, pow(residues[-1], -1, n)


def _add_parts(
    exponents: list[mpz],
    parts: Sequence[mpz],
    inverse: mpz,
    patterns: npt.NDArray[np.uint16],
    n: mpz,
) -> None:
    """Adds to each row's exponent, not reduced, what one strip's patterns, (rows, entry_bits),
    bring."""
    for row, digits in enumerate(patterns.tolist()):
        part = parts[digits[0]]
        for digit in digits[1:]:
            part = (part << 1) + parts[digit]
        exponents[row] += part % n * inverse


def _power(
    start: mpz, tables: Sequence[Sequence[mpz]], patterns: list[list[int]], exponent: mpz, n: mpz
) -> mpz:
    """One row: Horner's rule over `patterns`, then times 1 + exponent n."""
    n_squared, product = n * n, start
    for position, digits in enumerate(patterns):
        if position:  # (r + q n)^2: 1.25 times faster than squaring modulo n^2; below 2 n^2
            quotient, residue = divmod(product, n)
            product = residue * residue + 2 * residue * quotient % n * n
        for residues, digit in zip(tables, digits, strict=True):
            product = product * residues[digit] % n_squared
    quotient, residue = divmod(product, n)
    return residue + (quotient + residue * exponent) % n * n
