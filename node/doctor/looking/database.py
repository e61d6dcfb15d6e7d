"""Looks into the store, read-only, while a daemon may be writing to it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from node.doctor.looking.bounded import cut, regular
from node.doctor.looking.files import is_named
from node.doctor.seen import DatasetSeen, StoreSeen
from node.home.home import PAGE_PREFIX, Home
from node.store.migrations import MIGRATIONS
from node.store.store import APPLICATION_ID

#: Seconds that SQLite's own check may take; a large store is then checked in part.
CHECK_SECONDS: Final = 20.0
#: Data sets that are looked at, and bytes of their copies that are compared with what was added.
MAX_DATASETS: Final = 1_000
MAX_COMPARED: Final = 256 * 1024**2
#: Transactions whose trouble is told.
_TROUBLES: Final = 5
#: Instructions of SQLite's machine between two looks at the clock.
_STEPS: Final = 20_000
_BUSY_SECONDS: Final = 5.0

_TABLES: Final = frozenset(re.findall(r"CREATE TABLE (\w+)", "".join(MIGRATIONS)))
_COUNT: Final = "SELECT count(*) FROM"
_TROUBLED: Final = "SELECT function, error FROM intents"
_DATASETS: Final = "SELECT name, source, digest, bytes, added, name IN (SELECT name FROM policies)"
_WAITING: Final = "state NOT IN ('final', 'failed', 'superseded')"


def look_store(home: Home, running: bool) -> StoreSeen:
    """The store at home; nothing of it is changed. `running`: a daemon may be writing.

    Raises OSError, sqlite3.Error: it is no database, or too damaged to be asked.
    """
    regular(home.database)
    with closing(_open(home.database, running)) as store:
        application = _number(store, "PRAGMA application_id")
        version = _number(store, "PRAGMA user_version")
        if application != APPLICATION_ID:
            return StoreSeen(application, version)
        faults, whole = _check(store)
        if faults:
            return StoreSeen(application, version, faults, whole, names=_names(store))
        return _contents(home, store, StoreSeen(application, version, (), whole))


def _open(path: Path, running: bool) -> sqlite3.Connection:
    # Without a writer and without its log the file is all there is, and "immutable" keeps SQLite
    # from making files beside it. With a log, SQLite may renew its index (-shm), and nothing else.
    log = path.with_name(path.name + "-wal")
    still = not running and not (log.exists() and log.stat().st_size)
    url = f"file:{quote(os.fspath(path))}?mode=ro{'&immutable=1' if still else ''}"
    store = sqlite3.connect(url, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    store.execute("PRAGMA query_only = ON")
    # What is hidden in the schema of a file that somebody changed does not run.
    store.execute("PRAGMA trusted_schema = OFF")
    return store


def _check(store: sqlite3.Connection) -> tuple[tuple[str, ...], bool]:
    """What SQLite finds wrong, and whether it came to its end in time."""
    until = time.monotonic() + CHECK_SECONDS
    store.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = [str(row[0]) for row in store.execute("PRAGMA quick_check(3)")]
        faults = [] if found == ["ok"] else found
        broken = store.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            faults.append(f"table {broken[0]} refers to a row that is gone")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return (), False
    finally:
        store.set_progress_handler(None, 0)
    return tuple(cut(each) for each in faults), True


def _contents(home: Home, store: sqlite3.Connection, checked: StoreSeen) -> StoreSeen:
    has = {str(row[0]) for row in store.execute("SELECT name FROM sqlite_schema LIMIT 1000")}
    has &= _TABLES
    # Names of tables are this assay's own words: what the file says is never put into a question.
    counts = {name: _number(store, f"{_COUNT} {name}") for name in sorted(has)}
    newest, waiting, troubles = 0.0, 0, tuple[str, ...]()
    if "events" in has:
        newest = float(store.execute("SELECT coalesce(max(at), 0) FROM events").fetchone()[0])
    if "intents" in has:
        waiting = _number(store, f"{_COUNT} intents WHERE {_WAITING}")
        kept = f"{_TROUBLED} WHERE {_WAITING} AND error != '' ORDER BY seq LIMIT {_TROUBLES}"
        rows = store.execute(kept)
        troubles = tuple(cut(f"{function}: {error}") for function, error in rows)
    return StoreSeen(
        checked.application,
        checked.version,
        checked.faults,
        checked.whole,
        counts,
        newest,
        waiting,
        troubles,
        tuple(_datasets(home, store)) if {"datasets", "policies"} <= has else (),
        _names(store),
    )


def _number(store: sqlite3.Connection, question: str) -> int:
    return int(store.execute(question).fetchone()[0])


def _datasets(home: Home, store: sqlite3.Connection) -> Iterator[DatasetSeen]:
    # An older store has no such column: a data set's purpose came with a later version.
    columns = {row[1] for row in store.execute("PRAGMA table_info(datasets)")}
    holdout = "holdout" if "holdout" in columns else "0"
    rows = store.execute(
        f"{_DATASETS}, {holdout} FROM datasets ORDER BY name LIMIT {MAX_DATASETS}"
    ).fetchall()
    left = MAX_COMPARED
    for name, source, digest, size, added, decided, apart in rows:
        copy = home.datasets / bytes(digest).hex()
        try:
            held = copy.stat().st_size
        except OSError:
            held = None
        same = None
        if held == size and size <= left:
            same, left = is_named(copy, copy.name, size), left - size
        yield DatasetSeen(
            str(name),
            int(size),
            held,
            same,
            _source(str(source), float(added)),
            bool(decided),
            bool(apart),
        )


def _source(
    source: str, added: float
) -> Literal["as it was", "changed", "gone", "a database", "handed over"]:
    """What became of the file that a data set was read from, by its time of change. One that the
    page was handed is kept by nobody."""
    if not source.startswith("/"):
        return "a database"
    if any(part.startswith(PAGE_PREFIX) for part in Path(source).parts[:-1]):
        return "handed over"
    try:
        found = Path(source).stat()
    except OSError:
        return "gone"
    return "changed" if found.st_mtime > added else "as it was"


def _names(store: sqlite3.Connection) -> frozenset[str]:
    """Names of data sets and columns, and where they came from: what a bundle must not hold."""
    found: set[str] = set()
    for question in (
        "SELECT name, source FROM datasets",
        "SELECT name FROM dataset_digests",
        "SELECT renames FROM datasets UNION SELECT renames FROM dataset_uses",
        "SELECT columns FROM datasets",
    ):
        # An older store lacks some of these, and a damaged one may give none.
        with suppress(sqlite3.Error, ValueError, RecursionError):
            for row in store.execute(question):
                for cell in row:
                    found.update(_texts(str(cell), pairs="columns" in question))
    return frozenset(found - {""})


def _texts(cell: str, pairs: bool) -> Iterator[str]:
    """A name as it is; of lists in JSON all texts, but of pairs, name and kind, the first alone."""
    if not cell.startswith("["):
        yield cell
        return
    pending = [each[0] if pairs else each for each in json.loads(cell) if each]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            pending += each
