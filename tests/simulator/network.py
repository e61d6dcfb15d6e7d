"""The swarm, simulated: frames between nodes, lost, delayed, repeated and out of order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.clock import Clock
from simulator.meter import Meter

from protocol.errors import Malformed
from protocol.machines.effects import Fetch
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.wire.codec import decode
from protocol.wire.envelope import Frame, open_envelope
from protocol.wire.messages import Body

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
        self.meter: Meter | None = None

    def gossip(self, topic: str, data: bytes, origin: Node) -> None:
        """To everybody who follows the topic, unless it is lost; at times twice."""
        body = _body(data)
        followers = [n for n in self.nodes.values() if n is not origin and topic in n.topics()]
        if self.meter is not None:
            self.meter.gossip(_kind(body), len(data), origin.name, [n.name for n in followers])
        for node in followers:
            copies = 1 + (self._random.random() < self.weather.duplicates)
            for _ in range(copies):
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
                self._count(_kind(body), origin, node, len(data))
                self._later(len(data), lambda: arrive(node))

        def arrive(node: Node) -> None:
            reply = node.answer(origin.peer, data) if node.up else None
            if reply is None or self._lost(node, origin, None, False):
                self.clock.after(_RETRY_MS, attempt)
            else:
                self._count("reply", node, origin, len(reply))
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
                    self._count(digest, holder, origin, len(content))
                    self._later(len(content), lambda: arrive(content))

        def arrive(content: bytes) -> None:
            if origin.up and origin.epoch == epoch:
                origin.blobs[digest] = content
                attempt()

        attempt()

    def _count(self, what: str | bytes, origin: Node, to: Node, size: int) -> None:
        if self.meter is not None:
            self.meter.stream(what, size, origin.name, to.name)

    def _later(self, size: int, call: Callable[[], None]) -> None:
        delay = self._random.randint(*self.weather.delay_ms)
        self.clock.after(delay + size // self.weather.bytes_per_ms, call)

    def _lost(self, origin: Node, to: Node, body: Body | None, gossip: bool) -> bool:
        if any(drop(origin.name, to.name, body, gossip) for drop in self.weather.drops):
            return True
        return self._random.random() < self.weather.loss


def _holds(node: Node | None, digest: bytes) -> bool:
    return node is not None and node.up and digest in node.blobs


def _kind(body: Body | None) -> str:
    return type(body).__name__


def _body(data: bytes) -> Body | None:
    try:
        frame = decode(Frame, data, MAX_STREAM_MESSAGE_BYTES)
        return open_envelope(frame.envelope).body
    except Malformed:
        return None
