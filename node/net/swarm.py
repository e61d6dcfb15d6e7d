"""The swarm as the daemon sees it: gossip, requests, blobs, peers. Everything else is inside.

`open_swarm` runs a node of the network for as long as its block lasts. libp2p is imported there and
not with this module, so that commands which never open a swarm do not pay for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from node.net import fetch as blobs
from node.net import guard, library, streams
from node.net.config import PeerInfo, Reach, SwarmConfig
from node.net.errors import Broken, ConversationError, TimedOut, Unreachable, only
from protocol import params
from protocol.errors import FatalError, InputError, Malformed
from protocol.wire.verdict import Verdict

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.peer.id import ID

    from node.net.assemble import Parts
    from node.net.muxer import EagerStream

log = logging.getLogger("assay.net")

__all__ = ["Judge", "PeerInfo", "Swarm", "SwarmConfig", "open_swarm"]

#: Judges one gossip message: (content, author's peer id) -> Verdict. Cheap, pure, total.
Judge = Callable[[bytes, str], Verdict]

#: How long a publisher waits for slow peers before it goes on without them, seconds.
_PUBLISH_PATIENCE: Final = 3.0
_POLL_SECONDS: Final = 0.01
_RELAY_SECONDS: Final = 1.0


class Swarm:
    """A node of the network. Made by `open_swarm`; every method needs it to be open."""

    def __init__(self, parts: Parts, nursery: trio.Nursery) -> None:
        self._parts = parts
        self._nursery = nursery
        self._inboxes: dict[str, trio.MemorySendChannel[tuple[bytes, str]]] = {}
        self._relayed: dict[str, float] = {}
        self._publishing = trio.Lock()
        self._counters: Counter[str] = Counter()
        parts.pubsub.deliver = self._deliver
        parts.peers.topics = lambda: tuple(parts.pubsub.judges)

    @property
    def peer_id(self) -> str:
        """This node's id, as others write it."""
        return str(self._parts.host.get_id())

    @property
    def peer_id_bytes(self) -> bytes:
        """This node's id as a multihash, as it stands in signed messages."""
        return self._parts.host.get_id().to_bytes()

    def addresses(self) -> list[str]:
        """Where this node can be reached, each with /p2p/ and its id: what `join` takes."""
        return [str(each) for each in self._parts.host.get_addrs()]

    # -- peers ---------------------------------------------------------------------------------

    async def join(self, address: str) -> None:
        """Connect to a peer and keep connected: it is redialled whenever the connection is lost.

        Raises InputError for text that is no peer address, Unreachable if nobody answers there now;
        dialling goes on.
        """
        await self._parts.peers.connect(self._parts.peers.remember(address))

    def cherish(self, members: Callable[[], Iterable[str]]) -> None:
        """Peers whose connections stay when there are too many: `members` of jobs that run here.

        It is called whenever that is to be decided, and must be cheap.
        """
        self._parts.peers.lines.members = members

    def peers(self) -> list[PeerInfo]:
        """Everybody connected now."""
        return self._parts.describe_peers()

    def connected(self) -> list[str]:
        """The ids of everybody connected now; what `peers` says beside costs more."""
        return [str(peer) for peer in self._parts.peers.connected()]

    def records(self) -> list[bytes]:
        """What peers signed about their addresses, for `learn` at a later start."""
        return self._parts.records()

    def learn(self, records: Iterable[bytes]) -> None:
        """Know these peers, and dial them while others are few. A false record is skipped."""
        self._parts.peers.learn(records)

    async def meet_copy(self) -> str:
        """Wait until another node is seen to run under this one's id; where that one listens."""
        return await self._parts.peers.copies.meet(self._parts.peers.tell)

    async def wait_connected(self, count: int, timeout: float) -> None:
        """Wait until at least `count` peers are connected and gossip with us; a daemon never waits.
        Raises TooSlowError after `timeout` seconds."""
        with trio.fail_after(timeout):
            await _until(lambda: len(self._parts.pubsub.peers) >= count)

    async def wait_topic(self, topic: str, count: int, timeout: float) -> None:
        """Wait until at least `count` connected peers follow a topic; raises TooSlowError."""
        followers = self._parts.pubsub.peer_topics
        with trio.fail_after(timeout):
            await _until(lambda: len(followers.get(topic, ())) >= count)

    async def reach(self) -> Reach:
        """Ask up to three connected peers to dial this node by a new connection, within 20 s."""
        return await self._parts.outside.look()

    # -- gossip --------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> None:
        """Publish on a topic. Lossy: nothing may depend on gossip alone.

        Waits while most peers' queues are half full, for three seconds at most. Raises InputError
        for a message above `params.MAX_GOSSIP_BYTES` or a topic above `params.MAX_TOPIC_BYTES`.
        """
        _check_name(topic)
        if len(data) > params.MAX_GOSSIP_BYTES:
            raise InputError(
                f"a gossip message of {len(data)} bytes: at most {params.MAX_GOSSIP_BYTES}; "
                "announce a blob instead"
            )
        async with self._publishing:
            with trio.move_on_after(_PUBLISH_PATIENCE):
                await _until(lambda: not self._parts.pubsub.crowded())
            await self._parts.pubsub.publish(topic, data)
        self._counters["published"] += 1

    async def subscribe(
        self, topic: str, judge: Judge
    ) -> trio.MemoryReceiveChannel[tuple[bytes, str]]:
        """Follow a topic: accepted messages come as (content, author's peer id), and are forwarded.

        The channel holds `params.GOSSIP_INBOX_MESSAGES`; what comes while it is full is dropped
        and counted. Raises InputError if the topic is followed already, or too many are.
        """
        if topic in self._inboxes:
            raise InputError(f"topic {topic!r} is followed already")
        send, receive = trio.open_memory_channel[tuple[bytes, str]](params.GOSSIP_INBOX_MESSAGES)
        await self._follow(topic, judge)
        self._inboxes[topic] = send
        self._relayed.pop(topic, None)
        return receive

    async def unsubscribe(self, topic: str) -> None:
        """Stop following a topic; its channel ends. One that is not followed is fine."""
        inbox = self._inboxes.pop(topic, None)
        if inbox is not None:
            inbox.close()
        await self._unfollow(topic)

    async def relay(self, judge_for: Callable[[str], Judge | None]) -> None:
        """Forward what others say, for as long as this runs: the bystander's role.

        Follows every topic that a peer announces and that `judge_for` has a judge for, and drops
        it again once nobody else follows it, or when there are too many and it is the quietest.
        Nothing is delivered here.
        """
        while True:
            announced = {topic for topic, who in self._parts.pubsub.peer_topics.items() if who}
            for topic in self._relayed.keys() - announced:
                await self._unfollow(topic)
            for topic in announced - set(self._parts.pubsub.judges):
                judge = judge_for(topic)
                if judge is not None and len(self._relayed) < params.MAX_TOPICS // 2:
                    await self._follow(topic, judge)
                    self._relayed[topic] = trio.current_time()
            await trio.sleep(_RELAY_SECONDS)

    async def _follow(self, topic: str, judge: Judge) -> None:
        _check_name(topic)
        judges = self._parts.pubsub.judges
        if len(judges) >= params.MAX_TOPICS and self._relayed:
            await self._unfollow(min(self._relayed, key=self._relayed.__getitem__))
        if topic not in judges and len(judges) >= params.MAX_TOPICS:
            raise InputError(f"{len(judges)} topics are followed: at most {params.MAX_TOPICS}")
        judges[topic] = judge
        await self._parts.pubsub.subscribe(topic)

    async def _unfollow(self, topic: str) -> None:
        self._relayed.pop(topic, None)
        if self._parts.pubsub.judges.pop(topic, None) is not None:
            await self._parts.pubsub.unsubscribe(topic)

    def _deliver(self, topic: str, data: bytes, author: str) -> None:
        if topic in self._relayed:
            self._relayed[topic] = trio.current_time()
        inbox = self._inboxes.get(topic)
        if inbox is None:
            return
        try:
            inbox.send_nowait((data, author))
            self._counters["delivered"] += 1
        except trio.WouldBlock:
            self._counters["dropped.inbox"] += 1
            log.warning("topic %s: nobody reads, a message is dropped", topic)
        except trio.BrokenResourceError:
            self._counters["dropped.reader_gone"] += 1

    # -- requests ------------------------------------------------------------------------------

    async def request(
        self,
        peer_id: str,
        protocol: str,
        data: bytes,
        timeout: float,
        most: int = params.MAX_STREAM_MESSAGE_BYTES,
    ) -> bytes:
        """Ask one peer one thing and return its reply. Connects first where needed.

        Both ways at most `most` bytes. `timeout` in seconds covers dialling, too. Raises Malformed
        for what is no peer id, InputError for too large a request, and for the rest a
        ConversationError that names peer and cause.
        """
        if len(data) > most:
            raise InputError(f"a request of {len(data)} bytes: at most {most}")
        return await self._ask(protocol, peer_id, data, most, timeout, "request")

    async def _ask(
        self,
        protocol: str,
        peer: str,
        data: bytes,
        max_reply: int,
        timeout: float | None,
        purpose: str,
    ) -> bytes:
        from node.net.peering.whois import parse_peer

        peer_id = parse_peer(peer)
        lines = self._parts.peers.lines
        patience = float("inf") if timeout is None else lines.allowed(peer_id, timeout)
        try:
            with trio.fail_after(patience):
                stream = await self._open(peer_id, protocol)
                if purpose == "fetch":
                    await stream.expect(max_reply)
                reply = await streams.ask(stream, peer, data, max_reply, None)
        except trio.TooSlowError as error:
            lines.missed(peer_id, patience)
            raise TimedOut(peer, f"no reply within {patience:.3g} seconds") from error
        except TimedOut:
            lines.missed(peer_id, params.PROGRESS_SECONDS)
            raise
        except Broken:
            self.blame(peer, "a reply that is none")
            raise
        lines.answered(peer_id)
        self._counters[f"{purpose}.bytes.out"] += len(data)
        self._counters[f"{purpose}.bytes.in"] += len(reply)
        return reply

    async def _open(self, peer_id: ID, protocol: str) -> EagerStream:
        peer = str(peer_id)
        await self._parts.peers.connect(peer_id)
        try:
            with trio.fail_after(self._parts.peers.lines.allowed(peer_id, params.DIAL_SECONDS)):
                return await self._parts.open_stream(peer_id, protocol)
        except trio.TooSlowError as error:
            raise TimedOut(peer, f"it did not open a stream for {protocol}") from error
        except Exception as error:
            raise Unreachable(peer, f"it opens no stream for {protocol}: {error}") from error

    def serve(
        self,
        protocol: str,
        handler: streams.Handler,
        max_request: int = params.MAX_STREAM_MESSAGE_BYTES,
        slots: streams.Slots | None = None,
    ) -> None:
        """Answer requests on a protocol: `handler(peer id, bytes)` returns the reply. `slots` says
        how many are read at once; a stream beyond is reset before anything of it is read.

        A handler that raises PeerError refuses with that error's words; Malformed is counted
        against the peer as well. Any other exception is logged, and the peer learns only that we
        failed. Each peer has `params.REQUESTS_PER_SECOND`; above it, it is told to wait.
        """
        _check_name(protocol)

        async def judged(peer: str, data: bytes) -> bytes:
            try:
                return await handler(peer, data)
            except Malformed as error:
                log.info("peer %s: %s", peer, streams.printable(str(error)))
                # A fixed name, because a peer's words must not become the name of a counter.
                self._parts.warden.penalise(peer, guard.BAD_MESSAGE, "a malformed request")
                raise

        async def inbound(stream: INetStream) -> None:
            peer = str(stream.muxed_conn.peer_id)
            warden = self._parts.warden
            allowed = warden.allows_request(peer)
            if not allowed:
                self._counters["served.busy"] += 1
                warden.penalise(peer, guard.HASTE, "too many requests")
            try:
                status = await streams.answer(stream, peer, judged, max_request, allowed)
                self._counters[f"served.{status.name.lower()}"] += 1
            except Broken as error:
                warden.penalise(peer, guard.GARBAGE, "an oversized request", str(error))
                await streams.abandon(stream)
            except ConversationError as error:
                self._counters["served.broken"] += 1
                log.info("%s", error)
                await streams.abandon(stream)

        self._parts.set_handler(protocol, inbound if slots is None else slots.around(inbound))

    def blame(self, peer: str, offence: str) -> None:
        """Count what no honest peer sends. `offence`: one of few names, as in node.net.guard."""
        self._parts.warden.penalise(peer, guard.GARBAGE, offence)

    def thank(self, peer: str) -> None:
        """This node took something new from a peer, more than an answer: its line stays longer.

        Raises Malformed for what is no peer id."""
        from node.net.peering.whois import parse_peer

        self._parts.peers.lines.useful(parse_peer(peer))

    # -- blobs ---------------------------------------------------------------------------------

    async def fetch(
        self, digest: bytes, size: int, peers: Sequence[str], sink: blobs.BlobSink
    ) -> None:
        """Bring a blob into `sink`, from whichever of `peers` hold it, and finish it.

        Goes on from the chunks that an earlier fetch left in the sink. There is no deadline on the
        whole, only on progress. Raises FetchFailed, naming each peer and cause, when nobody is
        left.
        """
        ask = partial(self._ask, blobs.PROTOCOL, timeout=None, purpose="fetch")
        job = blobs.Fetch(digest, size, sink, ask, self.blame, self.thank, self._counters)
        await job.run(peers)

    def serve_blobs(self, source: blobs.BlobSource, missed: blobs.Missed = blobs.forget) -> None:
        """Let peers fetch what `source` holds; `missed` is told what it should and does not."""
        server = blobs.BlobServer(source, self._counters, missed)
        self.serve(blobs.PROTOCOL, server.answer, blobs.MAX_REQUEST_BYTES)

    # -- health --------------------------------------------------------------------------------

    def statistics(self) -> dict[str, int]:
        """Counters since the swarm was opened: bytes, messages, dials, guard trips."""
        return dict(self._parts.counted(self._counters))

    async def probe(self) -> bool:
        """Whether the node is alive, not only running: accepts, negotiates, and its heart beats."""
        return await self._parts.probe()


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition of the library's state, which has no event to wait for."""
    while True:
        if condition():
            return
        await trio.sleep(_POLL_SECONDS)


