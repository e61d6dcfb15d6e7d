"""The node's store: one SQLite file, every step of a machine one transaction.

The whole node rests on durability: a state and the effects that it wants are committed (WAL,
synchronous=FULL: the log is on disk when COMMIT returns) before any effect is carried out.

The event loop never waits for a disk: `run` and `read` put a function on a worker thread, one at a
time each, in the order of their calls; functions that wait for the writer share one commit. Readers
have a connection of their own and see the last commit, so a status never waits for the engine.
"""

from __future__ import annotations

import copy
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import trio

from node.store.migrations import MIGRATIONS
from node.store.room import no_room
from node.store.splitting import offer
from protocol.errors import FatalError, InputError

log: Final = logging.getLogger(__name__)

T = TypeVar("T")

#: A connection inside a transaction (of `transaction`) or a snapshot (of `snapshot`). Functions
#: that take one neither begin nor commit.
Transaction: TypeAlias = sqlite3.Connection

#: In SQLite's header, so that another program's database is not taken for ours ("asay").
APPLICATION_ID: Final = 0x61736179

#: STRICT tables came with 3.37 (November 2021).
MIN_SQLITE: Final = (3, 37, 0)

#: One daemon has a home, so only a tool of its user's can hold the file (a backup, a query). It may
#: be slow on a busy machine, and a store that is late is not broken. A patient store waits on.
_BUSY_SECONDS: Final = 60.0
#: How often a patient store looks for room.
_ROOM_SECONDS: Final = 1.0
#: Functions that share a commit, at most: the first of them waits for the last.
_TOGETHER: Final = 32
#: A step, its log and the file's growth fit in this many bytes, mostly in far fewer.
_ROOM_BYTES: Final = 16 * 1024 * 1024
_DAMAGE: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)
_OF_THE_FILE: Final = _DAMAGE | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}


class StoreDamaged(FatalError):
    """The file is no longer a whole database, or the disk fails. Nothing more is written to it."""


class StoreFull(FatalError):
    """The disk is full: the transaction was rolled back and nothing of it is stored."""


class StoreLocked(FatalError):
    """Another program holds the file: nothing of the transaction is stored."""


@dataclass(eq=False, slots=True)
class _Call:
    """A call of `run`. `ended`: it is on disk, or has failed with `error`. `gives_up` raises the
    Cancelled of a caller that was cancelled after it had begun."""

    function: Callable[[Transaction], Any]
    task: trio.lowlevel.Task
    gives_up: Callable[[], Any] | None = None
    value: Any = None
    error: BaseException | None = None
    ended: bool = False


