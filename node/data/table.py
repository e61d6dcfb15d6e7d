"""A data set in memory and as the node's own copy: columns of numbers, columns of text.

The copy is one .npz (docs/adr/0302). Jobs train on it, whatever happens to the file that it came
from. A missing number is NaN; a missing text has code -1. Worker processes only: the daemon itself
never imports numpy for data.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import FatalError

Numbers: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

_VERSION: Final = 1


@dataclass(frozen=True, eq=False)
class TextColumn:
    """`codes[i]` is the place of row i's text in `values`, -1 where there is none."""

    codes: Integers
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A data set; every column has `rows` entries.

    `file` is the file's name as the user gave it. `lines` numbers the rows as the file does, from
    1: lines of a CSV, otherwise rows (`unit`). `other` are columns of kinds that nothing here can
    use, by name, with their kind.
    """

    file: str
    unit: str
    lines: Integers
    numbers: Mapping[str, Numbers]
    texts: Mapping[str, TextColumn]
    order: tuple[str, ...]
    other: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.lines)

    def at(self, row: int) -> str:
        """Where row `row` (from 0) stands, for a person: 'ward.csv, line 17'."""
        return f"{self.file}, {self.unit} {self.lines[row]}"

    def kinds(self) -> tuple[tuple[str, str], ...]:
        """Name and kind ('number', 'text') of the columns that can be used, in the file's order."""
        return tuple(
            (name, "number" if name in self.numbers else "text")
            for name in self.order
            if name not in self.other
        )


def encode_table(table: Table) -> memoryview:
    """The copy's bytes. The same table gives the same bytes (NumPy writes no times)."""
    arrays: dict[str, NDArray[Any]] = {"lines": table.lines}
    columns: list[dict[str, Any]] = []
    for index, name in enumerate(table.order):
        if name in table.numbers:
            arrays[f"c{index}"] = table.numbers[name]
            columns.append({"name": name, "kind": "number"})
        elif name in table.texts:
            text = table.texts[name]
            arrays[f"c{index}"] = text.codes.astype(np.int32)
            columns.append({"name": name, "kind": "text", "values": list(text.values)})
        else:
            columns.append({"name": name, "kind": "other", "is": table.other[name]})
    head = {"version": _VERSION, "file": table.file, "unit": table.unit, "columns": columns}
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
                raise FatalError(f"{path} has version {head['version']}; add the data set again")
            return _table(head, stored, wanted)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FatalError(f"{path} cannot be read ({error}); add the data set again") from error


def _table(head: dict[str, Any], stored: Any, wanted: frozenset[str] | None) -> Table:
    numbers: dict[str, Numbers] = {}
    texts: dict[str, TextColumn] = {}
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
            codes = stored[f"c{index}"].astype(np.int64)
            texts[name] = TextColumn(codes, tuple(column["values"]))
    order = tuple(column["name"] for column in head["columns"])
    return Table(head["file"], head["unit"], stored["lines"], numbers, texts, order, other)
