"""polars' frames into tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.data.table import Integers, Numbers, Table

if TYPE_CHECKING:
    import polars as pl


def frame_table(file: str, unit: str, frame: pl.DataFrame, lines: Integers) -> Table:
    """Columns of floats become numbers, all others text: whole numbers and booleans as they are
    written."""
    import polars as pl

    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    for column in frame.iter_columns():
        if column.dtype.is_float():
            numbers[column.name] = _floats(column)
        else:
            texts[column.name] = cells_of(column.cast(pl.String))
    return Table(file, unit, lines, numbers, texts, tuple(frame.columns))


def cells_of(column: pl.Series) -> pl.Series:
    """Text without the blanks around it. An empty cell in quotes is as empty as one without."""
    import polars as pl

    stripped = pl.col("cells").str.strip_chars()
    filled = pl.when(stripped != "").then(stripped)
    return column.alias("cells").to_frame().select(filled).to_series()


def _floats(column: pl.Series) -> Numbers:
    import polars as pl

    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
