"""How large an encrypted contribution is: the layout of protocol.arith.lanes and .batch in numbers.

Limits and estimates need it above the arithmetic floor, where numpy may not be imported; a test
holds both to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Before the ciphertexts of a batch: tag, version, key bits, count (protocol.arith.batch).
BATCH_HEADER_BYTES: Final = 12

#: Before the floats of a model: tag, version, kind, count (protocol.arith.vectors).
MODEL_HEADER_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Packing:
    """Values of `value_bits`, sign included; `summands` of them are added; n has `key_bits`."""

    value_bits: int
    summands: int
    key_bits: int

    @property
    def lane_bits(self) -> int:
        """Width of a lane: a value and the carries of its sum."""
        return self.value_bits + (self.summands - 1).bit_length()

    @property
    def lanes(self) -> int:
        """Values in one ciphertext; two bits of n stay free for the sign of the packed number."""
        return (self.key_bits - 2) // self.lane_bits

    def ciphertexts(self, values: int) -> int:
        """Ciphertexts that hold `values` values."""
        return -(-values // self.lanes)

    @property
    def ciphertext_bytes(self) -> int:
        """A ciphertext is a number modulo n squared."""
        return self.key_bits // 4

    def batch_bytes(self, values: int) -> int:
        """Bytes of a batch of `values` values, header included."""
        return BATCH_HEADER_BYTES + self.ciphertexts(values) * self.ciphertext_bytes


def model_bytes(parameters: int) -> int:
    """Bytes of a model's weights as they travel: float64 behind a header."""
    return MODEL_HEADER_BYTES + 8 * parameters
