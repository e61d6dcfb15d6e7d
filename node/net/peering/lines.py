"""Lines to peers: which of them are alive, which of them stay when there are too many.

node/net/rules decides; here are the sockets that it is about.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import IMuxedConn, INetConn, INetwork, INotifee
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm as Network
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_PING, YAMUX_HEADER_FORMAT, Yamux

from node.net.rules.patience import LEAST_PATIENCE, Attention, Lateness, Silence
from node.net.rules.worth import Standing, leaving
from protocol import params

log = logging.getLogger("assay.net")

#: Seconds between two looks at all lines.
LOOK_SECONDS: Final = 1.0
#: Attentive seconds without a byte after which a line is asked for one: yamux of both sides asks
#: every 30 seconds anyway.
PROBE_SECONDS: Final = 35.0
#: Peers whose lateness is remembered; it outlives the line.
_MAX_REMEMBERED: Final = 1024
_CLOSE_SECONDS: Final = 2.0
_PING_NUMBER: Final = 0xA55A


@dataclass(slots=True)
class _Deeds:
    """When a peer last did what makes it worth its place. Seconds of trio's clock."""

    answered: float | None = None
    useful: float | None = None
    lateness: Lateness = field(default_factory=Lateness)


class Lines:
    """The open connections of one node. `look` is called again and again for as long as it lives.

    `members` names the peers of running jobs, `chosen` those whose address the user gave.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._silences: WeakKeyDictionary[INetConn, Silence] = WeakKeyDictionary()
        self._deeds: OrderedDict[ID, _Deeds] = OrderedDict()
        self._closing: WeakKeyDictionary[INetConn, None] = WeakKeyDictionary()
        self._nursery: trio.Nursery | None = None
        self.attention = Attention(LOOK_SECONDS)
        #: Set when somebody has come or gone since the last look.
        self.changes = trio.Event()
        self.members: Callable[[], Iterable[str]] = tuple
        self.chosen: Callable[[], Iterable[ID]] = tuple
        self.counters: Counter[str] = Counter()

    def watch(self, nursery: trio.Nursery) -> None:
        """Begin to hold the number of connections; what it takes runs in `nursery`."""
        self._nursery = nursery
        self._network.register_notifee(_Changes(self._changed))

    def _changed(self) -> None:
        # Ages begin here: who came in one crowd before the next look came one after another all the
        # same, and the first of them has had the longest time to be of use.
        now = trio.current_time()
        for _, conn in self.open():
            self._silences.setdefault(conn, Silence(now))
        self.make_room()
        self.changes.set()

    # -- who is there --------------------------------------------------------------------------

    def connected(self) -> list[ID]:
        """Peers with an open connection."""
        return [peer for peer in self._network.connections if self.is_connected(peer)]

    def is_connected(self, peer: ID) -> bool:
        """Whether a connection to the peer is open."""
        return any(not each.is_closed for each in self._network.connections.get(peer, []))

    def open(self) -> list[tuple[ID, SwarmConn]]:
        """Every open connection and whose it is."""
        return [
            (peer, conn)
            for peer, conns in self._network.connections.items()
            for conn in conns
            if isinstance(conn, SwarmConn) and not conn.is_closed and conn not in self._closing
        ]

    def address(self, peer: ID) -> str:
        """Whence the peer's line comes, in numbers; empty where it has none."""
        return next(
            (address_of(conn.muxed_conn) for other, conn in self.open() if other == peer), ""
        )

    def knows(self, peer: str) -> bool:
        """Whether a person named it, it is in a running job, or it has been of use here."""
        named = ID.from_string(peer)
        deeds = self._deeds.get(named)
        return (
            named in self.chosen()
            or peer in self.members()
            or (deeds is not None and deeds.useful is not None)
        )

    # -- what they did -------------------------------------------------------------------------

    def answered(self, peer: ID, seconds: float | None = None) -> None:
        """The peer spoke as a node of this network does; `seconds` after it was asked."""
        deeds = self._of(peer)
        deeds.answered = trio.current_time()
        if seconds is not None:
            deeds.lateness.answered(seconds)

    def useful(self, peer: ID) -> None:
        """This node took something new from the peer."""
        deeds = self._of(peer)
        deeds.answered = deeds.useful = trio.current_time()

    def missed(self, peer: ID, seconds: float) -> None:
        """The peer did not answer in that time: its lines are asked for a byte, at once."""
        self._of(peer).lateness.missed(seconds)
        for other, conn in self.open():
            if other == peer:
                self._probe(conn)

    def allowed(self, peer: ID, least: float) -> float:
        """Seconds that the peer's next answer may take, this node's own lag included."""
        return self._of(peer).lateness.allowed(least) + 2 * self.attention.lag

    def _of(self, peer: ID) -> _Deeds:
        deeds = self._deeds.setdefault(peer, _Deeds())
        self._deeds.move_to_end(peer)
        if len(self._deeds) > _MAX_REMEMBERED:
            self._deeds.popitem(last=False)
        return deeds

    # -- alive or not --------------------------------------------------------------------------

    def look(self) -> None:
        """Look at all lines: ask the quiet ones for a byte, close those that owe one too long."""
        self.changes = trio.Event()
        now = trio.current_time()
        attentive = self.attention.looked(now)
        for peer, conn in self.open():
            silence = self._silences.setdefault(conn, Silence(now))
            silence.looked(_heard(conn), attentive)
            if silence.dead(self._of(peer).lateness.allowed(LEAST_PATIENCE)):
                self.counters["hung_up.silent"] += 1
                log.info("peer %s: its line is dead, nothing came for long: closed", peer)
                # When it is back, it may be as late as it was now.
                self._of(peer).lateness.missed(silence.quiet)
                self._close(conn)
            elif silence.owed is None and silence.quiet >= PROBE_SECONDS:
                self._probe(conn)

    def _probe(self, conn: SwarmConn) -> None:
        silence = self._silences.setdefault(conn, Silence(trio.current_time()))
        if silence.owed is None and self._nursery is not None:
            silence.asked()
            self._nursery.start_soon(_ping, conn)

    # -- room ----------------------------------------------------------------------------------

    def make_room(self) -> None:
        """Close what is worth least while there are too many connections."""
        lines = self.open()
        if len(lines) <= params.MAX_CONNECTIONS:
            return
        now = trio.current_time()
        chosen, members = set(self.chosen()), set(self.members())
        by_key = {id(conn): (peer, conn) for peer, conn in lines}
        standing = [
            Standing(
                id(conn),
                address_of(conn.muxed_conn),
                max(0.0, now - self._silences.setdefault(conn, Silence(now)).since),
                peer in chosen,
                str(peer) in members,
                *self._since(peer, now),
            )
            for peer, conn in lines
        ]
        for key in leaving(standing, params.MAX_CONNECTIONS):
            peer, conn = by_key[int(str(key))]
            self.counters["evicted"] += 1
            log.info("peer %s: closed to make room, others are of more use", peer)
            self._close(conn)

    def _since(self, peer: ID, now: float) -> tuple[float | None, float | None]:
        deeds = self._deeds.get(peer)
        if deeds is None:
            return None, None
        return (
            None if deeds.answered is None else now - deeds.answered,
            None if deeds.useful is None else now - deeds.useful,
        )

    def _close(self, conn: SwarmConn) -> None:
        self._closing[conn] = None
        if self._nursery is not None:
            self._nursery.start_soon(_close, conn)


