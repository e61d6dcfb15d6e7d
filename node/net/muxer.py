"""Streams of one connection: yamux with the limits that py-libp2p 0.8.1 leaves out, and less waste.

What travels is yamux over Noise as before. The library lets all other tasks run whenever it takes a
lock, a dozen times a frame; answers every read with a window update, even of one byte; cuts frames
that need two Noise messages each; reads a message in two calls of the system at least; and looks
every 10 ms whether a window has opened. A question and its answer cost twice as much that way, and
a megabyte three times. tests/assumptions/ holds these facts, and that a peer who ignores the
receive window is buffered all the same.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio
from libp2p.abc import IMuxedConn, INetStream, ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.io.utils import read_exactly
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MULTISELECT_PROTOCOL_ID
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)
from libp2p.utils.varint import encode_delim

from node.net.ciphers.line import Line, Turn
from node.net.errors import Unreachable, Unspoken
from protocol import params

log = logging.getLogger("assay.net")

#: What a peer that dials back proposes where others propose yamux (peering/dialback.py).
DIALLED: Final = "/assay/1/dialled"

#: Bytes of a frame: one Noise message, and no byte more.
_FRAME_BYTES: Final = MAX_PLAINTEXT_LENGTH - HEADER_SIZE
#: Frames that are sent in one go; then others have their turn.
_FRAMES_AT_ONCE: Final = 4
#: Bytes of answers that wait to be written; who asks for more, and reads none, waits with them.
_MOST_OWED: Final = 16 * 1024
#: The library's own patience with a peer that gives no window, and how often a writer looks whether
#: its stream has ended meanwhile.
_WINDOW_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


class _Stream(YamuxStream):
    """A stream whose windows are given and taken in large pieces."""

    _credit: int
    _room: trio.Event

    @property
    def send_window(self) -> int:
        """Bytes that the peer still takes."""
        return self._credit

    @send_window.setter
    def send_window(self, credit: int) -> None:
        self._credit = credit
        if credit > 0:
            self._room.set()

    async def write(self, data: bytes) -> None:
        """As the library's, in frames of one Noise message."""
        left = memoryview(data)
        while left:
            if self.send_closed or self.closed:
                raise MuxedStreamError("the stream is closed")
            if self._credit <= 0:
                await self._wait_for_room()
                continue
            frames: list[bytes] = []
            while left and self._credit > 0 and len(frames) < _FRAMES_AT_ONCE:
                piece = left[: min(self._credit, _FRAME_BYTES)]
                left = left[len(piece) :]
                self._credit -= len(piece)
                head = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, self.stream_id, len(piece))
                frames.append(head + piece)
            await self.conn._write_frames(frames)  # type: ignore[attr-defined]

    async def _wait_for_room(self) -> None:
        with trio.move_on_after(_WINDOW_SECONDS) as waiting:
            while self._credit <= 0 and not self.closed:
                self._room = trio.Event()
                with trio.move_on_after(_LOOK_SECONDS):
                    await self._room.wait()
        if waiting.cancelled_caught:
            raise MuxedStreamError(f"no window in {_WINDOW_SECONDS:g} seconds")

    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        """Give back what was read once it is half a window, as go-yamux does."""
        buffered = len(self.conn.stream_buffers.get(self.stream_id, b""))
        if self.target_recv_window - self.recv_window - buffered < self._grow_threshold():
            return
        more = self._grow_to_delta(buffered) + self._apply_autotune_epoch(buffered)
        if not self.recv_closed:
            await self.send_window_update(more)

    async def reset(self) -> None:
        """As the library's; what is unread is dropped, which it keeps, and counts, for a minute."""
        try:
            await super().reset()
        finally:
            self.conn.stream_buffers.get(self.stream_id, bytearray()).clear()
            self.conn._finalize_stream_locked(self, fully_closed=True)

    async def expect(self, count: int) -> None:
        """Let so many bytes come without another word."""
        more = count - self.recv_window
        if more > 0:
            self.target_recv_window = max(self.target_recv_window, count)
            self.recv_window += more
            await self.send_window_update(more)


class _Streams(dict[int, YamuxStream]):
    """The library makes the streams; each becomes one of ours as it is stored."""

    def __setitem__(self, number: int, stream: YamuxStream) -> None:
        if not isinstance(stream, _Stream):
            credit = stream.__dict__.pop("send_window")
            stream.__class__ = _Stream
            stream._room = trio.Event()  # type: ignore[attr-defined]
            stream.send_window = credit
            stream.window_lock = Turn()  # type: ignore[assignment]
            stream.close_lock = Turn()  # type: ignore[assignment]
        super().__setitem__(number, stream)


