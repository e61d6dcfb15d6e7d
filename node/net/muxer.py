"""Streams of one connection: yamux with the limits that py-libp2p 0.8.1 leaves out, and less waste.

What travels is yamux over Noise as before. The library lets all other tasks run whenever it takes a
lock, a dozen times a frame; answers every read with a window update, even of one byte; cuts frames
that need two Noise messages each; reads a message in two calls of the system at least; and looks
every 10 ms whether a window has opened. A question and its answer cost twice as much that way, and
a megabyte three times. tests/assumptions/ holds these facts, and that a peer who ignores the
receive window is buffered all the same.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio
from libp2p.abc import IMuxedConn, INetStream, ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.io.utils import read_exactly
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MULTISELECT_PROTOCOL_ID
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import (
    HEADER_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)
from libp2p.utils.varint import encode_delim

from node.net.errors import Unreachable, Unspoken
from protocol import params

#: What a peer that dials back proposes where others propose yamux (peering/dialback.py).
DIALLED: Final = "/assay/1/dialled"

#: Bytes of a frame: one Noise message, and no byte more.
_FRAME_BYTES: Final = MAX_PLAINTEXT_LENGTH - HEADER_SIZE
#: Frames that are sent in one go; then others have their turn.
_FRAMES_AT_ONCE: Final = 4
#: Read off a socket at most at once.
_PIECE_BYTES: Final = 256 * 1024
#: Reads of what is here already before other tasks run: a piece may hold a thousand frames.
_READS_IN_A_ROW: Final = 32
#: The library's own patience with a peer that gives no window, and how often a writer looks whether
#: its stream has ended meanwhile.
_WINDOW_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


class Turn:
    """A lock in the place of trio's that lets nobody else run while it is free."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def acquire(self) -> None:
        """Take it, at once where it is free."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    def release(self) -> None:
        """Give it to the next that waits."""
        self._lock.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


class _Line:
    """A connection behind its handshake: what goes out is encrypted, what comes in decrypted, many
    messages in one call of the system. `noted` is called when bytes have come."""

    def __init__(self, session: SecureSession, noted: Callable[[], None]) -> None:
        cipher = session.conn
        if not isinstance(cipher, NoiseTransportReadWriter):
            raise TypeError(f"a session of {type(cipher).__name__}")
        self._cipher = cipher
        self._raw = cipher.read_writer.read_write_closer
        below = self._raw.stream if isinstance(self._raw, RawConnection) else None
        if isinstance(below, TrioTCPStream):
            below.read_lock, below.write_lock = Turn(), Turn()  # type: ignore[assignment]
        self._noted = noted
        self._sealed = bytearray()
        #: The library may have read beyond its negotiation.
        self._open = bytearray(session._drain(None))
        self._reads = 0

    async def write(self, *messages: bytes) -> None:
        """Send messages, of what fits one of Noise each."""
        sealed: list[bytes] = []
        for message in messages:
            closed = self._cipher.encrypt(message)
            sealed += (len(closed).to_bytes(2, "big"), closed)
        await self._raw.write(b"".join(sealed))

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes; None: what is there, at least one. Raises what the connection and the
        cipher raise, ConnectionClosedError at its end."""
        wanted = 1 if n is None else n
        if len(self._open) >= wanted:
            self._reads += 1
            if self._reads % _READS_IN_A_ROW == 0:
                await trio.lowlevel.checkpoint()
        while len(self._open) < wanted:
            await self._more()
        end = len(self._open) if n is None else n
        with memoryview(self._open) as whole:
            data = bytes(whole[:end])
        del self._open[:end]
        return data

    async def _more(self) -> None:
        """Decrypt one more message."""
        while True:
            end = 2 + int.from_bytes(self._sealed[:2], "big")
            if len(self._sealed) >= max(3, end):
                break
            piece = await self._raw.read(_PIECE_BYTES)
            if not piece:
                raise ConnectionClosedError("the other side has closed", transport="tcp")
            self._noted()
            self._sealed += piece
        with memoryview(self._sealed) as whole:
            closed = bytes(whole[2:end])
        del self._sealed[:end]
        message = self._cipher.decrypt(closed)
        if not message:
            raise ConnectionClosedError("an empty message", transport="tcp")
        self._open += message


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
        self._line = _Line(conn, self._heard)
        conn.read = self._line.read  # type: ignore[method-assign]

    def _heard(self) -> None:
        self.heard_at = trio.current_time()

    async def _write_frame(self, data: bytes) -> None:
        await self._write_frames((data,))

    async def _write_frames(self, frames: Sequence[bytes]) -> None:
        async with self._write_lock:
            await self._line.write(*frames)

    async def _read_data_body(self, length: int) -> bytes:
        """A frame's body; the connection ends instead of buffering past the limit."""
        waiting = sum(map(len, self.stream_buffers.values()))
        if waiting + length > params.MAX_BUFFERED_BYTES:
            # The one error that the library's read loop takes as the end of the connection; after
            # any other it would read this frame's body as the next frame's header.
            raise trio.TooSlowError(f"{waiting} bytes unread and {length} more announced")
        return await super()._read_data_body(length)


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
