"""Files into tables: CSV, Parquet and .npz. Runs in workers; polars is imported only here.

A file is the local user's own, but it may be anything: limits hold before memory is taken, and
every refusal is an `InputError` that names file, line and column. Nothing about a file's content
leaves this node: messages are for the user's eyes, never for a peer's.
"""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from node.data.table import Integers, Numbers, Table
from protocol import params
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: How many names an error lists before it counts the rest.
_SHOWN: Final = 20
_PIECE_BYTES: Final = 1024 * 1024


def read_file(path: Path) -> Table:
    """The table in `path`, whose suffix says what it is. Raises `InputError`."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path.name} is none of {', '.join(_READERS)}", "data")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InputError(f"{path} is not a file", "data")
        if size > params.MAX_DATASET_FILE_BYTES:
            raise InputError(
                f"{path.name} has {size} bytes; {params.MAX_DATASET_FILE_BYTES} are allowed", "data"
            )
        table = reader(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", "data") from error
    if table.rows == 0:
        raise InputError(f"{path.name} has no rows", "data")
    if not (table.numbers or table.texts):
        raise InputError(f"{path.name} has no column of numbers or text", "data")
    return table


def check_names(file: str, names: Sequence[str]) -> None:
    """Raise `InputError` unless column names are there, distinct and not too many."""
    if not names:
        raise InputError(f"{file} has no columns", "data")
    if len(names) > params.MAX_DATASET_COLUMNS:
        raise InputError(
            f"{file} has {len(names)} columns; {params.MAX_DATASET_COLUMNS} are allowed", "data"
        )
    for place, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{file}: column {place} has no name", "data")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{file} has more than one column named {name_list(twice)}", "data")


def check_size(file: str, rows: int, columns: int) -> None:
    """Raise `InputError` if a table would be larger than is allowed."""
    if rows > params.MAX_DATASET_ROWS:
        raise InputError(f"{file} has {rows} rows; {params.MAX_DATASET_ROWS} are allowed", "data")
    if rows * columns > params.MAX_DATASET_CELLS:
        raise InputError(
            f"{file} has {rows} rows of {columns} columns; "
            f"{params.MAX_DATASET_CELLS} cells are allowed",
            "data",
        )


def name_list(names: Sequence[str]) -> str:
    """Names for a message, in quotes, cut after some."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


# CSV (RFC 4180, UTF-8, a header line)


def _read_csv(path: Path) -> Table:
    import polars as pl

    file = path.name
    names, header_lines = _csv_header(path)
    check_names(file, names)
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise InputError(f"{file} is separated by something else; a comma is needed", "data")
    line_breaks, quoted = _count_lines(path)
    check_size(file, line_breaks, len(names))
    try:
        frame = pl.read_csv(path, infer_schema=False, glob=False)
    except pl.exceptions.PolarsError as error:
        raise _csv_fault(path, len(names), error) from error
    if frame.width != len(names):
        raise InputError(f"{file}: the header cannot be read; quote it as RFC 4180 says", "data")
    frame.columns = names
    lines = np.arange(frame.height, dtype=np.int64) + header_lines + 1
    if quoted:
        # A quoted cell may hold line breaks: every row below stands that much lower.
        breaks = frame.select(
            pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0))
        ).to_series()
        lines[1:] += np.cumsum(breaks.to_numpy().astype(np.int64))[:-1]
    # Blank lines, at the end above all, are no rows.
    filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
    return _frame_table(file, "line", frame.filter(filled), lines[filled.to_numpy()], {})


def _csv_header(path: Path) -> tuple[list[str], int]:
    """The header's names, and how many lines it takes."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_bounded_lines(path.name, file), strict=True)
            # Cells lose the blanks around them too.
            return [name.strip() for name in next(reader, [])], reader.line_num
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except csv.Error as error:
        raise InputError(f"{path.name}: the header cannot be read: {error}", "data") from error


def _bounded_lines(name: str, file: IO[str]) -> Iterator[str]:
    """Lines of a header; `InputError` before a file without any line break fills the memory."""
    left = params.MAX_HEADER_BYTES
    while line := file.readline(left + 1):
        left -= len(line)
        if left < 0:
            raise InputError(
                f"{name}: the header is longer than {params.MAX_HEADER_BYTES} bytes", "data"
            )
        yield line


def _count_lines(path: Path) -> tuple[int, bool]:
    """Line breaks (there are at least as many as rows), and whether anything is quoted."""
    breaks, quoted = 0, False
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            breaks += piece.count(b"\n")
            quoted = quoted or b'"' in piece
    return breaks, quoted


def _csv_fault(path: Path, columns: int, error: Exception) -> InputError:
    """polars does not say in which line a fault is: find it. Only for files that it refused."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                for cells in reader:
                    if len(cells) > columns:
                        return InputError(
                            f"{path.name}, line {reader.line_num}: {len(cells)} cells, "
                            f"the header names {columns}",
                            "data",
                        )
            except csv.Error as fault:
                return InputError(f"{path.name}, line {reader.line_num}: {fault}", "data")
    except UnicodeDecodeError:
        return InputError(
            f"{path.name}, line {_not_utf8(path)}: not UTF-8; save it as such", "data"
        )
    return InputError(f"{path.name}: {str(error).splitlines()[0]}", "data")


