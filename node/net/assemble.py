"""Puts the parts of a node together, in the order in which they can be up, and takes them down."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from libp2p.abc import IMuxedConn, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.multiaddr_utils import extract_ip_from_multiaddr
from multiaddr import Multiaddr

from node.net import streams
from node.net.arrivals.door import Door
from node.net.config import PeerInfo, SwarmConfig
from node.net.gossip import GuardedPubsub
from node.net.guard import GARBAGE, Warden
from node.net.host import (
    build_host,
    guard_identify,
    guard_streams,
    guard_tasks,
    identify_late,
    network_of,
    on_dial_back,
)
from node.net.muxer import EagerStream
from node.net.peering import dialme, outside, peers, whois
from node.net.peering.dialback import DialBacks
from node.net.peering.lines import Lines, address_of
from node.net.peering.outside import Outside
from node.net.peering.peers import Peers
from node.net.router import Router, router
from node.net.transport import ExclusiveTCP, port_in_use
from protocol.errors import InputError

log = logging.getLogger("assay.net")

#: Asks a peer: protocol, peer, bytes, the most bytes of a reply, seconds, and for which counter.
Ask = Callable[[str, str, bytes, int, float | None, str], Awaitable[bytes]]

_CLOSE_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 5.0
#: If gossip's heartbeat fails for this long it has stopped; it beats once a second.
_HEARTBEAT_SECONDS: Final = 15.0
_GREETING: Final = b"\x13/multistream/1.0.0\n"


@dataclass(frozen=True)
class Parts:
    """Everything that one node consists of."""

    host: BasicHost
    pubsub: GuardedPubsub
    gossip: Router
    warden: Warden
    peers: Peers
    outside: Outside
    dial_backs: DialBacks

    def services(self) -> tuple[tuple[str, streams.Handler, int], ...]:
        """What is asked about peers: protocol, handler and largest request of each question."""
        return (
            (whois.PROTOCOL, self.peers.answer, whois.MAX_QUESTION_BYTES),
            (dialme.PROTOCOL, self.dial_backs.answer, dialme.MAX_QUESTION_BYTES),
        )

    def bind(self, ask: Ask) -> None:
        """Give the parts the means to ask a peer."""

        async def whom(peer: str, data: bytes) -> bytes:
            most = whois.MAX_ANSWER_BYTES
            return await ask(whois.PROTOCOL, peer, data, most, peers.ASK_SECONDS, "peers")

        async def dial_me(peer: str, data: bytes) -> bytes:
            most = dialme.MAX_ANSWER_BYTES
            return await ask(dialme.PROTOCOL, peer, data, most, outside.ASK_SECONDS, "reach")

        self.peers.bind(whom)
        self.outside.bind(dial_me)

    def set_handler(self, protocol: str, handler: Callable[[INetStream], Awaitable[None]]) -> None:
        """Answer inbound streams of a protocol."""

        async def heard(stream: INetStream) -> None:
            self.pubsub.words.said(stream.muxed_conn)
            await handler(stream)

        self.host.set_stream_handler(TProtocol(protocol), heard)

    async def open_stream(self, peer: ID, protocol: str) -> EagerStream:
        """Open a stream to a connected peer; raises what the library raises."""
        return EagerStream(await network_of(self.host).new_stream(peer), protocol)

    def records(self) -> list[bytes]:
        """Addresses as their peers signed them: of members of running jobs, then of everybody else
        who is connected."""
        store, peers = self.host.get_peerstore(), self.peers
        wanted = [whois.parse_peer(name) for name in peers.lines.members()] + peers.connected()
        found = [store.get_peer_record(peer) for peer in dict.fromkeys(wanted)]
        return [each.marshal_envelope() for each in found if each is not None]

    def counted(self, swarm: Counter[str]) -> Counter[str]:
        """The swarm's own counters and those of all parts, since they were assembled."""
        total = Counter(swarm)
        total.update({f"gossip.{name}": count for name, count in self.pubsub.counters.items()})
        total.update(self.peers.counters)
        total.update(self.peers.lines.counters)
        total.update(self.warden.counters)
        total["peers"] = len(self.peers.connected())
        return total

    def describe_peers(self) -> list[PeerInfo]:
        """Everybody connected now."""
        return [self._describe(peer) for peer in self.peers.connected()]

    def _describe(self, peer: ID) -> PeerInfo:
        record = self.warden.record(str(peer))
        conns = [
            conn
            for conn in network_of(self.host).connections.get(peer, [])
            if isinstance(conn, SwarmConn) and not conn.is_closed
        ]
        first = min(conns, key=lambda conn: conn._created_at, default=None)
        return PeerInfo(
            peer_id=str(peer),
            addresses=tuple(
                sorted({str(each) for conn in conns for each in conn.get_transport_addresses()})
            ),
            direction=first.direction.name.lower() if first is not None else "",
            connected_since=first._created_at if first is not None else time.time(),
            points=record.points,
            offences=dict(record.offences),
            agent=self.peers.agents.get(peer, ""),
            topics=tuple(
                sorted(topic for topic, who in self.pubsub.peer_topics.items() if peer in who)
            ),
        )

    async def probe(self) -> bool:
        """Dial our own port over loopback as a stranger would, and look whether gossip beats."""
        if not self.pubsub.manager.is_running or not self.gossip.manager.is_running:
            return False
        if trio.current_time() - self.gossip.last_beat > _HEARTBEAT_SECONDS:
            return False
        for address in self.host.get_transport_addrs():
            host = extract_ip_from_multiaddr(address) or "127.0.0.1"
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
            if not await _greets(host, int(address.value_for_protocol("tcp") or 0)):
                return False
        return True


