"""Where a sealed model's weights, and replies to it, lie in ciphertexts: pure integers.

Weights are a matrix of p features (rows) by C outputs; one ciphertext holds a feature's weights to
as many outputs as fit, in lanes. An owner's encrypted product gives one such ciphertext an output
row; several of those are packed again into one before they leave. docs/spec/sealed-ciphertexts.md.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from protocol.errors import InputError, Malformed
from protocol.params import (
    MAX_CATEGORIES,
    MAX_COHORT,
    MAX_SEALED_FEATURES,
    SEALED_FRACTION_BITS,
    VALUE_BITS,
)

#: A sealed model declares its layout in the place where a batch names its maker.
_FIELD: Final = struct.Struct(">IIIIHHBB10x")

#: Before the ciphertexts of a sealed model: magic, version, kind, bits, count (as before those of
#: any batch), then the layout.
SEALED_HEADER_BYTES: Final = 13 + _FIELD.size

#: Sums are opened into 64-bit integers, sign included.
_MAX_WIDTH: Final = 63


@dataclass(frozen=True, slots=True)
class SealedLayout:
    """`features` p and `outputs` C of a model, bits of a weight with its sign, length of n, and how
    many replies one sum may hold (the largest block).

    Raises InputError, naming the field, outside of what params.py allows; if not one lane fits the
    key; or if a sum's lane is wider than 63 bits.
    """

    features: int
    outputs: int
    value_bits: int
    key_bits: int
    members: int

    def __post_init__(self) -> None:
        for name, low, high in (
            ("features", 1, MAX_SEALED_FEATURES),
            ("outputs", 1, MAX_CATEGORIES),
            ("value_bits", *VALUE_BITS),
            ("members", 1, MAX_COHORT),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"is {value}, {low} to {high} are allowed", name)
        if self.width > _MAX_WIDTH:
            raise InputError(
                f"is {self.members}: sums of {self.value_bits}-bit weights over {self.features} "
                f"features take lanes of {self.width} bits, {_MAX_WIDTH} are allowed",
                "members",
            )
        if self.lanes < 1:
            raise InputError(f"is {self.key_bits}, no lane of {self.width} bits fits", "key_bits")

    @property
    def values(self) -> int:
        """Weights, and numbers of a reply: p C, row by row."""
        return self.features * self.outputs

    @property
    def weight_max(self) -> int:
        """The largest magnitude of a weight's integer."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def row_max(self) -> int:
        """The largest sum of magnitudes of a row of the integer matrix.

        A row of M - I, of 2-norm at most 1, has magnitudes that sum to at most sqrt(p) (Cauchy and
        Schwarz); 2^fraction times that, and at most 1/2 more from rounding each entry.
        """
        p, one = self.features, 1 << SEALED_FRACTION_BITS
        return (math.isqrt(4 * p * one * one) + p) // 2

    @property
    def bound(self) -> int:
        """The largest magnitude of a number of the product, and of the offset: `row_max` times
        `weight_max`."""
        return self.row_max * self.weight_max

    @property
    def max_int(self) -> int:
        """The largest magnitude of a reply's number: product and offset."""
        return 2 * self.bound

    @property
    def width(self) -> int:
        """Bits of a lane: `members` numbers of a reply and their sign."""
        return self.max_int.bit_length() + 1 + (self.members - 1).bit_length()

    @property
    def lanes(self) -> int:
        """Lanes of a plaintext; two bits of n stay free for the sign of the packed number."""
        return (self.key_bits - 2) // self.width

    @property
    def per_group(self) -> int:
        """Outputs in one ciphertext: all of them, or as many as fit."""
        return min(self.outputs, self.lanes)

    @property
    def groups(self) -> int:
        """Ciphertexts that hold one feature's weights."""
        return -(-self.outputs // self.per_group)

    @property
    def rows_per_reply(self) -> int:
        """Rows of a group that one ciphertext of a reply holds."""
        return self.lanes // self.per_group

    @property
    def replies_per_group(self) -> int:
        """Ciphertexts that hold all rows of a group."""
        return -(-self.features // self.rows_per_reply)

    @property
    def row_bits(self) -> int:
        """How far apart two rows lie in a reply's ciphertext."""
        return self.width * self.per_group

    @property
    def model_ciphertexts(self) -> int:
        """Ciphertexts of a model: number g p + j holds group g of feature j."""
        return self.features * self.groups

    @property
    def reply_ciphertexts(self) -> int:
        """Ciphertexts of a reply, or of a sum of replies: number g R + r, R `replies_per_group`,
        holds rows r k to (r + 1) k - 1 of group g, k `rows_per_reply`."""
        return self.replies_per_group * self.groups

    @property
    def model_bytes(self) -> int:
        """The exact size of a sealed model."""
        return SEALED_HEADER_BYTES + self.model_ciphertexts * (self.key_bits // 4)

    def outputs_of(self, group: int) -> range:
        """Which outputs a group holds."""
        first = group * self.per_group
        return range(first, min(first + self.per_group, self.outputs))

    def rows_of(self, reply: int) -> range:
        """Which rows a group's reply number `reply` (0 to replies_per_group - 1) holds."""
        first = reply * self.rows_per_reply
        return range(first, min(first + self.rows_per_reply, self.features))

    @property
    def field(self) -> bytes:
        """The layout as a sealed model declares it: 32 bytes."""
        return _FIELD.pack(*self._declared.values())

    def check_field(self, field: bytes) -> None:
        """Raises Malformed, naming what differs, unless `field` declares this layout."""
        if len(field) != _FIELD.size:
            raise Malformed(f"a layout has {_FIELD.size} bytes, this one {len(field)}")
        for (name, wanted), found in zip(self._declared.items(), _FIELD.unpack(field), strict=True):
            if found != wanted:
                raise Malformed(f"sealed model says {name} {found}, the spec's is {wanted}")
        if field != self.field:
            raise Malformed("sealed model's layout does not end in zeros")

    @property
    def _declared(self) -> dict[str, int]:
        return {
            "features": self.features,
            "outputs": self.outputs,
            "per_group": self.per_group,
            "groups": self.groups,
            "width": self.width,
            "members": self.members,
            "value_bits": self.value_bits,
            "fraction_bits": SEALED_FRACTION_BITS,
        }
