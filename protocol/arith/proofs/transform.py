"""Number-theoretic transforms: a polynomial's values at the 2^k-th roots of unity, and back.

The roots of order 2^k are the powers of ROOT^(2^(32 - k)). Rows of an array are transformed side by
side (Cooley and Tukey 1965, radix 2).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from protocol.arith.proofs.field import (
    ROOT,
    ROOT_ORDER_BITS,
    Elements,
    P,
    add,
    elements,
    multiply,
    powers,
    subtract,
)
from protocol.errors import FatalError


def root(order: int) -> int:
    """The primitive root of unity of `order`, a power of two up to 2^32."""
    bits = order.bit_length() - 1
    if order != 1 << bits or bits > ROOT_ORDER_BITS:
        raise FatalError(f"no root of unity of order {order}")
    return pow(ROOT, 1 << (ROOT_ORDER_BITS - bits), P)


def values_of(coefficients: Elements) -> Elements:
    """Each row's values at the powers of `root(length)`, in their order; the length of a row is a
    power of two, the first coefficient the constant one."""
    return _transformed(coefficients, root(coefficients.shape[1]))


def coefficients_of(values: Elements) -> Elements:
    """The inverse of `values_of`."""
    length = values.shape[1]
    found = _transformed(values, pow(root(length), -1, P))
    return multiply(found, np.uint64(pow(length, -1, P)))


def _transformed(rows: Elements, generator: int) -> Elements:
    count, length = rows.shape
    found = rows[:, _reversed_order(length)]
    half = 1
    while half < length:
        twiddles = _twiddles(pow(generator, length // (2 * half), P), half)
        pairs = found.reshape(count, length // (2 * half), 2, half)
        even = pairs[:, :, 0]
        odd = multiply(pairs[:, :, 1], twiddles)
        found = np.stack((add(even, odd), subtract(even, odd)), axis=2).reshape(count, length)
        half *= 2
    return found


@cache
def _twiddles(generator: int, half: int) -> Elements:
    return np.asarray(powers(elements([generator]), half)[0])


@cache
def _reversed_order(length: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    bits = length.bit_length() - 1
    order = [int(f"{index:0{bits}b}"[::-1], 2) if bits else 0 for index in range(length)]
    return np.array(order, dtype=np.intp)
