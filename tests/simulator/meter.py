"""Bytes that nodes send and receive, by what they are.

The simulator hands a gossip message straight to everybody who follows its topic. In a mesh, a node
that hears one sends it on to all of its neighbours but the one that it came from: whoever did not
write it sends, and so hears on average, one copy less than it has neighbours. That is what counts
here (gossipsub 1.1; what version 1.2 spares of large messages is not taken off).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Neighbours of a node in a topic's mesh (node/net/router.py).
DEGREE = 4

#: What moved: a message's kind, or a blob's digest.
What = str | bytes


@dataclass
class Meter:
    """Bytes by node and by what they were."""

    sent: Counter[tuple[str, What]] = field(default_factory=Counter)
    received: Counter[tuple[str, What]] = field(default_factory=Counter)
    #: Seconds of this process in kernels, by node.
    seconds: Counter[str] = field(default_factory=Counter)

    def gossip(self, kind: str, size: int, origin: str, followers: Sequence[str]) -> None:
        """A message to all who follow a topic."""
        degree = min(DEGREE, len(followers))
        self.sent[origin, kind] += degree * size
        copies = max(1, degree - 1)
        for follower in followers:
            self.received[follower, kind] += copies * size
            self.sent[follower, kind] += (copies if degree > 1 else 0) * size

    def stream(self, what: What, size: int, origin: str, to: str) -> None:
        """A message or a blob from one node to another."""
        self.sent[origin, what] += size
        self.received[to, what] += size

    def of(self, node: str) -> Counter[What]:
        """All bytes of a node, both ways, by what they were."""
        found: Counter[What] = Counter()
        for counted in (self.sent, self.received):
            for (name, what), size in counted.items():
                if name == node:
                    found[what] += size
        return found
