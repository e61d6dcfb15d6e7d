"""A statement and the database that it is for, checked before anything is opened.

This module is light: the daemon imports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from protocol import params
from protocol.errors import InputError

#: What errors call the rows of a statement, where those of a file would name it.
RESULT: Final = "the result of --sql"

_POSTGRES: Final = ("postgresql", "postgres")
_ALLOWED: Final = "postgresql://USER@HOST/DATABASE and sqlite:///PATH are allowed"
#: With what a statement that only reads begins. PostgreSQL's COPY … TO PROGRAM reads as well, and
#: starts a program on the server.
_READS: Final = ("select", "with", "values", "table")
_NOTHING: Final = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
#: As libpq reads a URL, which takes everything before an @ for user and password, a ? included. So
#: one @ stands behind a user's plain name, and nowhere else.
_URL: Final = re.compile(r"postgres(?:ql)?://(?:[^:/?#@\s]+@)?[^@#\s]*")
#: What may stand behind the ?; others hold secrets (password, sslpassword, oauth_client_secret, …).
_SETTINGS: Final = (
    *("application_name", "connect_timeout", "dbname", "gssencmode", "host", "port", "service"),
    *("sslcert", "sslkey", "sslmode", "sslrootcert", "target_session_attrs", "user"),
)
#: How much of a statement `data list` shows.
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that reads, and where: a `url` without a password, or for SQLite a file's path.

    Made by `query`, which checks it.
    """

    sql: str
    url: str

    @property
    def file(self) -> str:
        """An SQLite file's path; empty for PostgreSQL."""
        return self.url.removeprefix("sqlite://") if self.url.startswith("sqlite:") else ""

    @property
    def source(self) -> str:
        """Where the rows came from, in one line, for their owner."""
        line = " ".join(self.sql.split())
        return f"{self.url}: {line if len(line) <= _SHOWN else line[: _SHOWN - 1] + '…'}"


def query(sql: str, url: str) -> Query:
    """The statement `sql` for the database at `url`. Raises `InputError`, which repeats no URL: a
    password may stand in it."""
    statement = sql.strip()
    if len(statement) > params.MAX_SQL_CHARACTERS:
        raise InputError(
            f"has {len(statement)} characters; {params.MAX_SQL_CHARACTERS} are allowed", "sql"
        )
    if "\0" in sql + url:
        raise InputError("has a NUL, which no statement and no URL has", "sql")
    statement = statement.rstrip("; \t\r\n")
    begins = _NOTHING.match(statement)
    word = re.match(r"[A-Za-z]*", statement[begins.end() if begins else 0 :])
    if word is None or word.group().lower() not in _READS:
        raise InputError(
            "is no statement that reads; it begins with SELECT, WITH, VALUES or TABLE", "sql"
        )
    return Query(statement, _checked(url.strip()))


def _checked(url: str) -> str:
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        path = rest.removeprefix("//")
        if not path.startswith("/"):
            raise InputError("names no absolute path: sqlite:///srv/ward.db", "url")
        return f"sqlite://{path}"
    if not colon or scheme not in _POSTGRES:
        raise InputError(f"is no database's; {_ALLOWED}", "url")
    try:
        parts = urlsplit(url)
        named = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        raise InputError(f"cannot be read; {_ALLOWED}", "url") from None
    if ("@" in rest and not _URL.fullmatch(url)) or "password" in named:
        error = InputError(
            "holds a password, which other people of this machine can see; leave it out, and set "
            "ASSAY_SQL_PASSWORD or give a file with it: --password-file FILE",
            "url",
        )
        error.add_note("assay data add NAME --sql … --url postgresql://USER@HOST/DATABASE")
        raise error
    if not _URL.fullmatch(url):
        raise InputError(f"cannot be read; {_ALLOWED}", "url")
    if unknown := [name for name in named if name not in _SETTINGS]:
        raise InputError(
            f"sets {unknown[0][:80]!r}; {', '.join(_SETTINGS)} are allowed behind the ?", "url"
        )
    return url.rstrip("?&")


def too_long() -> InputError:
    """A statement's time is up."""
    return InputError(
        f"took more than {params.MAX_SQL_SECONDS} s and was stopped; give a statement that takes "
        "less, or make a table of its rows first",
        "sql",
    )


def with_password(url: str, password: str, seconds: int) -> str:
    """A PostgreSQL URL for the driver alone. Whoever holds it holds the password."""
    named = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    more = []
    if "connect_timeout" not in named:
        more.append(f"connect_timeout={seconds}")
    if password:
        more.append(f"password={quote(password, safe='')}")
    if not more:
        return url
    return url + ("&" if urlsplit(url).query else "?") + "&".join(more)


def scrubbed(text: str, password: str) -> str:
    """A driver's words without the password, however it is written there."""
    for each in {password, quote(password, safe=""), quote(password)} - {""}:
        text = text.replace(each, "…")
    return text
