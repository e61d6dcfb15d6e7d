"""A way to a node on which the weather is bad: late, thin, held up in one direction, or cut.

TCP loses nothing, so that loss in one direction is what it comes to: bytes that are held up.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Literal

import trio

from node.net.swarm import Swarm, SwarmConfig, open_swarm

#: Towards the node that stands behind this weather, or away from it.
Way = Literal["in", "out"]
_PIECE = 16 * 1024


@dataclass
class Weather:
    """`delay` in seconds each way, `bytes_per_second` of each way, and the ways that are held."""

    delay: float = 0.0
    bytes_per_second: float = inf
    held: set[Way] = field(default_factory=set)
    #: Bytes carried so far.
    carried: int = 0
    #: Lines that were opened.
    lines: int = 0
    _ends: list[trio.SocketStream] = field(default_factory=list)

    def cut(self) -> None:
        """Reset every line, in the middle of whatever it carries."""
        for end in self._ends:
            # No goodbye: what waits to be sent is thrown away, and the other side sees a reset.
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.socket.close()
        self._ends.clear()

    async def carry(self, stream: trio.SocketStream, port: int) -> None:
        """One line to the node that listens at `port`, until either end or `cut` ends it."""
        self.lines += 1
        try:
            onward = await trio.open_tcp_stream("127.0.0.1", port)
            self._ends += (stream, onward)
            async with stream, onward, trio.open_nursery() as both:
                both.start_soon(self._go, stream, onward, "in", both.cancel_scope)
                both.start_soon(self._go, onward, stream, "out", both.cancel_scope)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _go(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        way: Way,
        line: trio.CancelScope,
    ) -> None:
        """One way of one line. A thin one takes no more than it carries."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._arrive, receive, target, way, line)
            async with send:
                while piece := await source.receive_some(_PIECE):
                    await send.send((trio.current_time() + self.delay, piece))

    async def _arrive(
        self,
        pieces: trio.MemoryReceiveChannel[tuple[float, bytes]],
        target: trio.SocketStream,
        way: Way,
        line: trio.CancelScope,
    ) -> None:
        async for at, piece in pieces:
            await trio.sleep_until(at)
            while way in self.held:  # noqa: ASYNC110 (a set has no event)
                await trio.sleep(0.01)
            await target.send_all(piece)
            self.carried += len(piece)
            await trio.sleep(len(piece) / self.bytes_per_second)
        line.cancel()


@asynccontextmanager
async def behind(weather: Weather) -> AsyncIterator[Swarm]:
    """A node that others reach through this weather alone: it tells no other address."""
    port = 0

    async def carry(stream: trio.SocketStream) -> None:
        await weather.carry(stream, port)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, carry, 0)
        outside = listeners[0].socket.getsockname()[1]
        config = SwarmConfig(
            ("/ip4/127.0.0.1/tcp/0",),
            seed=os.urandom(32),
            announce=(f"/ip4/127.0.0.1/tcp/{outside}",),
        )
        async with open_swarm(config) as node:
            (inside,) = node._parts.host.get_transport_addrs()
            port = int(inside.value_for_protocol("tcp") or 0)
            yield node
        nursery.cancel_scope.cancel()
