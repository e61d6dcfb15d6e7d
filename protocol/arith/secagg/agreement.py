"""X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869): the secrets that two members of a block share.

A public key is 32 bytes from a stranger. One of low order is its sender's fault and raises
Malformed; X25519 accepts every other key. Two encodings of one point agree on the same bytes, so a
derivation from an agreement takes in the keys' bytes as well.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.arith.numbers.entropy import Entropy, draw
from protocol.errors import FatalError, Malformed

KEY_BYTES: Final = 32

#: A fixed private key with which a stranger's public key is tried. It is no secret: only whether
#: the outcome is zero is looked at.
_PROBE: Final = X25519PrivateKey.from_private_bytes(b"assay/1 low order probe".ljust(32, b"\0"))


def new_key(entropy: Entropy) -> tuple[bytes, bytes]:
    """A fresh X25519 key: (private, public), 32 bytes each."""
    private = draw(entropy, KEY_BYTES)
    return private, public_of(private)


def public_of(private: bytes) -> bytes:
    """The public key of a private one. Any 32 bytes are a private key (RFC 7748 clamps them)."""
    return _private(private).public_key().public_bytes_raw()


def check_public(public: bytes) -> None:
    """Raises Malformed unless `public` can be agreed with: 32 bytes, not of low order.

    One try tells for all private keys: each is, clamped, 8 times a number that the large prime
    orders of curve and twist do not divide, so the outcome is zero for points of small order only.
    """
    _exchange(_PROBE, public)


def agree(private: bytes, public: bytes) -> bytes:
    """The 32 bytes that both ends of an X25519 exchange know; to be hashed before use.

    Raises Malformed if the public key is of low order, whose outcome (zero) everybody knows.
    """
    return _exchange(_private(private), public)


def derive(secret: bytes, info: bytes) -> bytes:
    """32 bytes by HKDF-SHA256 without salt."""
    return HKDF(SHA256(), KEY_BYTES, None, info).derive(secret)


def _private(private: bytes) -> X25519PrivateKey:
    if len(private) != KEY_BYTES:
        raise FatalError(f"an X25519 private key has {KEY_BYTES} bytes, this one {len(private)}")
    return X25519PrivateKey.from_private_bytes(private)


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    if len(public) != KEY_BYTES:
        raise Malformed(f"an X25519 public key has {KEY_BYTES} bytes, this one {len(public)}")
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # all that is left to go wrong is RFC 7748's check for zero (section 6.1)
        raise Malformed("an X25519 public key is of low order: it would agree with none") from None
