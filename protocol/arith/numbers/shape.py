"""The shape of a batch on the wire: a header, then numbers of one size.

    'assay'  version (1 byte)  kind (1)  bits (2)  count (4)  maker (32)    then `count` numbers

All big-endian but the words of the masks envelope; the header is 45 bytes. It repeats what the
job's spec already fixes, so that a stray file can be told from others; a reader checks it against
the spec and believes the spec. The maker binds a batch to its sender and attempt
(packing.batch_maker): the same bytes under another name are refused. Sums and their removals are
nobody's contribution: their maker is 32 zero bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocol.errors import FatalError, Malformed
from protocol.params import PROTOCOL_VERSION

_HEADER: Final = struct.Struct(">5sBBHI32s")
_MAGIC: Final = b"assay"

HEADER_BYTES: Final = _HEADER.size

#: The maker of what the requester computed.
NOBODY: Final = bytes(32)


class Kind(IntEnum):
    """The kind of a batch's numbers; one kind's bytes are never read as another's."""

    PAILLIER = 0  # ciphertexts, modulo n^2; `bits` is the key's length
    MASKS = 1  # masked words modulo 2^bits, little-endian
    PAILLIER_REMOVAL = 2  # masks left over in a Paillier sum: residues modulo n
    MASKS_REMOVAL = 3  # masks left over in a sum of words
    SEALED_MODEL = 4  # ciphertexts of weights; their layout stands in the place of a maker
    QUERY = 5  # ciphertexts of a query's features
    ANSWER = 6  # ciphertexts of the answer to it


_NUMBERS: Final = {
    Kind.PAILLIER: "ciphertexts of a {}-bit key",
    Kind.MASKS: "masked words of {} bits",
    Kind.PAILLIER_REMOVAL: "residues of a {}-bit modulus",
    Kind.MASKS_REMOVAL: "mask words of {} bits",
    Kind.SEALED_MODEL: "ciphertexts of weights under a {}-bit key",
    Kind.QUERY: "ciphertexts of features under a {}-bit key",
    Kind.ANSWER: "ciphertexts of an answer under a {}-bit key",
}


_CIPHERTEXTS: Final = (Kind.PAILLIER, Kind.SEALED_MODEL, Kind.QUERY, Kind.ANSWER)


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a batch: `count` numbers of one kind. `bits` is the modulus' length."""

    kind: Kind
    bits: int
    count: int

    @property
    def number_bytes(self) -> int:
        """Bytes of one number: a ciphertext is one modulo n^2, any other one modulo its modulus."""
        return self.bits // (4 if self.kind in _CIPHERTEXTS else 8)

    @property
    def size(self) -> int:
        """The exact size of the batch."""
        return HEADER_BYTES + self.count * self.number_bytes

    def __str__(self) -> str:
        return f"{self.count} {_NUMBERS[self.kind].format(self.bits)}"

    def header(self, maker: bytes) -> bytes:
        """The bytes before the numbers."""
        if len(maker) != len(NOBODY):
            raise FatalError(f"a batch's maker has {len(NOBODY)} bytes, this one {len(maker)}")
        return _HEADER.pack(_MAGIC, PROTOCOL_VERSION, self.kind, self.bits, self.count, maker)

    def check(self, data: bytes | memoryview, maker: bytes | None, name: str = "batch") -> None:
        """Raises Malformed, beginning with `name`, unless length and header are of this shape and
        say `maker` (None: whoever)."""
        if len(data) != self.size:
            raise Malformed(f"{name} has {len(data)} bytes, {self} take {self.size}")
        magic, version, kind, bits, count, found = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise Malformed(f"{name} does not begin with 'assay'")
        if version != PROTOCOL_VERSION:
            raise Malformed(f"{name} is of version {version}, this is version {PROTOCOL_VERSION}")
        if (kind, bits, count) != (self.kind, self.bits, self.count):
            raise Malformed(
                f"{name} says kind {kind}, {bits} bits and {count} numbers, expected are kind "
                f"{int(self.kind)}, {self}"
            )
        if maker is not None and found != maker:
            raise Malformed(
                f"{name} has the maker {found.hex()}, expected is {maker.hex()}: it was made by "
                "another member or for another attempt"
            )
