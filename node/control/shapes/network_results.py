"""What node.control.network.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class AskedPeer(TypedDict):
    # node.control.network.results.AskedPeer
    peer_id: str
    line: str
    outcome: Literal["dialled", "no-answer", "claimed", "refused", "unable", "silent"]
    port: int | None
    told: str
    came_from: str
    why: str


class Reach(TypedDict):
    # node.control.network.results.Reach
    verdict: Literal["outside", "near", "unreached", "unknown"]
    asked: list[AskedPeer]
