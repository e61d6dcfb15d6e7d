"""Shamir's sharing (CACM 1979) of vectors: member i of a block is dealt the value at x = i + 1.

Any `threshold` shares rebuild a vector, and fewer tell nothing of it, because the coefficients of
its polynomials are uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol.arith.proofs.field import Elements, P, joined, product
from protocol.arith.proofs.field import elements as as_elements

_MASK: Final = np.uint64(2**32 - 1)
_32: Final = np.uint64(32)

#: Elements of all members that are dealt at a time: they stay in a core's cache.
_BLOCK: Final = 8192


def deal(secrets: Elements, coefficients: Elements, members: int) -> Elements:
    """(members, n): shares of n secrets. `coefficients` is (threshold - 1, n); row i goes with
    x^(i + 1)."""
    rows = np.concatenate((secrets.reshape(1, -1), coefficients), axis=0)
    found = np.empty((members, secrets.size), dtype=np.uint64)
    step = max(1, _BLOCK // members)
    for start in range(0, secrets.size, step):
        part = slice(start, start + step)
        found[:, part] = _values(rows[:, part], members)
    return found


def _values(rows: Elements, members: int) -> Elements:
    """Horner's rule at 1 to `members`, on halves of 32 bits, which only now and then are reduced:
    a step multiplies them by less than 2^b, b the length of `members`, and adds less than 2^32."""
    x = np.arange(1, members + 1, dtype=np.uint64).reshape(-1, 1)
    room = 31 // members.bit_length()
    low = np.broadcast_to(rows[-1] & _MASK, (members, rows.shape[1]))
    high = np.broadcast_to(rows[-1] >> _32, (members, rows.shape[1]))
    for step, row in enumerate(rows[-2::-1], start=1):
        low, high = low * x + (row & _MASK), high * x + (row >> _32)
        if step % room == 0:
            whole = joined(low, high)
            low, high = whole & _MASK, whole >> _32
    return joined(low, high)


def weights(points: Sequence[int], at: Sequence[int]) -> Elements:
    """(len(at), len(points)): Lagrange's weights, by which values at `points`, distinct integers,
    make the values at `at` of the polynomial of lowest degree through them."""
    table = []
    for x in at:
        for i in points:
            above = below = 1
            for j in points:
                if j != i:
                    above, below = above * (x - j) % P, below * (i - j) % P
            table.append(above * pow(below, -1, P))
    return as_elements(table).reshape(len(at), len(points))


def interpolated(points: Sequence[int], values: Elements, at: Sequence[int]) -> Elements:
    """(len(at), n): the values at `at` of the n polynomials that have row i of `values` at
    points[i]."""
    return product(weights(points, at), values)
