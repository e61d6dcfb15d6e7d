"""A statement in place of a file: what `data add` and `data replace` are given of a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

from node.console.failure import Failure
from node.control.codes import Exit

Sql: TypeAlias = Annotated[str | None, Parameter(help="A SELECT, in place of a file; with --url.")]
Url: TypeAlias = Annotated[
    str | None, Parameter(help="postgresql://USER@HOST/DATABASE or sqlite:///PATH.")
]
PasswordFile: TypeAlias = Annotated[
    Path | None, Parameter(help="Its password; or set ASSAY_SQL_PASSWORD or PGPASSWORD.")
]

_PASSWORD_CHARACTERS: Final = 4096


def statement(
    command: str, sql: str | None, url: str | None, password_file: Path | None, of_file: bool
) -> dict[str, object] | None:
    """Parameters of a statement; None where a file is meant. Raises Failure: half of a statement,
    or what belongs to a file beside it (`of_file`)."""
    if sql is None and url is None:
        return None
    if sql is None or url is None or of_file:
        text = (
            "--sql and --url belong together, and take the place of a file and of how it is written"
        )
        line = f"assay {command} NAME --sql 'SELECT …' --url postgresql://USER@HOST/DATABASE"
        raise Failure(Exit.USAGE, text, next_=line, field="sql")
    return {"sql": sql, "url": _absolute(url), "password": _password(password_file)}


def _absolute(url: str) -> str:
    """A URL of an SQLite file with its whole path: the daemon's directory is not the user's."""
    if not url.startswith("sqlite:"):
        return url
    return f"sqlite://{Path(url.removeprefix('sqlite:').removeprefix('//')).absolute()}"


def _password(file: Path | None) -> str | None:
    """The first line of `file`, else what the environment says; the file comes before it."""
    if file is None:
        return os.environ.get("ASSAY_SQL_PASSWORD") or os.environ.get("PGPASSWORD") or None
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.readline(_PASSWORD_CHARACTERS).rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Failure(Exit.USAGE, f"{file} cannot be read: {why}", field="password_file") from None
