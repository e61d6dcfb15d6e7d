"""Blobs by digest over streams: in chunks, each checked, from any peer that holds them.

A holder serves two requests: the chunk list of a blob (protocol/wire/blobs.py) and one chunk of it.
The list is checked against the digest and each chunk against the list, so a holder that lies wastes
one list or one chunk, is counted and left, and the next one is asked. Verified chunks are in the
sink at once; a later fetch reads them back, keeps those that check, and asks for the rest only.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final, Protocol

import trio

from node.net.errors import Broken, FetchFailed, Refused, first_leaf
from protocol import params
from protocol.errors import InputError, Malformed, PeerError
from protocol.wire.blobs import (
    DIGEST_BYTES,
    BlobHasher,
    ChunkList,
    chunk_count,
    chunk_list_bytes,
    chunk_span,
)
from protocol.wire.codec import Range, Size, Wire, decode, encode

log = logging.getLogger("assay.net")

PROTOCOL: Final = "/assay/1/blob"
MAX_REQUEST_BYTES: Final = 64

#: Chunk lists that a holder keeps at hand: hashing a large blob again costs a second.
_MAX_LISTS: Final = 64
#: How often one peer may fail without lying before a fetch stops asking it.
_STRIKES: Final = 3
_PAUSE_SECONDS: Final = 0.25


class BlobSource(Protocol):
    """Where blobs are served from. Called in worker threads; several calls may run at once."""

    def size(self, digest: bytes) -> int | None:
        """Bytes of the blob, or None if it is not held whole."""

    def read(self, digest: bytes, offset: int, length: int) -> bytes:
        """Those bytes of a held blob; OSError if the disk fails."""


class BlobSink(Protocol):
    """Where one blob is received. Called in worker threads, one call at a time.

    After a crash, written bytes must be readable or missing. A chunk that does not check is fetched
    again, so nothing else needs to be recorded.
    """

    def read(self, offset: int, length: int) -> bytes:
        """The bytes that an earlier fetch wrote there; shorter or empty where nothing is."""

    def write(self, offset: int, data: bytes) -> None:
        """Keep a verified chunk."""

    def finish(self) -> None:
        """Every chunk is written and verified: make the blob durable and visible."""


class Part(IntEnum):
    """The part of a blob that is asked for."""

    LIST = 0
    CHUNK = 1


@dataclass(frozen=True, slots=True)
class Want(Wire):
    """Asks a holder for a blob's chunk list, or for one chunk.

    The size is part of the name. A holder refuses a false size; otherwise anybody could have honest
    holders blamed, by telling their digests with another size.
    """

    digest: Annotated[bytes, Size(DIGEST_BYTES)]
    size: Annotated[int, Range(0, params.MAX_BLOB_BYTES)]
    part: Part
    index: Annotated[int, Range(0, params.MAX_BLOB_BYTES // params.CHUNK_BYTES)]


#: Told of a blob (digest, size) that was asked for in vain, and whether it is held, but damaged.
Missed = Callable[[bytes, int, bool], None]


def forget(digest: bytes, size: int, damaged: bool) -> None:
    """Nobody looks after the blobs of this source."""


class _Absent(PeerError):
    """No such blob is held, or one of another size."""


class _Damaged(PeerError):
    """The disk gives other bytes than a blob's, or none."""


