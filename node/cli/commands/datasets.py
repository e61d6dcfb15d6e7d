"""data show, map, replace and remove: an owner's own view of its data, and their life."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import data_views
from node.cli.commands.statements import PasswordFile, Sql, Url, statement
from node.cli.options import (
    Dataset,
    DecimalMark,
    Encoding,
    Header,
    Here,
    Images,
    Names,
    Separator,
    reading_options,
)
from node.console.failure import Failure
from node.control.codes import Exit


def data_show(
    name: Dataset,
    *,
    job: Annotated[
        str | None, Parameter(help="A job: how many rows it can use, and why not the others.")
    ] = None,
    session: Here,
) -> int:
    """Look into a dataset: columns, kinds, gaps, ranges, words.

    For your eyes: values of records are shown, and nothing of it leaves this machine.
    """
    found = session.call("data.show", {"name": name, "job": job})
    session.emit(found, data_views.shown(found))
    return Exit.OK


def data_map(
    name: Dataset,
    file: Annotated[Path | None, Parameter(help="A TOML file with one table, [columns].")] = None,
    *,
    none: Annotated[bool, Parameter(negative="", help="Take the map away.")] = False,
    session: Here,
) -> int:
    """Say what columns are called and measured in for jobs: other names, units, words.

    Jobs that run keep the map that they were joined with.
    """
    if (file is None) != none:
        text = "give a file, or --none to take the map away"
        raise Failure(Exit.USAGE, text, next_=f"assay data map {name} map.toml", field="file")
    columns = None if file is None else read_map(file)
    found = session.call("data.map", {"name": name, "columns": columns})
    session.emit(found, data_views.changed(found))
    return Exit.OK


def data_replace(
    name: Dataset,
    file: Annotated[Path | None, Parameter(help="Any file that `data add` takes.")] = None,
    *,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
    header: Header = None,
    names: Names = None,
    images: Images = None,
    sql: Sql = None,
    url: Url = None,
    password_file: PasswordFile = None,
    session: Here,
) -> int:
    """Register a file, or the rows that a database gives now, as the next version of a dataset.

    Its policy, column map, privacy budget and the jobs that it joined stay. Jobs that run keep the
    version that they were joined with.
    """
    written = reading_options(separator, decimal, encoding, header, names, images)
    query = statement("data replace", sql, url, password_file, file is not None or bool(written))
    if query is not None:
        method, asked = "data.replace_sql", {"name": name} | query
    elif file is None:
        text = "give a file, or --sql and --url"
        raise Failure(Exit.USAGE, text, next_=f"assay data replace {name} FILE", field="file")
    else:
        method, asked = "data.replace", {"name": name, "path": str(file.absolute())} | written
    found = session.call_watched(method, asked, "data.reading")
    session.emit(found, data_views.changed(found))
    return Exit.OK


def data_remove(name: Dataset, *, session: Here) -> int:
    """Remove a dataset, its policy and this node's copies of it. Your own file stays.

    What jobs were told of it stays in the ledger: the same name or the same file finds its budget
    again. A job that still trains on it must be over first (exit code 6).
    """
    found = session.call("data.remove", {"name": name})
    session.emit(found, data_views.removed(found))
    return Exit.OK


def read_map(file: Path) -> str:
    """A column map's text. Raises Failure."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        text = f"{file} cannot be read: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="map") from None
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, f"{file} is not UTF-8 text", field="map") from None
