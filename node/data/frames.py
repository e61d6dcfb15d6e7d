"""polars' frames into tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.data.table import Integers, Numbers, Table

if TYPE_CHECKING:
    import polars as pl


def frame_table(
    file: str, unit: str, frame: pl.DataFrame, lines: Integers, *, bare: bool = False
) -> Table:
    """Columns of floats become numbers, those of bytes image files, all others text: whole numbers
    and booleans as they are written. `bare`: no cell of text is known to have blanks around it, or
    to be empty in quotes."""
    import polars as pl

    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    images: dict[str, pl.Series] = {}
    for column in frame.iter_columns():
        if column.dtype.is_float():
            numbers[column.name] = _floats(column)
        elif column.dtype == pl.Binary:
            empty = column.bin.size() == 0
            images[column.name] = column.set(empty, None) if empty.any() else column
        else:
            cells = column.cast(pl.String)
            texts[column.name] = cells if bare else cells_of(cells)
    return Table(file, unit, lines, numbers, texts, tuple(frame.columns), images=images)


def cells_of(column: pl.Series) -> pl.Series:
    """Text without the blanks around it. An empty cell in quotes is as empty as one without."""
    import polars as pl

    stripped = column.alias("cells").str.strip_chars()
    if not (stripped == "").any():
        return stripped
    filled = pl.when(pl.col("cells") != "").then(pl.col("cells"))
    return stripped.to_frame().select(filled).to_series()


def _floats(column: pl.Series) -> Numbers:
    import polars as pl

    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
