"""Requests and replies against streams that end, stall or lie at every byte."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from node.net.errors import Broken, Disconnected, Refused, TimedOut
from node.net.streams import Status, answer, ask, printable
from protocol import params


class Scripted:
    """A stream whose other side says `incoming`, in pieces, then ends or stalls."""

    def __init__(self, incoming: bytes, piece: int = 3, stall: bool = False) -> None:
        self.incoming, self.piece, self.stall = incoming, piece, stall
        self.written = b""
        self.closed = self.was_reset = False

    async def read(self, count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.incoming:
            if self.stall:
                await trio.sleep_forever()
            raise ConnectionError("gone")
        part = self.incoming[: min(count, self.piece)]
        self.incoming = self.incoming[len(part) :]
        return part

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data

    async def close(self) -> None:
        self.closed = True

    async def reset(self) -> None:
        self.was_reset = True


def as_stream(script: Scripted) -> Any:
    return script


def reply(status: int, body: bytes) -> bytes:
    return bytes((status,)) + len(body).to_bytes(4, "big") + body


async def test_a_reply_cut_anywhere_is_a_disconnection() -> None:
    whole = reply(Status.OK, b"answer")
    stream = Scripted(whole)
    assert await ask(as_stream(stream), "P", b"q", 100, None) == b"answer"
    assert stream.written == b"\0\0\0\x01q"
    assert stream.closed
    assert not stream.was_reset
    for length in range(len(whole)):
        cut = Scripted(whole[:length])
        with pytest.raises(Disconnected, match="peer P: the stream broke"):
            await ask(as_stream(cut), "P", b"q", 100, None)
        assert cut.was_reset


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (reply(Status.OK, bytes(101)), Broken, "101 bytes announced, at most 100"),
        (b"\0\xff\xff\xff\xff", Broken, "4294967295 bytes announced"),
        (reply(9, b"why"), Broken, "unknown status 9"),
        (reply(Status.REFUSED, b"no\n\x07"), Refused, "refused: no"),
        (reply(Status.REFUSED, b""), Refused, "no reason given"),
        (reply(Status.BUSY, b"later"), Refused, "busy: later"),
        (reply(Status.REFUSED, bytes(513)), Broken, "513 bytes announced, at most 512"),
        (reply(Status.FAILED, b"\xff\xfe"), Refused, "failed: "),
    ],
)
async def test_replies_that_are_no_answer(raw: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        await ask(as_stream(Scripted(raw)), "P", b"", 100, None)


async def test_a_reply_at_the_limit() -> None:
    assert len(await ask(as_stream(Scripted(reply(0, bytes(100)), 64)), "P", b"", 100, None)) == 100


async def test_a_stall_is_cut_off_by_progress_or_by_the_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    with pytest.raises(TimedOut, match="peer P"):
        await ask(as_stream(Scripted(b"\0\0\0", stall=True)), "P", b"", 100, None)
    assert trio.current_time() - start == pytest.approx(params.PROGRESS_SECONDS)
    start = trio.current_time()
    with pytest.raises(TimedOut):
        await ask(as_stream(Scripted(b"", stall=True)), "P", b"", 100, 2)
    assert trio.current_time() - start == pytest.approx(2)


async def test_a_slow_reply_that_goes_on_has_no_deadline_and_a_trickle_has(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slow(Scripted):
        async def read(self, count: int) -> bytes:
            await trio.sleep(1)
            return await super().read(count)

    body = bytes(1024 * 1024)
    start = trio.current_time()
    stream = Slow(reply(0, body), piece=16 * 1024)
    assert await ask(as_stream(stream), "P", b"", len(body), None) == body
    assert trio.current_time() - start > params.PROGRESS_SECONDS
    with pytest.raises(TimedOut):
        await ask(as_stream(Slow(reply(0, body), piece=1024)), "P", b"", len(body), None)


async def echo(peer: str, data: bytes) -> bytes:
    return data + peer.encode()


async def test_a_request_cut_anywhere_is_not_answered() -> None:
    whole = b"\0\0\0\x03abc"
    stream = Scripted(whole)
    assert await answer(as_stream(stream), "P", echo, 3, allowed=True) is Status.OK
    assert stream.written == reply(Status.OK, b"abcP")
    for length in range(len(whole)):
        cut = Scripted(whole[:length])
        with pytest.raises(Disconnected):
            await answer(as_stream(cut), "P", echo, 3, allowed=True)
        assert cut.written == b""
    with pytest.raises(Broken, match="3 bytes announced, at most 2"):
        await answer(as_stream(Scripted(whole)), "P", echo, 2, allowed=True)
    with pytest.raises(Disconnected, match="bytes after the request"):
        await answer(as_stream(Scripted(whole + b"x")), "P", echo, 3, allowed=True)


async def test_who_is_over_the_rate_is_told_so_without_being_heard() -> None:
    async def never(peer: str, data: bytes) -> bytes:
        raise AssertionError("must not be asked")

    stream = Scripted(b"\0\0\0\x00")
    assert await answer(as_stream(stream), "P", never, 3, allowed=False) is Status.BUSY
    assert stream.written[0] == Status.BUSY


@given(st.text())
def test_a_peers_words_cannot_steer_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
