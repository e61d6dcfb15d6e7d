"""The control socket: JSON-RPC 2.0, one text a line, over a Unix socket of mode 0600.

Each client has a task of its own, so that one client's garbage, silence or slowness touches no
other. Reading is bounded, writing has a deadline, clients and subscriptions are counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

import trio

from node.control import rpc, wire
from node.control.api import NodeApi
from node.control.codes import Code
from node.control.events import EventBus, Subscription
from node.control.methods import METHODS
from node.control.results import Event, Subscribed, Unsubscribed
from node.control.rpc import Registry, RpcError
from protocol.errors import AssayError, InputError
from protocol.params import (
    CONTROL_IDLE_SECONDS,
    CONTROL_LINE_SECONDS,
    CONTROL_WRITE_SECONDS,
    MAX_CONTROL_CLIENTS,
    MAX_CONTROL_LINE_BYTES,
    MAX_CONTROL_SUBSCRIPTIONS,
)

log: Final = logging.getLogger(__name__)

_CHUNK: Final = 64 * 1024

#: Between two looks whether the client of a call that computes is still there.
_LOOK_SECONDS: Final = 0.5


def bind(path: Path) -> socket.socket:
    """A listening socket at `path` that was never open to others, not even for a moment.

    The umask is the whole process'. During these two calls it only takes permissions away. Raises
    InputError where something that is no socket lies at the path, or it cannot be bound.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InputError(f"{path} is not a socket; move it away", "home")
        # The home's lock is ours, so the process that bound this is dead.
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(MAX_CONTROL_CLIENTS)
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on {path}: {error.strerror or error}", "home") from error
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


class Started(Protocol):
    """trio's TaskStatus[None], by shape: the stubs that libp2p brings along do not know it."""

    def started(self, value: None = None) -> None:
        """Say that clients can connect."""


_NOBODY_WAITS: Final = cast(Started, trio.TASK_STATUS_IGNORED)


@dataclass
class Statistics:
    """Counters since the start."""

    clients: int = 0
    refused: int = 0
    calls: int = 0
    dropped: int = 0
    defects: int = 0


class ControlServer:
    """The control socket of one node. `serve` runs it; `statistics` counts."""

    def __init__(self, api: NodeApi, bus: EventBus, registry: Registry = METHODS) -> None:
        self.api = api
        self.bus = bus
        self.registry = registry
        self.statistics = Statistics()

    async def serve(self, path: Path, *, task_status: Started = _NOBODY_WAITS) -> None:
        """Listen at `path` until cancelled; `started` once clients can connect."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(bind(path)))
        ours = _inode(path)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._client, [listener], handler_nursery=nursery)
        finally:
            await _close_now(listener)
            # A later daemon may have bound the path already: its socket is not ours to remove.
            if _inode(path) == ours:
                _unlink(path)

    async def _client(self, stream: trio.SocketStream) -> None:
        await self.handle(stream)

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serve one client on any stream. Returns when it leaves; never raises for its sake."""
        if self.statistics.clients >= MAX_CONTROL_CLIENTS:
            self.statistics.refused += 1
            await _refuse(stream)
            return
        self.statistics.clients += 1
        try:
            async with trio.open_nursery() as nursery:
                connection = _Connection(self, stream, nursery)
                await connection.run()
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            self.statistics.dropped += 1
        except* Exception:
            # The guard: a defect in serving one client ends that client's connection alone.
            self.statistics.defects += 1
            log.exception("a control connection ended by a defect")
        finally:
            self.statistics.clients -= 1
            await _close_now(stream)


