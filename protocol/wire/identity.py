"""Keys that peers show: identities, and X25519 keys with which nobody can agree on a secret.

Peer identities are Ed25519 keys as libp2p peer ids (libp2p specification, 'Peer Ids and Keys').
A peer id of an Ed25519 key is the identity multihash of its protobuf-encoded public key, so the id
itself carries the key and a signature can be checked with nothing else at hand.
"""

from __future__ import annotations

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol.errors import Malformed

#: identity multihash (0x00), 36 bytes; protobuf: key type Ed25519 (08 01), 32 bytes of key (12 20).
_PREFIX = bytes.fromhex("00240801 1220")

PEER_ID_BYTES = len(_PREFIX) + 32


def peer_id(public_key: bytes) -> bytes:
    """The peer id (38 bytes) of a raw Ed25519 public key (32 bytes)."""
    if len(public_key) != 32:
        raise Malformed(f"an Ed25519 public key has 32 bytes, not {len(public_key)}")
    return _PREFIX + public_key


def peer_id_text(peer: bytes) -> str:
    """The form people see and libp2p uses: base58btc, `12D3Koo…`."""
    return base58.b58encode(peer).decode()


def parse_peer_id(text: str) -> bytes:
    """The reverse of `peer_id_text`; raises Malformed for anything but an Ed25519 peer id."""
    try:
        peer = base58.b58decode(text)
    except ValueError as e:
        raise Malformed(f"peer id {text[:60]!r}: no base58") from e
    _public_key(peer)
    return peer


def verify(peer: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes, RFC 8032) over `message` was made by the key of `peer`."""
    try:
        Ed25519PublicKey.from_public_bytes(_public_key(peer)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


#: A stranger's X25519 key is tried with this private key, which is no secret.
_PROBE = X25519PrivateKey.from_private_bytes(b"assay/1 low order probe".ljust(32, b"\0"))


def of_low_order(public: bytes) -> bool:
    """Whether an X25519 public key (32 bytes) agrees with every private key on zero.

    One try tells for all of them (RFC 7748, sections 5 and 6.1; protocol.arith.secagg.agreement,
    which this floor may not import, says why). Such a key is its sender's fault; it would take the
    sender's whole block out of every attempt.
    """
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return True
    return False


def _public_key(peer: bytes) -> bytes:
    if len(peer) != PEER_ID_BYTES or not peer.startswith(_PREFIX):
        raise Malformed("a peer id is the 38-byte identity multihash of an Ed25519 key")
    return peer[len(_PREFIX) :]
