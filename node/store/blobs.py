"""Content-addressed blobs on disk: named by protocol/wire/blobs.py, whole or not there at all.

A blob is written beside its place, synced, renamed, and the directory synced: after a crash at any
instant every name in the directory holds exactly its content. Blobs that are being fetched lie in
partial/ until every byte was checked.

Everything in the home's blobs/ may be served to any peer that knows its digest. Imported data sets
must never leave, so they have a directory of their own, which no server is given.

Methods block; the daemon calls them on threads. Worker processes open the same directory, which
holds all state.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from node.home.home import sync_directory
from node.store.room import is_full, no_room
from protocol import params
from protocol.errors import AssayError, FatalError, Malformed
from protocol.wire.blobs import DIGEST_BYTES, BlobHasher, chunk_count

log = logging.getLogger("assay.blobs")

#: Room for a hundred rounds of the largest batches that a home disk holds without complaint.
DEFAULT_QUOTA_BYTES: Final = 64 * 1024**3

#: A blob younger than this is never collected: its reference may be about to be stored.
GRACE_SECONDS: Final = 3600.0
#: Other processes write too; after so many writes of our own the directory is counted again.
_RECOUNT_EVERY: Final = 64
_READ_BYTES: Final = 1024 * 1024
#: Unfinished; and what is no longer what its name says, kept for a look until it is collected.
_TEMPORARY, _DAMAGED = ".new-", ".damaged-"
_PARTIAL: Final = "partial"


class BlobsFull(AssayError):
    """The quota or the disk leaves no room. Nothing was stored; it can be tried again later."""


class BlobLost(FatalError):
    """A blob that a job relies on is gone, or was damaged and is set aside: `digest` names it."""

    def __init__(self, digest: bytes, place: str) -> None:
        super().__init__(f"blob {digest.hex()} is gone from {place}, or damaged")
        self.digest, self.place = digest, place

    def __reduce__(self) -> tuple[type[BlobLost], tuple[bytes, str]]:
        return type(self), (self.digest, self.place)  # workers raise it, too


@contextlib.contextmanager
def _named_full(path: Path, size: int) -> Iterator[None]:
    """Tell a full disk from one that fails, which passes as it is."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise BlobsFull(f"{path}: {no_room(path, size)}") from error


@contextlib.contextmanager
def _unreadable_is_short() -> Iterator[None]:
    """Most disks that fail give an error in the place of a block: there the file ends."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


class _WritingBehind:
    """Writes a piece on a thread while the next is made; what that raised, the next one raises."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[int] | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, piece: bytes | memoryview) -> None:
        if self._under_way is not None:
            self._under_way.result()
        self._under_way = self._thread.submit(self._file.write, piece)

    def __exit__(self, *raised: object) -> None:
        self._thread.shutdown()
        if raised[0] is None and self._under_way is not None:
            self._under_way.result()


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob's name (32 bytes) and its length in bytes: together they say what its content is."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Whole blobs, their bytes, and the bytes that fetches under way will take."""

    blobs: int
    bytes: int
    reserved: int