def _not_utf8(path: Path) -> InputError:
    """Names the first line that is no UTF-8."""
    line = 1
    with path.open("rb") as file:
        for content in file:
            try:
                content.decode()
            except UnicodeDecodeError:
                break
            line += 1
    return InputError(f"{path.name}, line {line}: not UTF-8; save it as such", "data")


# Parquet


def _read_parquet(path: Path) -> Table:
    import polars as pl

    try:
        scan = pl.scan_parquet(path, glob=False)
        schema = scan.collect_schema()
        check_names(path.name, schema.names())
        check_size(path.name, int(scan.select(pl.len()).collect().item()), len(schema))
        usable = [name for name, kind in schema.items() if _usable(kind)]
        frame = scan.select(usable).collect()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path.name}: {str(error).splitlines()[0]}", "data") from error
    other = {name: str(kind) for name, kind in schema.items() if name not in usable}
    lines = np.arange(1, frame.height + 1, dtype=np.int64)
    table = _frame_table(path.name, "row", frame, lines, other)
    return Table(
        table.file, "row", table.lines, table.numbers, table.texts, tuple(schema.names()), other
    )


def _usable(kind: pl.DataType) -> bool:
    import polars as pl

    return kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)


def _frame_table(
    file: str, unit: str, frame: pl.DataFrame, lines: Integers, other: dict[str, str]
) -> Table:
    """Columns of floats become numbers, all others text: whole numbers and booleans as they are
    written."""
    import polars as pl

    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    for column in frame.iter_columns():
        if column.dtype.is_float():
            numbers[column.name] = _floats(column)
        else:
            texts[column.name] = _cells(column.cast(pl.String))
    return Table(file, unit, lines, numbers, texts, tuple(frame.columns), other)


def _cells(column: pl.Series) -> pl.Series:
    """Text without the blanks around it. An empty cell in quotes is as empty as one without."""
    import polars as pl

    stripped = pl.col("cells").str.strip_chars()
    filled = pl.when(stripped != "").then(stripped)
    return column.alias("cells").to_frame().select(filled).to_series()


def _floats(column: pl.Series) -> Numbers:
    import polars as pl

    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


# .npz: arrays of one dimension are columns, those of two a column each: x becomes x0, x1, …


def _read_npz(path: Path) -> Table:
    import polars as pl

    file = path.name
    shapes = _npz_shapes(path)
    names: list[str] = []
    for name, shape in shapes.items():
        names += [name] if len(shape) == 1 else [f"{name}{index}" for index in range(shape[1])]
    check_names(file, names)
    heights = {shape[0] for shape in shapes.values()}
    if len(heights) > 1:
        raise InputError(f"{file}: arrays have different numbers of rows: {shapes}", "data")
    rows = heights.pop()
    check_size(file, rows, len(names))
    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            for name, shape in shapes.items():
                array = stored[name]
                columns = [(name, array)]
                if len(shape) == 2:
                    columns = [(f"{name}{index}", array[:, index]) for index in range(shape[1])]
                for each, column in columns:
                    if array.dtype.kind == "f":
                        numbers[each] = column.astype(np.float64)
                    else:
                        texts[each] = _cells(pl.Series(column).cast(pl.String))
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is damaged: {error}", "data") from error
    return Table(file, "row", np.arange(1, rows + 1, dtype=np.int64), numbers, texts, tuple(names))


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes as the headers give them: so the arrays' memory is known before they are read."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if len(members) > params.MAX_DATASET_COLUMNS:
                raise InputError(f"{path.name} holds {len(members)} arrays", "data")
            for member in members:
                name = member.removesuffix(".npy")
                with archive.open(member) as opened:
                    shape, kind = _npy_header(opened)
                _check_array(path.name, name, shape, kind)
                shapes[name] = shape
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path.name} is no .npz of plain arrays: {error}", "data") from error
    return shapes


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    major, _ = np.lib.format.read_magic(file)
    read: Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, kind = read(file)
    return shape, kind


def _check_array(file: str, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    if kind.kind not in "fiubU":
        raise InputError(f"{file}: array {name!r} is of {kind}; numbers or text needed", "data")
    if len(shape) not in ((1,) if kind.kind == "U" else (1, 2)):
        allowed = "1 is" if kind.kind == "U" else "1 or 2 are"
        raise InputError(
            f"{file}: array {name!r} has {len(shape)} dimensions; {allowed} allowed", "data"
        )
    columns = shape[1] if len(shape) == 2 else 1
    check_size(file, shape[0], columns)
    if columns > params.MAX_DATASET_COLUMNS:
        raise InputError(
            f"{file}: array {name!r} has {columns} columns; "
            f"{params.MAX_DATASET_COLUMNS} are allowed",
            "data",
        )
    cell = max(kind.itemsize, 1)
    if shape[0] * columns * cell > 8 * params.MAX_DATASET_CELLS:
        raise InputError(f"{file}: array {name!r} has cells of {cell} bytes; too many", "data")


_READERS: Final[dict[str, Callable[[Path], Table]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}
