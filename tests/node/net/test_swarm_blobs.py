from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable

import pytest
import trio
from kits.net.swarms import Basket, Shelf, stranger, swarm, wait_until
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from node.net import fetch
from node.net.errors import FetchFailed
from node.net.swarm import Swarm
from protocol import params
from protocol.errors import InputError, Malformed, PeerError
from protocol.wire.blobs import ChunkList, blob_digest, chunk_span
from protocol.wire.codec import decode

MIB = 1024 * 1024


async def bring(node: Swarm, content: bytes, *holders: str, sink: Basket | None = None) -> Basket:
    basket = sink or Basket()
    with trio.fail_after(40):
        await node.fetch(blob_digest(content), len(content), holders, basket)
    assert bytes(basket.kept) == content
    assert basket.finished
    return basket


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 17])
async def test_a_blob_of_any_size_arrives(size: int) -> None:
    content = os.urandom(size)
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf(content))
        await bring(b, content, a.peer_id)
        deeds = b._parts.peers.lines._of(ID.from_string(a.peer_id))
        assert (deeds.useful is not None) is (size > 0)


async def test_a_fetch_goes_on_where_an_earlier_one_broke_off() -> None:
    content = os.urandom(6 * MIB)
    shelf = Shelf(content)
    basket = Basket()
    broken = {4 * MIB, 5 * MIB}

    def fail(digest: bytes, offset: int, data: bytes) -> bytes:
        if offset in broken and basket.writes:
            raise OSError("disk error")
        return data

    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(shelf)
        shelf.spoil = fail
        with pytest.raises(FetchFailed, match="answered refused"):
            # The list is hashed before anything is written, so only the chunks fail.
            await b.fetch(blob_digest(content), len(content), [a.peer_id], basket)
        assert not basket.finished
        first = set(basket.writes)
        assert first == {0, MIB, 2 * MIB, 3 * MIB}
        broken.clear()
        basket.writes.clear()
        # What the disk spoilt meanwhile is fetched again.
        basket.kept[MIB + 5] ^= 1
        await bring(b, content, a.peer_id, sink=basket)
        assert set(basket.writes) == {MIB, 4 * MIB, 5 * MIB}


async def test_a_sink_without_room_is_told_as_it_says() -> None:
    """Whoever waits for room catches what the sink raises, and not a group around it."""

    class Full(Basket):
        def write(self, offset: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "no space left")

    content = os.urandom(6 * MIB)
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf(content))
        with pytest.raises(OSError, match="no space left"):
            await b.fetch(blob_digest(content), len(content), [a.peer_id], Full())


async def test_a_fetch_goes_on_from_another_peer() -> None:
    content = os.urandom(8 * MIB)
    async with swarm() as a, swarm(a) as b, swarm(a) as c:
        shelf = Shelf(content)
        c.serve_blobs(Shelf(content))

        def hang_up(digest: bytes, offset: int, data: bytes) -> bytes:
            raise OSError("gone")

        a.serve_blobs(shelf)
        await wait_until(lambda: len(b.peers()) == 2)
        await b.request(a.peer_id, fetch.PROTOCOL, _want_list(content), 20)
        shelf.spoil = hang_up
        await bring(b, content, a.peer_id, c.peer_id)


def _want_list(content: bytes) -> bytes:
    return fetch.encode(fetch.Want(blob_digest(content), len(content), fetch.Part.LIST, 0))


def _flip(digest: bytes, offset: int, data: bytes) -> bytes:
    return bytes((data[0] ^ 1,)) + data[1:] if offset == 2 * MIB else data


def _shorten(digest: bytes, offset: int, data: bytes) -> bytes:
    return data[:-1] if offset == 2 * MIB else data


def _swap(digest: bytes, offset: int, data: bytes) -> bytes:
    return bytes(len(data)) if offset == 2 * MIB else data


class Liar(fetch.BlobServer):
    """Serves what its source gives, whatever it is."""

    def _chunk(self, want: fetch.Want, chunks: ChunkList) -> bytes:
        return self._source.read(want.digest, *chunk_span(want.size, want.index))


@pytest.mark.parametrize("lie", [_flip, _shorten, _swap])
async def test_a_holder_whose_disk_fails_says_so_and_is_not_blamed(
    lie: Callable[[bytes, int, bytes], bytes],
) -> None:
    """Its chunk list, a chunk of many, and a blob of one chunk: each is checked as it leaves."""
    content, short = os.urandom(4 * MIB), os.urandom(100)
    async with swarm() as honest, swarm(honest) as b:
        shelf = Shelf(content, short)
        honest.serve_blobs(shelf)
        await b.request(honest.peer_id, fetch.PROTOCOL, _want_list(content), 20)
        shelf.spoil = lie
        with pytest.raises(FetchFailed, match="is damaged here"):
            await b.fetch(blob_digest(content), len(content), [honest.peer_id], Basket())
        shelf.spoil = lambda digest, offset, data: lie(digest, 2 * MIB, data)
        with pytest.raises(FetchFailed, match="is damaged here"):
            await b.fetch(blob_digest(short), len(short), [honest.peer_id], Basket())
        honest.serve_blobs(shelf)  # which knows no list yet
        with pytest.raises(FetchFailed, match="is damaged here"):
            await b.fetch(blob_digest(content), len(content), [honest.peer_id], Basket())
        assert b.statistics().get("blob.lies", 0) == 0
        assert b.peers()[0].offences == {}
        shelf.spoil = lambda digest, offset, data: data
        await bring(b, content, honest.peer_id)


