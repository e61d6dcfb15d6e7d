"""What the sides of the encrypted product share: what is multiplied, and what has to come out."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def drawn(seed: int, rows: int, columns: int, bits: int) -> Integers:
    """(rows, columns) signed integers of `bits` bits, all of them equally likely."""
    high = 1 << (bits - 1)
    return np.random.default_rng(seed).integers(-high, high, (rows, columns), dtype=np.int64)


def matrix(rows: int, columns: int, bits: int) -> Integers:
    """The matrix, in the clear."""
    return drawn(1, rows, columns, bits)


def weights(columns: int, classes: int, bits: int) -> Integers:
    """The weights, (columns, classes), that travel encrypted."""
    return drawn(2, columns, classes, bits)


def packed(values: Integers, lane_bits: int) -> list[int]:
    """Each row of `values` as one plaintext: sum_k v_k 2^(lane_bits k), signed."""
    return [
        sum(value << (lane_bits * lane) for lane, value in enumerate(row))
        for row in values.tolist()
    ]


def digest(values: Integers) -> int:
    """Tells whether two sides have the same result."""
    return zlib.crc32(np.ascontiguousarray(values, dtype="<i8").tobytes())
