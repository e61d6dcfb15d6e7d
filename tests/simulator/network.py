"""The swarm, simulated: frames between nodes, lost, delayed, repeated and out of order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.clock import Clock

from protocol.codec import decode
from protocol.effects import Fetch
from protocol.envelope import Frame, open_envelope
from protocol.errors import Malformed
from protocol.messages import Body
from protocol.params import MAX_STREAM_MESSAGE_BYTES

if TYPE_CHECKING:
    from simulator.participant import Node

_RETRY_MS = 500


@dataclass
class Weather:
    """How bad the network is. `drops` decides on single frames: (from, to, body, gossip?)."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_ms: tuple[int, int] = (5, 60)
    bytes_per_ms: int = 2_000
    drops: list[Callable[[str, str, Body | None, bool], bool]] = field(default_factory=list)


class Network:
    """Delivers to nodes that are up. Every choice comes from the seed."""

    def __init__(self, clock: Clock, weather: Weather, seed: str) -> None:
        self.clock, self.weather = clock, weather
        self.nodes: dict[bytes, Node] = {}
        self._random = random.Random(f"network {seed}")
        #: Bytes that left and reached each node, by name, whatever carried them.
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    def moved(self, origin: Node, to: Node, size: int) -> None:
        """Count bytes between two nodes."""
        self.sent[origin.name] += size
        self.received[to.name] += size

    def gossip(self, topic: str, data: bytes, origin: Node) -> None:
        """To everybody who follows the topic, unless it is lost; at times twice."""
        body = _body(data)
        for node in self.nodes.values():
            if node is origin or topic not in node.topics():
                continue
            copies = 1 + (self._random.random() < self.weather.duplicates)
            for _ in range(copies):
                self.moved(origin, node, len(data))
                if not self._lost(origin, node, body, True):
                    self._later(len(data), lambda node=node: node.hear(topic, data))

    def request(
        self, origin: Node, peer: bytes, data: bytes, until: int, answered: Callable[[bytes], None]
    ) -> None:
        """Ask until there is an answer or the time is over (then: an empty answer).

        A lost answer makes the peer hear the same again.
        """
        epoch, body = origin.epoch, _body(data)

        def attempt() -> None:
            if not (origin.up and origin.epoch == epoch):
                return
            if self.clock.now >= until:
                answered(b"")
                return
            node = self.nodes.get(peer)
            if node is None or self._lost(origin, node, body, False):
                self.clock.after(_RETRY_MS, attempt)
            else:
                self.moved(origin, node, len(data))
                self._later(len(data), lambda: arrive(node))

        def arrive(node: Node) -> None:
            reply = node.answer(origin.peer, data) if node.up else None
            if reply is None or self._lost(node, origin, None, False):
                self.clock.after(_RETRY_MS, attempt)
            else:
                self.moved(node, origin, len(reply))
                self._later(len(reply), lambda: back(reply))

        def back(reply: bytes) -> None:
            if origin.up and origin.epoch == epoch:
                answered(reply)

        attempt()

    def fetch(self, origin: Node, effect: Fetch) -> None:
        """Bring a blob from whoever is up and holds it: of `near` at first, then of all."""
        epoch, digest, until = origin.epoch, effect.digest, effect.until

        def attempt() -> None:
            if not (origin.up and origin.epoch == epoch):
                return
            if digest in origin.blobs:
                origin.fetched(digest, True)
            elif self.clock.now >= until:
                origin.fetched(digest, False)
            else:
                patient = effect.near and self.clock.now < effect.patience
                peers = effect.near if patient else (*effect.near, *effect.peers)
                holder = next((n for n in map(self.nodes.get, peers) if _holds(n, digest)), None)
                if holder is None or self._lost(holder, origin, None, False):
                    self.clock.after(_RETRY_MS, attempt)
                else:
                    content = holder.blobs[digest]
                    self.moved(holder, origin, len(content))
                    self._later(len(content), lambda: arrive(content))

        def arrive(content: bytes) -> None:
            if origin.up and origin.epoch == epoch:
                origin.blobs[digest] = content
                attempt()

        attempt()

    def _later(self, size: int, call: Callable[[], None]) -> None:
        delay = self._random.randint(*self.weather.delay_ms)
        self.clock.after(delay + size // self.weather.bytes_per_ms, call)

    def _lost(self, origin: Node, to: Node, body: Body | None, gossip: bool) -> bool:
        if any(drop(origin.name, to.name, body, gossip) for drop in self.weather.drops):
            return True
        return self._random.random() < self.weather.loss


def _holds(node: Node | None, digest: bytes) -> bool:
    return node is not None and node.up and digest in node.blobs


def _body(data: bytes) -> Body | None:
    try:
        frame = decode(Frame, data, MAX_STREAM_MESSAGE_BYTES)
        return open_envelope(frame.envelope).body
    except Malformed:
        return None
