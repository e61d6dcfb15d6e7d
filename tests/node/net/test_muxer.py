"""Streams of one connection: what they cost on the wire, and that nobody waits without need."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from kits.net.lines import muxed
from kits.net.swarms import Basket, Shelf, swarm
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.utils.varint import encode_delim

from node.net.ciphers.line import Turn
from node.net.errors import Unreachable
from node.net.muxer import BoundedYamux, EagerStream
from protocol.wire.blobs import blob_digest

ECHO = "/assay/echo/1"
MIB = 1024 * 1024


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all messages that nodes of this process encrypt."""
    lengths: list[int] = []
    encrypt = NoiseTransportReadWriter.encrypt

    def counted(self: NoiseTransportReadWriter, data: bytes) -> bytes:
        lengths.append(len(data))
        return encrypt(self, data)

    monkeypatch.setattr(NoiseTransportReadWriter, "encrypt", counted)
    return lengths


async def _alone(sent: list[int], what: Callable[[], Any]) -> list[int]:
    """What is sent for one thing, of a few tries the least: gossip beats beside it."""
    tries = []
    for _ in range(8):
        before = len(sent)
        await what()
        tries.append(sent[before:])
    return min(tries, key=len)


async def test_a_question_and_its_answer_are_eight_messages(sent: list[int]) -> None:
    """SYN, question, end; ACK, two words of the negotiation, answer, end. They were 22; gossip may
    say two words beside them."""

    async def echo(peer: str, data: bytes) -> bytes:
        return data

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, echo)
        one = await _alone(sent, lambda: b.request(a.peer_id, ECHO, bytes(2000), 10))
    assert len(one) <= 10
    assert sum(one) < 2 * 2000 + 1000


async def test_a_blob_takes_a_message_for_each_frame_and_hardly_any_more(sent: list[int]) -> None:
    content = os.urandom(4 * MIB)
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf(content))

        async def bring() -> None:
            basket = Basket()
            await b.fetch(blob_digest(content), len(content), [a.peer_id], basket)
            assert bytes(basket.kept) == content

        one = await _alone(sent, bring)
    # 17 frames a chunk; five questions, of which four say that a whole chunk may come: 112, and
    # what gossip says beside them. They were more than 300.
    assert len(one) <= 160
    assert max(one) <= 65_519


class Wire:
    """Both ends of a raw connection that remembers what was written and says what it is given."""

    def __init__(self, incoming: bytes = b"", piece: int = 1 << 20) -> None:
        self.incoming, self.piece = incoming, piece
        self.written: list[bytes] = []

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        size = min(self.piece, len(self.incoming) if n is None else n)
        part, self.incoming = self.incoming[:size], self.incoming[size:]
        return part

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


class Open(NoiseTransportReadWriter):
    """Noise without its cipher."""

    def encrypt(self, data: bytes) -> bytes:
        return data

    def decrypt(self, data: bytes) -> bytes:
        return data


def over(wire: Wire) -> BoundedYamux:
    other: Any = None
    return muxed(Open(wire, other), True, b"left")  # type: ignore[arg-type]


def messages(*contents: bytes) -> bytes:
    return b"".join(len(each).to_bytes(2, "big") + each for each in contents)


@given(
    contents=st.lists(st.binary(min_size=1, max_size=40), max_size=12),
    piece=st.integers(1, 60),
    reads=st.lists(st.integers(1, 30), max_size=40),
)
def test_what_comes_in_is_read_in_order_however_it_is_cut(
    contents: list[bytes], piece: int, reads: list[int]
) -> None:
    """First what the library had read of it during its negotiation."""

    async def main() -> None:
        line = over(Wire(messages(*contents), piece)).secured_conn
        left = b"left" + b"".join(contents)
        for count in reads:
            if count > len(left):
                with pytest.raises(ConnectionClosedError):
                    await line.read(count)
                return
            assert await line.read(count) == left[:count]
            left = left[count:]

    trio.run(main)


async def test_an_empty_message_ends_the_connection() -> None:
    line = over(Wire(messages(b"a", b"", b"b"))).secured_conn
    assert await line.read(5) == b"lefta"
    with pytest.raises(ConnectionClosedError, match="empty"):
        await line.read(1)


async def test_who_reads_what_is_there_lets_others_run() -> None:
    """A piece from the network may hold thousands of frames."""
    line = over(Wire(messages(bytes(5000)))).secured_conn
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(5000):
            await line.read(1)
        nursery.cancel_scope.cancel()
    assert turns > 100


async def test_a_writer_goes_on_as_soon_as_there_is_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The library looks every 10 ms."""
    wire = Wire()
    stream = await over(wire).open_stream()
    stream.send_window = 3
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, b"abcdef")
        await trio.testing.wait_all_tasks_blocked()
        assert wire.written[-1].endswith(b"abc")
        stream.send_window += 10
    assert wire.written[-1].endswith(b"def")
    assert stream.send_window == 7
    assert trio.current_time() == start


async def test_a_writer_gives_up_without_room_and_when_the_stream_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream = await over(Wire()).open_stream()
    stream.send_window = 0
    start = trio.current_time()
    with pytest.raises(MuxedStreamError, match="no window in 5 seconds"):
        await stream.write(b"x")
    assert trio.current_time() - start == pytest.approx(5)
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(MuxedStreamError, match="closed"):
                await stream.write(b"x")

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        stream.closed = True


async def test_a_turn_passes_in_order_and_costs_nothing_while_it_is_free() -> None:
    turn, order = Turn(), list[str]()

    async def take(name: str) -> None:
        async with turn:
            order.append(name)

    with trio.testing.assert_no_checkpoints():
        await turn.acquire()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(take, name)
            await trio.testing.wait_all_tasks_blocked()
        turn.release()
    assert order == ["a", "b", "c"]


class Answering:
    """A stream whose other side says this, a byte at a time."""

    class muxed_conn:
        peer_id = ID(b"peer")

    def __init__(self, incoming: bytes) -> None:
        self.incoming, self.written = incoming, b""

    async def read(self, n: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.incoming:
            raise ConnectionError("gone")
        part, self.incoming = self.incoming[:1], self.incoming[1:]
        return part

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data


_HELLO = encode_delim(b"/multistream/1.0.0")
_YES = _HELLO + encode_delim(ECHO.encode())


async def test_the_first_words_go_at_once_and_the_answer_is_read_before_the_reply() -> None:
    said: Any = Answering(_YES + b"reply")
    stream = EagerStream(said, ECHO)
    await stream.write(b"one")
    await stream.write(b"two")
    assert said.written == _YES + b"onetwo"
    assert await stream.read(5) == b"r"
    waiting: Any = Answering(_YES + b"!")
    assert await EagerStream(waiting, ECHO).read(1) == b"!"
    assert waiting.written == _YES


@pytest.mark.parametrize(
    "answer",
    [
        *(_YES[:length] for length in range(len(_YES))),
        _HELLO + encode_delim(b"na"),
        _HELLO + encode_delim(b"/assay/echo/2"),
        encode_delim(b"/multistream/2.0.0") + _YES,
        b"\xff" * 200,
        _HELLO + b"\xff" * 9,
    ],
)
async def test_any_other_answer_says_that_the_protocol_is_not_spoken_there(answer: bytes) -> None:
    said: Any = Answering(answer)
    stream = EagerStream(said, ECHO)
    with pytest.raises(Unreachable, match=f"opens no stream for {ECHO}: "):
        await stream.read(1)