class Store:
    """The open store of one home; `Store.open`, then `with store:` or `store.close()`."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._write_turn = threading.Lock()
        self._read_turn = threading.Lock()
        self._write_limiter = trio.CapacityLimiter(1)
        #: Whether a call leads: it has its group written, then hands on to the next in line.
        self._led = False
        self._line: deque[_Call] = deque()
        #: Calls that have ended and are still to be told so, each after the one before it.
        self._ended: deque[_Call] = deque()
        self._telling = False
        #: Whether `run` waits for room on a full disk, and for whoever holds the file; otherwise it
        #: raises StoreFull or StoreLocked.
        self.patient = False
        #: Why a `run` waits; empty otherwise.
        self.waits = ""
        self._read_limiter = trio.CapacityLimiter(1)

    @classmethod
    def open(cls, path: Path, migrations: Sequence[str] = MIGRATIONS) -> Store:
        """Open or make the store at `path`, checked and brought to this version's schema.

        Raises `InputError` for a store of a newer assay, for another program's database and where
        SQLite is too old; `StoreDamaged` if the integrity check fails, with what it found.
        """
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            raise InputError(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 is needed", "store")
        # Made here and not by SQLite, which would leave the user's umask to decide who reads it.
        path.touch(mode=0o600, exist_ok=True)
        writer = _connect(path)
        try:
            with _named(path):
                # Checked before the first write: what is not ours is left as it was.
                _check(path, writer, len(migrations))
                _use_write_ahead_log(path, writer)
                _migrate(writer, migrations)
                reader = _connect(path)
                reader.execute("PRAGMA query_only = ON")
        except BaseException:
            writer.close()
            raise
        return cls(path, writer, reader)

    def close(self) -> None:
        """Close both connections. Call it with no `run` or `read` under way."""
        with self._write_turn, self._read_turn:
            self._reader.close()
            # The last connection folds the write-ahead log into the file.
            self._writer.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A write transaction (BEGIN IMMEDIATE): committed and on disk at the end, or undone.

        Blocks; in the daemon use `run`. Raises `StoreFull`, `StoreLocked`, `StoreDamaged`, and as
        it is whatever the body raises.
        """
        with self._write_turn, _named(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # SQLite has undone it by itself after some errors (a full disk).
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """A consistent view of the last commit; it cannot write. Blocks; in the daemon: `read`."""
        with self._read_turn, _named(self._path):
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")

    async def run(self, function: Callable[[Transaction], T]) -> T:
        """`function(transaction)` on a thread; its value once committed and on disk.

        Calls are carried out in order, and end in order. Those that wait share the next commit: one
        that raises is undone alone, and an error of the commit reaches all of them. Once begun a
        call is carried to its end even if the caller is cancelled: a commit is never in doubt.

        On a full disk, or while another program holds the file, a `patient` store says so once, and
        runs the function again until it can be stored; later calls wait behind it. So a function
        changes nothing but its transaction.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        call = _Call(function, trio.lowlevel.current_task())
        if self._led:
            self._line.append(call)
            await trio.lowlevel.wait_task_rescheduled(partial(self._leave, call))
        if not call.ended:
            self._led = True
            await self._lead(call)
        self._tell()
        if call.error is not None:
            raise call.error
        found: T = call.value
        return found

    async def read(self, function: Callable[[Transaction], T]) -> T:
        """`function(snapshot)` on a thread; never waits for a writer."""
        return await trio.to_thread.run_sync(self._read, function, limiter=self._read_limiter)

    # --- calls that share a commit ----------------------------------------------------------

    async def _lead(self, call: _Call) -> None:
        """Have `call` written, with those that wait behind it; returns once it is to be told.
        Raises Cancelled where nothing has begun."""
        group = [call]
        try:
            while not call.ended:
                while self._line and len(group) < _TOGETHER:
                    group.append(self._line.popleft())
                try:
                    await trio.to_thread.run_sync(self._write, group, limiter=self._write_limiter)
                except (StoreFull, StoreLocked) as error:
                    if not self.patient:
                        _fail(group, error)
                        break
                    self._return(group)
                    if not self.waits:
                        log.error("%s; nothing is lost, all writing waits until then", error)
                    self.waits = str(error)
                    await trio.sleep(_ROOM_SECONDS)
                except Exception as error:  # noqa: BLE001 - each caller is given it
                    _fail(group, error)
                else:
                    if self.waits:
                        log.warning("%s can be written again", self._path)
                        self.waits = ""
        except BaseException:
            self._return(group)
            self._hand_on()
            raise
        self._hand_on()
        if self._telling:
            self._ended.extend(group)
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        else:
            self._ended.extend(group[1:])

    def _return(self, group: list[_Call]) -> None:
        """Nothing came of it: all but the first go back to the head of the line, or give up."""
        while len(group) > 1:
            call = group.pop()
            if call.gives_up is None:
                self._line.appendleft(call)
                continue
            try:
                call.gives_up()
            except trio.Cancelled as error:
                call.error, call.ended = error, True
            self._ended.append(call)
        if not self._telling:
            self._tell()

    def _leave(self, call: _Call, gives_up: Callable[[], Any]) -> trio.lowlevel.Abort:
        """A caller is cancelled: its call leaves the line, unless it has begun."""
        if call in self._line:
            self._line.remove(call)
            return trio.lowlevel.Abort.SUCCEEDED
        call.gives_up = gives_up
        return trio.lowlevel.Abort.FAILED

    def _hand_on(self) -> None:
        """Have the next in line lead."""
        self._led = bool(self._line)
        if self._led:
            trio.lowlevel.reschedule(self._line.popleft().task)

    def _tell(self) -> None:
        """Have the next call that has ended return, and do the same: each goes on in its turn."""
        self._telling = bool(self._ended)
        if self._telling:
            trio.lowlevel.reschedule(self._ended.popleft().task)

    def _write(self, group: list[_Call]) -> None:
        """Carry out calls in one transaction, each as if alone."""
        with self.transaction() as tx:
            for call in group:
                tx.execute("SAVEPOINT call")
                call.value = call.error = None
                try:
                    call.value = call.function(tx)
                except BaseException as error:
                    # Of the file, or SQLite has undone all: not this call's alone.
                    whole = isinstance(error, StoreFull | StoreLocked | StoreDamaged)
                    if whole or _code(error) in _OF_THE_FILE or not tx.in_transaction:
                        raise
                    call.error = error
                    tx.execute("ROLLBACK TO call")
                tx.execute("RELEASE call")
        for call in group:
            call.ended = True

    def _read(self, function: Callable[[Transaction], T]) -> T:
        with self.snapshot() as tx:
            return function(tx)


def now() -> float:
    """Wall-clock time for the `at` columns, seconds since 1970."""
    return time.time()


def _connect(path: Path) -> sqlite3.Connection:
    # `isolation_level=None`: no transaction begins by itself. Connections move between trio's
    # threads; `_write_turn` and `_read_turn` see to it that only one uses them at a time.
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        with _named(path):
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # SQLite's advice for files that might have been tampered with: functions and virtual
            # tables hidden in the schema do not run.
            connection.execute("PRAGMA trusted_schema = OFF")
            # Freed pages are overwritten with zeros: what was deleted is gone from the file.
            connection.execute("PRAGMA secure_delete = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    version = _pragma(connection, "user_version")
    application = _pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (application or version or tables):
        raise InputError(f"{path} is another program's database; move it away", "store")
    if version > newest:
        raise InputError(
            f"{path} has version {version}, this assay knows up to {newest}; "
            "a newer assay has used this home: use that one",
            "store",
        )
    found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise StoreDamaged(f"{path} is damaged: {'; '.join(found)}; restore it from a copy")
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise StoreDamaged(f"{path} is damaged: table {broken[0]} refers to a row that is gone")


def _use_write_ahead_log(path: Path, connection: sqlite3.Connection) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise InputError(f"{path}: the file system has no shared memory; use a local disk", "store")


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    version = _pragma(connection, "user_version")
    offer(connection)
    for number, script in enumerate(migrations[version:], start=version + 1):
        # One transaction a step, its number inside: after a crash the step is whole or not there.
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script};"
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _fail(group: list[_Call], error: Exception) -> None:
    """Nothing of a group is stored: each caller gets an exception of its own."""
    for call in group:
        call.error, call.ended = copy.copy(error), True


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Tell a full disk, a file that another program holds and a damaged one from mistakes in our
    own SQL, which pass as they are."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = _code(error)
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(f"{path}: {no_room(path, _ROOM_BYTES)}") from error
        if code == sqlite3.SQLITE_BUSY:
            text = f"{path} is held by another program, a backup or an open sqlite3; end it"
            raise StoreLocked(text) from error
        if code in _DAMAGE:
            raise StoreDamaged(f"{path} cannot be used: {error}; restore it from a copy") from error
        raise
