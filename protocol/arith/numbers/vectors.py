"""Canonical bytes of float vectors: models, momentum, mean gradients.

    'assay'  version (1 byte)  kind (1)  turn (1)  count (8, big-endian)   then count float64

The floats are little-endian IEEE 754; the header is 16 bytes. SHA-256 over a model's bytes is its
digest, to which owners contribute and which stands on the chain. `turn` is how many rounds have led
to a model, 0 for all else. So another digest follows a round that moved nothing, because no owner
contributes to one digest in two rounds.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.errors import FatalError, Malformed
from protocol.params import MAX_ROUNDS, PROTOCOL_VERSION

_HEADER: Final = struct.Struct(">5sBBBQ")
_MAGIC: Final = b"assay"


class Kind(IntEnum):
    """The kind of a vector; one kind's bytes are never read as another's."""

    MODEL = 1
    MOMENTUM = 2
    GRADIENT = 3


def vector_bytes(count: int) -> int:
    """The exact size of a vector's bytes."""
    return _HEADER.size + 8 * count


def encode_vector(kind: Kind, vector: npt.NDArray[np.float64], turn: int = 0) -> bytes:
    """The canonical bytes. Raises FatalError if a value is not finite: training has diverged."""
    if turn and (kind is not Kind.MODEL or not 0 < turn <= MAX_ROUNDS):
        raise FatalError(f"turn {turn} of a {kind.name.lower()} vector")
    if not np.isfinite(vector).all():
        raise FatalError(f"a {kind.name.lower()} vector holds a value that is not finite")
    # + 0.0 makes -0.0 into 0.0: equal vectors have equal bytes
    body = (vector + 0.0).astype("<f8").tobytes()
    return _HEADER.pack(_MAGIC, PROTOCOL_VERSION, kind, turn, vector.size) + body


def decode_vector(kind: Kind, data: bytes, count: int) -> npt.NDArray[np.float64]:
    """The vector of `count` values. Raises Malformed unless `data` is exactly what `encode_vector`
    gives for some finite vector of that kind and length."""
    name = kind.name.lower()
    if len(data) != vector_bytes(count):
        raise Malformed(f"{name} has {len(data)} bytes, {count} values take {vector_bytes(count)}")
    magic, version, found, turn, claimed = _HEADER.unpack_from(data)
    if magic != _MAGIC or (turn and kind is not Kind.MODEL):
        raise Malformed(f"{name} does not begin as assay's vectors do")
    if version != PROTOCOL_VERSION:
        raise Malformed(f"{name} is of version {version}, this is version {PROTOCOL_VERSION}")
    if found != kind or claimed != count:
        raise Malformed(
            f"vector says kind {found} and {claimed} values, expected are kind {int(kind)} "
            f"({name}) and {count}"
        )
    vector = np.frombuffer(data, dtype="<f8", offset=_HEADER.size).astype(np.float64)
    if not np.isfinite(vector).all():
        raise Malformed(f"{name}: value {int(np.argmin(np.isfinite(vector)))} is not finite")
    if np.any((vector == 0.0) & np.signbit(vector)):
        raise Malformed(f"{name} holds a negative zero, which has no canonical form")
    return vector
