from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed

from node.net.frames import Frames, Queue, Violation
from protocol import params


class Pieces:
    """A stream that gives what it has in pieces of the given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = data
        self._sizes = sizes or [1]
        self._turn = 0

    async def read(self, count: int) -> bytes:
        if not self._data:
            raise EOFError
        size = min(count, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        piece, self._data = self._data[:size], self._data[size:]
        return piece


async def frames_of(stream: Any, limit: int) -> list[bytes]:
    frames, got = Frames(stream), []
    try:
        while True:
            got.append(await frames.next(limit))
    except EOFError:
        return got


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 400), max_size=5))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(map(encode_varint_prefixed, sent))
    assert trio.run(frames_of, Pieces(data, sizes), 300) == sent


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=3))
def test_no_bytes_break_more_than_their_own_stream(data: bytes, sizes: list[int]) -> None:
    try:
        for frame in trio.run(frames_of, Pieces(data, sizes), 64):
            assert len(frame) <= 64
    except Violation:
        pass


def test_the_limit_of_a_frame() -> None:
    at_limit = encode_varint_prefixed(bytes(64))
    assert trio.run(frames_of, Pieces(at_limit, [7]), 64) == [bytes(64)]
    with pytest.raises(Violation, match="65 bytes, at most 64"):
        trio.run(frames_of, Pieces(encode_varint_prefixed(bytes(65)), [7]), 64)
    # Over the limit by its announcement alone, before a byte of it came.
    with pytest.raises(Violation, match="268435455 bytes"):
        trio.run(frames_of, Pieces(b"\xff\xff\xff\x7f", [1]), 64)
    with pytest.raises(Violation, match="no varint"):
        trio.run(frames_of, Pieces(b"\x80" * 10, [3]), 64)


def message(size: int) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(size))])


def test_a_queue_is_bounded_in_number_and_keeps_room_for_control() -> None:
    counters: Counter[str] = Counter()
    queue = Queue(counters)
    limit = params.GOSSIP_QUEUE_MESSAGES
    assert all(queue.push(message(10)) for _ in range(limit))
    assert queue.crowded
    assert not queue.push(message(10))
    assert queue.push(rpc_pb2.RPC(), priority=True)
    assert counters == {"dropped.queue": 1}
    while queue.pop() is not None:
        pass
    assert queue.bytes == 0
    assert not queue.crowded


def test_a_queue_is_bounded_in_bytes() -> None:
    queue = Queue(Counter())
    taken = 0
    while queue.push(message(params.MAX_GOSSIP_BYTES)):
        taken += 1
    assert 0 < queue.bytes <= params.GOSSIP_QUEUE_BYTES
    assert taken == params.GOSSIP_QUEUE_BYTES // (params.MAX_GOSSIP_BYTES + 8)
