"""Many signed values in one plaintext: lanes of equal width, read as balanced digits.

A plaintext is sum_i v_i 2^(w i) modulo n, v_i signed. Lanes of two's complement would borrow from
each other when they are added; balanced digits do not: as long as every summed v_i stays in
[-2^(w-1), 2^(w-1)), the digits are unique and decode one by one from the low lane up. All lanes of
a vector are decoded at once here by adding the constant sum_i 2^(w-1) 2^(w i), which turns balanced
digits into plain ones: bits that numpy can cut. Eight lanes are w bytes: where lane i of eight
begins in them is the same for all, so eight strided copies move a whole vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from protocol.errors import FatalError, InputError, PeerError
from protocol.params import MAX_COHORT, VALUE_BITS

Integers = npt.NDArray[np.int64]

#: Plaintexts packed at a time: scratch space stays in a core's second-level cache.
_GROUP: Final = 64


class SumOutOfRange(PeerError):
    """A decrypted sum is no sum of honest values: somebody in the block sent another number.

    The sum alone does not tell who, so the block is dropped.
    """


@dataclass(frozen=True, slots=True)
class Lanes:
    """The layout of values of `value_bits` bits, up to `summands` of them added, in a plaintext.

    Width is value_bits + ceil(log2(summands)): a value's magnitude stays below 2^(value_bits - 1),
    so `summands` of them stay below 2^(width - 1). `key_bits` is the length of n; the packed
    integer keeps two bits away from it, so that its magnitude stays below 2^(key_bits - 2) < n / 2
    and its sign survives the reduction modulo n.
    """

    value_bits: int
    summands: int
    key_bits: int

    def __post_init__(self) -> None:
        low, high = VALUE_BITS
        if not low <= self.value_bits <= high:
            raise InputError(f"is {self.value_bits}, {low} to {high} are allowed", "value_bits")
        if not 1 <= self.summands <= MAX_COHORT:
            raise InputError(f"is {self.summands}, 1 to {MAX_COHORT} are allowed", "summands")
        if self.lanes_per_ciphertext < 1:
            raise InputError(f"is {self.key_bits}, no lane of {self.width} bits fits", "key_bits")

    @property
    def width(self) -> int:
        """Bits of a lane."""
        return self.value_bits + (self.summands - 1).bit_length()

    @property
    def lanes_per_ciphertext(self) -> int:
        """Values in one plaintext."""
        return (self.key_bits - 2) // self.width

    @property
    def max_int(self) -> int:
        """The largest magnitude of a single value."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def headroom(self) -> int:
        """How many batches may be added before a lane could overflow; at least `summands`."""
        return ((1 << (self.width - 1)) - 1) // self.max_int

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts hold `values` values."""
        return -(-values // self.lanes_per_ciphertext)

    def ciphertext_bytes(self, values: int) -> int:
        """Bytes of those ciphertexts: each is a number modulo n^2."""
        return self.ciphertexts(values) * 2 * ((self.key_bits + 7) // 8)

    def check_summands(self, summands: int) -> None:
        """Raises FatalError if so many batches may not be added in this layout."""
        if not 1 <= summands <= self.headroom:
            raise FatalError(f"{summands} batches to add, lanes have room for {self.headroom}")

    def pack(self, values: Integers) -> list[mpz]:
        """Signed plaintexts of `values` (one dimension), the last one filled up with zeros.

        Raises FatalError if a value's magnitude is above `max_int`.
        """
        if values.ndim != 1 or values.dtype != np.int64:
            raise FatalError(f"values to pack are {values.dtype} of shape {values.shape}")
        if values.size and max(int(values.max()), -int(values.min())) > self.max_int:
            raise FatalError(f"a value to pack is beyond {self.max_int}")
        lanes, half = self.lanes_per_ciphertext, 1 << (self.width - 1)
        offset = _offset(self.width, lanes)
        packed: list[mpz] = []
        for start in range(0, values.size, _GROUP * lanes):
            part = values[start : start + _GROUP * lanes]
            digits = np.full(self.ciphertexts(part.size) * lanes, half, dtype="<u8")
            digits[: part.size] = part + half
            rows = self._join(digits.reshape(-1, lanes))
            packed.extend(mpz.from_bytes(row, "little") - offset for row in rows)
        return packed

    def unpack(self, plaintexts: Sequence[int], values: int) -> Integers:
        """The `values` balanced digits of signed plaintexts, low lane first.

        Raises SumOutOfRange, naming the ciphertext, if a plaintext holds more than its lanes (the
        remainder above the last lane is not zero) or a lane past the last value is not zero.
        Raises FatalError on another number of plaintexts than `values` take.
        """
        if len(plaintexts) != self.ciphertexts(values):
            raise FatalError(
                f"{len(plaintexts)} plaintexts where {values} values take "
                f"{self.ciphertexts(values)}"
            )
        lanes, width = self.lanes_per_ciphertext, self.width
        offset, size = mpz(_offset(width, lanes)), self._row_bytes
        result = np.empty(len(plaintexts) * lanes, dtype=np.int64)
        for start in range(0, len(plaintexts), _GROUP):
            part = plaintexts[start : start + _GROUP]
            buffer = bytearray()
            for index, plaintext in enumerate(part, start):
                shifted = plaintext + offset
                if shifted < 0 or shifted.bit_length() > width * lanes:
                    raise SumOutOfRange(
                        f"plaintext {index} does not end with lane {lanes - 1}: its remainder "
                        "there is not zero"
                    )
                buffer += shifted.to_bytes(size, "little")
            digits = self._cut(np.frombuffer(buffer, dtype=np.uint8).reshape(len(part), size))
            values_here = digits.view(np.int64) - (1 << (width - 1))
            result[start * lanes : (start + len(part)) * lanes] = values_here.reshape(-1)
        beyond = np.flatnonzero(result[values:])
        if beyond.size:
            raise SumOutOfRange(
                f"lane {values + int(beyond[0])} lies past the last value, not zero"
            )
        return result[:values]

    def check_sum(self, sums: Integers, summands: int) -> None:
        """Raises SumOutOfRange, naming lane, value and bound, if a lane is no sum of `summands`
        values of at most `max_int`; FatalError if so many may not be added at all."""
        self.check_summands(summands)
        check_magnitudes(sums, summands, self.max_int)

    @property
    def _row_bytes(self) -> int:
        """Bytes of a plaintext's lanes, filled up to a multiple of eight lanes."""
        return -(-self.lanes_per_ciphertext // 8) * self.width

    def _join(self, digits: npt.NDArray[np.uint64]) -> list[bytes]:
        """Rows of digits below 2^width, one a lane, as little-endian numbers."""
        count, lanes = digits.shape
        padded = np.zeros((count, -(-lanes // 8), 8), dtype="<u8")
        padded.reshape(count, -1)[:, :lanes] = digits
        padded <<= _shifts(self.width)
        octets = padded.view(np.uint8).reshape(count, -1, 8, 8)
        joined = np.zeros((count, octets.shape[1], self.width), dtype=np.uint8)
        for lane, first, last in _spans(self.width):
            joined[..., first:last] |= octets[..., lane, : last - first]
        flat = joined.tobytes()
        size = self._row_bytes
        return [flat[start : start + size] for start in range(0, len(flat), size)]

    def _cut(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """The inverse of `_join`: (rows, lanes) digits."""
        groups = rows.reshape(len(rows), -1, self.width)
        octets = np.zeros((*groups.shape[:2], 8, 8), dtype=np.uint8)
        for lane, first, last in _spans(self.width):
            octets[..., lane, : last - first] = groups[..., first:last]
        digits = octets.view("<u8")[..., 0] >> _shifts(self.width)
        digits &= np.uint64((1 << self.width) - 1)
        return digits.reshape(len(rows), -1)[:, : self.lanes_per_ciphertext]


def check_magnitudes(sums: Integers, summands: int, max_int: int) -> None:
    """Raises SumOutOfRange, naming lane, value and bound, if a lane is no sum of `summands` values
    of at most `max_int`."""
    bound = summands * max_int
    over = np.flatnonzero((sums > bound) | (sums < -bound))
    if over.size:
        lane = int(over[0])
        raise SumOutOfRange(
            f"lane {lane} holds {int(sums[lane])}, {summands} values of at most "
            f"{max_int} give no more than {bound} ({over.size} such lanes)"
        )


def _spans(width: int) -> list[tuple[int, int, int]]:
    """(lane, first byte, byte after the last) of each of eight lanes. A lane of at most 44 bits
    touches at most 7 bytes: with its shift it fits a word of eight."""
    return [(i, i * width // 8, -(-(i + 1) * width // 8)) for i in range(8)]


def _shifts(width: int) -> npt.NDArray[np.uint64]:
    """How far into its first byte each of eight lanes begins."""
    return np.arange(0, 8 * width, width, dtype="<u8") % np.uint64(8)


@lru_cache(maxsize=64)
def _offset(width: int, count: int) -> int:
    """sum over `count` lanes of 2^(width - 1) 2^(width i)."""
    return ((1 << (width * count)) - 1) // ((1 << width) - 1) << (width - 1)