@dataclass(eq=False)
class _Connection:
    """One client: reads a line, answers it, reads the next. Events go out between replies."""

    server: ControlServer
    stream: trio.abc.Stream
    nursery: trio.Nursery
    _buffer: bytearray = field(default_factory=bytearray)
    _writing: trio.Lock = field(default_factory=trio.Lock)
    _subscriptions: dict[int, Subscription] = field(default_factory=dict)
    _unstarted: list[int] = field(default_factory=list)
    _next_subscription: int = 1

    @property
    def api(self) -> NodeApi:
        return self.server.api

    @property
    def registry(self) -> Registry:
        return self.server.registry

    async def run(self) -> None:
        try:
            while (line := await self._read_line()) is not None:
                # A line that came with the last one, and asks for no reply, waits for nothing.
                await trio.lowlevel.checkpoint()
                if not line.strip():
                    continue
                self.server.statistics.calls += 1
                reply = await rpc.answer(self.registry, self, line)
                if reply is not None:
                    await self._write(reply)
                self._start_pumps()
        except RpcError as error:
            # Where a line ends is not known any more: say why, and leave.
            await self._write(rpc.refusal(error))
        finally:
            for subscription in tuple(self._subscriptions.values()):
                subscription.close("the connection ended")

    async def _read_line(self) -> bytes | None:
        """The next line without its newline; None at the end. Raises RpcError (too long, slow)."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_CONTROL_LINE_BYTES:
                break
            chunk = await self._receive()
            if not chunk:
                return None
            self._buffer += chunk
        if end < 0 or end > MAX_CONTROL_LINE_BYTES:
            raise RpcError(Code.TOO_LARGE, f"a line holds at most {MAX_CONTROL_LINE_BYTES} bytes")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def _receive(self) -> bytes:
        limit = CONTROL_LINE_SECONDS if self._buffer else CONTROL_IDLE_SECONDS
        # A client that follows events may stay silent; it is dropped when it stops reading them.
        if not self._buffer and self._subscriptions:
            return bytes(await self.stream.receive_some(_CHUNK))
        with trio.move_on_after(limit):
            return bytes(await self.stream.receive_some(_CHUNK))
        raise RpcError(Code.INVALID_REQUEST, f"no whole line within {limit} seconds")

    async def _write(self, line: bytes) -> None:
        # Shielded, so that the reply to `stop` still leaves while the daemon drains; bounded, so
        # that a client that does not read cannot hold the drain up.
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + CONTROL_WRITE_SECONDS
            async with self._writing:
                await self.stream.send_all(line)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the client does not read")

    def subscribe(self, job: str | None, since: int | None) -> Subscribed:
        """See node.control.rpc.Context."""
        if len(self._subscriptions) >= MAX_CONTROL_SUBSCRIPTIONS:
            text = f"at most {MAX_CONTROL_SUBSCRIPTIONS} subscriptions a connection"
            raise RpcError(Code.BUSY, text)
        number, self._next_subscription = self._next_subscription, self._next_subscription + 1
        seq = self.server.bus.seq
        subscription = self.server.bus.subscribe(job, since)
        self._subscriptions[number] = subscription
        self._unstarted.append(number)
        return Subscribed(number, seq)

    def unsubscribe(self, subscription: int) -> Unsubscribed:
        """See node.control.rpc.Context."""
        if subscription not in self._subscriptions:
            raise InputError("no such subscription on this connection", "subscription")
        self._subscriptions[subscription].close("unsubscribed")
        return Unsubscribed(subscription)

    async def while_wanted(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """See node.control.rpc.Context."""
        results, errors = list[Any](), list[Exception]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_for_the_end, nursery.cancel_scope)
            try:
                results.append(await call())
            except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery
                errors.append(error)
            nursery.cancel_scope.cancel()
        if errors:
            raise errors[0]
        if not results:
            raise trio.BrokenResourceError("the client has left")
        return results[0]

    async def _watch_for_the_end(self, scope: trio.CancelScope) -> None:
        """Cancel once the client is gone. One that only writes no more still reads its reply."""
        if not isinstance(self.stream, trio.SocketStream):
            return
        poll = select.poll()
        poll.register(self.stream.socket.fileno(), 0)
        while not any(events & select.POLLHUP for _, events in poll.poll(0)):  # noqa: ASYNC110
            await trio.sleep(_LOOK_SECONDS)
        scope.cancel()

    def _start_pumps(self) -> None:
        # Only now has the client been told the subscription's number.
        for number in self._unstarted:
            self.nursery.start_soon(self._pump, number, self._subscriptions[number])
        self._unstarted.clear()

    async def _pump(self, number: int, subscription: Subscription) -> None:
        async for event in subscription.events:
            try:
                encoded = wire.encode(event, Event)
            except (AssayError, AttributeError, TypeError):
                log.exception("event %d (%s) cannot be sent", event.seq, event.kind)
                continue
            params: dict[str, wire.Json] = {"subscription": number, "event": encoded}
            await self._write(rpc.notification("events.event", params))
        closing: dict[str, wire.Json] = {"subscription": number, "reason": subscription.reason}
        await self._write(rpc.notification("events.closed", closing))
        self._subscriptions.pop(number, None)


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _refuse(stream: trio.abc.Stream) -> None:
    text = f"{MAX_CONTROL_CLIENTS} clients are connected already; try again"
    with trio.move_on_after(1), contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(rpc.refusal(RpcError(Code.BUSY, text)))
    await _close_now(stream)


async def _close_now(resource: trio.abc.AsyncResource) -> None:
    """Close without waiting, even while being cancelled."""
    with trio.CancelScope(shield=True):
        await trio.aclose_forcefully(resource)
