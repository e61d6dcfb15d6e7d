"""A connection's streams over any cipher, without a handshake."""

from __future__ import annotations

from typing import Any

from libp2p.peer.id import ID
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

from node.net.muxer import BoundedYamux


def muxed(cipher: NoiseTransportReadWriter, initiator: bool, left: bytes = b"") -> BoundedYamux:
    """One end; `left` is what a negotiation before it has read and not used."""
    keys: Any = None
    session = SecureSession(
        local_peer=ID(b"me"),
        local_private_key=keys,
        remote_peer=ID(b"peer"),
        remote_permanent_pubkey=keys,
        is_initiator=initiator,
        conn=cipher,
    )
    session._fill(left)
    return BoundedYamux(session, ID(b"peer"))
