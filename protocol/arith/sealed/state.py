"""The requester's own state between rounds of a sealed model: weights and momentum in the clear,
in a blob that only its Paillier key opens.

    'assay'  version (1 byte)  kind (1, 16)  salt (32)  then ChaCha20-Poly1305 (RFC 8439) of
    turn (1 byte)  parts (1)  weights (vectors.py's bytes)  momentum (likewise; where parts is 2)

The key is HKDF-SHA256 (RFC 5869) of the private key's bytes, with the salt, and the nonce is zero.
That is safe because no key serves twice: each blob draws its own 256-bit salt. (A random nonce of
96 bits under one key would do for a job's few thousand blobs; this needs no counting at all.) The
header is authenticated. A blob is as long as its vectors, and otherwise tells nothing to anybody
who lacks the key: it may lie among blobs that are served by digest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.arith.numbers.entropy import Entropy, draw
from protocol.arith.numbers.fixedpoint import Floats
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector, vector_bytes
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.errors import FatalError, Malformed
from protocol.params import MAX_ROUNDS, PROTOCOL_VERSION

_HEADER: Final = struct.Struct(">5sBB32s")
_MAGIC: Final = b"assay"
#: Far from the kinds of batches and vectors, whose headers begin in the same way.
_KIND: Final = 16
_INSIDE: Final = struct.Struct(">BB")
_SALT_BYTES: Final = 32
_TAG_BYTES: Final = 16
_INFO: Final = b"assay/1 sealed state\x00"


@dataclass(frozen=True, slots=True)
class State:
    """A model in the clear, `turn` rounds after its start: weights as models.py has them (with a
    bias for each output), and the momentum of the requester's step, None before the first. Secret.
    """

    turn: int
    weights: Floats = field(repr=False)
    momentum: Floats | None = field(default=None, repr=False)


def state_bytes(count: int, momentum: bool) -> int:
    """The exact size of the state of a model of `count` weights."""
    vectors = vector_bytes(count) * (2 if momentum else 1)
    return _HEADER.size + _INSIDE.size + vectors + _TAG_BYTES


def seal_state(key: PrivateKey, state: State, entropy: Entropy) -> bytes:
    """The blob. Raises FatalError on a turn outside [0, MAX_ROUNDS], vectors of two lengths, or a
    value that is not finite."""
    vectors = [encode_vector(Kind.MODEL, state.weights)]
    if state.momentum is not None:
        if state.momentum.shape != state.weights.shape:
            raise FatalError("momentum and weights differ in length")
        vectors.append(encode_vector(Kind.MOMENTUM, state.momentum))
    if not 0 <= state.turn <= MAX_ROUNDS:
        raise FatalError(f"turn {state.turn} of a model")
    salt = draw(entropy, _SALT_BYTES)
    header = _HEADER.pack(_MAGIC, PROTOCOL_VERSION, _KIND, salt)
    inside = _INSIDE.pack(state.turn, len(vectors)) + b"".join(vectors)
    return header + _cipher(key, salt).encrypt(bytes(12), inside, header)


def open_state(key: PrivateKey, data: bytes, count: int) -> State:
    """The state of a model of `count` weights. Raises Malformed unless `data` is what `seal_state`
    gives for such a one under this key."""
    if len(data) not in (state_bytes(count, False), state_bytes(count, True)):
        raise Malformed(f"sealed state has {len(data)} bytes, {count} weights take another number")
    magic, version, kind, salt = _HEADER.unpack_from(data)
    if (magic, kind) != (_MAGIC, _KIND):
        raise Malformed("sealed state does not begin as one")
    if version != PROTOCOL_VERSION:
        raise Malformed(f"sealed state is of version {version}, this is {PROTOCOL_VERSION}")
    header, body = data[: _HEADER.size], data[_HEADER.size :]
    try:
        inside = _cipher(key, salt).decrypt(bytes(12), body, header)
    except InvalidTag:
        raise Malformed("sealed state was sealed under another key, or changed since") from None
    turn, parts = _INSIDE.unpack_from(inside)
    size = vector_bytes(count)
    if turn > MAX_ROUNDS or len(inside) != _INSIDE.size + parts * size:
        raise Malformed(f"sealed state says turn {turn} and {parts} vectors")
    weights = inside[_INSIDE.size : _INSIDE.size + size]
    momentum = inside[_INSIDE.size + size :]
    return State(
        turn,
        decode_vector(Kind.MODEL, weights, count),
        decode_vector(Kind.MOMENTUM, momentum, count) if momentum else None,
    )


def _cipher(key: PrivateKey, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt, _INFO).derive(key.to_bytes()))
