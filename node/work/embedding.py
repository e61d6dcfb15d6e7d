"""What an encoder makes of a data set's cells: computed once, kept privately. Runs in workers.

Every use of a job's rows comes through here: training, the check before an owner enrols, a
requester's hold-out set, predictions. The network runs in a process of its own (node/encoders).
What it made is kept beside the data set's copy, under that copy's digest, and goes with it. A file
is named by the encoder's terms and the cells themselves, so that nothing stale can be read.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from node.data.rows import kept
from node.encoders.package import Manifest, Wishes, manifest_of, name_of
from node.store.blobs import BlobRef, Blobs
from node.workers.progress import leave
from protocol.errors import InputError
from protocol.spec.encoder import Encoder
from protocol.wire.blobs import BlobHasher
from protocol.wire.codec import encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.data.rows.encoded import Cell, Embed
    from node.encoders.running import Found, Run


#: Bytes of a package that are in memory at a time.
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Encoders:
    """Where encoder packages are (the node's blobs), and where a worker leaves lines of how far it
    is, if anybody asked. `idle`: cells are looked at and no network runs: features are zeros."""

    packages: Path
    told: Path | None = None
    idle: bool = False

    def missing(self, encoder: Encoder) -> bool:
        """Whether the package is not here."""
        if not self.packages.is_dir():
            return True  # no home yet
        return Blobs(self.packages).size(encoder.digest) != encoder.package_bytes

    def keeping(self, directory: Path, digest: bytes) -> Embed:
        """What makes features of a copy's cells, once: `directory` and `digest` name the copy. It
        raises InputError where the package is not here."""

        def made(encoder: Encoder, cells: Sequence[Cell]) -> NDArray[np.float32]:
            if self.idle:
                return _zeros(len(cells), encoder.size)
            place = kept.folder(directory, digest) / f"{_name(encoder, cells)}.f32"
            found = kept.load(place, (len(cells), encoder.size))
            if found is None:
                with self.opened(len(cells)) as embed:
                    found = embed(encoder, cells)
                kept.save(place, found)
            return found

        return made

    @contextmanager
    def opened(self, rows: int) -> Iterator[Embed]:
        """What makes features of `rows` cells at most, in any number of parts: one encoder, started
        with the first part, runs until the context ends. It raises InputError where the package is
        not here."""
        runs: dict[Encoder, Run] = {}
        done = 0
        with ExitStack() as stack:

            def made(encoder: Encoder, cells: Sequence[Cell]) -> NDArray[np.float32]:
                nonlocal done
                if self.idle:
                    return _zeros(len(cells), encoder.size)
                run = runs.get(encoder)
                if run is None:
                    run = runs[encoder] = stack.enter_context(self._started(encoder, rows))
                before, done = done, done + len(cells)

                def progress(now: int, _: int) -> None:
                    leave(self.told, f"embedding: {before + now:,} of {rows:,} rows")

                # A row that the network can make nothing of is NaN here, and met as the job's rules
                # say (node/data/matrix.py): no row decides about another.
                return run.embed(cells, progress, lambda _: None)

            yield made

    def _started(self, encoder: Encoder, rows: int) -> AbstractContextManager[Run]:
        from node.encoders.running import started

        if self.missing(encoder):
            raise absent(encoder)
        return started(Blobs(self.packages).path(encoder.digest), encoder, rows)


@contextmanager
def opened(encoders: Encoders | None, rows: int) -> Iterator[Embed]:
    """`Encoders.opened`; None where no job with an encoder can come."""
    if encoders is None:
        from node.data.rows.encoded import no_encoder

        yield no_encoder
        return
    with encoders.opened(rows) as embed:
        yield embed


@dataclass(frozen=True, slots=True)
class Given:
    """A package that is to be added: the title that it has, and what its blob will be."""

    title: str
    ref: BlobRef


def given(path: Path) -> Given:
    """What the package at `path` says it is; of its network nothing is read. Raises InputError."""
    try:
        return Given(manifest_of(path).title, BlobRef(*name_of(path)))
    except OSError as error:
        raise _unreadable(path, error) from error


def added(path: Path, ref: BlobRef, packages: Path) -> None:
    """Store the package at `path`, and have a confined process read what was stored: that is what
    is run later. Raises InputError; what is stored then is the caller's to remove."""
    try:
        with path.open("rb") as file:
            Blobs(packages).put(_pieces(file, ref))
    except OSError as error:
        raise _unreadable(path, error) from error
    inspected(Blobs(packages).path(ref.digest))


def _pieces(file: BinaryIO, ref: BlobRef) -> Iterator[bytes]:
    """A package piece by piece. Raises InputError at its end if it is another than `ref`."""
    hasher = BlobHasher()
    while piece := file.read(_PIECE):
        hasher.update(piece)
        yield piece
    if (hasher.digest(), hasher.size) != (ref.digest, ref.size):
        raise InputError(f"{file.name} was changed while it was read; add it again", "path")


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read: {error.strerror or error}", "path")


def packaged(
    network: Path, tokenizer: Path | None, wishes: Wishes, out: Path
) -> tuple[Manifest, tuple[str, ...]]:
    """Make a package of an ONNX file at `out`: what it says of itself, and words on what stood
    neither in the files nor in `wishes`. Raises InputError."""
    from node.encoders.making import made

    try:
        found = made(network, tokenizer, wishes)
        out.write_bytes(found.content)
    except OSError as error:
        what = f"{error.filename or network} cannot be read: {error.strerror or error}"
        raise InputError(what, "path") from error
    return found.manifest, found.assumed


def inspected(package: Path) -> Found:
    """What a confined process found in a package. Raises InputError."""
    from node.encoders.running import inspect

    return inspect(package)


def looked_at(packages: Path, encoder: Encoder) -> str:
    """The title of a package that a job's encoder can be run of, by what a confined process found
    in it. Raises InputError where it cannot."""
    found = inspected(Blobs(packages).path(encoder.digest))
    if unfit := found.manifest.unfit(encoder):
        raise InputError(unfit, "encoder")
    return found.manifest.title


def absent(encoder: Encoder) -> InputError:
    """The package is not here: what to do about it."""
    error = InputError(f"the encoder {encoder.digest.hex()} is not here", "encoder")
    error.add_note("assay encoder add FILE, the encoder package with this digest")
    return error


def _zeros(rows: int, size: int) -> NDArray[np.float32]:
    import numpy as np

    return np.zeros((rows, size), np.float32)


def _name(encoder: Encoder, cells: Sequence[Cell]) -> str:
    """SHA-256 of the encoder's terms and every cell, each behind its length."""
    told = hashlib.sha256(encode(encoder))
    for cell in cells:
        if isinstance(cell, tuple):
            content = struct.pack(f"<{len(cell)}d", *cell)
        else:
            content = cell.encode() if isinstance(cell, str) else cell
        told.update(len(content).to_bytes(8, "big"))
        told.update(content)
    return told.hexdigest()
