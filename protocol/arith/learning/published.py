"""What a requester publishes when its job ends, so that worth can be measured again.

Two kinds of blob (docs/spec/worth.md, 'What is published'). The *hold-out* is the matrix on which
losses were taken, behind a nonce that only its requester knew before:

    'assay'  version (1 byte)  'H'  0 (1)  rows (4)  inputs (4)  nonce (32)
    features (8 each, row by row)  targets (8 each)

Integers are big-endian, floats little-endian IEEE 754 and never a negative zero. A round's *sums*
are its blocks' mean gradients, one after the other, each as numbers/vectors.py has it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol.arith.learning.models import Floats
from protocol.arith.numbers.vectors import Kind, decode_vector, vector_bytes
from protocol.errors import FatalError, InputError, Malformed
from protocol.params import MAX_BLOB_BYTES, MAX_BLOCKS, PROTOCOL_VERSION

_HEADER: Final = struct.Struct(">5sBcBII32s")
_MAGIC: Final = b"assay"
_KIND: Final = b"H"

NONCE_BYTES: Final = 32


def encode_holdout(x: Floats, y: Floats, nonce: bytes) -> bytes:
    """The blob of features [rows, inputs] and targets [rows]; `nonce` (32 bytes) keeps others from
    finding a small set out by its digest.

    Raises InputError for more than a blob may have, FatalError for arrays that are none.
    """
    rows, inputs = x.shape
    if len(nonce) != NONCE_BYTES or y.shape != (rows,) or not rows:
        raise FatalError(f"a hold-out of shapes {x.shape} and {y.shape}")
    size = _HEADER.size + 8 * rows * (inputs + 1)
    if size > MAX_BLOB_BYTES:
        raise InputError(
            f"its {rows} rows of {inputs} inputs take {size} bytes when they are published, "
            f"{MAX_BLOB_BYTES} are allowed",
            "holdout",
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise FatalError("a hold-out holds a value that is not finite")
    head = _HEADER.pack(_MAGIC, PROTOCOL_VERSION, _KIND, 0, rows, inputs, nonce)
    # + 0.0 makes -0.0 into 0.0: equal rows have equal bytes
    return head + (x + 0.0).astype("<f8").tobytes() + (y + 0.0).astype("<f8").tobytes()


def decode_holdout(data: bytes, inputs: int) -> tuple[Floats, Floats]:
    """Features and targets of a job with so many inputs. Raises Malformed unless `data` is exactly
    what `encode_holdout` gives."""
    if len(data) < _HEADER.size:
        raise Malformed(f"a hold-out has {len(data)} bytes, {_HEADER.size} at least are one")
    magic, version, kind, zero, rows, found, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or kind != _KIND or zero:
        raise Malformed("does not begin as a hold-out does")
    if version != PROTOCOL_VERSION:
        raise Malformed(f"a hold-out of version {version}, this is {PROTOCOL_VERSION}")
    if found != inputs or not rows or len(data) != _HEADER.size + 8 * rows * (inputs + 1):
        raise Malformed(
            f"a hold-out says {rows} rows of {found} inputs in {len(data)} bytes; the job has "
            f"{inputs} inputs"
        )
    values = np.frombuffer(data, dtype="<f8", offset=_HEADER.size).astype(np.float64)
    if not np.isfinite(values).all() or np.any((values == 0.0) & np.signbit(values)):
        raise Malformed("a hold-out holds what is no number, or a negative zero")
    return values[: rows * inputs].reshape(rows, inputs), values[rows * inputs :]


def encode_sums(gradients: Sequence[bytes]) -> bytes:
    """A round's blob, of its blocks' mean gradients as vectors.py encodes them."""
    return b"".join(gradients)


def decode_sums(data: bytes, count: int) -> tuple[bytes, ...]:
    """Each block's mean gradient of `count` values. Raises Malformed unless every one is canonical
    and there are 1 to MAX_BLOCKS."""
    size = vector_bytes(count)
    blocks, rest = divmod(len(data), size)
    if rest or not 1 <= blocks <= MAX_BLOCKS:
        raise Malformed(f"sums of {len(data)} bytes; a block's take {size}")
    parts = tuple(data[at : at + size] for at in range(0, len(data), size))
    for part in parts:
        decode_vector(Kind.GRADIENT, part, count)
    return parts
