"""Many signed values in one plaintext: lanes of equal width, read as balanced digits.

A plaintext is sum_i v_i 2^(w i) modulo n, v_i signed. Lanes of two's complement would borrow from
each other when they are added; balanced digits do not: as long as every summed v_i stays in
[-2^(w-1), 2^(w-1)), the digits are unique and decode one by one from the low lane up. All lanes of
a vector are decoded at once here by adding the constant sum_i 2^(w-1) 2^(w i), which turns balanced
digits into plain ones: bits that numpy can cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from protocol.errors import FatalError, InputError, PeerError
from protocol.params import MAX_COHORT, VALUE_BITS

Integers = npt.NDArray[np.int64]

#: Ciphertexts packed at a time: bounds the bit-per-byte scratch space to a few megabytes.
_GROUP = 64


class SumOutOfRange(PeerError):
    """What was decrypted is no sum of honest values: somebody in the block sent another number.

    Nobody can tell who from the sum alone: the block is dropped.
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

    def pack(self, values: Integers) -> list[int]:
        """Signed plaintexts of `values` (one dimension), the last one filled up with zeros.

        Raises FatalError if a value's magnitude is above `max_int`.
        """
        if values.ndim != 1 or values.dtype != np.int64:
            raise FatalError(f"values to pack are {values.dtype} of shape {values.shape}")
        if values.size and max(int(values.max()), -int(values.min())) > self.max_int:
            raise FatalError(f"a value to pack is beyond {self.max_int}")
        half, offset = 1 << (self.width - 1), _offset(self.width, self.lanes_per_ciphertext)
        group = _GROUP * self.lanes_per_ciphertext
        packed: list[int] = []
        for start in range(0, values.size, group):
            part = values[start : start + group]
            digits = np.full((self.ciphertexts(part.size), self.lanes_per_ciphertext), half, "<u8")
            digits.reshape(-1)[: part.size] = (part + half).astype("<u8")
            bits = np.unpackbits(digits[..., None].view(np.uint8), axis=-1, bitorder="little")
            rows = np.packbits(
                bits[..., : self.width].reshape(len(digits), -1), axis=1, bitorder="little"
            )
            packed.extend(int.from_bytes(row.tobytes(), "little") - offset for row in rows)
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
        count, width = self.lanes_per_ciphertext, self.width
        offset = _offset(width, count)
        size = (width * count + 7) // 8
        result = np.empty(len(plaintexts) * count, dtype=np.int64)
        for start in range(0, len(plaintexts), _GROUP):
            part = plaintexts[start : start + _GROUP]
            buffer = bytearray()
            for index, plaintext in enumerate(part, start):
                shifted = plaintext + offset
                if shifted < 0 or shifted.bit_length() > width * count:
                    raise SumOutOfRange(
                        f"plaintext {index} does not end with lane {count - 1}: its remainder "
                        "there is not zero"
                    )
                buffer += shifted.to_bytes(size, "little")
            rows = np.frombuffer(buffer, dtype=np.uint8).reshape(len(part), size)
            bits = np.unpackbits(rows, axis=1, count=width * count, bitorder="little")
            wide = np.zeros((len(part), count, 64), dtype=np.uint8)
            wide[..., :width] = bits.reshape(len(part), count, width)
            digits = np.packbits(wide, axis=-1, bitorder="little").view("<u8")[..., 0]
            lanes = digits.astype(np.int64) - (1 << (width - 1))
            result[start * count : (start + len(part)) * count] = lanes.reshape(-1)
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
        bound = summands * self.max_int
        over = np.flatnonzero((sums > bound) | (sums < -bound))
        if over.size:
            lane = int(over[0])
            raise SumOutOfRange(
                f"lane {lane} holds {int(sums[lane])}, {summands} values of at most "
                f"{self.max_int} give no more than {bound} ({over.size} such lanes)"
            )


@lru_cache(maxsize=64)
def _offset(width: int, count: int) -> int:
    """sum over `count` lanes of 2^(width - 1) 2^(width i)."""
    return ((1 << (width * count)) - 1) // ((1 << width) - 1) << (width - 1)
