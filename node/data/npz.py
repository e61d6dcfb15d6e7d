"""NumPy's .npz into tables: limits hold by the arrays' headers, before arrays take memory.

Arrays of one dimension are columns, those of two a column each: x becomes x0, x1, and so on.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from node.data.frames import cells_of
from node.data.limits import check_names, check_size
from node.data.table import Numbers, Table
from protocol import params
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def read_npz(path: Path) -> Table:
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
                        texts[each] = cells_of(pl.Series(column).cast(pl.String))
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
                    shape, kind = npy_header(opened)
                _check_array(path.name, name, shape, kind)
                shapes[name] = shape
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path.name} is no .npz of plain arrays: {error}", "data") from error
    return shapes


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """An array's shape and type, as the head of its .npy says. Raises ValueError, EOFError."""
    major, _ = np.lib.format.read_magic(file)
    read: Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, kind = read(file)
    return shape, kind


def _check_array(file: str, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    if kind.kind not in "fiubU":
        error = InputError(
            f"{file}: array {name!r} is of {kind}; numbers or text needed, as .astype(str) makes "
            "of words",
            "data",
        )
        raise _pictured(error) if kind.kind in "SV" else error
    if len(shape) not in ((1,) if kind.kind == "U" else (1, 2)):
        allowed = "1 is" if kind.kind == "U" else "1 or 2 are"
        error = InputError(
            f"{file}: array {name!r} has {len(shape)} dimensions; {allowed} allowed", "data"
        )
        raise _pictured(error) if len(shape) in (3, 4) else error
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


def _pictured(error: InputError) -> InputError:
    """An array that may hold pictures: they are read of files that a column of paths names, and as
    bytes of a Parquet file, never of arrays."""
    error.add_note("for pictures, a table of their paths: assay data add NAME FILE --images COLUMN")
    return error