async def _greets(host: str, port: int) -> bool:
    """Whether a libp2p node answers there with its first words."""
    try:
        with trio.fail_after(_PROBE_SECONDS):
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(_GREETING)
                answer = b""
                while len(answer) < len(_GREETING):
                    piece = await stream.receive_some(len(_GREETING) - len(answer))
                    if not piece:
                        return False
                    answer += piece
                return answer == _GREETING
    except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
        log.warning("the node does not answer on its own port %d: %s", port, error)
        return False


@asynccontextmanager
async def assembled(config: SwarmConfig) -> AsyncIterator[tuple[Parts, trio.Nursery]]:
    """A node, up and listening; the nursery is for what uses it, and ends before it does.

    Raises InputError if an address is malformed or its port is taken.
    """
    listen = [_listening_address(each) for each in config.listen]
    async with trio.open_nursery() as nursery:
        transport = ExclusiveTCP(nursery)
        host = build_host(config.seed, config.announce, transport, listen)
        network = network_of(host)

        def hang_up(peer: str) -> None:
            nursery.start_soon(_hang_up, host, peer)

        warden = Warden(trio.current_time, hang_up)
        gossip = router()
        pubsub = GuardedPubsub(host, gossip, warden)
        guard_streams(host, warden)
        guard_identify(host, warden)
        identify_late(host, pubsub.words)
        try:
            async with (
                host.run([]),
                background_trio_service(pubsub) as pubsub_manager,
                background_trio_service(gossip) as gossip_manager,
            ):
                for manager in (network.manager, pubsub_manager, gossip_manager):
                    guard_tasks(manager, warden)
                await pubsub.wait_until_ready()
                if listen:
                    await network.listen(*listen)
                _check_listening(host, transport, listen)
                company = Peers(host, pubsub, config.agent)
                looking = Outside(host, company.lines, partial(_blame, warden))
                on_dial_back(host, looking.arrived)
                answering = DialBacks(host, company.lines)
                parts = Parts(host, pubsub, gossip, warden, company, looking, answering)
                transport.lag = lambda: company.lines.attention.lag
                company.lines.counters = transport.counters
                transport.door.knows = company.lines.knows
                pubsub.words.on_word = partial(_spoke, transport.door, company.lines)
                try:
                    async with trio.open_nursery() as work:
                        try:
                            yield parts, work
                        finally:
                            # This comes before anything closes, because otherwise it would redial
                            # what is being closed.
                            work.cancel_scope.cancel()
                finally:
                    with trio.CancelScope(shield=True), trio.move_on_after(_CLOSE_SECONDS):
                        # Listeners close first, because a peer that redials at once must not hang
                        # in a handshake with a node that is leaving. Then all connections close
                        # together; one after the other, as the library does it, takes 0.3 s each.
                        for listener in network.listeners.values():
                            await listener.close()
                        async with trio.open_nursery() as closing:
                            for peer in network.connections:
                                closing.start_soon(_hang_up, host, str(peer))
                        await host.close()
        finally:
            # The library's thread that sweeps what was seen would outlive the swarm.
            pubsub.seen_messages.stop()
            nursery.cancel_scope.cancel()


def _blame(warden: Warden, peer: str) -> None:
    warden.penalise(peer, GARBAGE, "a reply that is none")


def _spoke(door: Door, lines: Lines, line: IMuxedConn) -> None:
    door.spoke(address_of(line), str(line.peer_id))
    # It is asked at once.
    lines.changes.set()


async def _hang_up(host: BasicHost, peer: str) -> None:
    try:
        await network_of(host).close_peer(ID.from_string(peer))
    except Exception as error:
        log.warning("closing the connection to %s failed: %s", peer, error, exc_info=error)


def _listening_address(address: str) -> Multiaddr:
    try:
        parsed = Multiaddr(address)
        names = [each.name for each in parsed.protocols()]
    except Exception as error:
        raise InputError(f"{address[:200]!r} is no multiaddr", "listen") from error
    if len(names) != 2 or names[0] not in ("ip4", "ip6") or names[1] != "tcp":
        raise InputError(f"{address} is not of the form /ip4/HOST/tcp/PORT", "listen")
    return parsed


def _check_listening(host: BasicHost, transport: ExclusiveTCP, listen: list[Multiaddr]) -> None:
    listening = network_of(host).listeners
    for address in listen:
        if str(address) in listening:
            continue
        error = transport.failures.get(str(address))
        port = address.value_for_protocol("tcp")
        if error is not None and port_in_use(error):
            raise InputError(
                f"port {port} is in use ({address}): another program listens there; "
                "stop it or choose another port",
                "listen",
            )
        raise InputError(f"cannot listen on {address}: {error or 'unknown cause'}", "listen")
