"""TCP listening, with the limits that py-libp2p 0.8.1 leaves out.

Three facts about the library make this file necessary; tests/assumptions/ holds each:

- its listener sets SO_REUSEPORT, so two daemons share a port unnoticed;
- it keeps the slot of an inbound connection until the whole swarm closes, so a daemon that was
  dialled often enough in its life hears nobody any more;
- it knows no address of a peer on IPv6, so that limits by address would not hold there.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio
from libp2p.abc import IListener, IRawConnection
from libp2p.custom_types import THandler
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP
from libp2p.utils.multiaddr_utils import extract_ip_from_multiaddr, multiaddr_from_socket
from multiaddr import Multiaddr

from node.net.arrivals.door import Door
from node.net.rules import worth
from protocol import params

log = logging.getLogger("assay.net")

#: How long the library's clean-up may take after a socket is closed, seconds: it then waits for the
#: swarm's end, and is cancelled. A handshake ends by itself; one that is cancelled never gives
#: its place back.
_CLEANUP_SECONDS = 0.5
_HANDSHAKE_CLEANUP_SECONDS = 30.0

#: Kinds of names in an address, and which addresses each may have.
_FAMILIES = {
    "dns": trio.socket.AF_UNSPEC,
    "dns4": trio.socket.AF_INET,
    "dns6": trio.socket.AF_INET6,
}
#: Addresses of one name that are tried.
_MAX_OF_NAME = 4


class _TellingStream(TrioTCPStream):
    """A TCP stream that says when it was closed, and how its handshake goes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        _learn_address(self)
        self.closed = trio.Event()
        #: It is proved who this is; it may go on to streams; the handshake is over, one way or
        #: another, and then all of them are set.
        self.proved, self.called, self.settled = trio.Event(), trio.Event(), trio.Event()
        self.peer = ""
        self.shaken = False
        self.heard_at = trio.current_time()
        self.heard_bytes = 0

    async def read(self, n: int | None = None) -> bytes:
        data = await super().read(n)
        if not data and n != 0:
            # The library takes an empty read for a short one, and reads a hundred times more.
            raise ConnectionClosedError("the other side has closed", transport="tcp")
        self.heard_at = trio.current_time()
        self.heard_bytes += len(data)
        return data

    async def close(self) -> None:
        self.closed.set()
        self.settle()
        await super().close()

    def settle(self) -> None:
        """The handshake is over."""
        for each in (self.proved, self.called, self.settled):
            each.set()


def _learn_address(stream: TrioTCPStream) -> None:
    """Tell a stream where its other side is. A socket of IPv6 says that in four parts, of which the
    library takes two at most, or none."""
    try:
        name = stream.stream.socket.getpeername()
    except OSError as error:
        log.debug("a connection was over at once", exc_info=error)
    else:
        stream._cached_remote_address = (str(name[0]), int(name[1]))


class _Listener(IListener):
    """Listens without sharing its port, and lets go of a connection when its socket closes."""

    def __init__(self, handler: THandler, transport: ExclusiveTCP) -> None:
        self._handler = handler
        self._transport = transport
        self._listeners: list[trio.SocketListener] = []
        self._scope = trio.CancelScope()
        #: Connections that have said nothing yet, oldest first.
        self._silent: dict[_TellingStream, trio.CancelScope] = {}

    async def listen(self, maddr: Multiaddr) -> None:
        host = extract_ip_from_multiaddr(maddr)
        port = int(maddr.value_for_protocol("tcp") or 0)
        try:
            # trio sets SO_REUSEADDR alone: a port that somebody listens on is refused.
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            self._transport.failures[str(maddr)] = error
            raise OpenConnectionError(f"cannot listen on {maddr}: {error}") from error
        self._listeners.extend(listeners)
        self._transport.nursery.start_soon(self._serve, listeners)

    async def _serve(self, listeners: list[trio.SocketListener]) -> None:
        with self._scope:
            await trio.serve_listeners(self._accept, listeners)

    async def _accept(self, stream: trio.SocketStream) -> None:
        telling = _TellingStream(stream)
        try:
            if not await self._speaks(telling, stream):
                return
            async with trio.open_nursery() as nursery:
                ended = trio.Event()
                nursery.start_soon(self._handle, telling, ended)
                if await self._transport.shakes_hands(telling):
                    await telling.closed.wait()
                    cleaning = _CLEANUP_SECONDS
                else:
                    await trio.aclose_forcefully(stream)
                    cleaning = _HANDSHAKE_CLEANUP_SECONDS
                with trio.move_on_after(cleaning):
                    await ended.wait()
                nursery.cancel_scope.cancel()
        except Exception:
            # Raised from here it would end the node.
            log.exception("taking in a connection failed; the node goes on")
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await trio.aclose_forcefully(stream)

    async def _speaks(self, telling: _TellingStream, stream: trio.SocketStream) -> bool:
        """Whether the dialler says anything, as whoever dials does at once (multistream-select).

        Until then it holds none of the library's places. Where too many are silent, the oldest goes
        and not the newcomer, so that silence keeps nobody out.
        """
        spoke = False
        with trio.move_on_after(params.SILENT_SECONDS) as waiting:
            if len(self._silent) >= params.MAX_SILENT_CONNECTIONS:
                next(iter(self._silent.values())).cancel()
                del self._silent[next(iter(self._silent))]
            self._silent[telling] = waiting
            try:
                await trio.lowlevel.wait_readable(stream.socket.fileno())
                spoke = True
            finally:
                self._silent.pop(telling, None)
        return spoke

    async def _handle(self, stream: _TellingStream, ended: trio.Event) -> None:
        try:
            await self._handler(stream)
        except Exception as error:
            log.debug("inbound connection failed", exc_info=error)
        finally:
            ended.set()
            stream.closed.set()
            stream.settle()

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        return tuple(multiaddr_from_socket(each.socket) for each in self._listeners)

    async def close(self) -> None:
        self._scope.cancel()
        for listener in self._listeners:
            await listener.aclose()
        self._listeners.clear()


