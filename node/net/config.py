"""A node's network settings, and its view of its peers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SwarmConfig:
    """How to take part.

    Addresses are multiaddrs (/ip4/HOST/tcp/PORT; port 0 lets the system pick). `announce` has the
    addresses that peers are told; without it, they are told every interface's address. `seed` is
    the 32-byte Ed25519 seed of the peer identity.
    """

    listen: tuple[str, ...]
    bootstrap: tuple[str, ...] = ()
    seed: bytes = field(repr=False, default=b"")
    announce: tuple[str, ...] = ()
    agent: str = "assay/0.1.0"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One connected peer. Times are Unix seconds; `offences` maps what it did to how often."""

    peer_id: str
    addresses: tuple[str, ...]
    direction: str
    connected_since: float
    points: float
    offences: dict[str, int]
    agent: str
    topics: tuple[str, ...]
