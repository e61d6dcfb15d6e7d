"""What a table's columns look like, for a spec that its holder is about to write.

Everything here is of the holder's own file and for its own eyes: ranges and words are proposals,
rounded outwards, and what they say of the file is the holder's to judge before it is posted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from node.data.cells import GAPS, kinds, numbers_of
from node.work.files.proposal import Column, Kind
from protocol import params

if TYPE_CHECKING:
    import polars as pl

    from node.data.table import Numbers, Table

#: More words than these are an identifier or free text, which no model takes as it is.
MOST_WORDS: Final = 50

#: Numbers of so few whole values may be classes.
MOST_CLASSES: Final = 20


def sketch(table: Table) -> tuple[Column, ...]:
    """Every column, in the file's order."""
    numeric = {name for name, kind in kinds(table) if kind == "number"}
    return tuple(_column(table, name, name in numeric) for name in table.order)


def _column(table: Table, name: str, numeric: bool) -> Column:
    if name in table.other:
        return Column(name, Kind.OTHER, why=f"is of kind {table.other[name]}, which no job can use")
    cells = table.texts.get(name)
    values = table.numbers[name] if cells is None else numbers_of(cells, table.marks)
    empty = int(np.isnan(values).sum()) if cells is None else int(cells.null_count())
    gaps = {} if cells is None else _gap_words(cells)
    if empty + sum(gaps.values()) == table.rows:
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why="is empty in every row")
    if numeric or cells is None:
        return _number(name, values[np.isfinite(values)], empty, gaps)
    return _words(name, cells, empty, gaps)


def _gap_words(cells: pl.Series) -> dict[str, int]:
    """Words that people write for a gap, with how often they stand here."""
    found = cells.filter(cells.is_in(list(GAPS))).value_counts(sort=True)
    return {str(word): int(count) for word, count in found.iter_rows()}


def _number(name: str, values: Numbers, empty: int, gaps: dict[str, int]) -> Column:
    if not len(values):
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why="has no finite number")
    low, high = float(values.min()), float(values.max())
    distinct = np.unique(values)
    whole = bool((distinct == np.floor(distinct)).all())
    counted = whole and len(distinct) == len(values) > 2
    if counted and (np.diff(values) == 1).all():
        why = "counts the rows, and says nothing of them"
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why=why)
    if low == high:
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why=f"is {low:g} in every row")
    words: tuple[str, ...] = ()
    if whole and (len(distinct) == 2 or len(distinct) <= min(MOST_CLASSES, len(values) // 3)):
        words = tuple(str(int(value)) for value in distinct)
    low, high = outwards(low, high)
    return Column(name, Kind.NUMBER, low, high, words, empty, gaps)


def outwards(low: float, high: float) -> tuple[float, float]:
    """A range of round numbers around one: steps of a power of ten, at most the tenth of its
    width, so that no single row's value stands in a spec unasked. Raises nothing: a range too
    wide for such steps stays as it is."""
    width = high - low
    if not 0.0 < width < math.inf:
        return low, high
    power = math.floor(math.log10(width))
    step = 10.0**power / (1 if width >= 5 * 10.0**power else 2)
    if not step:
        return low, high
    wider = _rounded(math.floor(low / step) * step), _rounded(math.ceil(high / step) * step)
    return wider if wider[0] <= low and high <= wider[1] else (low, high)


def _rounded(value: float) -> float:
    """Without the last bits of a multiplication: 0.30000000000000004 is 0.3."""
    return float(f"{value:.12g}")


def _words(name: str, cells: pl.Series, empty: int, gaps: dict[str, int]) -> Column:
    told = cells.drop_nulls()
    words = sorted(set(told.unique().to_list()) - set(gaps))
    if len(words) < 2:
        why = f"is {words[0]!a:.60} in every row" if words else "has no word"
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why=why)
    if len(words) > MOST_WORDS:
        why = f"has {len(words)} different words: a name, a date or free text"
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why=why)
    odd = [w for w in words if not w.isprintable() or len(w.encode()) > params.MAX_NAME_BYTES]
    if odd:
        why = f"has words that are no names, such as {odd[0]!a:.60}"
        return Column(name, Kind.OTHER, empty=empty, gaps=gaps, why=why)
    return Column(name, Kind.WORDS, words=tuple(words), empty=empty, gaps=gaps)
