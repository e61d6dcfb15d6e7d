"""job new: a commented spec, made of a table or of an owner's card."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.options import DecimalMark, Encoding, Here, Separator
from node.console.failure import Failure
from node.console.show import Part
from node.control.codes import Exit


def job_new(
    file: Annotated[
        Path | None, Parameter(help="A table like owners': any file that `data add` takes.")
    ] = None,
    *,
    session: Here,
    card: Annotated[
        str | None, Parameter(help="In place of FILE: a card's id, or its beginning.")
    ] = None,
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

    With --card a known card of a dataset (`assay offers`) stands in for the table: it gives
    columns, purpose and price, and ranges are left to declare. That asks the daemon.
    """
    of_table = (target, separator, decimal, encoding)
    if (file is None) == (card is None) or (card is not None and any(of_table)):
        text = "give either FILE, with its options, or --card CARD"
        raise Failure(Exit.USAGE, text, next_="assay job new --help", field="file")
    exists = Failure(
        Exit.USAGE, f"{out} exists", next_="the same command with --force", field="out"
    )
    if out.exists() and not force:
        raise exists
    if file is None:
        text = str(session.call("offer.show", {"card": (card or "").lower()})["spec"])
        result = {"out": str(out)}
        lines: list[Part] = [
            f"wrote {out}",
            f"next: declare its ranges, then: assay job check {out}",
        ]
    else:
        from node.data.reading import declared
        from node.work.files import asked

        reading = declared(separator, decimal, encoding)
        found = in_worker(asked.propose_job, file.absolute(), reading, target, str(out))
        text, result = found.text, dataclasses.asdict(found) | {"out": str(out)}
        lines = model_views.proposed(result)
    try:
        with out.open("w" if force else "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        text = f"{out} cannot be written: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="out") from None
    session.emit(result, lines)
    return Exit.OK