def _check_name(name: str) -> None:
    if not 0 < len(name.encode()) <= params.MAX_TOPIC_BYTES:
        raise InputError(f"a name of {len(name.encode())} bytes: 1 to {params.MAX_TOPIC_BYTES}")


@asynccontextmanager
async def open_swarm(config: SwarmConfig) -> AsyncIterator[Swarm]:
    """Run a node for as long as the block lasts.

    Raises InputError if the configuration is wrong or a port is in use, naming it; FatalError if
    the network's own machinery fails while the block runs.
    """
    if len(config.seed) != 32:
        raise InputError("a peer identity's seed has 32 bytes", "seed")
    library.load()
    from node.net.assemble import assembled

    body: list[BaseException] = []
    try:
        async with assembled(config) as (parts, nursery):
            swarm = Swarm(parts, nursery)
            for service in parts.services():
                swarm.serve(*service)
            for address in config.bootstrap:
                parts.peers.remember(address)
            parts.bind(swarm._ask)
            nursery.start_soon(parts.peers.maintain)
            try:
                yield swarm
            except BaseException as error:
                body.append(error)
                raise
    except BaseExceptionGroup as group:
        if body and not isinstance(body[0], trio.Cancelled):
            # The caller's own error, which the nurseries inside have wrapped.
            raise body[0] from None
        alone = only(group)
        if isinstance(alone, InputError) or not isinstance(group, Exception):
            raise alone or group from None
        raise FatalError(f"the network failed: {alone or group}") from group
