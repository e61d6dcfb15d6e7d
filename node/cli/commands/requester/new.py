"""job new: a commented spec, made of a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.options import DecimalMark, Encoding, Here, Separator
from node.console.failure import Failure
from node.control.codes import Exit


def job_new(
    file: Annotated[Path, Parameter(help="A table like owners': any file that `data add` takes.")],
    *,
    session: Here,
    target: Annotated[
        str | None, Parameter(help="The column to predict; default: guessed, and said.")
    ] = None,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="Where to put the spec.")] = Path(
        "job.toml"
    ),
    force: Annotated[bool, Parameter(help="Replace the file if it exists.")] = False,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
) -> int:
    """Write a job's spec, with comments, for a table like those that owners have.

    Columns become features with ranges and words. These are proposals: declare what you know of the
    population, not what this one file shows, because a posted spec is public. Nothing is sent.
    """
    from node.data.reading import declared
    from node.work.files import asked

    reading = declared(separator, decimal, encoding)
    exists = Failure(
        Exit.USAGE, f"{out} exists", next_="the same command with --force", field="out"
    )
    if out.exists() and not force:
        raise exists
    found = in_worker(asked.propose_job, file.absolute(), reading, target, str(out))
    try:
        with out.open("w" if force else "x", encoding="utf-8") as written:
            written.write(found.text)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        text = f"{out} cannot be written: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="out") from None
    result = dataclasses.asdict(found) | {"out": str(out)}
    session.emit(result, model_views.proposed(result))
    return Exit.OK
