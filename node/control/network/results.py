"""Results of the methods about this node's place in the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AskedPeer:
    """One peer that was asked to dial this node by a new connection.

    peer_id: its libp2p identity
    line: the address that its present connection comes from
    outcome: what came of it; only `dialled` was seen here, all else is the peer's word
    port: the port that it was asked to dial; null where this node has none to ask for
    told: the address that it says it dialled; empty where it dialled none
    came_from: the address that its dial came from; empty unless it was `dialled`
    why: what kept it from `dialled`, maybe in its own words; empty where nothing did
    """

    peer_id: str
    line: str
    outcome: Literal["dialled", "no-answer", "claimed", "refused", "unable", "silent"]
    port: int | None
    told: str
    came_from: str
    why: str


@dataclass(frozen=True)
class Reach:
    """Whether others can dial this node, by some connected peers that were asked to.

    verdict: outside (a dial came from the Internet), near (dials came from this network alone),
        unreached (whoever tried got no answer), unknown (nobody tried)
    asked: each peer that was asked; empty where none is connected
    """

    verdict: Literal["outside", "near", "unreached", "unknown"]
    asked: tuple[AskedPeer, ...]
