from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol import params
from protocol.errors import Malformed
from protocol.wire.blobs import (
    BlobHasher,
    ChunkList,
    blob_digest,
    chunk_count,
    chunk_list_bytes,
    chunk_span,
    chunks_of,
)

CHUNK = params.CHUNK_BYTES


def test_a_short_blob_is_named_by_its_hash() -> None:
    for content in (b"", b"x", bytes(CHUNK)):
        assert blob_digest(content) == hashlib.sha256(content).digest()


def test_a_long_blob_is_named_by_its_chunk_list() -> None:
    """The format as docs/spec states it, spelled out."""
    content = bytes(CHUNK) + b"\x01" * 5
    hashes = hashlib.sha256(bytes(CHUNK)).digest() + hashlib.sha256(b"\x01" * 5).digest()
    listed = b"assay/blob/1\n" + len(content).to_bytes(8, "big") + hashes
    assert blob_digest(content) == hashlib.sha256(listed).digest()
    assert blob_digest(content).hex() == (
        "9f0e6491ed12d44c808e56ce53c29ffc0be80bae18adad20c55357e22c837a8c"
    )
    assert chunks_of((content,)).encode() == listed
    assert chunk_list_bytes(len(content)) == len(listed)


@examples(0.3)
@given(st.lists(st.integers(0, 3 * CHUNK // 2), max_size=4), st.data())
def test_a_name_does_not_depend_on_how_the_pieces_come(
    sizes: list[int], data: st.DataObject
) -> None:
    pieces = [bytes((index + 1,)) * size for index, size in enumerate(sizes)]
    whole = b"".join(pieces)
    hasher = BlobHasher()
    for piece in pieces:
        hasher.update(memoryview(piece))
    assert hasher.size == len(whole)
    assert hasher.digest() == blob_digest(whole) == blob_digest(pieces)
    chunks = hasher.chunks()
    assert ChunkList.decode(chunks.encode(), hasher.digest(), len(whole)) == chunks or (
        len(chunks.hashes) == 1
    )
    spans = [chunk_span(len(whole), index) for index in range(chunk_count(len(whole)))]
    assert b"".join(whole[at : at + length] for at, length in spans) == whole
    for index, (at, length) in enumerate(spans):
        assert chunks.accepts(index, whole[at : at + length])
        assert not chunks.accepts(index, whole[at : at + length] + b"x")
        if length:
            assert not chunks.accepts(index, b"\xff" + whole[at + 1 : at + length])


@examples(0.6)
@given(st.integers(0, 2 + 13 + 8 + 96), st.integers(1, 255))
def test_any_change_to_a_chunk_list_is_found(position: int, change: int) -> None:
    size = 2 * CHUNK + 7
    chunks = ChunkList(size, tuple(bytes((n,)) * 32 for n in range(3)))
    data = bytearray(chunks.encode())
    position %= len(data)
    data[position] ^= change
    with pytest.raises(Malformed):
        ChunkList.decode(bytes(data), chunks.digest, size)
    for wrong in (chunks.encode()[:-1], chunks.encode() + b"x", b""):
        with pytest.raises(Malformed, match="expected 117"):
            ChunkList.decode(wrong, chunks.digest, size)


def test_a_short_blob_that_spells_out_a_list_is_not_the_long_blob() -> None:
    long = bytes(CHUNK) + b"x"
    listed = chunks_of((long,)).encode()
    # The digests agree; the sizes, which belong to the name, do not.
    assert blob_digest(listed) == blob_digest(long)
    short = ChunkList.for_short(blob_digest(listed), len(listed))
    assert short.accepts(0, listed)
    assert not short.accepts(0, long[: len(listed)])
    with pytest.raises(Malformed):
        ChunkList.for_short(blob_digest(long), len(long))


def test_the_limits_of_a_size() -> None:
    assert chunk_count(0) == chunk_count(1) == chunk_count(CHUNK) == 1
    assert chunk_count(CHUNK + 1) == 2
    assert chunk_count(params.MAX_BLOB_BYTES) == 640
    for size in (-1, params.MAX_BLOB_BYTES + 1):
        with pytest.raises(Malformed, match="blob size"):
            chunk_count(size)
    with pytest.raises(Malformed, match="expected 0 to 1"):
        chunk_span(CHUNK + 1, 2)
    with pytest.raises(Malformed, match="31 bytes, not 32"):
        ChunkList(1, (bytes(31),))
    with pytest.raises(Malformed, match="2 hashes, expected 1"):
        ChunkList(1, (bytes(32), bytes(32)))


def test_a_stream_past_the_limit_is_refused_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "MAX_BLOB_BYTES", 10)
    hasher = BlobHasher()
    hasher.update(bytes(10))
    with pytest.raises(Malformed, match="blob size 11"):
        hasher.update(b"x")
