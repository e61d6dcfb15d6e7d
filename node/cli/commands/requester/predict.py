"""predict: a model's predictions for the rows of a file: a local one's, or bought."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.commands.sale import buying
from node.cli.options import (
    DecimalMark,
    Encoding,
    Header,
    Here,
    Images,
    Names,
    Separator,
    Yes,
    reading_options,
)
from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.console.session import Session


def predict(
    model: Annotated[
        str, Parameter(help="A job, the .npz of `model get`, or an offer of `assay offers`.")
    ],
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
    budget: Annotated[
        str | None, Parameter(help="Of an offer: the most to spend now, '0.01 ether'.")
    ] = None,
    yes: Yes = False,
    force: Annotated[bool, Parameter(help="Replace the file if it exists.")] = False,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
    header: Header = None,
    names: Names = None,
    images: Images = None,
) -> int:
    """Predict for every row of a file, into a CSV: prediction, and each class's probability.

    Cells are read as owners' cells were for training. A row that training could not have used has
    an empty prediction, and is counted. A sealed model's outputs are scores, no probabilities.

    An offer's predictions are bought: its seller sees no row, and you see no weight. Each answer is
    paid once it is here; the same command goes on where it was, and buys no row twice.

    An .npz needs no daemon. Of a job the daemon writes its model first, and opens a sealed one with
    the key that it holds.
    """
    from node.data.reading import declared, split_names
    from node.work.files import asked

    reading = declared(
        separator, decimal, encoding, header, split_names(names), split_names(images)
    )
    target = (out or Path(f"{_stem(file)}-predicted.csv")).absolute()
    if target.exists() and not force:
        text = f"{target} exists"
        raise Failure(Exit.USAGE, text, next_="the same command with --force", field="out")
    if budget is not None or _is_offer(model, session):
        if round_ is not None:
            raise Failure(Exit.USAGE, "an offer is of one model", field="round")
        given = reading_options(separator, decimal, encoding, header, names, images)
        return buying.buy(session, model, file, target, budget, yes, force, given)
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


def _is_offer(given: str, session: Session) -> bool:
    """Whether an id is an offer's and no job's. Raises Failure where it is both."""
    bare = given.lower().removeprefix("0x")
    if os.sep in given or given.endswith(".npz") or Path(given).is_file():
        return False
    if len(bare) < 4 or set(bare) - set("0123456789abcdef"):
        return False
    jobs = any(each["job"].startswith("0x" + bare) for each in session.call("jobs"))
    try:
        offers = session.call("sale.offers", {"ask": not jobs})["offers"]
    except Failure:
        return False  # a home without the contract that pays
    found = any(each["offer"].startswith("0x" + bare) for each in offers)
    if found and jobs:
        raise Failure(
            Exit.USAGE, f"a job and an offer begin with {given}: give more of it", field="model"
        )
    return found


def _model_file(given: str, round_: int | None, session: Session) -> Path:
    """The .npz; what has a slash or ends so is a file, since no job's id does."""
    if os.sep in given or given.endswith(".npz") or Path(given).is_file():
        if round_ is not None:
            text = "a file is of one round; --round is for a job"
            raise Failure(Exit.USAGE, text, field="round")
        return Path(given).absolute()
    return Path(session.call("model.get", {"job": given, "round": round_})["path"])
