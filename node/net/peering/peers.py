"""Finding peers: an address book of signed records, a question to peers, and the dialling.

Every libp2p node signs a record of its own addresses. Peers hand those records on, so that an
address comes with its owner's signature, whoever tells it. Nobody can divert dials or fill the book
with inventions. docs/adr/0100 says why this and not Kademlia.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import env_to_send_in_RPC
from multiaddr import Multiaddr

from node.net.errors import TimedOut, Unreachable
from node.net.gossip import GuardedPubsub
from node.net.host import network_of
from node.net.peering.copies import Copies
from node.net.peering.lines import LOOK_SECONDS, Lines
from node.net.peering.whois import (
    MAX_ANSWER_BYTES,
    MAX_QUESTION_BYTES,
    Known,
    WhoIs,
    parse_peer,
    reads,
)
from node.net.rules import pace
from protocol import params
from protocol.errors import AssayError, InputError
from protocol.wire.codec import decode, encode

log = logging.getLogger("assay.net")

_RECORD_SECONDS: Final = 2 * 60 * 60
#: What a peer's answer may take at least. One that is later is slow, and is waited for longer.
ASK_SECONDS: Final = 5.0
#: Peers asked at once, and how far a search goes beyond the first it knows.
_FAN_OUT: Final = 6
_HOPS: Final = 3
#: Members of one of our topics that a node wants among its own connections.
_TOPIC_PEERS: Final = 3
_TOPICS_PER_EXCHANGE: Final = 8

#: Peers that are remembered because dialling failed; addresses of one peer that are tried.
_MAX_ATTEMPTS: Final = 4096
_MAX_ADDRESSES: Final = 8
_MUTE_SECONDS: Final = 60.0
_CROWD_SECONDS: Final = 0.05
_OWN_RECORD_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Asked:
    """When a connected peer is asked next, and after what pause again."""

    at: float
    pause: float = field(default_factory=lambda: pace.FIRST_PAUSE)


#: Asks one connected peer one question; raises PeerError.
Ask = Callable[[str, bytes], Awaitable[bytes]]


class Peers:
    """The address book and the dialling of one swarm. Run `maintain` for as long as it lives."""

    def __init__(self, host: BasicHost, pubsub: GuardedPubsub, agent: str) -> None:
        self._host = host
        self._network = network_of(host)
        self._pubsub = pubsub
        self._agent = agent
        self._ask: Ask | None = None
        self._wanted: dict[ID, Multiaddr] = {}
        self._attempts: dict[ID, pace.Attempts] = {}
        self._asked: dict[ID, _Asked] = {}
        self._following: frozenset[str] = frozenset()
        self._record, self._record_at = b"", float("-inf")
        self._dialling: set[ID] = set()
        self._locks: WeakValueDictionary[ID, trio.Lock] = WeakValueDictionary()
        self.lines = Lines(self._network)
        self.copies = Copies(host)
        self.lines.chosen = lambda: tuple(self._wanted)
        pubsub.on_news = self.lines.useful
        pubsub.on_follower = self.lines.answered
        self.agents: dict[ID, str] = {}
        self.topics: Callable[[], Iterable[str]] = tuple
        self.counters: Counter[str] = Counter()

    def bind(self, ask: Ask) -> None:
        """Give it the means to ask a peer; until then it only answers."""
        self._ask = ask

    # -- connections ---------------------------------------------------------------------------

    def connected(self) -> list[ID]:
        """Peers with an open connection."""
        return self.lines.connected()

    def is_connected(self, peer: ID) -> bool:
        """Whether a connection to the peer is open."""
        return self.lines.is_connected(peer)

    def remember(self, address: str) -> ID:
        """Want a connection to this address from now on; redialled whenever it is lost.

        Raises InputError unless it is a multiaddr that ends in /p2p/<peer id>.
        """
        try:
            info = info_from_p2p_addr(Multiaddr(address))
        except Exception as error:
            raise InputError(
                f"{address[:200]!r} is no peer address; expected /ip4/HOST/tcp/PORT/p2p/PEER",
                "bootstrap",
            ) from error
        if info.peer_id == self._host.get_id():
            raise InputError(f"{address} is this node's own address", "bootstrap")
        self._wanted[info.peer_id] = Multiaddr(address)
        self._attempts.pop(info.peer_id, None)
        return info.peer_id

    async def connect(self, peer: ID) -> None:
        """Make sure of a connection, looking for an address where none is known.

        Raises Unreachable.
        """
        if self.is_connected(peer):
            return
        if peer == self._host.get_id():
            raise Unreachable(str(peer), "this node does not talk to itself")
        if self._pubsub.warden.banned(str(peer)):
            raise Unreachable(str(peer), "it is banned here for a while")
        cause = "no address is known"
        if self._addresses(peer):
            try:
                await self._dial(peer)
                return
            except Unreachable as error:
                cause = str(error)
        if self.is_connected(peer):
            return
        before = set(map(str, self._addresses(peer)))
        await self._search(peer)
        if self.is_connected(peer):
            return
        if set(map(str, self._addresses(peer))) - before:
            await self._dial(peer)
            return
        raise Unreachable(str(peer), cause.removeprefix(f"peer {peer}: "))

    def _addresses(self, peer: ID) -> list[Multiaddr]:
        known = [self._wanted[peer]] if peer in self._wanted else []
        try:
            known.extend(self._host.get_peerstore().addrs(peer))
        except Exception as error:
            log.debug("no address of %s", peer, exc_info=error)
        return [address for address in known if reads(address)]

    async def _dial(self, peer: ID) -> None:
        """Dial each known address until one answers as that peer. Raises Unreachable."""
        lock = self._locks.setdefault(peer, trio.Lock())
        async with lock:
            if not self.is_connected(peer):
                await self._dial_addresses(peer)

    async def _dial_addresses(self, peer: ID) -> None:
        failure: Exception | None = None
        addresses = list(dict.fromkeys(map(str, self._addresses(peer))))[:_MAX_ADDRESSES]
        for address in addresses:
            try:
                with trio.fail_after(2 * (params.DIAL_SECONDS + self.lines.attention.lag)):
                    await self._network.dial_addr(Multiaddr(address), peer)
                self.counters["dials"] += 1
                return
            except Exception as error:
                failure = error
                self.counters["dials.failed"] += 1
                log.debug("dialling %s failed", address, exc_info=error)
            if self.is_connected(peer):
                return
        tried = ", ".join(addresses) or "no address"
        raise Unreachable(str(peer), f"no answer at {tried}") from failure

    # -- asking and answering ------------------------------------------------------------------

    async def answer(self, peer: str, data: bytes) -> bytes:
        """Answer a WhoIs. Raises Malformed."""
        question = decode(WhoIs, data, MAX_QUESTION_BYTES)
        asking = parse_peer(peer)
        self.agents[asking] = question.agent
        self.lines.answered(asking)
        if question.record:
            self.learn((question.record,))
        store = self._host.get_peerstore()
        first: list[ID] = []
        if question.wanted:
            first.append(ID(question.wanted))
        if question.topic:
            first.extend(self._pubsub.peer_topics.get(question.topic, ()))
        random.shuffle(others := self.connected())
        records: dict[ID, bytes] = {}
        matches = 0
        for position, each in enumerate((*first, *others)):
            if len(records) == params.MAX_PEERS_PER_ANSWER:
                break
            envelope = store.get_peer_record(each) if each != asking else None
            if envelope is not None and each not in records:
                encoded = envelope.marshal_envelope()
                if len(encoded) <= params.MAX_PEER_RECORD_BYTES:
                    records[each] = encoded
                    matches += position < len(first)
        told = (*records.values(), *self.copies.of(asking, question.record))
        return encode(Known(self._agent, matches, told[-params.MAX_PEERS_PER_ANSWER :]))

    async def exchange(
        self, peer: ID, wanted: bytes = b"", topic: str = ""
    ) -> tuple[list[ID], list[ID]]:
        """Ask one connected peer and learn what it says.

        Returns the peers that it named in answer to the question, and the others that it named.
        """
        if self._ask is None:
            return [], []
        question = WhoIs(wanted, topic, self._agent, self._own_record())
        began = trio.current_time()
        try:
            reply = decode(Known, await self._ask(str(peer), encode(question)), MAX_ANSWER_BYTES)
        except TimedOut as error:
            # `_ask` has its line asked for a byte: only one from which nothing comes is hung up on.
            log.debug("asking %s for peers: %s", peer, error)
            return [], []
        except AssayError as error:
            # It speaks, but not this protocol, or not now.
            log.debug("asking %s for peers: %s", peer, error)
            self._asked[peer] = _Asked(trio.current_time() + _MUTE_SECONDS, pace.LAST_PAUSE)
            return [], []
        self.lines.answered(peer, trio.current_time() - began)
        self.agents[peer] = reply.agent
        return self.learn(reply.records[: reply.matches]), self.learn(
            reply.records[reply.matches :]
        )

    def _own_record(self) -> bytes:
        """This node's own addresses, signed; looked up once a minute: it asks every interface."""
        now = trio.current_time()
        if now - self._record_at >= _OWN_RECORD_SECONDS:
            self._record, self._record_at = env_to_send_in_RPC(self._host)[0], now
        return self._record

    async def tell(self) -> None:
        """Tell everybody connected this node's record as it is now, within some seconds."""
        self._record_at = float("-inf")
        with trio.move_on_after(ASK_SECONDS):
            async with trio.open_nursery() as nursery:
                for peer in self.connected():
                    nursery.start_soon(self.exchange, peer)

    def learn(self, records: Iterable[bytes]) -> list[ID]:
        """Keep signed records; a record that does not verify is skipped. Whose they are."""
        learnt: list[ID] = []
        for each in records:
            try:
                envelope, record = consume_envelope(each, "libp2p-peer-record")
                if record.peer_id == self._host.get_id():
                    self.copies.look(record)
                else:
                    self._host.get_peerstore().consume_peer_record(envelope, _RECORD_SECONDS)
                    learnt.append(record.peer_id)
            except Exception as error:
                self.counters["records.bad"] += 1
                log.info("a peer handed on a false address record", exc_info=error)
        return learnt

    async def _search(self, wanted: ID) -> None:
        """Ask outwards for a peer's address until its record turns up or nobody new is named."""
        asked: set[ID] = {self._host.get_id()}
        to_ask = self.connected()
        for _ in range(_HOPS):
            batch = [each for each in to_ask if each not in asked][:_FAN_OUT]
            if not batch:
                return
            named: list[ID] = []
            async with trio.open_nursery() as nursery:
                for each in batch:
                    asked.add(each)
                    nursery.start_soon(self._ask_for, each, wanted, named)
            if wanted in named or self.is_connected(wanted):
                return
            to_ask = named

    async def _ask_for(self, peer: ID, wanted: ID, named: list[ID]) -> None:
        with trio.move_on_after(self.lines.allowed(peer, ASK_SECONDS)):
            matches, others = await self.exchange(peer, wanted=wanted.to_bytes())
            named.extend((*matches, *others))

    # -- upkeep --------------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Redial what was asked for, keep enough connections, and go on learning who is there."""
        async with trio.open_nursery() as nursery:
            self.lines.watch(nursery)
            while True:
                self.lines.look()
                now = trio.current_time()
                self._forgive(now)
                for peer in self._due(now):
                    self._dialling.add(peer)
                    nursery.start_soon(self._try, peer)
                self._schedule_exchange(nursery, now)
                with trio.move_on_after(LOOK_SECONDS):
                    await self.lines.changes.wait()
                    # A newcomer is asked at once: until it answers, it is the first to go. A crowd
                    # of them is asked together.
                    await trio.sleep(_CROWD_SECONDS)

    def _due(self, now: float) -> list[ID]:
        """Whom to dial now: lost bootstrap peers always, others while there are too few."""
        connected = set(self.connected())
        busy = connected | self._dialling | {self._host.get_id()}
        free = pace.dials_at_once(self.lines.attention.lag, len(connected)) - len(self._dialling)
        if free <= 0:
            return []
        due = [peer for peer in self._wanted if peer not in busy and self._ready(peer, now)]
        random.shuffle(due)
        room = params.TARGET_PEERS - len(connected) - len(self._dialling) - len(due)
        if room > 0:
            others = [
                peer
                for peer in self._host.get_peerstore().peers_with_addrs()
                if peer not in busy and peer not in self._wanted and self._ready(peer, now)
            ]
            random.shuffle(others)
            due.extend(others[:room])
        return due[:free]

    def _ready(self, peer: ID, now: float) -> bool:
        attempts = self._attempts.get(peer)
        return (attempts is None or attempts.at <= now) and not self._pubsub.warden.banned(
            str(peer)
        )

    def _forgive(self, now: float) -> None:
        for peer in [peer for peer, each in self._attempts.items() if each.forgiven(now)]:
            del self._attempts[peer]

    async def _try(self, peer: ID) -> None:
        try:
            await self._dial(peer)
            self._attempted(peer).succeeded(trio.current_time(), _dice())
        except Unreachable as error:
            attempts = self._attempted(peer)
            attempts.failed(trio.current_time(), _dice())
            log.debug("%s; again in %.1f s", error, attempts.at - trio.current_time())
        finally:
            self._dialling.discard(peer)

    def _attempted(self, peer: ID) -> pace.Attempts:
        if len(self._attempts) >= _MAX_ATTEMPTS:
            self._attempts.clear()
        return self._attempts.setdefault(peer, pace.Attempts())

    def _schedule_exchange(self, nursery: trio.Nursery, now: float) -> None:
        known = set(self.connected())
        following = frozenset(self.topics())
        if following - self._following or self._asked.keys() - known:
            # Somebody left, or there is a new topic to find followers of: ask as at the beginning.
            for asked in self._asked.values():
                asked.pause = pace.FIRST_PAUSE
                asked.at = min(asked.at, now + pace.spread(pace.FIRST_PAUSE, _dice()))
        self._following = following
        self._asked = {peer: each for peer, each in self._asked.items() if peer in known}
        self.agents = {peer: agent for peer, agent in self.agents.items() if peer in known}
        for peer in filter(self._pubsub.words.due, known):
            asked = self._asked.setdefault(peer, _Asked(now))
            if asked.at <= now:
                # Until this question is answered there is no other.
                asked.at = float("inf")
                nursery.start_soon(self._exchange_safely, peer, asked)

    async def _exchange_safely(self, peer: ID, asked: _Asked) -> None:
        try:
            news = await self._exchange_all(peer)
        finally:
            if asked.at == float("inf"):
                asked.at = trio.current_time() + pace.spread(asked.pause, _dice())
        asked.pause = pace.next_pause(asked.pause, news)

    async def _exchange_all(self, peer: ID) -> bool:
        """Ask a peer who is there, and for followers of our topics. Whether it said anything new
        that is of use."""
        before = set(self._host.get_peerstore().peers_with_addrs())
        matches, others = await self.exchange(peer)
        named = {*matches, *others}
        lacking = [topic for topic in self.topics() if self._followers(topic) < _TOPIC_PEERS]
        random.shuffle(lacking)
        for topic in lacking[:_TOPICS_PER_EXCHANGE]:
            followers, _ = await self.exchange(peer, topic=topic)
            named.update(followers)
            for each in followers[:_TOPIC_PEERS]:
                if not self.is_connected(each) and self._ready(each, trio.current_time()):
                    await self._try(each)
        return len(self.connected()) < params.TARGET_PEERS and bool(named - before)

    def _followers(self, topic: str) -> int:
        return sum(map(self.is_connected, self._pubsub.peer_topics.get(topic, ())))


def _dice() -> float:
    return random.random()  # noqa: S311 - spreads load
