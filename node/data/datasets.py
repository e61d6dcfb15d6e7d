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

from node.data.maps.declared import decode_map
from node.data.rows import kept
from node.data.sql.query import Query
from node.store.blobs import BlobRef, Blobs
from node.workers.progress import leave
from protocol.errors import FatalError, InputError, StateError

if TYPE_CHECKING:
    # Workers import this module; the store would bring trio along, matrices numpy.
    from node.data.matrix import KeptRows, OwnedRows
    from node.data.reading import Reading
    from node.data.rows.encoded import Embed
    from node.data.table import Numbers, Table
    from node.data.view.columns import Seen
    from node.data.view.fitting import Fitting
    from node.home.home import Home
    from node.store.catalogue import Dataset
    from node.store.store import Store, Transaction
    from node.workers.compute import Compute
    from protocol.spec.job import Terms

Ts = TypeVarTuple("Ts")

#: Said of what was read from a database.
SNAPSHOT_SAID: Final = "the rows as they are now: what changes in the database changes nothing here"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A worker's report of an import: the copy, rows, each column's name and kind as jobs see it,
    words to the owner about how the file was read, and how it is written."""

    copy: BlobRef
    rows: int
    columns: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    written: tuple[tuple[str, str], ...] = ()


def import_file(
    path: Path,
    directory: Path,
    reading: Reading | None = None,
    renames: str = "",
    place: Path | None = None,
) -> Imported:
    """Read `path` and store its copy in `directory`, which must fit the column map `renames`. Runs
    in a worker. Raises `InputError`.

    Leaves lines of how far it is at `place` (node.workers.progress).
    """
    from node.data.readers import read_file

    leave(place, "reading")
    return _kept(read_file(path, reading), directory, place, renames)


def import_query(
    query: Query, password: str, directory: Path, renames: str = "", place: Path | None = None
) -> Imported:
    """Run `query` and store a copy of its rows in `directory`, which must fit the column map
    `renames`. Runs in a worker. Raises `InputError`, which does not hold the password."""
    from node.data.sql.reader import read_query

    leave(place, "asking the database")

    def tell(rows: int) -> None:
        leave(place, f"{rows:,} rows read")

    return _kept(read_query(query, password, tell), directory, place, renames)


def _kept(table: Table, directory: Path, place: Path | None, renames: str = "") -> Imported:
    from node.data.cells import kinds
    from node.data.maps.mapped import mapped
    from node.data.table import encode_table

    def tell(columns: int) -> None:
        done = 100 * columns // len(table.order)
        leave(place, f"{table.rows:,} rows read; copying, {done} %")

    columns = decode_map(renames)
    columns.names(table.order)
    found = kinds(mapped(table, columns))
    copy = Blobs(directory).put(encode_table(table, tell))
    return Imported(copy, table.rows, found, table.notes, table.written)


def kinds_under(directory: Path, digest: bytes, renames: str) -> tuple[tuple[str, str], ...]:
    """Name and kind of a copy's columns under a column map. Runs in a worker. Raises `InputError`
    if the map does not fit it."""
    from node.data.cells import kinds
    from node.data.maps.mapped import mapped
    from node.data.table import read_table

    table, columns = read_table(Blobs(directory).path(digest)), decode_map(renames)
    columns.names(table.order)
    return kinds(mapped(table, columns))


def load_matrix(
    directory: Path,
    digest: bytes,
    name: str,
    terms: Terms,
    renames: str = "",
    embed: Embed | None = None,
) -> tuple[Numbers, Numbers]:
    """A job's view of data set `name`: features [rows, inputs] and target [rows], float64.

    `directory` and `digest` say where its copy is, `renames` is its owner's column map, `embed`
    runs the job's encoder if it has one. Runs in a worker. Raises what
    `node.data.matrix.table_matrix` does; an `InputError` holds a value of one record, so it is for
    the data's owner alone and must never go to a peer.
    """
    held = load_kept_rows(directory, digest, name, terms, renames, embed)
    return held.features, held.target


def load_kept_rows(
    directory: Path,
    digest: bytes,
    name: str,
    terms: Terms,
    renames: str = "",
    embed: Embed | None = None,
) -> KeptRows:
    """The same, with which rows were left out for their gaps."""
    from node.data.matrix import build_kept_rows
    from node.data.rows.encoded import no_encoder

    try:
        copy, embed = Blobs(directory).path(digest), embed or no_encoder
        return build_kept_rows(copy, terms.features, terms.target, terms.beyond, renames, embed)
    except FatalError as error:
        raise FatalError(f"data set {name!r}: {error}") from error


def load_owned_rows(
    directory: Path,
    digest: bytes,
    name: str,
    terms: Terms,
    renames: str = "",
    embed: Embed | None = None,
) -> OwnedRows:
    """The same for an owner in a job with noise: `node.data.matrix.owned_rows`."""
    from node.data.matrix import owned_rows
    from node.data.rows.encoded import no_encoder

    try:
        copy, embed = Blobs(directory).path(digest), embed or no_encoder
        return owned_rows(copy, terms.features, terms.target, renames, embed)
    except FatalError as error:
        raise FatalError(f"data set {name!r}: {error}") from error


def columns_in(directory: Path, digest: bytes, renames: str) -> tuple[Seen, ...]:
    """What stands in a copy's columns, for its owner alone: `node.data.view.columns`."""
    from node.data.view.columns import columns_of

    return columns_of(Blobs(directory).path(digest), renames)


