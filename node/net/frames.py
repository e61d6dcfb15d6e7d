"""Gossip on its way in and out: frames off a stream, queues of what waits for a peer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.rpc_queue import PriorityQueue, RpcQueue

from protocol import params

_READ_BYTES: Final = 64 * 1024
_MAX_VARINT_BYTES: Final = 10

#: Messages in one frame; honest peers send one, or what an IWANT asked for.
MAX_MESSAGES: Final = 256


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


def check_fields(raw: bytes) -> None:
    """Refuse a frame of too many parts before it is parsed into as many objects.

    Counts protobuf fields: the frame's own, those of messages, subscriptions and control messages,
    and the ids and peers in these. Raises Violation for too many; anything malformed is left to the
    parser.
    """
    left = params.MAX_GOSSIP_FIELDS
    # Where a part begins and ends, and which of its fields are parts too, at how many levels.
    parts = [(0, len(raw), _FRAME)]
    while parts:
        position, end, inner = parts.pop()
        while position < end:
            left -= 1
            if left < 0:
                allowed = f"at most {params.MAX_GOSSIP_FIELDS} are allowed"
                raise Violation("too many fields in one frame", allowed)
            tag, position = _varint(raw, position, end)
            kind = tag & 7
            if kind == _LENGTH_DELIMITED:
                length, position = _varint(raw, position, end)
                below = inner.get(tag >> 3)
                if below is not None:
                    parts.append((position, min(end, position + length), below))
                position += length
            elif kind == _VARINT:
                _, position = _varint(raw, position, end)
            else:
                # A parser skips a group (3 to 4) and reads on: what is in it and after it counts.
                position += {1: 8, 5: 4, 3: 0, 4: 0}.get(kind, end)


#: A frame holds subscriptions (1), messages (2) and a control message (3), whose entries are 1 to
#: 5. What lies in a message or an entry is counted and not looked into: contents, ids, peers.
_NOTHING: Final[Mapping[int, Any]] = {}
_FRAME: Final[Mapping[int, Any]] = {
    1: _NOTHING,
    2: _NOTHING,
    3: dict.fromkeys(range(1, 6), _NOTHING),
}
_VARINT: Final = 0
_LENGTH_DELIMITED: Final = 2


def _varint(raw: bytes, position: int, end: int) -> tuple[int, int]:
    """The number there and the position after it; whatever is there where it is malformed."""
    number = shift = 0
    while position < end and shift < 70:
        byte = raw[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    return number, end


def cost(rpc: Any) -> int:
    """A frame's work, in messages, whose signatures are what costs most.

    A control message or a subscription counts a quarter, an id or a peer in one a twenty-fifth: a
    frame at all its limits is then paid for in less than the five seconds after which a sender's
    library gives up. Raises Violation for more than a frame may hold.
    """
    control = rpc.control
    entries = len(rpc.subscriptions) + sum(
        map(len, (control.ihave, control.iwant, control.graft, control.prune, control.idontwant))
    )
    if len(rpc.publish) > MAX_MESSAGES:
        raise Violation("too many messages in one frame", str(len(rpc.publish)))
    if entries > params.MAX_GOSSIP_ENTRIES:
        raise Violation("too many control messages in one frame", str(entries))
    ids = sum(
        len(each.messageIDs)
        for kind in (control.ihave, control.iwant, control.idontwant)
        for each in kind
    ) + sum(len(each.peers) for each in control.prune)
    if ids > params.MAX_GOSSIP_IDS:
        raise Violation("too many ids in one frame", str(ids))
    return max(1, len(rpc.publish)) + entries // 4 + ids // 25


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
