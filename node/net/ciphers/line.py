"""A connection behind its handshake: many messages of Noise in one call of the system.

The library reads a message in two calls at least, and lets all other tasks run whenever it takes a
lock. A writer of it that is cancelled ends the connection, since a message is missing then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

#: Read off a socket at most at once.
_PIECE_BYTES: Final = 256 * 1024
#: Reads and messages of what is here already before other tasks run: a piece may hold thousands.
_READS_IN_A_ROW: Final = 32


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


class Line:
    """A connection behind its handshake: what goes out is encrypted, what comes in decrypted, many
    messages in one call of the system. `noted` is called when bytes have come."""

    def __init__(self, session: SecureSession, noted: Callable[[], None]) -> None:
        cipher = session.conn
        if not isinstance(cipher, NoiseTransportReadWriter):
            raise TypeError(f"a session of {type(cipher).__name__}")
        self._cipher = cipher
        self._raw = cipher.read_writer.read_write_closer
        below = self._raw.stream if isinstance(self._raw, RawConnection) else None
        self._socket = below.stream.socket if isinstance(below, TrioTCPStream) else None
        if isinstance(below, TrioTCPStream):
            below.read_lock, below.write_lock = Turn(), Turn()  # type: ignore[assignment]
        self._noted = noted
        #: Encrypted and not sent yet: a writer gave up.
        self._unsent = bytearray()
        self._sealed = bytearray()
        #: The library may have read beyond its negotiation.
        self._open = bytearray(session._drain(None))
        self._reads = 0

    async def write(self, *messages: bytes) -> None:
        """Send messages, of what fits one of Noise each. One call at a time.

        A message that is encrypted has to arrive, and whole: the other side can read none after it
        otherwise. So what a writer that is cancelled leaves behind goes before the next one's.
        """
        for message in messages:
            closed = self._cipher.encrypt(message)
            self._unsent += len(closed).to_bytes(2, "big") + closed
        await self.flush()

    async def flush(self) -> None:
        """Send what a writer left behind."""
        while self._unsent:
            if self._socket is None:
                await self._raw.write(bytes(self._unsent))
                self._unsent.clear()
                return
            try:
                with memoryview(self._unsent) as left:
                    count = await self._socket.send(left)
            except (OSError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError(f"it is closed: {error}", transport="tcp") from error
            del self._unsent[:count]

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes; None: what is there, at least one. Raises what the connection and the
        cipher raise, ConnectionClosedError at its end."""
        wanted = 1 if n is None else n
        await self._let_others_run()
        while len(self._open) < wanted:
            await self._more()
        end = len(self._open) if n is None else n
        with memoryview(self._open) as whole:
            data = bytes(whole[:end])
        del self._open[:end]
        return data

    async def _let_others_run(self) -> None:
        self._reads += 1
        if self._reads % _READS_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()

    async def _more(self) -> None:
        """Decrypt one more message."""
        await self._let_others_run()
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
