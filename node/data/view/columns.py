"""What stands in a data set's columns: kinds, gaps, ranges, words.

One column is in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from node.data.cells import GAPS, kinds, numbers_of
from node.data.maps.declared import decode_map
from node.data.maps.mapped import mapped, spelt
from node.data.table import Marks, Numbers, Table, read_table

if TYPE_CHECKING:
    import polars as pl

#: Columns of one answer, and words of a column: what a person reads.
SHOWN_COLUMNS: Final = 256
_SHOWN_WORDS: Final = 12
_WORD_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """A column as jobs see it; `column` is its name in the file.

    `kind` is 'number', 'text', 'image', or the kind that nothing here can use. `gaps` are cells
    that are empty or spelt as people write a gap. `low` and `high` are over cells that are numbers,
    NaN where there is none. `words` are the commonest cells with their counts, of `distinct` in
    all.
    """

    column: str
    name: str
    kind: str
    gaps: int
    numbers: int
    low: float
    high: float
    distinct: int
    words: tuple[tuple[str, int], ...]


def columns_of(copy: Path, renames: str) -> tuple[Seen, ...]:
    """The first `SHOWN_COLUMNS` columns of the copy, in the file's order, under a column map.

    Raises `FatalError` for a copy that is gone or damaged.
    """
    columns = decode_map(renames)
    order = read_table(copy, frozenset()).order
    found = []
    for column in order[:SHOWN_COLUMNS]:
        table = read_table(copy, frozenset([column]))
        alone = Table(
            table.file,
            table.unit,
            table.lines,
            table.numbers,
            table.texts,
            (column,),
            {column: table.other[column]} if column in table.other else {},
            table.marks,
            images=table.images,
        )
        found.append(_seen(column, mapped(alone, columns)))
    return tuple(found)


def _seen(column: str, table: Table) -> Seen:
    name = table.order[0]
    if name in table.other:
        return Seen(column, name, table.other[name], 0, 0, np.nan, np.nan, 0, ())
    if (images := table.images.get(name)) is not None:
        gone = images.null_count()
        return Seen(column, name, "image", gone, 0, np.nan, np.nan, images.n_unique(), ())
    text = table.texts.get(name)
    if text is None:
        values = table.numbers[name]
        text = spelt(values, Marks.PLAIN).str.strip_suffix(".0")
    else:
        values = numbers_of(text, table.marks)
    known = values[np.isfinite(values)]
    counts = _counts(text)
    return Seen(
        column,
        name,
        dict(kinds(table))[name],
        int(text.is_null().sum()) + int(text.is_in(GAPS).sum()),
        len(known),
        *_range(known),
        counts.height,
        tuple(
            (word[:_WORD_CHARACTERS], count)
            for word, count in counts.head(_SHOWN_WORDS).iter_rows()
        ),
    )


def _counts(text: pl.Series) -> pl.DataFrame:
    """Cells that are not empty, each once, with how often it stands there; the commonest first."""
    filled = text.drop_nulls().alias("word").value_counts()
    return filled.sort(["count", "word"], descending=[True, False])


def _range(known: Numbers) -> tuple[float, float]:
    return (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)