def fit_in(directory: Path, digest: bytes, renames: str, terms: Terms) -> Fitting:
    """How a job's spec fits a copy's rows, for its owner alone: `node.data.view.fitting`."""
    from node.data.view.fitting import fit_of

    return fit_of(Blobs(directory).path(digest), renames, terms)


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
    *,
    renames: str = "",
    holdout: bool = False,
    tell: Callable[[str], None] | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """Import the file at `path` (absolute) as data set `name`; and words about how it was read.

    It takes no job until its owner sets a policy, and none ever if it is a `holdout`. Raises
    `InputError`: a bad or taken name, or whatever is wrong with the file or
    with the map `renames`; then nothing was added. `tell` gets lines of how far it is.
    """
    check_name(name)
    check_path(path)
    given = path, home.datasets, reading, renames
    return await _add(
        home, store, compute, name, str(path), renames, holdout, tell, import_file, *given
    )


async def add_query(
    home: Home,
    store: Store,
    compute: Compute,
    name: str,
    query: Query,
    password: str,
    *,
    renames: str = "",
    holdout: bool = False,
    tell: Callable[[str], None] | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """The same of the rows that `query` gives now. What the database holds later changes nothing.

    The password goes to the worker and nowhere else.
    """
    check_name(name)
    given = query, password, home.datasets, renames
    dataset, notes = await _add(
        home, store, compute, name, query.source, renames, holdout, tell, import_query, *given
    )
    return dataset, (*notes, SNAPSHOT_SAID)


async def _add(
    home: Home,
    store: Store,
    compute: Compute,
    name: str,
    source: str,
    renames: str,
    holdout: bool,
    tell: Callable[[str], None] | None,
    imports: Callable[[*Ts, Path], Imported],
    *given: *Ts,
) -> tuple[Dataset, tuple[str, ...]]:
    from node.store.catalogue import Dataset, load_dataset, save_dataset
    from node.workers.compute import run_followed

    taken = InputError(
        f"{name!r} is taken; choose another name, or give this as its next version", "name"
    )
    taken.add_note(f"assay data replace {name} FILE")
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
        holdout=holdout,
        renames=renames,
        format=imported.written,
    )

    def enter(tx: Transaction) -> bool:
        # Copies go in this store's order: what was there before may have been removed since.
        if Blobs(home.datasets).size(dataset.digest) is None:
            raise StateError(f"the same file was removed at this moment; add {name} again")
        return save_dataset(tx, dataset)

    if not await store.run(enter):
        raise taken
    return dataset, imported.notes


def check_path(path: Path) -> None:
    """Raise `InputError` for a relative path: the daemon's directory is not its user's."""
    if not path.is_absolute():
        raise InputError(f"{path} is relative; an absolute path is needed", "path")


async def drop_copies(home: Home, store: Store, name: str) -> int:
    """Remove the copies that a name has had and that no data set and no job needs, and what an
    encoder made of them; how many.

    Call it once what made them superfluous is stored. A crash before leaves them to `clear_copies`.
    """
    from node.store.versions import copies, digests_of

    def drop(tx: Transaction) -> int:
        # Inside of a transaction, so that nobody enters a data set with that copy meanwhile.
        unused = digests_of(tx, name) - copies(tx)
        for digest in unused:
            kept.forget(home.datasets, digest)
        return sum(Blobs(home.datasets).delete(digest) for digest in unused)

    return await store.run(drop)


async def clear_copies(home: Home, store: Store) -> int:
    """Remove copies that no data set names and no job uses; how many. An import, a replacement or a
    removal that a crash cut off leaves them.

    For the daemon's start, with the home's lock held and before its workers run.
    """
    import trio

    from node.store.versions import copies

    keep = await store.read(copies)

    def clear() -> int:
        held = Blobs(home.datasets)
        kept.clear(home.datasets, keep)
        return held.clear_unfinished() + held.collect(keep, grace=0.0).files

    return await trio.to_thread.run_sync(clear)
