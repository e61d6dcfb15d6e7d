"""One question and one answer on a stream of its own, bounded in size and time on both sides.

On the wire: request = length (4 bytes, big-endian), bytes. Reply = status (1 byte), length, bytes;
the bytes of any status but OK are one line of UTF-8 that says why.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

import trio

from node.net.errors import Broken, ConversationError, Disconnected, Refused, TimedOut
from protocol import params
from protocol.errors import PeerError

if TYPE_CHECKING:
    from libp2p.abc import INetStream

log = logging.getLogger("assay.net")

#: An answer to a request. Gets the asking peer's id and its bytes.
Handler = Callable[[str, bytes], Awaitable[bytes]]

_LENGTH_BYTES: Final = 4
_MAX_REASON_BYTES: Final = 512
_PIECE_BYTES: Final = 64 * 1024


class Conversation(Protocol):
    """What a question and its answer need of a stream. `read` gives up to `n` bytes."""

    async def read(self, n: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


class Status(IntEnum):
    """First byte of a reply."""

    OK = 0
    #: The handler says no; the reason is the handler's.
    REFUSED = 1
    #: Too many requests; ask later.
    BUSY = 2
    #: The handler failed; the reason stays here, in the log.
    FAILED = 3


class Slots:
    """How many requests are read and answered at once, of all peers and of one: what each may hold
    in memory, a peer cannot hold often. Peers that are not `known` have half of them."""

    def __init__(self, total: int, of_one: int, known: Callable[[str], bool]) -> None:
        self._total, self._of_one, self._known = total, of_one, known
        self._held: Counter[str] = Counter()

    def take(self, peer: str) -> bool:
        """Whether there was room for one more of this peer's; it is taken then."""
        most = self._total if self._known(peer) else self._total // 2
        if self._held[peer] >= self._of_one or self._held.total() >= most:
            return False
        self._held[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """One of this peer's is done."""
        self._held[peer] -= 1
        if not self._held[peer]:
            del self._held[peer]

    def around(
        self, serve: Callable[[INetStream], Awaitable[None]]
    ) -> Callable[[INetStream], Awaitable[None]]:
        """`serve`, for streams that there is room for; any other is reset, and not read."""

        async def served(stream: INetStream) -> None:
            peer = str(stream.muxed_conn.peer_id)
            if not self.take(peer):
                log.info("peer %s: no room for one more stream", peer)
                await abandon(stream)
                return
            try:
                await serve(stream)
            finally:
                self.leave(peer)

        return served


class _Ended(Exception):
    """The other side closed or broke the stream."""


class _Oversized(Exception):
    """The other side announced more than it may send."""


async def _read_exactly(stream: Conversation, count: int) -> bytes:
    """Read `count` bytes. Every 64 KiB must take at most `params.PROGRESS_SECONDS`.

    The deadline is on progress, so that a large reply over a thin line passes and a peer that
    trickles bytes does not. Raises TooSlowError, _Ended.
    """
    parts = bytearray()
    while len(parts) < count:
        goal = min(count, len(parts) + _PIECE_BYTES)
        with trio.fail_after(params.PROGRESS_SECONDS):
            while len(parts) < goal:
                try:
                    piece = await stream.read(count - len(parts))
                except ConversationError:
                    raise  # it says itself what failed
                except Exception as error:
                    raise _Ended(str(error) or type(error).__name__) from error
                if not piece:
                    raise _Ended("end of stream")
                parts += piece
    return bytes(parts)


async def _read_frame(stream: Conversation, limit: int) -> bytes:
    length = int.from_bytes(await _read_exactly(stream, _LENGTH_BYTES), "big")
    if length > limit:
        raise _Oversized(f"{length} bytes announced, at most {limit} allowed")
    return await _read_exactly(stream, length)


async def _write(stream: Conversation, data: bytes) -> None:
    try:
        await stream.write(data)
    except Exception as error:
        raise _Ended(str(error) or type(error).__name__) from error


async def abandon(stream: Conversation) -> None:
    """Reset a stream, even during a cancellation; a stream that is gone already is fine."""
    with trio.CancelScope(shield=True), trio.move_on_after(1):
        await stream.reset()


async def ask(
    stream: Conversation, peer: str, data: bytes, max_reply: int, timeout: float | None
) -> bytes:
    """Send one request on a fresh stream and read the reply; the stream is gone afterwards.

    `timeout` bounds the whole exchange in seconds; None leaves it to the progress deadline.
    Raises Broken, Disconnected, TimedOut, Refused, each naming `peer`.
    """
    whole = False
    try:
        with trio.fail_after(timeout if timeout is not None else float("inf")):
            await _write(stream, len(data).to_bytes(_LENGTH_BYTES, "big") + data)
            status = (await _read_exactly(stream, 1))[0]
            limit = max_reply if status == Status.OK else _MAX_REASON_BYTES
            reply = await _read_frame(stream, limit)
            await stream.close()
            whole = True
    except _Oversized as error:
        raise Broken(peer, f"its reply is too large: {error}") from error
    except _Ended as error:
        raise Disconnected(peer, f"the stream broke before the reply was whole: {error}") from error
    except trio.TooSlowError as error:
        raise TimedOut(peer, "no reply in time") from error
    finally:
        if not whole:
            await abandon(stream)
    if status == Status.OK:
        return reply
    reason = reply.decode("utf-8", "replace").strip() or "no reason given"
    if status in (Status.REFUSED, Status.BUSY, Status.FAILED):
        said = f"it answered {Status(status).name.lower()}: {printable(reason)}"
        raise Refused(peer, said, lasting=status == Status.REFUSED)
    raise Broken(peer, f"its reply has the unknown status {status}")


def printable(text: str) -> str:
    """A peer's words without control characters, so that they are safe in a log and a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


async def answer(
    stream: Conversation, peer: str, handler: Handler, max_request: int, allowed: bool
) -> Status:
    """Read one request, answer it, close the stream. Returns what was answered.

    A handler that raises PeerError refuses with that error's words; any other Exception is logged
    here and answered without its words. Raises Broken if the request itself is no request.
    """
    try:
        data = await _read_frame(stream, max_request)
    except _Oversized as error:
        raise Broken(peer, f"its request is too large: {error}") from error
    except _Ended as error:
        raise Disconnected(peer, f"it hung up before its request was whole: {error}") from error
    except trio.TooSlowError as error:
        raise TimedOut(peer, "its request stopped coming") from error
    status, reply = Status.OK, b""
    if not allowed:
        status, reply = Status.BUSY, b"too many requests: ask again in a second"
    else:
        try:
            reply = await handler(peer, data)
        except PeerError as error:
            status, reply = Status.REFUSED, str(error).encode()[:_MAX_REASON_BYTES]
        except Exception:
            log.exception("answering peer %s failed", peer)
            status, reply = Status.FAILED, b"internal error"
    try:
        head = bytes((status,)) + len(reply).to_bytes(_LENGTH_BYTES, "big")
        await _write(stream, head + reply)
        await _let_go(stream)
    except _Ended as error:
        raise Disconnected(peer, f"it hung up before the reply was whole: {error}") from error
    return status


async def _let_go(stream: Conversation) -> None:
    """Close our side and wait for the other's, so that neither side keeps half a stream."""
    await stream.close()
    try:
        with trio.fail_after(params.PROGRESS_SECONDS):
            if await stream.read(1):
                raise _Ended("bytes after the request")
    except trio.TooSlowError as error:
        raise _Ended("it did not close its side") from error
    except _Ended:
        raise
    except Exception as error:
        # The library reports an orderly end of a stream as an error, too.
        log.debug("peer closed its side", exc_info=error)
