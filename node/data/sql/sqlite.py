"""An SQLite file, opened to read and nothing else. Runs in workers.

Cells are what SQLite stores, one by one, and written as text as a CSV of them would be. Python's
own module reads them: a driver that finds one type for a whole column (ADBC's looks at the first
rows) would let one row change what others mean.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from node.data.sql.query import RESULT, Query, too_long
from protocol import params
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: A batch ends behind so many cells, or characters in them.
_CELLS: Final = 400_000
_CHARACTERS: Final = 8 << 20
_CELL_BYTES: Final = 1 << 20

#: SQLite asks so often, in its own instructions, whether it may go on.
_ASKED_EVERY: Final = 100_000

#: What a statement that reads does. ATTACH would make a file, a pragma may write.
_READING: Final = frozenset(
    [sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE]
)


def batches(query: Query) -> Generator[tuple[list[str], pl.DataFrame], None, None]:
    """Column names and each batch of rows; once, without rows, where there are none.

    Raises `InputError`: no such file, no database, a fault in the statement or one that writes.
    """
    import polars as pl

    refused: list[int] = []

    def allow(action: int, *_: str | None) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        refused.append(action)
        return sqlite3.SQLITE_DENY

    try:
        with closing(sqlite3.connect(f"file:{quote(query.file)}?mode=ro", uri=True)) as opened:
            opened.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _CELL_BYTES)
            until = time.monotonic() + params.MAX_SQL_SECONDS
            opened.set_progress_handler(lambda: time.monotonic() > until, _ASKED_EVERY)
            opened.set_authorizer(allow)
            cursor = opened.execute(query.sql)
            names = [column[0] for column in cursor.description or ()]
            places = [str(place) for place in range(len(names))]
            schema = dict.fromkeys(places, pl.String)
            yield names, pl.DataFrame()
            first = 1
            while rows := _some(cursor, _CELLS // max(1, len(names))):
                columns = [
                    _texts(names[place], cells, first)
                    for place, cells in enumerate(zip(*rows, strict=True))
                ]
                yield names, pl.DataFrame(dict(zip(places, columns, strict=True)), schema=schema)
                first += len(rows)
    except (sqlite3.Error, sqlite3.Warning) as error:
        if refused:
            raise InputError("writes; it is run to read alone: give a SELECT", "sql") from None
        if str(error) == "interrupted":
            raise too_long() from None
        field = "url" if "open database" in str(error) or "not a database" in str(error) else "sql"
        where = f"{query.file}: " if field == "url" else ""
        raise InputError(f"{where}{str(error)[:500]}", field) from None


def _some(cursor: sqlite3.Cursor, rows: int) -> list[tuple[Any, ...]]:
    """The next rows, at most `rows` and one of them at least; none at the end."""
    some: list[tuple[Any, ...]] = []
    characters = 0
    for row in cursor:
        some.append(row)
        characters += sum(len(cell) for cell in row if type(cell) is str)
        if len(some) >= rows or characters >= _CHARACTERS:
            break
    return some


def _texts(name: str, cells: Sequence[Any], first: int) -> list[str | None]:
    """Cells as text: whole numbers by their digits, floats by the shortest that is their value."""
    texts: list[str | None] = []
    for row, cell in enumerate(cells, start=first):
        if cell is None or type(cell) is str:
            texts.append(cell)
        elif isinstance(cell, bytes):
            raise InputError(
                f"{RESULT}, row {row}: column {name[:80]!r} holds a BLOB; leave it out of the "
                f"statement, or cast it: CAST({name[:80]} AS TEXT)",
                "sql",
            )
        else:
            texts.append(repr(cell))
    return texts
