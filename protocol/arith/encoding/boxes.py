"""Boxes: a piece of a dealing, sealed to the member that it is for.

ChaCha20-Poly1305 (RFC 8439) under a key that X25519 and HKDF give for this one box: from the
dealer's key of the attempt, which it forgets once its dealing is stored, and the recipient's
sealing key of the job.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.arith.secagg.agreement import agree, derive, public_of
from protocol.errors import Malformed

#: What a box is longer than its piece.
TAG_BYTES: Final = 16

_CONTEXT: Final = b"assay/1 piece box\x00"
_NONCE: Final = bytes(12)


def seal_piece(
    private: bytes,
    recipient: bytes,
    binding: bytes,
    position: int,
    piece: bytes,
    commitment: bytes,
) -> bytes:
    """The box of the member at `position`, whose sealing key is `recipient`.

    `private` is the dealer's key of this attempt, `binding` what its proof is bound to, which names
    attempt, roster and dealer. The nonce is zero: each key seals one box, because the piece's
    `commitment` stands in it, which no other piece has. Raises Malformed if the recipient's key is
    of low order.
    """
    about = binding + commitment
    key = _key(agree(private, recipient), about, position, public_of(private), recipient)
    return ChaCha20Poly1305(key).encrypt(_NONCE, piece, None)


def open_piece(
    private: bytes, dealer: bytes, binding: bytes, position: int, box: bytes, commitment: bytes
) -> bytes:
    """The piece in a box; `private` is the recipient's sealing key, `dealer` the dealer's public
    one. Raises Malformed unless that dealer sealed it to this member in this attempt."""
    about = binding + commitment
    key = _key(agree(private, dealer), about, position, dealer, public_of(private))
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, box, None)
    except InvalidTag:
        raise Malformed("the box does not open: not sealed to this member, here and now") from None


def _key(secret: bytes, about: bytes, position: int, dealer: bytes, recipient: bytes) -> bytes:
    told = about + position.to_bytes(4, "big") + dealer + recipient
    return derive(secret, hashlib.sha256(_CONTEXT + told).digest())
