"""Gossip on its way in and out: frames off a stream, queues of what waits for a peer."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.rpc_queue import PriorityQueue, RpcQueue

from protocol import params

_READ_BYTES: Final = 64 * 1024
_MAX_VARINT_BYTES: Final = 10


class Violation(Exception):
    """A peer sent what no honest peer sends: a fixed name for it, and the detail."""

    def __init__(self, offence: str, detail: str = "") -> None:
        super().__init__(f"{offence}: {detail}" if detail else offence)
        self.offence = offence
        self.detail = detail


class Frames:
    """Length-prefixed frames of one stream, read in large pieces.

    The library reads a frame's length byte by byte and answers every read with a window update:
    three encrypted packets for each one received, two thirds of the cost of gossip.
    """

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self, limit: int) -> bytes:
        """The next frame, of at most `limit` bytes.

        Raises Violation for a length over the limit or no varint of at most ten bytes, and
        whatever the library raises when the stream ends.
        """
        while True:
            frame = self._take(limit)
            if frame is not None:
                return frame
            self._buffer += await self._stream.read(_READ_BYTES)

    def _take(self, limit: int) -> bytes | None:
        length = 0
        for position, byte in enumerate(self._buffer[:_MAX_VARINT_BYTES]):
            length |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                break
        else:
            if len(self._buffer) >= _MAX_VARINT_BYTES:
                raise Violation("a frame's length that is no varint")
            return None
        if length > limit:
            raise Violation("too long a frame", f"{length} bytes, at most {limit} are allowed")
        end = position + 1 + length
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[position + 1 : end])
        del self._buffer[:end]
        return frame


def cost(rpc: Any) -> int:
    """A frame's work, in messages; entries that need no signature check count a quarter."""
    control = rpc.control
    entries = sum(
        map(len, (control.ihave, control.iwant, control.graft, control.prune, control.idontwant))
    )
    return max(1, len(rpc.publish)) + (entries + len(rpc.subscriptions)) // 4


class Queue(PriorityQueue):
    """Outbound messages of one peer: bounded in number and bytes, with room kept for control."""

    def __init__(self, counters: Counter[str]) -> None:
        super().__init__(params.GOSSIP_QUEUE_MESSAGES)
        self.bytes = 0
        self._counters = counters

    def push(self, rpc: Any, priority: bool = False) -> bool:
        size = rpc.ByteSize()
        room = 2 if priority else 1
        if (
            len(self) >= room * self.max_size
            or self.bytes + size > room * params.GOSSIP_QUEUE_BYTES
        ):
            self._counters["dropped.queue"] += 1
            return False
        (self._priority if priority else self._non_priority).append(rpc)
        self.bytes += size
        return True

    def pop(self) -> Any:
        rpc = super().pop()
        if rpc is not None:
            self.bytes -= rpc.ByteSize()
        return rpc

    @property
    def crowded(self) -> bool:
        """Whether a publisher had better wait."""
        return 2 * len(self) >= self.max_size or 2 * self.bytes >= params.GOSSIP_QUEUE_BYTES


class Queues(dict[ID, RpcQueue]):
    """The library makes a queue of 32 for every peer; this gives each one room as it is stored."""

    def __init__(self, counters: Counter[str]) -> None:
        super().__init__()
        self._counters = counters

    def __setitem__(self, peer: ID, queue: RpcQueue) -> None:
        queue._queue = Queue(self._counters)
        super().__setitem__(peer, queue)
