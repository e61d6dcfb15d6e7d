"""The prime field of p = 2^64 - 2^32 + 1 elements, on arrays of uint64.

It is Field64 of draft-irtf-cfrg-vdaf: one element is one machine word, p - 1 is divisible by 2^32,
and a product reduces with shifts, because 2^64 = 2^32 - 1 and 2^96 = -1 modulo p. Every array that
goes in or comes out holds numbers below p. No function changes its arguments.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol.arith.numbers.fixedpoint import Integers
from protocol.errors import FatalError, Malformed

Elements: TypeAlias = npt.NDArray[np.uint64]

P: Final = 2**64 - 2**32 + 1

#: 7 generates the multiplicative group; this power of it has order 2^32 (the draft's GEN).
ROOT: Final = pow(7, (P - 1) >> 32, P)
ROOT_ORDER_BITS: Final = 32

ELEMENT_BYTES: Final = 8

_P: Final = np.uint64(P)
_HALF: Final = np.uint64((P - 1) // 2)
_EPSILON: Final = np.uint64(2**32 - 1)  # 2^64 modulo p; also the mask of a word's lower half
_32: Final = np.uint64(32)

#: Limbs of 22, 22 and 20 bits: 512 products of two limbs sum below 2^53, exactly, as floats.
_LIMB: Final = np.uint64(22)
_LIMB_MASK: Final = np.uint64((1 << 22) - 1)
_EXACT_TERMS: Final = 512

#: Elements that are multiplied at a time.
_BLOCK: Final = 4096


def elements(numbers: list[int]) -> Elements:
    """Integers of any size and sign, modulo p. For a few numbers: it works one by one."""
    return np.array([number % P for number in numbers], dtype=np.uint64)


def add(a: Elements, b: Elements | np.uint64) -> Elements:
    """a + b, element by element."""
    total = a + b
    return np.asarray(total + _EPSILON * ((total < a) | (total >= _P)))


def subtract(a: Elements, b: Elements) -> Elements:
    """a - b, element by element."""
    return np.asarray(a - b - _EPSILON * (a < b))


def multiply(a: Elements, b: Elements | np.uint64) -> Elements:
    """a times b, element by element; shapes are broadcast."""
    shape = np.broadcast_shapes(a.shape, np.shape(b))
    size = math.prod(shape)
    if size <= _BLOCK:
        return _multiplied(a, b)
    # A piece at a time: its dozen intermediate results then stay in a core's cache.
    found = np.empty(shape, dtype=np.uint64)
    wide, other = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    rows = max(1, _BLOCK * shape[0] // size)
    for start in range(0, shape[0], rows):
        if len(shape) > 1 and rows == 1 and size > _BLOCK * shape[0]:
            found[start] = multiply(wide[start], other[start])
        else:
            part = slice(start, start + rows)
            found[part] = _multiplied(wide[part], other[part])
    return found


def total(a: Elements, axis: int = 0) -> Elements:
    """The sum along an axis, of at most 2^32 elements."""
    low = np.sum(a & _EPSILON, axis=axis, dtype=np.uint64, keepdims=True)
    high = np.sum(a >> _32, axis=axis, dtype=np.uint64, keepdims=True)
    return np.squeeze(joined(np.asarray(low), np.asarray(high)), axis=axis)


def joined(low: Elements, high: Elements) -> Elements:
    """low + 2^32 high modulo p, for any words."""
    bottom = np.asarray(low + (high << _32))
    return _reduced(bottom, np.asarray((high >> _32) + (bottom < low)))


def product(a: Elements, b: Elements) -> Elements:
    """The matrix product. Limbs are multiplied as floats, by the machine's BLAS, and stay exact."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise FatalError(f"no product of matrices {a.shape} and {b.shape}")
    rows, columns = a.shape[0], b.shape[1]
    found = np.zeros((rows, columns), dtype=np.uint64)
    for start in range(0, a.shape[1], _EXACT_TERMS):
        part = slice(start, start + _EXACT_TERMS)
        left = np.concatenate(_limbs(a[:, part]), axis=0)
        right = np.concatenate(_limbs(b[part]), axis=1)
        whole = (left @ right).astype(np.uint64).reshape(3, rows, 3, columns)
        for weight in range(5):
            pairs = [(i, weight - i) for i in range(3) if 0 <= weight - i < 3]
            limb = sum((whole[i, :, j] for i, j in pairs[1:]), whole[pairs[0][0], :, pairs[0][1]])
            found = add(found, multiply(limb, np.uint64(pow(2, 22 * weight, P))))
    return found


def combined(a: Elements, b: Elements) -> Elements:
    """Each row of the matrix `a` times the vector `b`, summed: the product, where it is a few
    numbers."""
    return total(multiply(a, b.reshape(1, -1)), axis=1)


def powers(bases: Elements, count: int) -> Elements:
    """Row i holds bases[i]^0 to bases[i]^(count - 1)."""
    table = np.ones((bases.size, 1), dtype=np.uint64)
    step = bases.reshape(-1, 1)
    while table.shape[1] < count:
        table = np.concatenate((table, multiply(table, step)), axis=1)
        step = multiply(step, step)
    return table[:, :count]


def from_integers(integers: Integers) -> Elements:
    """Signed integers of less than 2^63 as elements."""
    return np.asarray(integers.astype(np.uint64) + _P * (integers < 0))


def to_integers(a: Elements) -> Integers:
    """The integers of least magnitude that elements stand for: within (p - 1) / 2."""
    return np.asarray((a - _P * (a > _HALF)).astype(np.int64))


def encode(a: Elements) -> bytes:
    """8 bytes an element, little-endian."""
    return a.astype("<u8").tobytes()


def decode(data: bytes | memoryview, count: int, name: str) -> Elements:
    """`count` elements. Raises Malformed, beginning with `name`, on another length or a number
    of p or more, which has no place in the field."""
    if len(data) != ELEMENT_BYTES * count:
        raise Malformed(f"{name} has {len(data)} bytes, {count} elements take {8 * count}")
    found = np.frombuffer(data, dtype="<u8").astype(np.uint64)
    if found.size and int(found.max()) >= P:
        raise Malformed(f"{name}: element {int(np.argmax(found >= _P))} is not below p")
    return found


def _multiplied(a: Elements, b: Elements | np.uint64) -> Elements:
    """By four products of halves."""
    a0, a1 = a & _EPSILON, a >> _32
    b0, b1 = b & _EPSILON, b >> _32
    low, cross, other = a0 * b0, a0 * b1, a1 * b0
    middle = (low >> _32) + (cross & _EPSILON) + (other & _EPSILON)
    high = a1 * b1 + (cross >> _32) + (other >> _32) + (middle >> _32)
    return _reduced((low & _EPSILON) | (middle << _32), np.asarray(high))


def _limbs(a: Elements) -> list[npt.NDArray[np.float64]]:
    """The limbs of each element, the lowest first."""
    return [
        (a & _LIMB_MASK).astype(np.float64),
        ((a >> _LIMB) & _LIMB_MASK).astype(np.float64),
        (a >> (_LIMB + _LIMB)).astype(np.float64),
    ]


def _reduced(low: Elements, high: Elements) -> Elements:
    """low + 2^64 high modulo p."""
    top = high >> _32
    found = low - top
    found -= _EPSILON * (low < top)  # 2^96 = -1: what was borrowed is 2^64, hence epsilon
    middle = (high & _EPSILON) * _EPSILON
    found += middle
    found += _EPSILON * (found < middle)
    return np.asarray(found + _EPSILON * (found >= _P))