def _heard(conn: SwarmConn) -> float:
    return float(getattr(conn.muxed_conn, "heard_at", float("-inf")))


def address_of(line: IMuxedConn) -> str:
    """The other end's IP address, or nothing where it has none."""
    remote = line.get_remote_address() if isinstance(line, Yamux) else None
    return "" if remote is None else str(remote[0])


async def _ping(conn: SwarmConn) -> None:
    """Ask the other end of a line for twelve bytes, whatever it is busy with."""
    if not isinstance(conn.muxed_conn, Yamux):
        return
    header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, _PING_NUMBER)
    try:
        # A peer that takes no bytes keeps this waiting; its line is closed for that in time.
        await conn.muxed_conn._write_frame(header)
    except Exception as error:
        log.debug("a line broke while it was asked", exc_info=error)


async def _close(conn: SwarmConn) -> None:
    """Say goodbye; a peer that does not take it for a while is hung up on without."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut, conn)
        try:
            await conn.close()
        except Exception as error:
            log.debug("closing a line failed", exc_info=error)
        nursery.cancel_scope.cancel()


async def _cut(conn: SwarmConn) -> None:
    await trio.sleep(_CLOSE_SECONDS)
    if isinstance(conn.muxed_conn, Yamux):
        # What waits to be written fails then, and the library goes on with its cleaning up.
        await conn.muxed_conn.secured_conn.close()


class _Changes(INotifee):
    """Tells of each connection that comes or goes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self._changed()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self._changed()

    async def opened_stream(self, network: INetwork, stream: object) -> None: ...

    async def closed_stream(self, network: INetwork, stream: object) -> None: ...

    async def listen(self, network: INetwork, multiaddr: object) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: object) -> None: ...
