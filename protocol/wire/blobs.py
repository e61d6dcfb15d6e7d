"""The name of a blob: one digest that every chunk of it can be checked against.

A blob of up to one chunk (`params.CHUNK_BYTES`) is named by SHA-256 of its content. A longer one is
named by SHA-256 of its *chunk list*: a tag, the blob's size and the SHA-256 of every chunk in
order. A node that fetches a long blob asks for the list first and checks it against the name. Then
it checks each chunk as it comes. So a holder that lies is found out by name, after one list (21 KiB
at most) or one chunk, whatever the size of the blob.

A reference to a blob is always the pair (digest, size). The size says which of the two rules
applies, and the list repeats it, so that no content of one rule passes under the other: a short
content that spells out the list of a long blob has the list's length, not the blob's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.errors import Malformed

DIGEST_BYTES: Final = 32

#: Opens every chunk list: domain separation from anything else that is hashed.
_TAG: Final = b"assay/blob/1\n"
_SIZE_BYTES: Final = 8
_HEAD_BYTES: Final = len(_TAG) + _SIZE_BYTES


def chunk_count(size: int) -> int:
    """How many chunks a blob of `size` bytes has; an empty blob has one, of no bytes.

    Raises Malformed if `size` is negative or above `params.MAX_BLOB_BYTES`.
    """
    if not 0 <= size <= params.MAX_BLOB_BYTES:
        raise Malformed(f"blob size {size}: expected 0 to {params.MAX_BLOB_BYTES} bytes")
    return max(1, -(-size // params.CHUNK_BYTES))


def chunk_span(size: int, index: int) -> tuple[int, int]:
    """Offset and length in bytes of chunk `index` of a blob of `size` bytes.

    Raises Malformed if there is no such chunk.
    """
    count = chunk_count(size)
    if not 0 <= index < count:
        raise Malformed(f"chunk {index} of a blob of {size} bytes: expected 0 to {count - 1}")
    offset = index * params.CHUNK_BYTES
    return offset, min(params.CHUNK_BYTES, size - offset)


def chunk_list_bytes(size: int) -> int:
    """Length in bytes of the encoded chunk list of a blob of `size` bytes."""
    return _HEAD_BYTES + DIGEST_BYTES * chunk_count(size)


@dataclass(frozen=True, slots=True)
class ChunkList:
    """The size of a blob and the SHA-256 of each of its chunks, in order."""

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        expected = chunk_count(self.size)
        if len(self.hashes) != expected:
            raise Malformed(
                f"chunk list of a blob of {self.size} bytes has {len(self.hashes)} hashes, "
                f"expected {expected}"
            )
        for index, digest in enumerate(self.hashes):
            if len(digest) != DIGEST_BYTES:
                raise Malformed(f"hash {index} of a chunk list has {len(digest)} bytes, not 32")

    @property
    def digest(self) -> bytes:
        """The blob's name, 32 bytes."""
        if len(self.hashes) == 1:
            return self.hashes[0]
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """Tag, size (8 bytes, big-endian), hashes."""
        return b"".join((_TAG, self.size.to_bytes(_SIZE_BYTES, "big"), *self.hashes))

    def accepts(self, index: int, chunk: bytes | memoryview) -> bool:
        """Whether `chunk` is chunk `index` of the blob."""
        _, length = chunk_span(self.size, index)
        return len(chunk) == length and hashlib.sha256(chunk).digest() == self.hashes[index]

    @classmethod
    def for_short(cls, digest: bytes, size: int) -> ChunkList:
        """The list of a blob of one chunk, which follows from its name.

        Raises Malformed if a blob of `size` bytes has more chunks than one.
        """
        return cls(size, (digest,))

    @classmethod
    def decode(cls, data: bytes, digest: bytes, size: int) -> ChunkList:
        """The chunk list that a peer sent for the blob (`digest`, `size`).

        Raises Malformed unless it is exactly that blob's list.
        """
        if len(data) != chunk_list_bytes(size):
            raise Malformed(
                f"chunk list of {digest.hex()} has {len(data)} bytes, "
                f"expected {chunk_list_bytes(size)} for a blob of {size}"
            )
        if data[: len(_TAG)] != _TAG:
            raise Malformed(f"chunk list of {digest.hex()} does not start with its tag")
        if int.from_bytes(data[len(_TAG) : _HEAD_BYTES], "big") != size:
            raise Malformed(f"chunk list of {digest.hex()} is for another size than {size}")
        hashes = tuple(
            data[at : at + DIGEST_BYTES] for at in range(_HEAD_BYTES, len(data), DIGEST_BYTES)
        )
        chunks = cls(size, hashes)
        if chunks.digest != digest:
            raise Malformed(f"chunk list does not hash to {digest.hex()}")
        return chunks


class BlobHasher:
    """Names a blob that arrives in pieces of any length, in constant memory."""

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        self._chunk = hashlib.sha256()
        self._filled = 0
        self._size = 0

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes. Raises Malformed once they pass `params.MAX_BLOB_BYTES`."""
        view = memoryview(piece).cast("B")
        self._size += len(view)
        chunk_count(self._size)
        while view:
            if self._filled == params.CHUNK_BYTES:
                self._hashes.append(self._chunk.digest())
                self._chunk = hashlib.sha256()
                self._filled = 0
            part = view[: params.CHUNK_BYTES - self._filled]
            self._chunk.update(part)
            self._filled += len(part)
            view = view[len(part) :]

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._size

    def chunks(self) -> ChunkList:
        """The chunk list of everything taken so far."""
        return ChunkList(self._size, (*self._hashes, self._chunk.digest()))

    def digest(self) -> bytes:
        """The name of everything taken so far, 32 bytes."""
        return self.chunks().digest


def chunks_of(pieces: Iterable[bytes | memoryview]) -> ChunkList:
    """The chunk list of the pieces' concatenation."""
    hasher = BlobHasher()
    for piece in pieces:
        hasher.update(piece)
    return hasher.chunks()


def blob_digest(content: bytes | memoryview | Sequence[bytes]) -> bytes:
    """The name of a blob, 32 bytes: SHA-256 of it up to one chunk, of its chunk list beyond."""
    if isinstance(content, bytes | memoryview):
        return chunks_of((content,)).digest
    return chunks_of(content).digest
