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
from dataclasses import dataclass
from typing import Annotated, Final
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
from protocol import params
from protocol.errors import AssayError, InputError, Malformed
from protocol.wire.codec import Range, Size, Wire, decode, encode

log = logging.getLogger("assay.net")

PROTOCOL: Final = "/assay/1/peers"

_MAX_ID_BYTES: Final = 64
MAX_QUESTION_BYTES: Final = 1024 + params.MAX_PEER_RECORD_BYTES
MAX_ANSWER_BYTES: Final = 1024 + params.MAX_PEERS_PER_ANSWER * (params.MAX_PEER_RECORD_BYTES + 8)
_RECORD_SECONDS: Final = 2 * 60 * 60
ASK_SECONDS: Final = 5.0
#: Peers asked at once, and how far a search goes beyond the first it knows.
_FAN_OUT: Final = 6
_HOPS: Final = 3
#: Members of one of our topics that a node wants among its own connections.
_TOPIC_PEERS: Final = 3
_TOPICS_PER_EXCHANGE: Final = 8

_FIRST_BACKOFF: Final = 0.5
_LAST_BACKOFF: Final = 30.0
#: Questions in a row without an answer after which a connection is given up.
_SILENCES: Final = 3
_TICK_SECONDS: Final = 0.5
#: Peers that could not be dialled and are remembered for it.
_MAX_ATTEMPTS: Final = 4096
#: Addresses of one peer that are tried.
_MAX_ADDRESSES: Final = 8
_EXCHANGE_SECONDS: Final = 20.0
_LONELY_EXCHANGE_SECONDS: Final = 2.0
_MUTE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class WhoIs(Wire):
    """Whom do you know? `wanted` is a peer id in bytes or empty, `topic` a topic or empty."""

    wanted: Annotated[bytes, Size(0, _MAX_ID_BYTES)]
    topic: Annotated[str, Size(0, params.MAX_TOPIC_BYTES)]
    agent: Annotated[str, Size(0, 64)]
    record: Annotated[bytes, Size(0, params.MAX_PEER_RECORD_BYTES)]


@dataclass(frozen=True, slots=True)
class Known(Wire):
    """Signed address records (libp2p envelopes); the first `matches` of them were asked for."""

    agent: Annotated[str, Size(0, 64)]
    matches: Annotated[int, Range(0, params.MAX_PEERS_PER_ANSWER)]
    records: Annotated[
        tuple[Annotated[bytes, Size(1, params.MAX_PEER_RECORD_BYTES)], ...],
        Size(0, params.MAX_PEERS_PER_ANSWER),
    ]


@dataclass(slots=True)
class _Attempt:
    """When a peer may be dialled again."""

    at: float = 0.0
    backoff: float = _FIRST_BACKOFF


#: Asks one connected peer one question; raises PeerError.
Ask = Callable[[str, bytes], Awaitable[bytes]]


def parse_peer(peer: str) -> ID:
    """A peer id from its text, base58 of a multihash: the key itself, or its SHA-256.

    Raises Malformed.
    """
    try:
        parsed = ID.from_string(peer)
    except Exception as error:
        raise Malformed(f"{peer[:80]!r} is no peer id") from error
    raw = parsed.to_bytes()
    # The library takes any base58.
    if raw[:2] not in (b"\x00\x24", b"\x12\x20") or len(raw) != 2 + raw[1] or str(parsed) != peer:
        raise Malformed(f"{peer[:80]!r} is no peer id")
    return parsed


