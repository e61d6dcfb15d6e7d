"""A node's network settings, and its view of its peers."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.net.rules.callback import Outcome, Verdict


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


@dataclass(frozen=True, slots=True)
class Asked:
    """One peer that was asked to dial this node back.

    `line`: the address that its line comes from. `port`: the one that it was asked to dial. `told`:
    the address that it says it dialled. `came_from`: the address that its dial came from, which
    was seen here. `why`: what speaks against the outcome that was hoped for, for a person; the
    peer's words may stand in it.
    """

    peer_id: str
    line: str
    outcome: Outcome
    port: int | None = None
    told: str = ""
    came_from: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether others can dial this node, by those who were asked to."""

    verdict: Verdict
    asked: tuple[Asked, ...] = ()
