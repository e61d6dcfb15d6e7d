"""Whom to ask next for what peers tell page by page, and where each one's answer goes on.

Pure: seconds come in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class Visits:
    """Peers that were asked: the mark that each answer ended at, and when it is due again.

    `again`: seconds until a peer is asked once more. The `most` that were asked last are kept.
    """

    def __init__(self, again: float, most: int) -> None:
        self._again = again
        self._most = most
        self._noted: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def next(self, connected: Iterable[str], now: float) -> str | None:
        """The peer that was asked longest ago, or never; None where all were lately."""
        due = [(self._noted[peer][1] if peer in self._noted else 0.0, peer) for peer in connected]
        at, peer = min(due, default=(0.0, None))
        return peer if peer is not None and at <= now else None

    def mark(self, peer: str) -> int:
        """Where a peer's answer goes on; 0 for one that was never asked."""
        return self._noted[peer][0] if peer in self._noted else 0

    def note(self, peer: str, mark: int, now: float) -> None:
        """A peer is asked, or was: it is due again after a while."""
        self._noted[peer] = mark, now + self._again
        self._noted.move_to_end(peer)
        while len(self._noted) > self._most:
            self._noted.popitem(last=False)
