"""A model's predictions for a table's rows. Runs in a worker.

Cells are read as training reads them, one by one. A row that training could not use has an empty
prediction, and is counted. The file is held as its reader holds it; inputs, scores and text are
made for some thousand rows at a time, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from node.data.matrix import input_rows
from node.work import tasks
from node.work.embedding import Encoders, opened
from node.work.files.stored_model import StoredModel
from protocol.arith.learning import models
from protocol.arith.learning.models import Family
from protocol.spec.parts import NumberTarget

if TYPE_CHECKING:
    import polars as pl

    from node.data.table import Table
    from protocol.arith.learning.models import Floats

#: Numbers that are in memory beside the file: inputs of the rows of one step.
_CELLS: Final = 2 * 1024 * 1024
_MOST_ROWS: Final = 65_536


def write_predictions(
    written: IO[bytes], stored: StoredModel, table: Table, encoders: Encoders | None = None
) -> tuple[int, str, tuple[str, ...]]:
    """Write them as CSV: how many rows have none, why the first has none, and the columns.

    `encoders`: where the one that the model may have been trained on is. Raises InputError where it
    is not there.
    """
    unused, why = 0, ""
    columns: tuple[str, ...] = ()
    for frame, missing, reason in predictions(stored, table, encoders):
        frame.write_csv(written, include_header=not columns)
        columns = tuple(frame.columns)
        unused, why = unused + missing, why or reason
    return unused, why, columns


def predictions(
    stored: StoredModel, table: Table, encoders: Encoders | None = None
) -> Iterator[tuple[pl.DataFrame, int, str]]:
    """Predictions of some rows at a time, in the file's order: a frame, how many of its rows have
    no prediction, and why the first has none."""
    import polars as pl

    terms = stored.terms
    step = max(1, min(_MOST_ROWS, _CELLS // max(terms.inputs, terms.feature_count)))
    with opened(encoders, table.rows) as embed:
        for start in range(0, table.rows, step):
            part = table.part(start, start + step)
            rows = input_rows(part, terms.features, terms.beyond, embed)
            told: dict[str, object] = {table.unit: part.lines}
            told |= _columns(stored, stored.scores(rows.features))
            empty = [
                pl.when(pl.Series(~rows.unused)).then(pl.col(name)).alias(name)
                for name in told
                if name != table.unit
            ]
            yield pl.DataFrame(told).with_columns(empty), int(rows.unused.sum()), rows.why


def _columns(stored: StoredModel, scores: Floats) -> dict[str, object]:
    """The prediction, and for classes what each of them has: a probability, or a sealed model's
    score. A sealed model is not trained by cross entropy, so that its scores make none."""
    terms, target = stored.terms, stored.terms.target
    if isinstance(target, NumberTarget):
        return {"prediction": target.low + (target.high - target.low) * scores[:, 0]}
    logistic = terms.model.family.value == Family.LOGISTIC
    place = (scores[:, 0] > 0.0).astype(int) if logistic else scores.argmax(axis=1)
    told: dict[str, object] = {"prediction": np.array(target.classes)[place]}
    if terms.privacy.sealed:
        named = target.classes[1:] if logistic else target.classes
        return told | {f"score_{name}": scores[:, k] for k, name in enumerate(named)}
    shares = models.link(tasks.model_of(terms), scores)
    if logistic:
        shares = np.hstack([1.0 - shares, shares])
    return told | {f"probability_{name}": shares[:, k] for k, name in enumerate(target.classes)}