class BoundedYamux(Yamux):
    """One connection's streams; what it may leave unread in memory is bounded.

    `heard_at`: when bytes came in last, by trio's clock.
    """

    def __init__(self, conn: ISecureConn, peer: ID) -> None:
        super().__init__(conn, peer, is_initiator=conn.is_initiator)
        self.heard_at = trio.current_time()
        self.streams = _Streams()
        self.streams_lock = Turn()  # type: ignore[assignment]
        self._write_lock = Turn()  # type: ignore[assignment]
        if not isinstance(conn, SecureSession):
            raise TypeError(f"a connection secured by {type(conn).__name__}")
        self._line = Line(conn, self._heard)
        conn.read = self._line.read  # type: ignore[method-assign]
        self._reading: trio.lowlevel.Task | None = None
        #: Frames that this side owes the other for its own, and whether a task sends them.
        self._owed = bytearray()
        self._paying = False

    def _heard(self) -> None:
        self.heard_at = trio.current_time()

    async def handle_incoming(self) -> None:
        """As the library's."""
        self._reading = trio.lowlevel.current_task()
        await super().handle_incoming()

    async def _write_frame(self, data: bytes) -> None:
        opens = data[1] == TYPE_WINDOW_UPDATE and data[3] & FLAG_SYN
        reads = trio.lowlevel.current_task() is self._reading
        if self._nursery is None or not (opens or reads):
            await self._write_frames((data,))
            return
        # Who reads does not wait for a writer: the other side may do the same, and both for ever.
        # Nor does who opens a stream: the library forgets none that is given up meanwhile.
        self._owed += data
        if len(self._owed) > _MOST_OWED:
            await self._write_frames(())
        elif not self._paying:
            self._paying = True
            self._nursery.start_soon(self._pay)

    async def _write_frames(self, frames: Sequence[bytes]) -> None:
        async with self._write_lock:
            await self._line.flush()
            owed, self._owed = bytes(self._owed), bytearray()
            await self._line.write(*((owed,) if owed else ()), *frames)

    async def _pay(self) -> None:
        try:
            while self._owed:
                await self._write_frames(())
        except Exception as error:
            log.debug("a line broke while an answer was sent", exc_info=error)
        finally:
            self._paying = False

    async def _read_data_body(self, length: int) -> bytes:
        """A frame's body; the connection ends instead of buffering past the limit, and where the
        body cannot be read."""
        waiting = sum(map(len, self.stream_buffers.values()))
        if waiting + length > params.MAX_BUFFERED_BYTES:
            # The one error that the library's read loop takes as the end of the connection; after
            # any other it would read this frame's body as the next frame's header.
            raise trio.TooSlowError(f"{waiting} bytes unread and {length} more announced")
        try:
            return await super()._read_data_body(length)
        except Exception as error:
            raise trio.TooSlowError(str(error)) from error


class DialledBack(Exception):
    """A peer dialled back, and that was all: its connection ends before it becomes a line."""


class BoundedMuxer(MuxerMultistream):
    """Negotiates yamux, for connections of the kind above.

    A connection by which a peer dials back is given to `dialled`, within the handshake's time. Then
    it fails, and so the library never counts it, tells nobody of it, and closes it.
    """

    #: Waits until the other side, by its address and its proved id, is taken in.
    called: Callable[[tuple[str, int] | None, str], Awaitable[None]]
    #: Told of the other side's address when a handshake has ended well.
    shaken: Callable[[tuple[str, int] | None], None] = staticmethod(lambda remote: None)

    #: Told of a connection by which a peer dials back: it may read what the peer says there.
    dialled: Callable[[ISecureConn], Awaitable[None]] | None = None

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        if not conn.is_initiator:
            await self.called(conn.get_remote_address(), str(peer_id))
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        if protocol == DIALLED:
            # Whom this node dialled itself does not dial back by the same connection.
            if self.dialled is not None and not conn.is_initiator:
                await self.dialled(conn)
            raise DialledBack(str(peer_id))
        self.shaken(conn.get_remote_address())
        return self._annotate_connection(BoundedYamux(conn, peer_id), conn, protocol)


#: The first word of every stream, both ways (multistream-select 1.0).
_HELLO: Final = encode_delim(MULTISELECT_PROTOCOL_ID.encode())


class EagerStream:
    """A stream that says its first words before it knows whether its protocol is spoken there.

    go-libp2p does so, too: one round trip in the place of three. The protocol's name goes with the
    first bytes that are written, and the answer is read before the first bytes that are read.
    Whoever does not speak it takes what follows for names of other protocols.
    """

    def __init__(self, stream: INetStream, protocol: str) -> None:
        self._stream = stream
        self._protocol = protocol
        self._said = self._agreed = False
        if isinstance(stream, NetStream):
            stream._state_lock = Turn()  # type: ignore[assignment]
            stream.set_protocol(TProtocol(protocol))

    async def write(self, data: bytes) -> None:
        """As the stream's own; raises what that raises."""
        if not self._said:
            self._said = True
            data = _HELLO + encode_delim(self._protocol.encode()) + data
        await self._stream.write(data)

    async def read(self, n: int) -> bytes:
        """As the stream's own. Raises Unspoken where the protocol is not spoken there."""
        if not self._agreed:
            await self._agree()
        return await self._stream.read(n)

    async def expect(self, count: int) -> None:
        """Let so many bytes come without another word."""
        muxed = getattr(self._stream, "muxed_stream", None)
        if isinstance(muxed, _Stream):
            await muxed.expect(count)

    async def close(self) -> None:
        """Nothing more will be written."""
        await self._stream.close()

    async def reset(self) -> None:
        """The stream is over, both ways."""
        await self._stream.reset()

    async def _agree(self) -> None:
        if not self._said:
            await self.write(b"")
        name, head = encode_delim(self._protocol.encode()), b""
        try:
            # No more is read than what an honest peer says: a false length costs nothing.
            if await read_exactly(self._stream, len(_HELLO)) == _HELLO:
                head = await read_exactly(self._stream, 1)
            if head == name[:1]:
                head += await read_exactly(self._stream, len(name) - 1)
        except Exception as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        if head != name:
            # "na" is an answer; anything else is none.
            raise self._unreachable("it is not spoken there", head == encode_delim(b"na")[:1])
        self._agreed = True

    def _unreachable(self, why: str, unspoken: bool = False) -> Unreachable:
        peer = str(self._stream.muxed_conn.peer_id)
        kind = Unspoken if unspoken else Unreachable
        return kind(peer, f"it opens no stream for {self._protocol}: {why}")
