"""A sealed model's weights and replies as plaintexts: the lanes of layout/sealed.py, filled and
read.

Lanes are balanced digits, as in lanes.py: a plaintext is sum_i v_i 2^(w i), signed. The order is
another, because an encrypted product needs it: a row's outputs stand side by side, and whole rows
above each other. Lanes that no row or output has stay 0. Values of a reply are in the order of the
weights, p x C, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import gmpy2
import numpy as np
from gmpy2 import mpz

from protocol.arith.encoding.lanes import Integers, SumOutOfRange, check_magnitudes
from protocol.errors import FatalError
from protocol.layout.sealed import SealedLayout


@dataclass(frozen=True, slots=True)
class SealedLanes:
    """The lanes of `layout`. Of replies and their sums: what Lanes has for open contributions."""

    layout: SealedLayout

    @property
    def width(self) -> int:
        """Bits of a lane."""
        return self.layout.width

    @property
    def lanes_per_ciphertext(self) -> int:
        """Lanes of one plaintext of a reply that values may stand in."""
        return self.layout.rows_per_reply * self.layout.per_group

    @property
    def max_int(self) -> int:
        """The largest magnitude of a single reply's number."""
        return self.layout.max_int

    @property
    def headroom(self) -> int:
        """How many replies may be added before a lane could overflow; at least the members."""
        return ((1 << (self.width - 1)) - 1) // self.max_int

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts hold a reply. Raises FatalError if it has not `values` values."""
        if values != self.layout.values:
            raise FatalError(f"{values} values where a reply has {self.layout.values}")
        return self.layout.reply_ciphertexts

    def ciphertext_bytes(self, values: int) -> int:
        """Bytes of those ciphertexts: each is a number modulo n^2."""
        return self.ciphertexts(values) * (self.layout.key_bits // 4)

    def check_summands(self, summands: int) -> None:
        """Raises FatalError if so many replies may not be added in this layout."""
        if not 1 <= summands <= self.headroom:
            raise FatalError(f"{summands} replies to add, lanes have room for {self.headroom}")

    def check_sum(self, sums: Integers, summands: int) -> None:
        """Raises SumOutOfRange, naming lane, value and bound, if a number is no sum of `summands`
        numbers of at most `max_int`; FatalError if so many may not be added at all."""
        self.check_summands(summands)
        check_magnitudes(sums, summands, self.max_int)

    def pack(self, values: Integers) -> list[mpz]:
        """Signed plaintexts of a reply's values. Raises FatalError on another shape than (p C,)
        int64, or a magnitude above `max_int`."""
        return self._pack(values, self.max_int, self.layout.rows_per_reply)

    def unpack(self, plaintexts: Sequence[int], values: int) -> Integers:
        """The values of a reply's, or of a sum's, signed plaintexts: (p C,).

        Raises SumOutOfRange, naming the plaintext, if one holds more than its lanes, or a lane that
        stands for no value is not zero. Raises FatalError on another number of either.
        """
        self.ciphertexts(values)
        return self._unpack(plaintexts, self.layout.rows_per_reply)

    def pack_model(self, weights: Integers) -> list[mpz]:
        """Signed plaintexts of a model's integers. Raises FatalError on another shape than (p C,)
        int64, or a magnitude above the layout's `weight_max`."""
        return self._pack(weights, self.layout.weight_max, 1)

    def unpack_model(self, plaintexts: Sequence[int]) -> Integers:
        """The inverse of `pack_model`, for the holder of the key. Raises SumOutOfRange as `unpack`
        does, or on a magnitude above `weight_max`."""
        weights = self._unpack(plaintexts, 1)
        check_magnitudes(weights, 1, self.layout.weight_max)
        return weights

    def _pack(self, values: Integers, max_int: int, rows: int) -> list[mpz]:
        """Plaintexts of `rows` rows each, group by group."""
        layout = self.layout
        if values.shape != (layout.values,) or values.dtype != np.int64:
            raise FatalError(f"values to pack are {values.dtype} of shape {values.shape}")
        if max(int(values.max()), -int(values.min())) > max_int:
            raise FatalError(f"a value to pack is beyond {max_int}")
        matrix = values.reshape(layout.features, layout.outputs)
        packed: list[mpz] = []
        for group in range(layout.groups):
            outputs = layout.outputs_of(group)
            filled = np.zeros((-(-layout.features // rows) * rows, layout.per_group), np.int64)
            filled[: layout.features, : len(outputs)] = matrix[:, outputs.start : outputs.stop]
            packed += _join(filled.reshape(-1, rows * layout.per_group), self.width)
        return packed

    def _unpack(self, plaintexts: Sequence[int], rows: int) -> Integers:
        layout = self.layout
        each = -(-layout.features // rows)
        if len(plaintexts) != each * layout.groups:
            raise FatalError(f"{len(plaintexts)} plaintexts where {each * layout.groups} belong")
        matrix = np.empty((layout.features, layout.outputs), dtype=np.int64)
        cut = _cut(plaintexts, rows * layout.per_group, self.width)
        for group in range(layout.groups):
            outputs = layout.outputs_of(group)
            part = cut[group * each : (group + 1) * each]
            filled = part.reshape(each * rows, layout.per_group)
            matrix[:, outputs.start : outputs.stop] = filled[: layout.features, : len(outputs)]
            filled[: layout.features, : len(outputs)] = 0
            beyond = np.argwhere(part)
            if beyond.size:
                index, lane = (int(number) for number in beyond[0])
                raise SumOutOfRange(
                    f"plaintext {group * each + index}: lane {lane} stands for no value and is not "
                    "zero"
                )
        return matrix.reshape(-1)


def _join(digits: Integers, width: int) -> list[mpz]:
    """Each row as one signed number: sum_i digit_i 2^(width i)."""
    half, offset = 1 << (width - 1), _offset(digits.shape[1], width)
    return [mpz(gmpy2.pack(row, width)) - offset for row in (digits + half).tolist()]


def _cut(plaintexts: Sequence[int], lanes: int, width: int) -> Integers:
    """The inverse of `_join`: (plaintexts, lanes) balanced digits, which adding `_offset` turns
    into plain ones."""
    half, offset = 1 << (width - 1), _offset(lanes, width)
    digits = np.empty((len(plaintexts), lanes), dtype=np.int64)
    for index, plaintext in enumerate(plaintexts):
        shifted = plaintext + offset
        if shifted < 0 or shifted.bit_length() > width * lanes:
            raise SumOutOfRange(
                f"plaintext {index} does not end with lane {lanes - 1}: its remainder there is not "
                "zero"
            )
        cut = gmpy2.unpack(shifted, width)
        digits[index, : len(cut)] = cut
        digits[index, len(cut) :] = 0
    return digits - half


@lru_cache(maxsize=16)
def _offset(lanes: int, width: int) -> mpz:
    """2^(width - 1) in every lane."""
    return mpz(gmpy2.pack([1 << (width - 1)] * lanes, width))
