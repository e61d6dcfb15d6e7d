"""What a node of the network is told, and what it tells of its peers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SwarmConfig:
    """How to take part. Addresses are multiaddrs (/ip4/HOST/tcp/PORT; port 0 lets the system pick).

    `announce` replaces what peers are told about where to reach us; without it, every interface's
    address is told. `seed` is the 32-byte Ed25519 seed of the peer identity.
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
