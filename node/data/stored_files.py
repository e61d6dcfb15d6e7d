"""Files that store types: Parquet, Arrow (Feather) and Excel's .xlsx, into tables."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from node.data.cells import numbers_of
from node.data.frames import frame_table
from node.data.headers import column_names
from node.data.limits import INDEX_SAID, check_names, check_size, name_list
from node.data.reading import Reading
from node.data.table import Table
from protocol import params
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: What pandas calls an index without a name.
_PANDAS_INDEX: Final = "__index_level_0__"


def read_parquet(path: Path) -> Table:
    import polars as pl

    return _scanned(path, lambda: pl.scan_parquet(path, glob=False))


def read_arrow(path: Path) -> Table:
    import polars as pl

    return _scanned(path, lambda: pl.scan_ipc(path))


def _scanned(path: Path, scanned: Callable[[], pl.LazyFrame]) -> Table:
    import polars as pl

    try:
        scan = scanned()
        schema = scan.collect_schema()
        names = [name for name in schema.names() if name != _PANDAS_INDEX]
        check_names(path.name, names)
        check_size(path.name, int(scan.select(pl.len()).collect().item()), len(names))
        usable = [name for name in names if _usable(schema[name])]
        frame = scan.select(usable).collect()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path.name}: {str(error).splitlines()[0]}", "data") from error
    other = {name: str(schema[name]) for name in names if name not in usable}
    lines = np.arange(1, frame.height + 1, dtype=np.int64)
    table = frame_table(path.name, "row", frame, lines)
    notes = [INDEX_SAID] if len(names) < len(schema) else []
    if other:
        kinds = ", ".join(sorted(set(other.values()))[:5])
        notes.append(f"no job can use {name_list(list(other))}, of kind {kinds}")
    return dataclasses.replace(table, order=tuple(names), other=other, notes=tuple(notes))


def _usable(kind: pl.DataType) -> bool:
    import polars as pl

    # A column without any value has the kind Null, and another once one row has one.
    words = (
        pl.Null,
        pl.Boolean,
        pl.String,
        pl.Binary,
        pl.Categorical,
        pl.Enum,
        pl.Date,
        pl.Datetime,
        pl.Time,
    )
    return kind.is_numeric() or kind in words


def read_excel(path: Path, reading: Reading) -> Table:
    """The first sheet. Every cell is taken as text, because a type that is found for a whole column
    would let one row change the others."""
    import fastexcel
    import polars as pl

    file = path.name
    _check_unpacked(path)
    try:
        book = fastexcel.read_excel(path)
        sheet = book.load_sheet(0, header_row=None, dtypes="string", skip_rows=0)
        check_size(file, sheet.height, sheet.width)
        frame = sheet.to_polars()
        values = book.load_sheet(0, header_row=None, dtypes="float", skip_rows=0).to_polars()
    except fastexcel.FastExcelError as error:
        raise InputError(f"{file}: {str(error).splitlines()[0]}", "data") from error
    if not frame.height:
        raise InputError(f"{file} is empty: its first sheet has no columns", "data")
    frame = pl.DataFrame([_exact(*both) for both in zip(frame, values, strict=True)])
    cells = [(cell or "").strip() for cell in frame.row(0)]
    names, above, said = column_names(f"{file}, row 1", cells, reading)
    notes = list(said)
    if above and names[0] == "" and len(names) > 1:
        notes.append(INDEX_SAID)
        frame, names = frame[:, 1:], names[1:]
    check_names(file, names)
    frame.columns = names
    frame = frame[1:] if above else frame
    filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
    lines = np.arange(frame.height, dtype=np.int64)[filled.to_numpy()] + (2 if above else 1)
    if len(book.sheet_names) > 1:
        notes.append(f"its first sheet, {book.sheet_names[0]!r}, was read, and no other")
    table = frame_table(file, "row", frame.filter(filled), lines)
    return dataclasses.replace(table, notes=tuple(notes))


def _exact(cells: pl.Series, values: pl.Series) -> pl.Series:
    """Cells of text with all digits of those that are stored as numbers: the text of a number has
    at most nine behind the point, as a person sees it, and 1e-12 is 0 by it.

    What is stored as text is the same number in both, or none.
    """
    import polars as pl

    cells, values = cells.cast(pl.String), values.cast(pl.Float64)  # neither of a kind: empty
    stored, seen = values.fill_null(np.nan).to_numpy(), numbers_of(cells)
    cut = np.isfinite(stored) & np.isfinite(seen) & (stored != seen)
    return values.cast(pl.String).zip_with(pl.Series(cut), cells).alias(cells.name)


def _check_unpacked(path: Path) -> None:
    """A small .xlsx may hold very much: its own list says how much, before any is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{path.name} is no .xlsx ({error}); if it is text, call it .csv", "data"
        ) from error
    if size > params.MAX_DATASET_FILE_BYTES:
        raise InputError(
            f"{path.name} holds {size} bytes; {params.MAX_DATASET_FILE_BYTES} are allowed", "data"
        )
