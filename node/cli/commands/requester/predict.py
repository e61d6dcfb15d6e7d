"""predict: a model's predictions for the rows of a file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.options import DecimalMark, Encoding, Header, Here, Names, Separator
from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.console.session import Session


def predict(
    model: Annotated[str, Parameter(help="A job, or the .npz of `model get`.")],
    file: Annotated[Path, Parameter(help="Rows to predict for: any file that `data add` takes.")],
    *,
    session: Here,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="Where to put it; default: FILE-predicted.csv, here."),
    ] = None,
    round_: Annotated[
        int | None, Parameter(name="--round", help="Of a job: the model after so many rounds.")
    ] = None,
    force: Annotated[bool, Parameter(help="Replace the file if it exists.")] = False,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
    header: Header = None,
    names: Names = None,
) -> int:
    """Predict for every row of a file, into a CSV: prediction, and each class's probability.

    Cells are read as owners' cells were for training. A row that training could not have used has
    an empty prediction, and is counted. A sealed model's outputs are scores, no probabilities.

    An .npz needs no daemon. Of a job the daemon writes its model first, and opens a sealed one with
    the key that it holds.
    """
    from node.data.reading import declared, split_names
    from node.work.files import asked

    reading = declared(separator, decimal, encoding, header, split_names(names))
    target = (out or Path(f"{_stem(file)}-predicted.csv")).absolute()
    if target.exists() and not force:
        text = f"{target} exists"
        raise Failure(Exit.USAGE, text, next_="the same command with --force", field="out")
    source = _model_file(model, round_, session)
    found = in_worker(
        asked.predict, source, file.absolute(), reading, target, force, session.home.blobs
    )
    result = dataclasses.asdict(found) | {"out": str(target), "model": str(source)}
    session.emit(result, model_views.predicted(result))
    return Exit.OK


def _stem(file: Path) -> str:
    """A file's name without what says its kind: 'ward' of 'ward.csv.gz'."""
    return file.name.split(".", 1)[0] or "rows"


def _model_file(given: str, round_: int | None, session: Session) -> Path:
    """The .npz; what has a slash or ends so is a file, since no job's id does."""
    if os.sep in given or given.endswith(".npz") or Path(given).is_file():
        if round_ is not None:
            text = "a file is of one round; --round is for a job"
            raise Failure(Exit.USAGE, text, field="round")
        return Path(given).absolute()
    return Path(session.call("model.get", {"job": given, "round": round_})["path"])