class ExclusiveTCP(TCP):
    """TCP whose listeners own their port. `failures` maps an address to why it could not listen."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self.nursery = nursery
        self.failures: dict[str, OSError] = {}
        self.counters: Counter[str] = Counter()
        #: Seconds by which this node's own loop is late; nobody's handshake is blamed for it.
        self.lag: Callable[[], float] = lambda: 0.0
        #: Inbound connections until they are taken in, by the other side's address and port: all
        #: of them, and those in whose handshake something is to happen now.
        self._coming: dict[tuple[str, int], _TellingStream] = {}
        self._shaking: dict[tuple[str, int], _TellingStream] = {}
        self.door = Door(self.counters)
        self._door_opened = False

    def create_listener(self, handler_function: THandler) -> Any:
        if not self._door_opened:
            self._door_opened = True
            self.nursery.start_soon(self.door.run)
        return _Listener(handler_function, self)

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        failure: Exception | None = None
        with trio.move_on_after(params.DIAL_SECONDS + self.lag()):
            for address in await _resolved(maddr):
                try:
                    raw = await super().dial(address)
                    if isinstance(raw, RawConnection) and isinstance(raw.stream, TrioTCPStream):
                        _learn_address(raw.stream)
                    return raw
                except OpenConnectionError as error:
                    failure = error
            raise OpenConnectionError(f"no answer from {maddr}") from failure
        raise OpenConnectionError(f"no answer from {maddr} in {params.DIAL_SECONDS} seconds")

    async def shakes_hands(self, stream: _TellingStream) -> bool:
        """Wait for an inbound connection's handshake; whether it ended well, and in time.

        It proves who it is, waits at the door (node/net/arrivals/door.py), and agrees on streams.
        """
        remote = stream.get_remote_address()
        if remote is None:
            return False
        before = self._coming.get(remote)
        if before is not None:
            # One port may dial two addresses of this node, or again before its end was noticed.
            before.settle()
        self._coming[remote] = stream
        try:
            await self._goes_on(remote, stream, stream.proved)
            if not stream.settled.is_set() and await self.door.wait(stream, remote[0], stream.peer):
                stream.called.set()
                await self._goes_on(remote, stream, stream.settled)
            return stream.shaken
        finally:
            stream.settle()
            _forget(self._coming, remote, stream)

    async def _goes_on(
        self, remote: tuple[str, int], stream: _TellingStream, until: trio.Event
    ) -> None:
        """Wait for a part of a handshake; one that is not done in time is given up.

        Where too many are under way, one of the address with the most is given up
        (node/net/rules/worth.py).
        """
        self._shaking[remote] = stream
        try:
            self._make_room(remote)
            with trio.move_on_after(params.HANDSHAKE_SECONDS + 4 * self.lag()) as waiting:
                await until.wait()
            if waiting.cancelled_caught:
                self.counters["handshakes.late"] += 1
                stream.settle()
        finally:
            _forget(self._shaking, remote, stream)

    async def called(self, remote: tuple[str, int] | None, peer: str) -> None:
        """Wait until whoever dialled from there, and has proved to be `peer`, is taken in or sent
        away; one that we dialled waits for nothing."""
        stream = None if remote is None else self._coming.get((remote[0], remote[1]))
        if stream is not None:
            stream.peer = peer
            stream.proved.set()
            await stream.called.wait()

    def shaken(self, remote: tuple[str, int] | None) -> None:
        """The handshake with this address and port ended well; one that we dialled is no matter."""
        stream = None if remote is None else self._coming.get((remote[0], remote[1]))
        if stream is not None:
            stream.shaken = True
            stream.settle()

    def _make_room(self, newcomer: tuple[str, int]) -> None:
        now = trio.current_time()
        shaking = [
            worth.Shaking(remote, remote[0], now - stream.heard_at, stream.heard_bytes)
            for remote, stream in self._shaking.items()
            if not stream.settled.is_set()
        ]
        out = worth.crowded_out(
            shaking, params.MAX_HANDSHAKES, params.MAX_HANDSHAKES_OF_ONE, newcomer
        )
        if out is not None:
            self.counters["handshakes.crowded_out"] += 1
            self._shaking[out].settle()  # type: ignore[index]


def _forget(
    streams: dict[tuple[str, int], _TellingStream], remote: tuple[str, int], stream: _TellingStream
) -> None:
    if streams.get(remote) is stream:
        del streams[remote]


async def _resolved(maddr: Multiaddr) -> list[Multiaddr]:
    """Addresses in numbers. The system is asked for a name's: the library reads no /etc/hosts.

    Raises OpenConnectionError for a name that is unknown.
    """
    kind = maddr.protocols()[0].name
    if kind not in _FAMILIES:
        return [maddr]
    host = maddr.value_for_protocol(kind)
    try:
        found = await trio.socket.getaddrinfo(
            host, None, _FAMILIES[kind], type=trio.socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise OpenConnectionError(f"{host}: {error}") from error
    port = maddr.value_for_protocol("tcp")
    return [
        Multiaddr(f"/{'ip6' if family == trio.socket.AF_INET6 else 'ip4'}/{where[0]}/tcp/{port}")
        for family, _, _, _, where in found[:_MAX_OF_NAME]
    ]


def port_in_use(error: OSError) -> bool:
    """Whether listening failed because somebody else listens there."""
    return error.errno == errno.EADDRINUSE
