"""job new: a commented spec, made of a table or of a card."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.commands.cards import spec_from_card
from node.cli.options import DecimalMark, Encoding, Header, Here, Names, Separator
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit


def job_new(
    file: Annotated[
        Path | None, Parameter(help="A table like owners': any file that `data add` takes.")
    ] = None,
    *,
    session: Here,
    card: Annotated[
        str | None, Parameter(help="In place of a file: a card's id, or its beginning.")
    ] = None,
    target: Annotated[
        str | None, Parameter(help="The column to predict; default: guessed, and said.")
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"],
            help="Where to put the spec; default: job.toml, and of a card it is shown.",
        ),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace the file if it exists.")] = False,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
    header: Header = None,
    names: Names = None,
) -> int:
    """Write a job's spec, with comments, for a table like those that owners have, or from a card.

    Columns become features with ranges and words. These are proposals: declare what you know of the
    population, not what this one file shows, because a posted spec is public. Nothing is sent.
    """
    if (file is None) is (card is None):
        text = "give either a file, or --card with a card's id"
        raise Failure(Exit.USAGE, text, next_="assay job new --help", field="file")
    if card is not None:
        return _of_card(session, card, out, force)
    from node.data.reading import declared, split_names
    from node.work.files import asked

    reading, target_file = (
        declared(separator, decimal, encoding, header, split_names(names)),
        out or Path("job.toml"),
    )
    _check_free(target_file, force)
    path = Path(file or "").absolute()
    found = in_worker(asked.propose_job, path, reading, target, str(target_file))
    _write(target_file, found.text, force)
    result = dataclasses.asdict(found) | {"out": str(target_file)}
    session.emit(result, model_views.proposed(result))
    return Exit.OK


def _of_card(session: Session, card: str, out: Path | None, force: bool) -> int:
    text = spec_from_card(session, card)
    if out is None:
        session.emit({"spec": text}, text.splitlines())
        return Exit.OK
    _check_free(out, force)
    _write(out, text, force)
    lines = [f"wrote {out}", f"next: declare its ranges, then: assay job check {out}"]
    session.emit({"out": str(out)}, lines)
    return Exit.OK


def _check_free(out: Path, force: bool) -> None:
    if out.exists() and not force:
        next_ = "the same command with --force"
        raise Failure(Exit.USAGE, f"{out} exists", next_=next_, field="out")


def _write(out: Path, text: str, force: bool) -> None:
    try:
        with out.open("w" if force else "x", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        reason = f"{out} cannot be written: {error.strerror}"
        raise Failure(Exit.USAGE, reason, field="out") from None
