"""What commands ask a worker of their own for: reading a person's file, and what is made of it.

Light: a command imports it and never runs a function of it. A file is the user's own, but it may be
anything, and may be large: it is read in a process that holds no key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node.data.reading import Reading
from node.work.embedding import Encoders
from protocol.errors import InputError

if TYPE_CHECKING:
    from node.work.files.proposal import Column


@dataclass(frozen=True, slots=True)
class Predicted:
    """How many rows the file has, how many of them have no prediction, and why the first has none;
    the output's columns, and words about how the file was read."""

    rows: int
    unused: int
    why: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def predict(
    model: Path, file: Path, reading: Reading, out: Path, force: bool, packages: Path | None = None
) -> Predicted:
    """Predict for every row of `file` with the model in the .npz `model`, into `out`.

    `packages`: the blobs of this user's node, where the model's encoder is if it has one (None: a
    model with an encoder is no model here).

    `out` appears whole or not at all. Raises InputError: a model or a file that does not fit, an
    `out` that exists (unless `force`) or cannot be written.
    """
    from node.data.readers import read_file
    from node.work.files.predictions import write_predictions
    from node.work.files.stored_model import read_model

    _check_free(out, force)
    stored = read_model(model)
    encoders = Encoders(packages) if packages else None
    table = read_file(file, reading)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with part.open("xb") as written:
            unused, why, columns = write_predictions(written, stored, table, encoders)
        _check_free(out, force)
        part.replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}", "out") from error
    finally:
        part.unlink(missing_ok=True)
    return Predicted(table.rows, unused, why, columns, table.notes)


def _check_free(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise InputError(f"{out} exists; --force replaces it", "out")


@dataclass(frozen=True, slots=True)
class Proposed:
    """A spec's text; the target, and whether it was guessed; the columns that are features, and
    those that are left out with the reason; words about how the file was read."""

    text: str
    target: str
    guessed: bool
    features: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    rows: int
    notes: tuple[str, ...]


def propose_job(file: Path, reading: Reading, target: str | None, out: str) -> Proposed:
    """A commented spec made of a table. Raises InputError: the file, or a target that it lacks."""
    from node.data.readers import read_file
    from node.work.files.proposal import Kind, propose
    from node.work.files.sketch import sketch

    table = read_file(file, reading)
    columns = sketch(table)
    text, chosen = propose(columns, target, file.name, out)
    return Proposed(
        text,
        chosen,
        target is None,
        tuple(c.name for c in columns if c.kind is not Kind.OTHER and c.name != chosen),
        tuple((c.name, c.why) for c in columns if c.kind is Kind.OTHER),
        table.rows,
        table.notes,
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """A table's columns as a spec could have them; which of them is probably to be predicted; rows,
    and words about how the file was read."""

    columns: tuple[Column, ...]
    target: str
    rows: int
    notes: tuple[str, ...]


def look_at(file: Path, reading: Reading) -> Looked:
    """What a table's columns look like, for a form. Raises InputError: the file, or no column."""
    from node.data.readers import read_file
    from node.work.files.proposal import guessed
    from node.work.files.sketch import sketch

    table = read_file(file, reading)
    columns = sketch(table)
    return Looked(columns, guessed(columns, file.name), table.rows, table.notes)