class Peers:
    """The address book and the dialling of one swarm. Run `maintain` for as long as it lives."""

    def __init__(self, host: BasicHost, pubsub: GuardedPubsub, agent: str) -> None:
        self._host = host
        self._network = network_of(host)
        self._pubsub = pubsub
        self._agent = agent
        self._ask: Ask | None = None
        self._wanted: dict[ID, Multiaddr] = {}
        self._attempts: dict[ID, _Attempt] = {}
        self._asked: dict[ID, float] = {}
        self._dialling: set[ID] = set()
        self._locks: WeakValueDictionary[ID, trio.Lock] = WeakValueDictionary()
        self._silent: Counter[ID] = Counter()
        self.agents: dict[ID, str] = {}
        self.topics: Callable[[], Iterable[str]] = tuple
        self.counters: Counter[str] = Counter()

    def bind(self, ask: Ask) -> None:
        """Give it the means to ask a peer; until then it only answers."""
        self._ask = ask

    # -- connections ---------------------------------------------------------------------------

    def connected(self) -> list[ID]:
        """Peers with an open connection."""
        return [
            peer
            for peer, conns in self._network.connections.items()
            if any(not each.is_closed for each in conns)
        ]

    def is_connected(self, peer: ID) -> bool:
        """Whether a connection to the peer is open."""
        return any(not each.is_closed for each in self._network.connections.get(peer, []))

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
        known: list[Multiaddr] = []
        if peer in self._wanted:
            known.append(self._wanted[peer])
        try:
            known.extend(self._host.get_peerstore().addrs(peer))
        except Exception as error:
            log.debug("no address of %s", peer, exc_info=error)
        return known

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
                with trio.fail_after(2 * params.DIAL_SECONDS):
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
        if question.record:
            self._learn((question.record,))
        store = self._host.get_peerstore()
        first: list[ID] = []
        if question.wanted:
            first.append(ID(question.wanted))
        if question.topic:
            first.extend(self._pubsub.peer_topics.get(question.topic, ()))
        others = self.connected()
        random.shuffle(others)
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
        return encode(Known(self._agent, matches, tuple(records.values())))

    async def exchange(
        self, peer: ID, wanted: bytes = b"", topic: str = ""
    ) -> tuple[list[ID], list[ID]]:
        """Ask one connected peer and learn what it says.

        Returns the peers that it named in answer to the question, and the others that it named.
        """
        if self._ask is None:
            return [], []
        record, _ = env_to_send_in_RPC(self._host)
        question = WhoIs(wanted, topic, self._agent, record)
        try:
            reply = decode(Known, await self._ask(str(peer), encode(question)), MAX_ANSWER_BYTES)
        except TimedOut as error:
            log.debug("asking %s for peers: %s", peer, error)
            await self._suspect(peer)
            return [], []
        except AssayError as error:
            # It speaks, but not this protocol, or not now.
            log.debug("asking %s for peers: %s", peer, error)
            self._asked[peer] = trio.current_time() + _MUTE_SECONDS
            return [], []
        self._silent.pop(peer, None)
        self.agents[peer] = reply.agent
        return self._learn(reply.records[: reply.matches]), self._learn(
            reply.records[reply.matches :]
        )

    async def _suspect(self, peer: ID) -> None:
        """Hang up on a peer that has not answered a few times, because its end of the line may be
        gone."""
        self._silent[peer] += 1
        if self._silent[peer] >= _SILENCES:
            self._silent.pop(peer, None)
            self.counters["hung_up.silent"] += 1
            log.info("peer %s does not answer: closing its connection", peer)
            await self._network.close_peer(peer)

    def _learn(self, records: Iterable[bytes]) -> list[ID]:
        """Keep signed records; a record that does not verify is skipped."""
        learnt: list[ID] = []
        for each in records:
            try:
                envelope, record = consume_envelope(each, "libp2p-peer-record")
                if record.peer_id != self._host.get_id():
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
        with trio.move_on_after(ASK_SECONDS):
            matches, others = await self.exchange(peer, wanted=wanted.to_bytes())
            named.extend((*matches, *others))

    # -- upkeep --------------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Redial what was asked for, keep enough connections, and go on learning who is there."""
        async with trio.open_nursery() as nursery:
            while True:
                now = trio.current_time()
                for peer in self._due(now):
                    self._dialling.add(peer)
                    nursery.start_soon(self._try, peer)
                self._schedule_exchange(nursery, now)
                await trio.sleep(_TICK_SECONDS)

    def _due(self, now: float) -> list[ID]:
        """Whom to dial now: lost bootstrap peers always, others while there are too few."""
        connected = set(self.connected())
        busy = connected | self._dialling | {self._host.get_id()}
        due = [peer for peer in self._wanted if peer not in busy]
        room = params.TARGET_PEERS - len(connected) - len(self._dialling)
        if room > 0:
            others = [
                peer
                for peer in self._host.get_peerstore().peers_with_addrs()
                if peer not in busy and peer not in self._wanted
            ]
            random.shuffle(others)
            due.extend(each for each in others if self._ready(each, now))
            due = due[: max(room, len(self._wanted))]
        return [peer for peer in due if self._ready(peer, now)]

    def _ready(self, peer: ID, now: float) -> bool:
        attempt = self._attempts.get(peer)
        return (attempt is None or attempt.at <= now) and not self._pubsub.warden.banned(str(peer))

    async def _try(self, peer: ID) -> None:
        try:
            await self._dial(peer)
            self._attempts.pop(peer, None)
        except Unreachable as error:
            if len(self._attempts) >= _MAX_ATTEMPTS:
                self._attempts.clear()
            attempt = self._attempts.setdefault(peer, _Attempt())
            jitter = random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
            attempt.at = trio.current_time() + attempt.backoff * jitter
            attempt.backoff = min(_LAST_BACKOFF, 2 * attempt.backoff)
            log.debug("%s; again in %.1f s", error, attempt.backoff)
        finally:
            self._dialling.discard(peer)

    def _schedule_exchange(self, nursery: trio.Nursery, now: float) -> None:
        connected = self.connected()
        few = len(connected) < params.TARGET_PEERS
        pause = _LONELY_EXCHANGE_SECONDS if few else _EXCHANGE_SECONDS
        known = set(connected)
        self._asked = {peer: at for peer, at in self._asked.items() if peer in known}
        self.agents = {peer: agent for peer, agent in self.agents.items() if peer in known}
        for peer in connected:
            if peer not in self._asked or now - self._asked[peer] >= pause:
                self._asked[peer] = now
                nursery.start_soon(self._exchange_safely, peer)

    async def _exchange_safely(self, peer: ID) -> None:
        await self.exchange(peer)
        lacking = [topic for topic in self.topics() if self._followers(topic) < _TOPIC_PEERS]
        random.shuffle(lacking)
        for topic in lacking[:_TOPICS_PER_EXCHANGE]:
            followers, _ = await self.exchange(peer, topic=topic)
            for each in followers[:_TOPIC_PEERS]:
                now = trio.current_time()
                if not self.is_connected(each) and self._ready(each, now):
                    await self._try(each)

    def _followers(self, topic: str) -> int:
        return sum(map(self.is_connected, self._pubsub.peer_topics.get(topic, ())))