class BlobServer:
    """Answers Want requests from a source. `missed` must be cheap: anybody can ask for anything."""

    def __init__(self, source: BlobSource, counters: Counter[str], missed: Missed = forget) -> None:
        self._source = source
        self._counters = counters
        self._missed = missed
        self._lists: OrderedDict[bytes, ChunkList] = OrderedDict()
        self._hashing = trio.Lock()

    async def answer(self, peer: str, data: bytes) -> bytes:
        """The list or chunk that was asked for. Raises PeerError if it is not held, or if the disk
        gives another: bytes that do not check would be counted against this node."""
        want = decode(Want, data, MAX_REQUEST_BYTES)
        try:
            return await self._part(want)
        except _Absent:
            self._missed(want.digest, want.size, False)
            raise
        except _Damaged:
            self._missed(want.digest, want.size, True)
            raise

    async def _part(self, want: Want) -> bytes:
        if want.part is Part.LIST:
            await trio.to_thread.run_sync(self._check_held, want)
            return (await self._list(want.digest, want.size)).encode()
        chunks = None
        if chunk_count(want.size) > 1:
            await trio.to_thread.run_sync(self._check_held, want)
            chunks = await self._list(want.digest, want.size)
        chunk = await trio.to_thread.run_sync(self._chunk, want, chunks)
        self._counters["blob.bytes.out"] += len(chunk)
        return chunk

    def _check_held(self, want: Want) -> None:
        if self._source.size(want.digest) != want.size:
            raise _Absent(f"blob {want.digest.hex()} of {want.size} bytes is not held here")

    def _chunk(self, want: Want, chunks: ChunkList | None) -> bytes:
        """A chunk, held to the list; without one the blob is a single chunk, and looked for."""
        if chunks is None:
            self._check_held(want)
            chunks = ChunkList.for_short(want.digest, want.size)
        chunk = self._read(want.digest, *chunk_span(want.size, want.index))
        if not chunks.accepts(want.index, chunk):
            raise _Damaged(f"blob {want.digest.hex()} is damaged here")
        return chunk

    def _read(self, digest: bytes, offset: int, length: int) -> bytes:
        try:
            return self._source.read(digest, offset, length)
        except OSError as error:
            # Deleted since, or a bad block: whoever asks is to ask others, and not us for ever.
            raise _Damaged(f"blob {digest.hex()} cannot be read here") from error

    async def _list(self, digest: bytes, size: int) -> ChunkList:
        async with self._hashing:
            known = self._lists.get(digest)
            if known is None:
                known = await trio.to_thread.run_sync(self._hash, digest, size)
                self._lists[digest] = known
                if len(self._lists) > _MAX_LISTS:
                    self._lists.popitem(last=False)
            self._lists.move_to_end(digest)
            return known

    def _hash(self, digest: bytes, size: int) -> ChunkList:
        hasher = BlobHasher()
        for index in range(chunk_count(size)):
            hasher.update(self._read(digest, *chunk_span(size, index)))
        chunks = hasher.chunks()
        if chunks.digest != digest:
            raise _Damaged(f"blob {digest.hex()} is damaged here")
        return chunks


#: Asks a peer (id, request, largest reply) and gives the reply; raises ConversationError.
Ask = Callable[[str, bytes, int], Awaitable[bytes]]

#: Counts an offence of a peer: (id, what it did).
Blame = Callable[[str, str], None]

#: Notes that a peer (id) gave what was wanted.
Thank = Callable[[str], None]


