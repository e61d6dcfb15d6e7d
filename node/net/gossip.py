"""Gossipsub with a guard against what py-libp2p 0.8.1 lets a remote message do to a node.

The library reads, judges and forwards inside tasks whose exceptions end the whole host, keeps state
for any topic that a peer cares to name, answers a request for one message named a thousand times
with a thousand copies, and drops messages beyond a queue of 32. The classes here replace the
reading, the judging and the queues; meshes, heartbeats and the wire format stay the library's.
Behaviour that is relied on is held by tests/assumptions/.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import trio
from libp2p.abc import IHost, INetStream
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.validators import signature_validator

from node.net import guard
from node.net.arrivals.first_words import FirstWords
from node.net.frames import Frames, Queue, Queues, Violation, check_fields, cost
from node.net.router import Router
from protocol import params
from protocol.wire.verdict import Verdict

log = logging.getLogger("assay.net")

#: Judges one message: (content, peer id of its author) -> what to do with it.
Judge = Callable[[bytes, str], Verdict]

#: One inbound frame. Peers may join several messages into one, up to their own limit of 1 MiB.
_MAX_RPC_BYTES: Final = 1024 * 1024
#: Messages that one IWANT may ask for: what a heartbeat's IHAVE can have offered.
_MAX_WANTED: Final = 64
_RECORD_SECONDS: Final = 2 * 60 * 60


class GuardedPubsub(Pubsub):
    """Pubsub whose inbound side cannot raise, whose state is bounded, and which can ignore."""

    def __init__(self, host: IHost, gossip: Router, warden: guard.Warden) -> None:
        super().__init__(
            host,
            gossip,
            strict_signing=True,
            max_inbound_rpc_size=_MAX_RPC_BYTES,
            max_subscriptions_per_rpc=params.MAX_TOPICS,
            max_subscriptions_per_peer=params.MAX_TOPICS,
        )
        # A counter of seconds would repeat after a restart, and peers would drop the first messages
        # as seen.
        self.counter = time.time_ns()
        self.gossip = gossip
        self.warden = warden
        self.judges: dict[str, Judge] = {}
        self.deliver: Callable[[str, bytes, str], None] = lambda topic, data, author: None
        #: Told of the peer that brought a message that was new and right, and of one that follows a
        #: topic of ours.
        self.on_news: Callable[[ID], None] = lambda peer: None
        self.on_follower: Callable[[ID], None] = lambda peer: None
        #: Waits so many seconds before more of a peer is read.
        self.pause: Callable[[float], Awaitable[None]] = trio.sleep
        self.counters: Counter[str] = Counter()
        self.peer_queues = Queues(self.counters)
        self.words = FirstWords(host.get_network())
        self._locks: WeakKeyDictionary[INetStream, trio.Lock] = WeakKeyDictionary()
        self._greeting: WeakValueDictionary[ID, trio.Lock] = WeakValueDictionary()
        self._records: dict[ID, bytes] = {}
        self._changes = 0
        self._inbound: dict[ID, INetStream] = {}

    async def stream_handler(self, stream: INetStream) -> None:
        """Read one peer's gossip until it ends; whatever it sends, only its own stream ends."""
        peer = stream.muxed_conn.peer_id
        self.words.said(stream.muxed_conn)
        self._renew(peer, stream)
        try:
            await self.continuously_read_stream(stream)
        except Violation as error:
            self.counters["guard.garbage"] += 1
            offence = f"gossip: {error.offence}"
            self.warden.penalise(str(peer), guard.GARBAGE, offence, error.detail)
        finally:
            if self._inbound.get(peer) is stream:
                del self._inbound[peer]
                self._forget_all_subscriptions(peer)
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await stream.reset()

    def _renew(self, peer: ID, stream: INetStream) -> None:
        """A peer's newest stream says what it follows; older streams no longer count.

        A peer that restarts is often back before its old connection is known to be dead. Our stream
        to it may then lead nowhere: drop it, and the library opens another.
        """
        self._inbound[peer] = stream
        self._forget_all_subscriptions(peer)
        outbound = self.peers.get(peer)
        if outbound is not None and outbound.muxed_conn.is_closed:
            self._handle_dead_peer(peer)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Read and handle frames in order, at the pace that the peer is allowed.

        Raises Violation.
        """
        peer = stream.muxed_conn.peer_id
        name = str(peer)
        frames = Frames(stream)
        while self.manager.is_running:
            try:
                raw = await frames.next(self.max_inbound_rpc_size)
            except Violation:
                raise
            except Exception as error:
                # Every way in which a stream can end, orderly or not.
                log.debug("peer %s: gossip stream ended", peer, exc_info=error)
                return
            self.counters["bytes.in"] += len(raw)
            check_fields(raw)
            rpc = rpc_pb2.RPC()
            try:
                rpc.ParseFromString(raw)
            except Exception as error:
                raise Violation("not a gossip frame") from error
            delay = self.warden.gossip_delay(name, cost(rpc), len(raw))
            if delay > 0:
                self.counters["guard.throttled"] += 1
                # Limits of a frame keep this below the five seconds after which the sender's
                # library would drop the stream.
                await self.pause(delay)
            await self._handle(peer, rpc)

    async def _handle(self, peer: ID, rpc: Any) -> None:
        self._take_record(peer, rpc.senderRecord)
        rpc.ClearField("senderRecord")
        for message in rpc.publish:
            await self.push_msg(peer, message)
        if len(rpc.subscriptions) > self.max_subscriptions_per_rpc:
            raise Violation("too many subscriptions in one frame", str(len(rpc.subscriptions)))
        for subscription in rpc.subscriptions:
            length = len(subscription.topicid.encode())
            if not 0 < length <= params.MAX_TOPIC_BYTES:
                # A relay follows what its peers follow, and nobody could follow this.
                raise Violation("a topic with too long a name" if length else "a topic of no name")
            self.handle_subscription(peer, subscription)
            if subscription.subscribe and subscription.topicid in self.judges:
                self.on_follower(peer)
        if rpc.HasField("control"):
            self._tame(rpc.control)
            await self.router.handle_rpc(rpc, peer)

    def _take_record(self, peer: ID, envelope: bytes) -> None:
        """Keep a peer's signed addresses. The same record rides on every frame: verify it once."""
        if not envelope or self._records.get(peer) == envelope:
            return
        if len(envelope) > params.MAX_PEER_RECORD_BYTES:
            raise Violation("too long an address record")
        try:
            signed, record = consume_envelope(envelope, "libp2p-peer-record")
        except Exception as error:
            raise Violation("a false address record") from error
        if record.peer_id != peer:
            raise Violation("somebody else's address record")
        # An older record than the one known is no offence: they overtake each other.
        self.host.get_peerstore().consume_peer_record(signed, _RECORD_SECONDS)
        self._records[peer] = envelope

    def _tame(self, control: Any) -> None:
        """Take out of a control message what would cost memory or traffic for nothing."""
        known = self.gossip.mesh
        # A topic is grafted or pruned once; to say it again changes nothing and costs an answer.
        grafts = {each.topicID: each for each in control.graft}
        prunes = {each.topicID: each for each in control.prune if each.topicID in known}
        for prune in prunes.values():
            # No dialling on a peer's word, and no silence longer than our own.
            prune.ClearField("peers")
            prune.backoff = min(prune.backoff, 60)
        kept_have = [each for each in control.ihave if each.topicID in known]
        room = params.MAX_GOSSIP_OFFERS
        for have in kept_have:
            del have.messageIDs[room:]
            room -= len(have.messageIDs)
        wanted = {each: None for iwant in control.iwant for each in iwant.messageIDs}
        for name, kept in (
            ("graft", list(grafts.values())[: params.MAX_TOPICS]),
            ("prune", list(prunes.values())),
            ("ihave", kept_have),
        ):
            copies = [type(each).FromString(each.SerializeToString()) for each in kept]
            control.ClearField(name)
            getattr(control, name).extend(copies)
        control.ClearField("iwant")
        if wanted:
            control.iwant.add().messageIDs.extend(list(wanted)[:_MAX_WANTED])
        del control.idontwant[params.MAX_TOPICS :]

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Judge a message and pass it on. Never raises on what a message contains."""
        if msg_forwarder == self.my_id:
            self._mark_msg_seen(msg)
        elif not self._admit(msg_forwarder, msg):
            return
        await self.router.publish(msg_forwarder, msg)

    def _admit(self, forwarder: ID, msg: Any) -> bool:
        """Checks in order of cost, the seen set last. True: delivered here, and to be forwarded."""
        peer = str(forwarder)
        topics = list(msg.topicIDs)
        if len(topics) != 1 or topics[0] not in self.judges:
            self.counters["ignored.topic"] += 1
            return False
        topic = topics[0]
        if self._is_msg_seen(msg):
            self.counters["duplicate"] += 1
            return False
        if msg.from_id == self.my_id.to_bytes():
            return False
        why = self._flaw(msg)
        if why:
            return self._reject(peer, topic, why)
        author = str(ID(msg.from_id))
        if self.warden.banned(author):
            self.counters["ignored.banned"] += 1
            return False
        if not self.gossip.scorer.allow_publish(forwarder, topics):  # type: ignore[union-attr]
            self.counters["ignored.score"] += 1
            return False
        try:
            verdict = self.judges[topic](msg.data, author)
        except Exception:
            # A judge is total; if one is not, the message is nobody's fault and goes nowhere.
            self.counters["guard.judge"] += 1
            log.exception("judging a message on %s from %s failed", topic, author)
            verdict = Verdict.IGNORE
        if verdict is Verdict.REJECT:
            return self._reject(peer, topic, "gossip: a rejected message")
        self._mark_msg_seen(msg)
        if verdict is not Verdict.ACCEPT:
            self.counters["ignored.judge"] += 1
            return False
        self.gossip.scorer.on_first_delivery(forwarder, topic)  # type: ignore[union-attr]
        self.counters["accepted"] += 1
        self.on_news(forwarder)
        self.deliver(topic, msg.data, author)
        return True

    def _flaw(self, msg: Any) -> str:
        """A fault of the message itself, whoever wrote it; empty if there is none."""
        if len(msg.data) > params.MAX_GOSSIP_BYTES:
            return "gossip: an oversized message"
        if len(msg.seqno) != 8 or not 0 < len(msg.from_id) <= 64:
            return "gossip: a message without a proper author or number"
        try:
            genuine = signature_validator(msg)
        except Exception as error:
            # The library raises on keys that it cannot parse.
            log.debug("unreadable key in a message", exc_info=error)
            genuine = False
        return "" if genuine else "gossip: a false signature"

    def _reject(self, peer: str, topic: str, why: str) -> bool:
        self.counters["rejected"] += 1
        self.gossip.scorer.on_invalid_message(ID.from_string(peer), topic)  # type: ignore[union-attr]
        self.warden.penalise(peer, guard.BAD_MESSAGE, why)
        return False

    def is_peer_blacklisted(self, peer_id: ID) -> bool:
        """No gossip stream is opened to a banned peer."""
        return self.warden.banned(str(peer_id))

    async def write_msg(self, stream: INetStream, rpc_msg: rpc_pb2.RPC) -> bool:
        """Write one frame. Two tasks write to one stream when a peer joins: one at a time."""
        lock = self._locks.setdefault(stream, trio.Lock())
        async with lock:
            sent = await super().write_msg(stream, rpc_msg)
        if sent:
            self.counters["bytes.out"] += rpc_msg.ByteSize()
        return sent

    async def _handle_new_peer_with_retry(self, peer_id: ID, timeout: float | None = None) -> None:
        """Open our stream to a peer, once it has said a word; the library then tries again and
        again. It would dial a peer that is gone."""
        if await self.words.wait(peer_id):
            await super()._handle_new_peer_with_retry(peer_id, timeout)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Greet a peer, and tell it what changed while it was being greeted.

        The library notes what we follow, then waits until the greeting is sent, and only then knows
        the peer. A topic that is followed in between would never be announced to it. There is one
        greeting at a time, because of two, for two connections of a peer, the one whose connection
        ends could win.
        """
        async with self._greeting.setdefault(peer_id, trio.Lock()):
            await self._greet(peer_id)
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn.is_closed:
            # Its end was told before the library knew that the peer was greeted on it.
            self._handle_dead_peer(peer_id)

    async def _greet(self, peer_id: ID) -> None:
        before, changes = set(self.topic_ids), self._changes
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is None or self._changes == changes:
            return
        rpc = rpc_pb2.RPC()
        for topic in self.topic_ids:
            rpc.subscriptions.add(subscribe=True, topicid=topic)
        for topic in before - set(self.topic_ids):
            rpc.subscriptions.add(subscribe=False, topicid=topic)
        queue.push(rpc, priority=True)

    async def subscribe(self, topic_id: str) -> Any:
        self._changes += 1
        return await super().subscribe(topic_id)

    async def unsubscribe(self, topic_id: str) -> None:
        self._changes += 1
        await super().unsubscribe(topic_id)

    async def handle_dead_peer_queue(self) -> None:
        """Take note of each connection that is gone, until the node ends.

        The library does nothing where the peer has another connection. But our stream to it may
        have gone with this one: it is dropped, and another opened, so that the peer is greeted
        anew. Otherwise a peer that we have nothing to tell would never learn what we follow.
        """
        async with self.dead_peer_receive_channel:
            self.event_handle_dead_peer_queue_started.set()
            async for peer in self.dead_peer_receive_channel:
                outbound = self.peers.get(peer)
                gone = outbound is not None and outbound.muxed_conn.is_closed
                if gone or not self._peer_is_connected(peer):
                    self._handle_dead_peer(peer)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        self._records.pop(peer_id, None)
        # The library forgets what a peer follows when our stream *to* it breaks. The peer said so
        # on its own stream, and will not say it again while that one lives.
        spoken = peer_id in self._inbound
        topics = [topic for topic, who in self.peer_topics.items() if spoken and peer_id in who]
        super()._handle_dead_peer(peer_id)
        for topic in topics:
            self.handle_subscription(peer_id, rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic))

    def crowded(self) -> bool:
        """Whether most peers' queues are half full, so that a publisher had better wait.

        Most, not any: one peer that does not read must not slow what the others get.
        """
        queues = [
            queue._queue for queue in self.peer_queues.values() if isinstance(queue._queue, Queue)
        ]
        return 2 * sum(each.crowded for each in queues) > len(queues)
