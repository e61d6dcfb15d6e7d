"""A data set's copy as its owner's column map has jobs see it. Runs in workers.

Each cell by itself: nothing of its column or of other rows decides what it becomes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from node.data.cells import number_places, numbers_of, text_places
from node.data.maps.declared import ColumnMap, Renamed, decode_map
from node.data.table import Marks, Numbers, Table, read_table
from protocol.spec.words import number_of

if TYPE_CHECKING:
    import polars as pl


def read_mapped(copy: Path, renames: str, wanted: frozenset[str] | None = None) -> Table:
    """The copy at `copy` under a map (its canonical text), with `wanted` columns only (None: all),
    which are named as jobs name them. Raises what `read_table` does."""
    columns = decode_map(renames)
    if wanted is None:
        return mapped(read_table(copy), columns)
    sources = (columns.column_of(name) for name in wanted)
    return mapped(read_table(copy, frozenset(each for each in sources if each)), columns)


def mapped(table: Table, columns: ColumnMap) -> Table:
    """The table as jobs see it. Raises `InputError` if two columns would have one name."""
    if not columns.columns:
        return table
    present = set(table.order)
    columns = ColumnMap(tuple(each for each in columns.columns if each.column in present))
    order = columns.names(table.order)
    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    images: dict[str, pl.Series] = {}
    for column, name in zip(table.order, order, strict=True):
        said = columns.of(column)
        if column in table.texts:
            texts[name] = _text(table.texts[column], said, table.marks)
        elif column in table.numbers and said.words:
            texts[name] = _named(table.numbers[column], said, table.marks)
        elif column in table.numbers:
            numbers[name] = _scaled(table.numbers[column], said)
        elif column in table.images:
            images[name] = table.images[column]
    other = {columns.of(column).name: kind for column, kind in table.other.items()}
    return dataclasses.replace(
        table, numbers=numbers, texts=texts, images=images, order=order, other=other
    )


def _scaled(values: Numbers, said: Renamed) -> Numbers:
    if said.hundredths:
        return values / 100.0
    if not said.scales:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        return values * said.multiply + said.offset


def _text(cells: pl.Series, said: Renamed, marks: Marks) -> pl.Series:
    import polars as pl

    if said.words:
        words = [word for word, _ in said.words]
        valued = any(number_of(word) is not None for word in words)
        places = text_places(cells, words, numbers_of(cells, marks) if valued else None)
        return _replaced(cells, places, said)
    if not said.scales:
        return cells
    bare = cells
    if said.hundredths:
        bare = cells.str.strip_suffix("%").str.strip_chars_end()
    numbers = numbers_of(bare, marks)
    known = pl.Series(np.isfinite(numbers))
    return spelt(_scaled(numbers, said), marks).zip_with(known, cells)


def _named(values: Numbers, said: Renamed, marks: Marks) -> pl.Series:
    places = number_places(values, [word for word, _ in said.words])
    return _replaced(spelt(values, marks), places, said)


def _replaced(cells: pl.Series, places: np.ndarray, said: Renamed) -> pl.Series:
    """Cells that have a place among the map's words become that pair's second."""
    import polars as pl

    become = pl.Series([to or None for _, to in said.words], dtype=pl.String)
    found = become.gather(pl.Series(np.maximum(places, 0)))
    return found.zip_with(pl.Series(places >= 0), cells)


def spelt(values: Numbers, marks: Marks) -> pl.Series:
    """Numbers in the shortest decimal text that gives them back, with the file's mark; null for
    NaN."""
    import polars as pl

    text = pl.Series(values).fill_nan(None).cast(pl.String)
    return text.str.replace(".", ",", literal=True) if marks is Marks.COMMA else text