class Fetch:
    """One blob on its way in. `run` returns when it is whole, or raises."""

    def __init__(
        self,
        digest: bytes,
        size: int,
        sink: BlobSink,
        ask: Ask,
        blame: Blame,
        thank: Thank,
        counters: Counter[str],
    ) -> None:
        if len(digest) != DIGEST_BYTES:
            raise InputError(f"a blob's digest has {DIGEST_BYTES} bytes, not {len(digest)}")
        chunk_count(size)
        self._digest = digest
        self._size = size
        self._sink = sink
        self._ask = ask
        self._blame = blame
        self._thank = thank
        self._counters = counters
        self._causes: dict[str, str] = {}
        self._strikes: Counter[str] = Counter()
        self._disk = trio.Lock()

    async def run(self, peers: Sequence[str]) -> None:
        """Fetch from `peers`, in turn and together.

        Raises FetchFailed, naming each peer and what it did, once none of them is left to ask.
        """
        alive = list(dict.fromkeys(peers))
        chunks = await self._chunk_list(alive)
        missing = deque(await self._missing(chunks))
        self._counters["blob.chunks.kept"] += len(chunks.hashes) - len(missing)
        while missing:
            if not alive:
                raise FetchFailed(self._digest, self._causes)
            await self._round(chunks, missing, alive)
        await self._finish()

    async def _finish(self) -> None:
        async with self._disk:
            await trio.to_thread.run_sync(self._sink.finish)
        self._counters["blob.fetched"] += 1

    async def _chunk_list(self, alive: list[str]) -> ChunkList:
        if chunk_count(self._size) == 1:
            return ChunkList.for_short(self._digest, self._size)
        request = encode(Want(self._digest, self._size, Part.LIST, 0))
        while alive:
            peer = alive[0]
            try:
                data = await self._ask(peer, request, chunk_list_bytes(self._size))
                return self._checked_list(peer, data)
            except PeerError as error:
                self._failed(peer, error, alive)
                if alive:
                    await trio.sleep(_PAUSE_SECONDS)
        raise FetchFailed(self._digest, self._causes)

    def _checked_list(self, peer: str, data: bytes) -> ChunkList:
        try:
            return ChunkList.decode(data, self._digest, self._size)
        except Malformed as error:
            self._lied(peer, "a false chunk list")
            self._lied(peer, "a false chunk")
            raise Broken(peer, f"it sent a false chunk list: {error}") from error

    def _lied(self, peer: str, how: str) -> None:
        self._counters["blob.lies"] += 1
        self._blame(peer, how)

    async def _missing(self, chunks: ChunkList) -> list[int]:
        """Which chunks the sink does not hold yet; its word is checked."""

        def held(index: int) -> bool:
            return chunks.accepts(index, self._sink.read(*chunk_span(self._size, index)))

        def look() -> list[int]:
            return [index for index in range(len(chunks.hashes)) if not held(index)]

        return await trio.to_thread.run_sync(look)

    async def _round(self, chunks: ChunkList, missing: deque[int], alive: list[str]) -> None:
        """Work on `missing` from all who are alive until it is empty or one of them drops out."""
        workers = min(params.CHUNKS_IN_FLIGHT, len(missing))
        lanes = max(workers, min(len(alive), params.CHUNKS_IN_FLIGHT))
        try:
            async with trio.open_nursery() as nursery:
                for lane in range(lanes):
                    nursery.start_soon(self._work, lane, chunks, missing, alive)
        except BaseExceptionGroup as group:
            # Peers' errors end in `_work`; what is left is the sink's (a full disk), or ours.
            error = first_leaf(group)
            if isinstance(error, trio.Cancelled):
                raise
            raise error from group

    async def _work(
        self, lane: int, chunks: ChunkList, missing: deque[int], alive: list[str]
    ) -> None:
        turn = lane
        while missing and alive:
            peer = alive[turn % len(alive)]
            turn += 1
            index = missing.popleft()
            try:
                await self._one(peer, chunks, index)
            except PeerError as error:
                missing.append(index)
                self._failed(peer, error, alive)
                await trio.sleep(_PAUSE_SECONDS)

    async def _one(self, peer: str, chunks: ChunkList, index: int) -> None:
        offset, length = chunk_span(self._size, index)
        data = await self._ask(
            peer, encode(Want(self._digest, self._size, Part.CHUNK, index)), length
        )
        self._counters["blob.bytes.in"] += len(data)

        def keep() -> bool:
            if not chunks.accepts(index, data):
                return False
            self._sink.write(offset, data)
            return True

        async with self._disk:
            kept = await trio.to_thread.run_sync(keep)
        if not kept:
            self._lied(peer, "a false chunk")
            raise Broken(peer, f"it sent a false chunk {index} of blob {self._digest.hex()}")
        self._thank(peer)

    def _failed(self, peer: str, error: PeerError, alive: list[str]) -> None:
        """Record a failure; a liar is out at once, an unlucky one after a few."""
        self._causes[peer] = str(error)
        final = isinstance(error, Malformed) or (isinstance(error, Refused) and error.lasting)
        self._strikes[peer] += _STRIKES if final else 1
        if self._strikes[peer] >= _STRIKES and peer in alive:
            alive.remove(peer)
            log.info("blob %s: no longer asking %s: %s", self._digest.hex(), peer, error)
