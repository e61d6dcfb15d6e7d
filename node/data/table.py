"""A data set in memory and as the node's own copy: cells as the file has them.

A column of numbers is one whose file stores numbers (Parquet, .npz). Text stays text, also where it
looks like numbers: what a cell means is decided by a job's spec, cell by cell (node/data/cells.py),
never by what else stands in its column. A missing number is NaN; a missing text is null.

The copy is one .npz (docs/adr/0302): arrays of float64, and an Arrow file for each column of text.
Jobs train on it, whatever happens to the file that it came from. Worker processes only: the daemon
itself never imports numpy for data.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import FatalError

if TYPE_CHECKING:
    import polars as pl

Numbers: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

#: 1 kept a column whose every cell was a number as numbers, and forgot how its cells were written.
_VERSION: Final = 2


class Marks(StrEnum):
    """How a file writes numbers: one answer for all of its cells, by its header or by hand."""

    PLAIN = "plain"  # 1048576.5
    EITHER = "either"  # 2.5 and 2,5 are one number: no marks between groups
    POINT = "point"  # 1,048,576.5
    COMMA = "comma"  # 1.048.576,5


@dataclass(frozen=True, eq=False)
class Table:
    """A data set; every column has `rows` entries.

    `file` is the file's name as the user gave it. `lines` numbers the rows as the file does, from
    1: lines of a CSV, otherwise rows (`unit`). `texts` are stripped of blanks, and null where that
    leaves nothing. `other` are columns of kinds that nothing here can use, by name, with their
    kind. `marks` says which marks a number's text has here. `notes` is what the owner is told about
    how the file was read; the copy does not keep it.
    """

    file: str
    unit: str
    lines: Integers
    numbers: Mapping[str, Numbers]
    texts: Mapping[str, pl.Series]
    order: tuple[str, ...]
    other: Mapping[str, str] = field(default_factory=dict)
    marks: Marks = Marks.PLAIN
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.lines)

    def part(self, start: int, stop: int) -> Table:
        """Rows `start` to `stop`, the last left out; nothing is copied."""
        return replace(
            self,
            lines=self.lines[start:stop],
            numbers={name: column[start:stop] for name, column in self.numbers.items()},
            texts={name: cells[start:stop] for name, cells in self.texts.items()},
        )

    def at(self, row: int) -> str:
        """Where row `row` (from 0) stands, for a person: 'ward.csv, line 17'."""
        return f"{self.file}, {self.unit} {self.lines[row]}"


def encode_table(table: Table) -> memoryview:
    """The copy's bytes. The same table gives the same bytes (NumPy writes no times)."""
    arrays: dict[str, NDArray[Any]] = {"lines": table.lines}
    columns: list[dict[str, Any]] = []
    for index, name in enumerate(table.order):
        if name in table.numbers:
            arrays[f"c{index}"] = table.numbers[name]
            columns.append({"name": name, "kind": "number"})
        elif name in table.texts:
            arrays[f"c{index}"] = _arrow_bytes(table.texts[name])
            columns.append({"name": name, "kind": "text"})
        else:
            columns.append({"name": name, "kind": "other", "is": table.other[name]})
    head = {
        "version": _VERSION,
        "file": table.file,
        "unit": table.unit,
        "marks": str(table.marks),
        "columns": columns,
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getbuffer()


def read_table(path: Path, wanted: frozenset[str] | None = None) -> Table:
    """The copy at `path`, with `wanted` columns only (None: all); zip's checksums are verified.

    Raises `FatalError` if the copy is gone or damaged: the data set must be added again.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            if head["version"] != _VERSION:
                raise FatalError(
                    f"{path} is a copy of version {head['version']}, this is {_VERSION}; add the "
                    "file again under another name: assay data add NAME FILE"
                )
            return _table(head, stored, wanted)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FatalError(f"{path} cannot be read ({error}); add the data set again") from error


def _table(head: dict[str, Any], stored: Any, wanted: frozenset[str] | None) -> Table:
    numbers: dict[str, Numbers] = {}
    texts: dict[str, pl.Series] = {}
    other: dict[str, str] = {}
    for index, column in enumerate(head["columns"]):
        name = column["name"]
        if column["kind"] == "other":
            other[name] = column["is"]
        elif wanted is not None and name not in wanted:
            continue
        elif column["kind"] == "number":
            numbers[name] = stored[f"c{index}"]
        else:
            texts[name] = _from_arrow(stored[f"c{index}"])
    order = tuple(column["name"] for column in head["columns"])
    return Table(
        head["file"],
        head["unit"],
        stored["lines"],
        numbers,
        texts,
        order,
        other,
        Marks(head["marks"]),
    )


def _arrow_bytes(cells: pl.Series) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    cells.alias("cells").to_frame().write_ipc(buffer)
    return np.frombuffer(buffer.getbuffer(), np.uint8)


def _from_arrow(stored: NDArray[np.uint8]) -> pl.Series:
    import polars as pl

    return pl.read_ipc(io.BytesIO(stored.tobytes())).to_series()