async def test_a_block_that_the_disk_does_not_give_is_refused_in_words() -> None:
    """And is no defect of ours that fills the log."""

    def fail(digest: bytes, offset: int, data: bytes) -> bytes:
        raise OSError(errno.EIO, "the disk fails")

    content, short = os.urandom(2 * MIB), os.urandom(100)
    shelf = Shelf(content, short)
    shelf.spoil = fail
    server = fetch.BlobServer(shelf, Counter())
    chunk = fetch.encode(fetch.Want(blob_digest(short), len(short), fetch.Part.CHUNK, 0))
    for want in (chunk, _want_list(content)):
        with pytest.raises(PeerError, match="cannot be read here"):
            await server.answer("a peer", want)


@pytest.mark.parametrize("lie", [_flip, _shorten, _swap])
async def test_a_holder_that_lies_about_a_chunk_is_named_and_left(
    lie: Callable[[bytes, int, bytes], bytes],
) -> None:
    content = os.urandom(4 * MIB)
    async with swarm() as honest, swarm(honest) as liar, swarm(honest) as b:
        true, false = Shelf(content), Shelf(content)
        honest.serve_blobs(true)
        liar.serve(fetch.PROTOCOL, Liar(false, Counter()).answer, fetch.MAX_REQUEST_BYTES)
        await wait_until(lambda: len(b.peers()) == 2)
        # The list is asked for first, so that the lie concerns the chunk alone.
        await b.request(liar.peer_id, fetch.PROTOCOL, _want_list(content), 20)
        false.spoil = lie
        with pytest.raises(FetchFailed) as failed:
            await b.fetch(blob_digest(content), len(content), [liar.peer_id], Basket())
        assert "sent a false chunk 2" in failed.value.causes[liar.peer_id]
        assert b.statistics()["blob.lies"] == 1
        by_id = {each.peer_id: each for each in b.peers()}
        assert by_id[liar.peer_id].offences == {"a false chunk": 1}
        assert by_id[honest.peer_id].offences == {}
        await bring(b, content, liar.peer_id, honest.peer_id)


async def test_a_false_chunk_list_is_found_out_before_a_single_chunk() -> None:
    content = os.urandom(3 * MIB)
    digest = blob_digest(content)
    asked: list[int] = []

    async def lie(peer: str, data: bytes) -> bytes:
        want = decode(fetch.Want, data, fetch.MAX_REQUEST_BYTES)
        asked.append(want.part)
        return b"assay/blob/1\n" + len(content).to_bytes(8, "big") + os.urandom(96)

    async with swarm() as liar, swarm(liar) as b:
        liar.serve(fetch.PROTOCOL, lie)
        with pytest.raises(FetchFailed, match="false chunk list"):
            await b.fetch(digest, len(content), [liar.peer_id], Basket())
        assert asked == [fetch.Part.LIST]


async def test_a_holder_that_stalls_or_resets_is_left_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = os.urandom(3 * MIB)
    calls: list[str] = []

    async def stall(stream: INetStream) -> None:
        calls.append("stall")
        await trio.sleep_forever()

    async def reset(stream: INetStream) -> None:
        calls.append("reset")
        await stream.read(10)
        await stream.write(b"\0\0\x10")
        await stream.reset()

    async with (
        swarm() as good,
        swarm(good) as b,
        stranger(b, good) as staller,
        stranger(b, good) as resetter,
    ):
        staller.set_stream_handler(TProtocol(fetch.PROTOCOL), stall)
        resetter.set_stream_handler(TProtocol(fetch.PROTOCOL), reset)
        good.serve_blobs(Shelf(content))
        await wait_until(lambda: len(b.peers()) == 3)
        monkeypatch.setattr(params, "PROGRESS_SECONDS", 0.3)
        holders = [str(staller.get_id()), str(resetter.get_id()), good.peer_id]
        await bring(b, content, *holders)
        assert {"stall", "reset"} <= set(calls)


async def test_nobody_holds_it() -> None:
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf())
        with pytest.raises(FetchFailed, match="is not held here") as failed:
            await b.fetch(bytes(32), 10, [a.peer_id], Basket())
        assert list(failed.value.causes) == [a.peer_id]
        with pytest.raises(FetchFailed, match="nobody to ask"):
            await b.fetch(bytes(32), 10, [], Basket())


async def test_impossible_references_are_refused_before_anybody_is_asked() -> None:
    async with swarm() as a:
        with pytest.raises(InputError, match="32 bytes, not 31"):
            await a.fetch(bytes(31), 10, [], Basket())
        with pytest.raises(Malformed, match="blob size"):
            await a.fetch(bytes(32), params.MAX_BLOB_BYTES + 1, [], Basket())
        with pytest.raises(Malformed, match="blob size"):
            await a.fetch(bytes(32), -1, [], Basket())


@pytest.mark.parametrize("size", [100, 2 * MIB])
async def test_a_digest_told_with_another_size_has_no_honest_holder_blamed(size: int) -> None:
    content = os.urandom(size)
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf(content))
        for told in (size - 1, size + 1, 3 * MIB):
            with pytest.raises(FetchFailed, match="is not held here"):
                await b.fetch(blob_digest(content), told, [a.peer_id], Basket())
        assert b.peers()[0].offences == {}


async def test_a_chunk_beyond_the_end_or_garbage_is_refused() -> None:
    content = os.urandom(100)
    async with swarm() as a, swarm(a) as b:
        a.serve_blobs(Shelf(content))
        beyond = fetch.encode(fetch.Want(blob_digest(content), 100, fetch.Part.CHUNK, 1))
        for request in (beyond, b"", b"\xff" * 40):
            with pytest.raises(fetch.Refused):
                await b.request(a.peer_id, fetch.PROTOCOL, request, 10)
