"""Polynomials over GF(2^128) modulo 1 + x + x^2 + x^7 + x^128: values in the place of coefficients.

Elements are integers below 2^128, bit k the coefficient of x^k, as pycryptodome's Shamir has them.
Secrets are only ever shifted and added here, by bits of numbers that everybody knows, so that what
a product takes does not hang on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

_BITS: Final = 128
#: Bits that a product of two elements has at most, before it is reduced.
_LANE: Final = 2 * _BITS
_ELEMENT: Final = (1 << _BITS) - 1


def continued(values: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Polynomials at more places: each of `values` is one's, at 0, 1 and so on, and fixes it.

    Returns, for each place from len(values[0]) to `count`, the value of every polynomial there.
    """
    places = len(values[0])
    lanes = [sum(each[at] << _LANE * k for k, each in enumerate(values)) for at in range(places)]
    found = []
    for weights in _weights(places, count):
        total = 0
        for lane, shifts in zip(lanes, weights, strict=True):
            for shift in shifts:
                total ^= lane << shift
        found.append([_reduced(total >> _LANE * k) for k in range(len(values))])
    return found


@cache
def _weights(places: int, count: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Lagrange's weight of the value at each known place, for each place from `places` to `count`;
    each as the numbers of its bits."""
    inverses = [
        _inverse(_product(at ^ other for other in range(places) if other != at))
        for at in range(places)
    ]
    rows = []
    for x in range(places, count + 1):
        row = []
        for at in range(places):
            above = _product(x ^ other for other in range(places) if other != at)
            weight = _times(above, inverses[at])
            row.append(tuple(bit for bit in range(_BITS) if weight >> bit & 1))
        rows.append(tuple(row))
    return tuple(rows)


def _product(factors: Iterable[int]) -> int:
    total = 1
    for factor in factors:
        total = _times(total, factor)
    return total


def _times(one: int, other: int) -> int:
    """The product of two elements that are no secrets."""
    total = 0
    while other:
        low = other & -other
        total ^= one * low
        other ^= low
    return _reduced(total)


def _inverse(one: int) -> int:
    """One to the power of 2^128 - 2."""
    total = 1
    for _ in range(_BITS - 1):
        one = _times(one, one)
        total = _times(total, one)
    return total


def _reduced(product: int) -> int:
    """The element that the lowest 256 bits are; x^128 is 1 + x + x^2 + x^7."""
    product &= (1 << _LANE) - 1
    for _ in range(2):
        high = product >> _BITS
        product = (product & _ELEMENT) ^ high ^ high << 1 ^ high << 2 ^ high << 7
    return product
