"""PostgreSQL through ADBC: the statement runs in a read-only transaction, and its rows come in
batches, so that limits hold before a result fills the memory. Runs in workers.

A column's kind is the one that the statement declares, the same for whatever rows there are.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from node.data.sql.query import RESULT, Query, scrubbed, too_long, with_password
from protocol import params
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_CONNECT_SECONDS: Final = 15
_LOCK_SECONDS: Final = 60

#: Arrow's types that are numbers, words or days; and PostgreSQL's own for one of which Arrow has
#: none of the right size (digits come as text).
_USABLE: Final = frozenset(
    {"BOOL", "INT16", "INT32", "INT64", "UINT32", "FLOAT", "DOUBLE", "STRING", "LARGE_STRING"}
    | {"DATE32", "TIME64", "TIMESTAMP"}
)
_AS_TEXT: Final = ("numeric",)
#: Arrow makes a whole number of hundredths of it.
_NEVER: Final = ("money",)

_READ_ONLY: Final = "25006"


def batches(query: Query, password: str) -> Generator[tuple[list[str], pl.DataFrame], None, None]:
    """Column names and each batch of rows; once, without rows, where there are none.

    Raises `InputError`: no server, a wrong password, a fault in the statement or one that writes.
    """
    try:
        import adbc_driver_manager as adbc
        import adbc_driver_postgresql
        import nanoarrow as na
        from nanoarrow._utils import NanoarrowException
    except ModuleNotFoundError as missing:
        raise InputError(
            f"this install reads no PostgreSQL: {missing.name} is missing; "
            "pip install 'assay[postgres]' adds it",
            "url",
        ) from None
    import polars as pl

    url = with_password(query.url, password, _CONNECT_SECONDS)
    try:
        driver = adbc_driver_postgresql._driver_path()
        database = closing(adbc.AdbcDatabase(driver=driver, uri=url))
        with database as opened, closing(adbc.AdbcConnection(opened)) as connection:
            with closing(adbc.AdbcStatement(connection)) as begin:
                # A lock of somebody else's is waited for, and a statement run, for so long.
                begin.set_sql_query(
                    "BEGIN READ ONLY; "
                    f"SET LOCAL statement_timeout = '{params.MAX_SQL_SECONDS}s'; "
                    f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"
                )
                begin.execute_update()
            with closing(adbc.AdbcStatement(connection)) as statement:
                # The driver puts it into a COPY, whose end a comment would swallow.
                statement.set_sql_query(f"{query.sql}\n")
                stream = na.ArrayStream(statement.execute_query()[0])
                fields = stream.schema.fields
                for field in fields:
                    _check_kind(field)
                names = [field.name for field in fields]
                yield names, pl.DataFrame()
                for batch in stream:
                    # The caller has refused names that stand twice.
                    frame = pl.Series(batch).struct.unnest()
                    yield names, frame.select(_plain(column) for column in frame)
    except (adbc.Error, NanoarrowException) as error:
        raise _said(error, password) from None


def _plain(column: pl.Series) -> pl.Series:
    """What an extension's values are stored as: digits, for a numeric."""
    import polars as pl

    return column.ext.storage() if isinstance(column.dtype, pl.BaseExtension) else column


def _check_kind(field: Any) -> None:
    """Refuse a column that holds no numbers, no words and no days; its owner can write another."""
    metadata = dict(field.metadata.items()) if field.metadata else {}
    kind = metadata.get(b"POSTGRESQL:type", b"").decode(errors="replace")
    usable = field.type.name in _USABLE or kind in _AS_TEXT
    if kind not in _NEVER and usable:
        return
    name = field.name[:80]
    json = kind in ("json", "jsonb")
    way = f"name a part of it, such as {name}->>'KEY'" if json else f"cast it, such as {name}::text"
    raise InputError(
        f"{RESULT}: column {name!r} is of kind {kind or field.type.name.lower()}; leave it out of "
        f"the statement, or {way}",
        "sql",
    )


def _said(error: Any, password: str) -> InputError:
    """A driver's error for the data's owner: the server's own line, without the URL, the statement
    and the password."""
    text = scrubbed(str(error), password)
    # Once rows come, the driver hands on the server's words and no longer its code.
    if getattr(error, "sqlstate", None) == _READ_ONLY or "in a read-only transaction" in text:
        return InputError("writes; it is run to read alone: give a SELECT", "sql")
    if "due to statement timeout" in text:
        return too_long()
    if found := re.search(r"Failed to connect: (.*)", text, re.DOTALL):
        # The first line: those below are hints, and the last is a state that is not set.
        words = re.sub(r"\s*SQLSTATE.*", "", found.group(1), flags=re.DOTALL).strip().splitlines()
        refused = InputError((words or ["no connection"])[0], "url")
        if "password" in text:
            refused.add_note("set ASSAY_SQL_PASSWORD, or give --password-file FILE")
        else:
            refused.add_note("see that the database answers: pg_isready -d URL")
        return refused
    found = re.search(r"(?:ERROR|FATAL): +([^\n]*)\n?(LINE [0-9]+:[^\n]*)?", text)
    if found is None:
        return InputError(text.splitlines()[0] if text else "the driver gave no reason", "sql")
    line = f" ({found.group(2)[:200]})" if found.group(2) else ""
    return InputError(found.group(1) + line, "sql")