class Blobs:
    """A directory of blobs. Implements node.net.fetch.BlobSource; `sink` gives a BlobSink.

    Safe for several threads. Several processes may share a directory. The quota is then soft,
    because others may have written since it was last counted.
    """

    def __init__(self, directory: Path, quota: int = DEFAULT_QUOTA_BYTES) -> None:
        self._directory = directory
        self._quota = quota
        self._counting = threading.Lock()
        self._used = 0
        self._until_recount = 0
        (directory / _PARTIAL).mkdir(mode=0o700, exist_ok=True)

    def clear_unfinished(self) -> int:
        """Remove what writers that died left behind; how many files. Fetches stay resumable.

        For the daemon's start, with the home's lock held and before its workers run.
        """
        left = list(self._directory.glob(f"{_TEMPORARY}*"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    # Reading

    def path(self, digest: bytes) -> Path:
        """Where the blob of this digest is or would be, for a worker that maps it."""
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
        return self._directory / digest.hex()

    def size(self, digest: bytes) -> int | None:
        """Bytes of the blob, None if it is not held whole."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def holds(self, ref: BlobRef) -> bool:
        """Whether exactly this blob is held."""
        return self.size(ref.digest) == ref.size

    def read(self, digest: bytes, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at the end. `FileNotFoundError` if it is not held."""
        if offset < 0 or length < 0:
            raise ValueError(f"bytes {offset} to {offset + length} of a blob")
        return _read_at(self.path(digest), offset, length)

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob, checked against its name.

        `BlobLost` if it is not held, or what the disk gives is another: that is set aside, so that
        it can be fetched again.
        """
        self.check(ref, (pieces := list[bytes]()).append)
        return b"".join(pieces)

    def check(self, ref: BlobRef, take: Callable[[bytes], None] = lambda piece: None) -> None:
        """Read a blob piece by piece. `BlobLost` as from `get`."""
        path, hasher = self.path(ref.digest), BlobHasher()
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise BlobLost(ref.digest, str(self._directory)) from None
        with file, _unreadable_is_short():
            while len(piece := file.read(min(_READ_BYTES, ref.size + 1 - hasher.size))):
                hasher.update(piece)
                take(piece)
        if hasher.size != ref.size or hasher.digest() != ref.digest:
            log.error("%s no longer holds what its name says; the disk may be failing", path)
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(_DAMAGED + path.name))
            raise BlobLost(ref.digest, str(self._directory))

    # Writing

    def put(self, content: bytes | memoryview | Iterable[bytes | memoryview]) -> BlobRef:
        """Store a blob, given whole or in pieces; on disk when this returns.

        Raises `BlobsFull` (quota, or the disk), `Malformed` above `params.MAX_BLOB_BYTES`,
        `OSError`; then nothing is stored. Storing what is held already is harmless. A piece must
        stay as it is once it is given: it is hashed before it is written.
        """
        pieces = (content,) if isinstance(content, bytes | memoryview) else content
        hasher = BlobHasher()
        whole = isinstance(content, bytes | memoryview)
        needed = len(content) if whole else params.MAX_BLOB_BYTES  # type: ignore[arg-type]
        with _named_full(self._directory / "blob", needed):
            fd, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
        temporary = Path(name)
        try:
            with _named_full(temporary, needed), os.fdopen(fd, "wb") as file:
                with contextlib.nullcontext(file) if whole else _WritingBehind(file) as out:
                    for piece in pieces:
                        self._reserve(len(piece))
                        # Hashed first: the limit on a blob's size holds before the disk fills.
                        hasher.update(piece)
                        out.write(piece)
                file.flush()
                os.fsync(file.fileno())
            ref = BlobRef(hasher.digest(), hasher.size)
            with _named_full(temporary, needed):
                self._publish(temporary, ref)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return ref

    def sink(self, ref: BlobRef) -> PartialBlob:
        """Where `ref` can be received, with what an earlier fetch left in it.

        Raises `BlobsFull`, `Malformed` above `params.MAX_BLOB_BYTES`.
        """
        chunk_count(ref.size)
        path = self._directory / _PARTIAL / f"{self.path(ref.digest).name}.{ref.size}"
        if not path.exists():
            self._reserve(ref.size)
            with _named_full(path, ref.size):
                path.touch(mode=0o600)
        return PartialBlob(self, path, ref)

    def _publish(self, written: Path, ref: BlobRef) -> None:
        """Move a synced file with the content of `ref` to its place."""
        held = self.size(ref.digest)
        if held is not None and held > ref.size:
            # One digest can name two contents: a long blob, and a short one that spells out the
            # long one's chunk list. No honest blob is such a list, so the long one stays.
            written.unlink()
            raise Malformed(f"blob {ref.digest.hex()} of {ref.size} bytes is another's chunk list")
        os.replace(written, self.path(ref.digest))
        sync_directory(self._directory)

    # Room

    def usage(self) -> Usage:
        """What the directory holds, counted now."""
        blobs = total = 0
        with os.scandir(self._directory) as entries:
            for entry in entries:
                # A file that is renamed or deleted while it is being counted counts nothing.
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        blobs += not entry.name.startswith(_TEMPORARY)
                        total += entry.stat().st_size
        return Usage(blobs, total, sum(size for _, size in self._partials()))

    def _partials(self) -> list[tuple[Path, int]]:
        return [(p, int(p.suffix[1:])) for p in (self._directory / _PARTIAL).iterdir()]

    def _reserve(self, size: int) -> None:
        """Count `size` bytes as used, or raise `BlobsFull`."""
        with self._counting:
            self._until_recount -= 1
            if self._until_recount < 0 or self._used + size > self._quota:
                usage = self.usage()
                self._used = usage.bytes + usage.reserved
                self._until_recount = _RECOUNT_EVERY
            if self._used + size > self._quota:
                raise BlobsFull(
                    f"{self._directory} holds {self._used} bytes of the {self._quota} allowed; "
                    f"{size} more do not fit"
                )
            self._used += size

    def delete(self, digest: bytes) -> bool:
        """Remove a blob; False if it was not held."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def collect(self, keep: Collection[bytes], grace: float = GRACE_SECONDS) -> BlobsCollected:
        """Delete every blob whose digest is not in `keep`, and fetches that nobody continues.

        A file that changed within the last `grace` seconds stays in any case.
        """
        names = {digest.hex() for digest in keep}
        before = time.time() - grace
        gone = freed = 0
        for path in [*self._directory.iterdir(), *(p for p, _ in self._partials())]:
            if path.is_dir() or path.stem in names:
                continue
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if found.st_mtime <= before:
                    path.unlink()
                    gone += 1
                    freed += found.st_size
        with self._counting:
            self._until_recount = 0
        return BlobsCollected(gone, freed)


@dataclass(frozen=True, slots=True)
class BlobsCollected:
    """Files that were deleted, and their bytes."""

    files: int
    bytes: int


class PartialBlob:
    """A blob on its way in; implements node.net.fetch.BlobSink.

    Nothing is recorded beside the bytes: after a crash a chunk is there or not, and the fetch
    checks each chunk that it finds. Several fetches of one blob may share its file, because they
    write the same bytes. The first that is whole makes the blob visible, and the others find it
    there.
    """

    def __init__(self, blobs: Blobs, path: Path, ref: BlobRef) -> None:
        self._blobs = blobs
        self._path = path
        self._ref = ref

    def read(self, offset: int, length: int) -> bytes:
        """The bytes that were written there; shorter, or zeros, where nothing was."""
        try:
            return _read_at(self._path, offset, length)
        except FileNotFoundError:
            return b""

    def write(self, offset: int, data: bytes) -> None:
        """Keep `data` at `offset`.

        `ValueError` outside the blob, `BlobsFull` from a full disk, `OSError` from a failing one.
        """
        if offset < 0 or offset + len(data) > self._ref.size:
            raise ValueError(
                f"bytes {offset} to {offset + len(data)} of a blob of {self._ref.size}"
            )
        with _named_full(self._path, self._ref.size):
            self._write(offset, data)

    def _write(self, offset: int, data: bytes) -> None:
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._blobs.holds(self._ref):
                return  # another fetch of it was faster
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(fd, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Check the whole, make it durable and visible.

        Raises `Malformed` if the content is not what the digest names, or is gone; the partial file
        is then removed, so that the next fetch starts clean. Raises `BlobsFull` from a full disk.
        """
        try:
            with _named_full(self._path, self._ref.size):
                self._finish()
        except FileNotFoundError as error:
            # A rename is atomic: no partial file and no blob means that somebody deleted both.
            if not self._blobs.holds(self._ref):
                raise Malformed(f"what was received of {self._path.name} is gone") from error

    def _finish(self) -> None:
        hasher = BlobHasher()
        with self._path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                hasher.update(piece)
            if (hasher.size, hasher.digest()) != (self._ref.size, self._ref.digest):
                self._path.unlink(missing_ok=True)
                raise Malformed(
                    f"{hasher.size} bytes were received for blob {self._ref.digest.hex()} of "
                    f"{self._ref.size}, and they are not it"
                )
            os.fsync(file.fileno())
        self._blobs._publish(self._path, self._ref)

    def abandon(self) -> None:
        """Remove what was received so far."""
        self._path.unlink(missing_ok=True)


def _read_at(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        # Never ask for more than there is: `length` may come from a peer.
        length = min(length, max(0, os.fstat(file.fileno()).st_size - offset))
        parts = bytearray()
        while len(parts) < length:
            piece = os.pread(file.fileno(), length - len(parts), offset + len(parts))
            if not piece:
                break
            parts += piece
    return bytes(parts)
