"""Importing a data set: the worker's part, and the user's, `add_dataset`.

A data set is read once, whole, and kept as the node's own copy under datasets/, by its digest. Jobs
train on the copy that its owner agreed to: editing or deleting the file changes nothing. The copy
is private: its directory is never served.

This module is light: the daemon imports it, and readers (polars, numpy) run in workers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVarTuple

from node.data.sql.query import Query
from node.store.blobs import BlobRef, Blobs
from node.workers.progress import leave
from protocol.errors import FatalError, InputError

if TYPE_CHECKING:
    # Workers import this module; the store would bring trio along, matrices numpy.
    from node.data.matrix import KeptRows, OwnedRows
    from node.data.reading import Reading
    from node.data.table import Numbers, Table
    from node.home.home import Home
    from node.store.catalogue import Dataset
    from node.store.store import Store
    from node.workers.compute import Compute
    from protocol.spec.job import Terms

Ts = TypeVarTuple("Ts")

#: Said of what was read from a database.
SNAPSHOT_SAID: Final = "the rows as they are now: what changes in the database changes nothing here"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A worker's report of an import: the copy, rows, each column's name and kind, and words to the
    owner about how the file was read."""

    copy: BlobRef
    rows: int
    columns: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def import_file(
    path: Path, directory: Path, reading: Reading | None = None, place: Path | None = None
) -> Imported:
    """Read `path` and store its copy in `directory`. Runs in a worker. Raises `InputError`.

    Leaves lines of how far it is at `place` (node.workers.progress).
    """
    from node.data.readers import read_file

    leave(place, "reading")
    return _kept(read_file(path, reading), directory, place)


def import_query(
    query: Query, password: str, directory: Path, place: Path | None = None
) -> Imported:
    """Run `query` and store a copy of its rows in `directory`. Runs in a worker. Raises
    `InputError`, which does not hold the password."""
    from node.data.sql.reader import read_query

    leave(place, "asking the database")

    def tell(rows: int) -> None:
        leave(place, f"{rows:,} rows read")

    return _kept(read_query(query, password, tell), directory, place)


def _kept(table: Table, directory: Path, place: Path | None) -> Imported:
    from node.data.cells import kinds
    from node.data.table import encode_table

    def tell(columns: int) -> None:
        done = 100 * columns // len(table.order)
        leave(place, f"{table.rows:,} rows read; copying, {done} %")

    copy = Blobs(directory).put(encode_table(table, tell))
    return Imported(copy, table.rows, kinds(table), table.notes)


def load_matrix(directory: Path, digest: bytes, name: str, terms: Terms) -> tuple[Numbers, Numbers]:
    """A job's view of data set `name`: features [rows, inputs] and target [rows], float64.

    `directory` and `digest` say where its copy is. Runs in a worker. Raises what
    `node.data.matrix.table_matrix` does; an `InputError` holds a value of one record, so it is for
    the data's owner alone and must never go to a peer.
    """
    kept = load_kept_rows(directory, digest, name, terms)
    return kept.features, kept.target


def load_kept_rows(directory: Path, digest: bytes, name: str, terms: Terms) -> KeptRows:
    """The same, with which rows were left out for their gaps."""
    from node.data.matrix import build_kept_rows

    try:
        copy = Blobs(directory).path(digest)
        return build_kept_rows(copy, terms.features, terms.target, terms.beyond)
    except FatalError as error:
        raise FatalError(f"data set {name!r}: {error}") from error


def load_owned_rows(directory: Path, digest: bytes, name: str, terms: Terms) -> OwnedRows:
    """The same for an owner in a job with noise: `node.data.matrix.owned_rows`."""
    from node.data.matrix import owned_rows

    try:
        return owned_rows(Blobs(directory).path(digest), terms.features, terms.target)
    except FatalError as error:
        raise FatalError(f"data set {name!r}: {error}") from error


def check_name(name: str) -> None:
    """Raise `InputError` unless `name` can name a data set."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is no name; up to 64 of a to z, 0 to 9, '.', '_', '-' are allowed, "
            "a letter or digit first",
            "name",
        )


async def add_dataset(
    home: Home,
    store: Store,
    compute: Compute,
    name: str,
    path: Path,
    reading: Reading | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """Import the file at `path` (absolute) as data set `name`; and words about how it was read.

    It takes no job until its owner sets a policy. Raises `InputError`: a bad or taken name, or
    whatever is wrong with the file; then nothing was added. `tell` gets lines of how far it is.
    """
    check_name(name)
    if not path.is_absolute():
        # The daemon's working directory is not its user's.
        raise InputError(f"{path} is relative; an absolute path is needed", "path")
    given = path, home.datasets, reading
    return await _add(home, store, compute, name, str(path), tell, import_file, *given)


async def add_query(
    home: Home,
    store: Store,
    compute: Compute,
    name: str,
    query: Query,
    password: str,
    tell: Callable[[str], None] | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """The same of the rows that `query` gives now. What the database holds later changes nothing.

    The password goes to the worker and nowhere else.
    """
    check_name(name)
    given = query, password, home.datasets
    dataset, notes = await _add(
        home, store, compute, name, query.source, tell, import_query, *given
    )
    return dataset, (*notes, SNAPSHOT_SAID)


async def _add(
    home: Home,
    store: Store,
    compute: Compute,
    name: str,
    source: str,
    tell: Callable[[str], None] | None,
    imports: Callable[[*Ts, Path], Imported],
    *given: *Ts,
) -> tuple[Dataset, tuple[str, ...]]:
    from node.store.catalogue import Dataset, load_dataset, save_dataset
    from node.workers.compute import run_followed

    taken = InputError(f"{name!r} is taken; choose another name", "name")
    if await store.read(lambda tx: load_dataset(tx, name)) is not None:
        raise taken
    imported = await run_followed(compute, home.datasets, tell or (lambda _: None), imports, *given)
    dataset = Dataset(
        name=name,
        source=source,
        digest=imported.copy.digest,
        rows=imported.rows,
        bytes=imported.copy.size,
        columns=imported.columns,
        added=time.time(),
    )
    if not await store.run(lambda tx: save_dataset(tx, dataset)):
        raise taken
    return dataset, imported.notes


async def clear_copies(home: Home, store: Store) -> int:
    """Remove copies that no data set names; how many. An import that a crash cut off leaves them.

    For the daemon's start, with the home's lock held and before its workers run.
    """
    import trio

    from node.store.catalogue import datasets

    keep = frozenset(dataset.digest for dataset in await store.read(datasets))

    def clear() -> int:
        copies = Blobs(home.datasets)
        return copies.clear_unfinished() + copies.collect(keep, grace=0.0).files

    return await trio.to_thread.run_sync(clear)
