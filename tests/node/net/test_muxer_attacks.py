"""What a peer, a false byte on the way or a writer that gives up does to a connection."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from kits.net.lines import muxed
from kits.net.swarms import stranger, stream_to, swarm, wait_until
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_ACK,
    FLAG_RST,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
)

from node.net.host import network_of
from node.net.muxer import BoundedYamux
from protocol import params

MIB = 1024 * 1024
ALL = 1 << 30


class Counted(NoiseTransportReadWriter):
    """Noise without secrets: a message that is lost, or not whole, is noticed as it is there."""

    sent = received = 0

    def encrypt(self, data: bytes) -> bytes:
        self.sent += 1
        return self.sent.to_bytes(4, "big") + data + bytes(12)

    def decrypt(self, data: bytes) -> bytes:
        if data[:4] != (self.received + 1).to_bytes(4, "big") or data[-12:] != bytes(12):
            raise ValueError("a message that is lost, or false")
        self.received += 1
        return data[4:-12]


def over(end: trio.socket.SocketType, initiator: bool) -> BoundedYamux:
    raw, other = RawConnection(TrioTCPStream(trio.SocketStream(end)), initiator), None
    return muxed(Counted(raw, other), initiator)  # type: ignore[arg-type]


def ends() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """Two ends of a line that holds little."""
    one, two = trio.socket.socketpair()
    for each in (one, two):
        each.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
    return one, two


def frame(kind: int, flags: int, number: int, length: int) -> bytes:
    return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, number, length)


def message(count: int, content: bytes) -> bytes:
    sealed = count.to_bytes(4, "big") + content + bytes(12)
    return len(sealed).to_bytes(2, "big") + sealed


async def read_all(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.read(MIB)
    return data


async def test_small_frames_in_a_message_each_let_others_run(nursery: trio.Nursery) -> None:
    one, two = ends()
    two.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, MIB)
    victim = over(one, True)
    pong = frame(TYPE_PING, FLAG_ACK, 0, 0)
    flood = b"".join(message(count, pong) for count in range(1, 4001))
    for start in range(0, len(flood), 4096):
        await two.send(flood[start : start + 4096])
    turns = 0
    nursery.start_soon(victim.start)
    while victim.secured_conn.conn.received < 4000:  # type: ignore[attr-defined]
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns > 60


@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_a_writer_that_gives_up_breaks_nothing(seconds: float, nursery: trio.Nursery) -> None:
    """Its last message was encrypted: without it, or with a part of it, nothing after it reads."""
    one, two = ends()
    writer, reader = over(one, True), over(two, False)
    slow = await writer.open_stream()
    slow.send_window = ALL
    with trio.move_on_after(seconds) as given_up:
        await slow.write(bytes(MIB))
    assert given_up.cancelled_caught
    nursery.start_soon(reader.start)
    await reader.accept_stream()
    other = await writer.open_stream()
    await other.write(b"whole")
    with trio.fail_after(10):
        assert await (await reader.accept_stream()).read(5) == b"whole"
    assert not reader.is_closed


async def test_a_stream_is_opened_though_the_other_side_reads_nothing(
    nursery: trio.Nursery,
) -> None:
    """Whoever gives up opening one would leave it behind, and of 256 none would be left."""
    one, two = ends()
    writer = over(one, True)
    nursery.start_soon(writer.start)
    stuck = await writer.open_stream()
    stuck.send_window = ALL
    nursery.start_soon(stuck.write, bytes(MIB))
    await trio.testing.wait_all_tasks_blocked(0.01)
    free = writer.stream_backlog_semaphore.value
    for _ in range(4):
        with trio.fail_after(1):
            stream = await writer.open_stream()
        with trio.CancelScope() as given_up:
            given_up.cancel()
            await stream.reset()
    assert writer.stream_backlog_semaphore.value == free
    nursery.cancel_scope.cancel()
    two.close()


async def test_two_that_write_much_and_open_streams_do_not_wait_for_each_other(
    nursery: trio.Nursery,
) -> None:
    """Each owes the other a word for each stream. Who does not read until it is sent, while the
    other does the same, waits for ever."""
    both = [over(end, first) for end, first in zip(ends(), (True, False), strict=True)]
    for each in both:
        nursery.start_soon(each.start)
    streams = [await each.open_stream() for each in both]
    accepted = [await each.accept_stream() for each in reversed(both)]

    async def writes(conn: BoundedYamux, stream: Any) -> None:
        stream.send_window = ALL
        async with trio.open_nursery() as writing:
            writing.start_soon(stream.write, bytes(4 * MIB))
            for _ in range(8):
                await trio.lowlevel.checkpoint()
                writing.start_soon(conn.open_stream)

    with trio.fail_after(20):
        async with trio.open_nursery() as writing:
            for conn, stream in zip(both, streams, strict=True):
                writing.start_soon(writes, conn, stream)
        for stream in accepted:
            assert len(await read_all(stream, 4 * MIB)) == 4 * MIB


async def test_a_false_message_within_a_frame_ends_the_connection() -> None:
    """What is left of the frame is not read as frames: others say what is in it."""
    one, two = ends()
    victim = over(one, False)
    within = frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 7, 0)
    head = frame(TYPE_DATA, 0, 3, len(within) + 8)
    await two.send(message(1, head + within) + message(9, b"false") + message(2, bytes(8)))
    with trio.move_on_after(1):
        await victim.start()
    assert 7 not in victim.streams
    assert victim.is_closed


async def test_what_is_unread_of_a_stream_that_is_reset_is_dropped(nursery: trio.Nursery) -> None:
    """It would be kept, and counted, for a minute, and with it all that is still on its way."""
    one, two = ends()
    victim, peer = over(one, True), over(two, False)
    nursery.start_soon(victim.start)
    nursery.start_soon(peer.start)
    theirs = await peer.open_stream()
    await theirs.write(bytes(1000))
    stream = await victim.accept_stream()
    await stream.read(1)
    await stream.reset()
    with suppress(Exception):
        await theirs.write(bytes(1000))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not victim.streams
    assert not victim.stream_buffers


async def test_who_opens_and_resets_streams_without_end_is_banned() -> None:
    """Each is half a millisecond of this node's for 24 bytes, and none is open for long."""
    async with swarm() as node, stranger(node) as rogue:
        line: Any = next(iter(network_of(rogue).connections.values()))[0].muxed_conn
        with suppress(Exception):
            for number in range(1001, 3001, 2):
                await line._write_frame(
                    frame(TYPE_WINDOW_UPDATE, FLAG_SYN, number, 0)
                    + frame(TYPE_WINDOW_UPDATE, FLAG_RST, number, 0)
                )
        await wait_until(lambda: node.statistics().get("bans"))
        await wait_until(lambda: not node.peers())


async def test_streams_that_a_peer_never_ends_are_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library answers who it is, ends its own side, and remembered them all."""
    monkeypatch.setattr(params, "PROGRESS_SECONDS", 0.5)
    async with swarm() as node, stranger(node) as rogue:
        lines = node._parts.peers.lines

        def remembered() -> int:
            return sum(len(conn.muxed_conn.streams) for _, conn in lines.open())  # type: ignore[attr-defined]

        streams = [await stream_to(rogue, node, "/ipfs/id/1.0.0") for _ in range(20)]
        for each in streams:
            assert await each.read(10)
        await wait_until(lambda: remembered() < 5)
