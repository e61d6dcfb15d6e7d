"""The network: what nodes say reaches others late, twice, out of order, or not at all.

`Line` stands where node.net.swarm.Swarm does and has its public methods (a test compares them).
Blobs travel by the product's own Fetch and BlobServer, a request a chunk.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from node.net import fetch as blobs
from node.net import streams
from node.net.config import PeerInfo, Reach
from node.net.errors import Disconnected, Refused, TimedOut, Unreachable
from node.net.rules import callback
from node.net.swarm import Judge
from protocol import params
from protocol.errors import InputError, PeerError
from protocol.wire.topics import JOBS_TOPIC
from protocol.wire.verdict import Verdict
from virtual.clock import Calls, chance, current

if TYPE_CHECKING:
    from virtual.lives import Node

#: Peers that a node keeps connections with; others it dials when it has something to say.
NEIGHBOURS = 4

#: Whether a frame from one name to another is cut off now.
Cut = Callable[[str, str], bool]


@dataclass
class Weather:
    """How bad the network is: shares of frames, seconds, bytes a second."""

    delay: tuple[float, float] = (0.005, 0.06)
    bytes_per_second: float = 2e6
    #: Gossip that never comes, and comes twice.
    loss: float = 0.0
    duplicates: float = 0.0
    #: Requests whose stream breaks before they arrive, and after they were answered.
    broken: float = 0.0
    cuts: list[Cut] = field(default_factory=list)


@dataclass
class _Question:
    """A request on its way through the node that answers it."""

    peer: str
    protocol: str
    data: bytes
    answered: trio.Event = field(default_factory=trio.Event)
    reply: bytes = b""
    #: Why there is no reply: an error made for the asker.
    refused: Callable[[str], PeerError] | None = None


class Network:
    """Every node by its peer id."""

    def __init__(self, seed: int, calls: Calls, say: Callable[[str, str], None]) -> None:
        self.calls, self.say = calls, say
        self.weather = Weather()
        self.dice = chance(seed, "network")
        self.nodes: dict[str, Node] = {}
        #: Whom no gossip of any job reaches.
        self.deaf: set[str] = set()
        #: Told of every private request as it leaves: (from, to, protocol, frame).
        self.spies: list[Callable[[Node, Node, str, bytes], None]] = []
        self._friends: dict[str, set[str]] = {}

    def introduce(self) -> None:
        """Give every node its neighbours, once all nodes are there."""
        names = list(self.nodes)
        self._friends = {name: set() for name in names}
        for place, name in enumerate(names):
            others = self.dice.sample(names, min(NEIGHBOURS // 2, len(names) - 1))
            for other in (names[place - 1], *others):
                if other != name:
                    self._friends[name].add(other)
                    self._friends[other].add(name)

    def cut(self, origin: Node, target: Node) -> bool:
        return any(cut(origin.name, target.name) for cut in self.weather.cuts)

    def neighbours(self, node: Node) -> list[str]:
        """The peers that a node is connected with now."""
        found = []
        for peer in sorted(self._friends.get(node.peer, ())):
            other = self.nodes[peer]
            if other.line is not None and not (self.cut(node, other) or self.cut(other, node)):
                found.append(peer)
        return found

    def delay(self, size: int) -> float:
        return self.dice.uniform(*self.weather.delay) + size / self.weather.bytes_per_second

    def gossip(self, origin: Node, topic: str, data: bytes) -> None:
        """To everybody who follows the topic, each by its own way."""
        weather = self.weather
        for node in self.nodes.values():
            line = node.line
            if node is origin or line is None or topic not in line.judges:
                continue
            deaf = node.peer in self.deaf and topic != JOBS_TOPIC
            lost = self.dice.random() < weather.loss or deaf
            if lost or self.cut(origin, node):
                continue
            for _ in range(1 + (self.dice.random() < weather.duplicates)):
                # Some hops, and each as slow as it is.
                hops = self.dice.randint(1, 3)
                delay = sum(self.delay(len(data)) for _ in range(hops))
                self.calls.after(delay, lambda line=line: line.hear(topic, data, origin.peer))


class Line:
    """One node's part of the network, for one life of it."""

    def __init__(self, network: Network, node: Node) -> None:
        self._network, self._node = network, node
        self._counters: Counter[str] = Counter()
        self._handlers: dict[str, Callable[[str, bytes], Awaitable[bytes]]] = {}
        self._channels: dict[str, trio.MemorySendChannel[tuple[bytes, str]]] = {}
        self._asked, self._questions = trio.open_memory_channel[_Question](10_000)
        self._open: set[int] = set()
        self._pending: dict[int, _Question] = {}
        self.judges: dict[str, Judge] = {}
        self.blamed: list[tuple[str, str]] = []

    # --- the world's side -------------------------------------------------------------------

    async def run(self) -> None:
        """Answer what others ask, in this node's own tasks; until cancelled."""
        async with trio.open_nursery() as nursery:
            async for question in self._questions:
                nursery.start_soon(self._answer, question)

    async def _answer(self, question: _Question) -> None:
        handler = self._handlers.get(question.protocol)
        try:
            if handler is None:
                raise PeerError("this node does not speak the protocol")
            question.reply = await handler(question.peer, question.data)
        except PeerError as error:
            text = f"it answered refused: {error}"
            question.refused = lambda peer: Refused(peer, text, lasting=True)
        except Exception as error:  # noqa: BLE001 - a defect is a finding
            self._node.world.broke(self._node, f"answering failed: {error!r}", error)
            text = "it answered failed: internal error"
            question.refused = lambda peer: Refused(peer, text, lasting=False)
        self._pending.pop(id(question), None)
        question.answered.set()

    def hang_up(self) -> None:
        """The node is gone: who waits for it sees the stream end."""
        for question in self._pending.values():
            question.refused = lambda peer: Disconnected(peer, "the stream ended")
            question.answered.set()
        self._pending.clear()

    def put(self, question: _Question) -> None:
        self._pending[id(question)] = question
        self._asked.send_nowait(question)

    def hear(self, topic: str, data: bytes, author: str) -> None:
        """Gossip that arrives."""
        later = self._node.stopped_until - trio.current_time()
        if later > 0:
            self._network.calls.after(later, lambda: self.hear(topic, data, author))
            return
        judge = self.judges.get(topic)
        if judge is None or self._node.line is not self:
            return
        token = current.set(self._node)
        try:
            verdict = judge(data, author)
        finally:
            current.reset(token)
        if verdict is Verdict.REJECT:
            self._node.world.broke(self._node, f"honest gossip on {topic} was refused")
        if verdict is not Verdict.ACCEPT or topic not in self._channels:
            return
        try:
            self._channels[topic].send_nowait((data, author))
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._counters["dropped"] += 1

    # --- what the node sees -----------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        return self._node.peer

    @property
    def peer_id_bytes(self) -> bytes:
        return self._node.peer_bytes

    def addresses(self) -> list[str]:
        return [f"/ip4/10.0.0.1/tcp/4620/p2p/{self._node.peer}"]

    async def join(self, address: str) -> None:
        await trio.lowlevel.checkpoint()

    def cherish(self, members: Callable[[], Iterable[str]]) -> None:
        """Connections are not scarce here."""

    def peers(self) -> list[PeerInfo]:
        now = 0.0
        return [PeerInfo(peer, (), "out", now, 0.0, {}, "virtual", ()) for peer in self.connected()]

    def connected(self) -> list[str]:
        return self._network.neighbours(self._node)

    def records(self) -> list[bytes]:
        """Everybody's address is known here."""
        return []

    def learn(self, records: Iterable[bytes]) -> None:
        """Nothing is new."""

    async def meet_copy(self) -> str:
        """Nobody here has a copy."""
        await trio.sleep_forever()
        return ""

    async def wait_connected(self, count: int, timeout: float) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_topic(self, topic: str, count: int, timeout: float) -> None:
        await trio.lowlevel.checkpoint()

    async def publish(self, topic: str, data: bytes) -> None:
        if len(data) > params.MAX_GOSSIP_BYTES:
            raise InputError(f"a gossip message of {len(data)} bytes")
        await self._node.about_to_act()
        self._node.world.say(self._node.name, f"says {topic[-24:]} {mark_of(data)}")
        self._network.gossip(self._node, topic, data)
        await self._node.has_acted()

    async def subscribe(
        self, topic: str, judge: Judge
    ) -> trio.MemoryReceiveChannel[tuple[bytes, str]]:
        if topic in self._channels:
            raise InputError(f"topic {topic!r} is followed already")
        size = params.GOSSIP_INBOX_MESSAGES
        send, receive = trio.open_memory_channel[tuple[bytes, str]](size)
        self.judges[topic], self._channels[topic] = judge, send
        await trio.lowlevel.checkpoint()
        return receive

    async def unsubscribe(self, topic: str) -> None:
        self.judges.pop(topic, None)
        channel = self._channels.pop(topic, None)
        if channel is not None:
            channel.close()
        await trio.lowlevel.checkpoint()

    async def relay(self, judge_for: Callable[[str], Judge | None]) -> None:
        """Gossip reaches its followers without bystanders here."""
        await trio.sleep_forever()

    async def request(
        self,
        peer_id: str,
        protocol: str,
        data: bytes,
        timeout: float,
        most: int = params.MAX_STREAM_MESSAGE_BYTES,
    ) -> bytes:
        if len(data) > most:
            raise InputError(f"a request of {len(data)} bytes")
        return await self._ask(peer_id, protocol, data, timeout)

    async def _ask(self, peer: str, protocol: str, data: bytes, timeout: float | None) -> bytes:
        patience = params.PROGRESS_SECONDS if timeout is None else timeout
        with trio.move_on_after(patience):
            return await self._exchange(peer, protocol, data)
        raise TimedOut(peer, f"no reply within {patience:.3g} seconds")

    async def _exchange(self, peer: str, protocol: str, data: bytes) -> bytes:
        node, network = self._node, self._network
        target, weather = network.nodes.get(peer), network.weather
        await node.about_to_act()
        await trio.sleep(network.delay(len(data)))
        if target is None or target.line is None:
            raise Unreachable(peer, "nobody answers at its address")
        if network.cut(node, target):
            await trio.sleep_forever()  # what is cut off is silent: its asker gives up
        if network.dice.random() < weather.broken:
            raise Disconnected(peer, "the stream broke")
        for spy in network.spies:
            spy(node, target, protocol, data)
        question = _Question(node.peer, protocol, data)
        target.line.put(question)
        await question.answered.wait()
        await trio.sleep(network.delay(len(question.reply)))
        if network.cut(target, node):
            await trio.sleep_forever()
        if question.refused is not None:
            raise question.refused(peer)
        if network.dice.random() < weather.broken:
            raise Disconnected(peer, "the stream broke before the reply was whole")
        await node.has_acted()
        return question.reply

    def serve(
        self,
        protocol: str,
        handler: Callable[[str, bytes], Awaitable[bytes]],
        max_request: int = params.MAX_STREAM_MESSAGE_BYTES,
        slots: streams.Slots | None = None,
    ) -> None:
        self._handlers[protocol] = handler

    def blame(self, peer: str, offence: str) -> None:
        self._node.world.broke(self._node, f"blames honest {peer}: {offence}")

    def thank(self, peer: str) -> None:
        """Lines stay anyway."""

    async def fetch(
        self, digest: bytes, size: int, peers: Sequence[str], sink: blobs.BlobSink
    ) -> None:
        async def ask(peer: str, data: bytes, max_reply: int) -> bytes:
            return await self._ask(peer, blobs.PROTOCOL, data, None)

        job = blobs.Fetch(digest, size, sink, ask, self.blame, self.thank, self._counters)
        await job.run(peers)

    def serve_blobs(self, source: blobs.BlobSource, missed: blobs.Missed = blobs.forget) -> None:
        self.serve(blobs.PROTOCOL, blobs.BlobServer(source, self._counters, missed).answer)

    def statistics(self) -> dict[str, int]:
        return dict(self._counters)

    async def probe(self) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def reach(self) -> Reach:
        await trio.lowlevel.checkpoint()
        return Reach(callback.Verdict.UNKNOWN)  # nobody dials in here


def mark_of(data: bytes) -> str:
    """A few letters that tell a frame from others in a log."""
    return hashlib.sha256(data).hexdigest()[:8]
