"""A data set in memory and as the node's own copy: cells as the file has them.

A column of numbers is one whose file stores numbers (Parquet, .npz). Text stays text, also where it
looks like numbers: what a cell means is decided by a job's spec, cell by cell (node/data/cells.py),
never by what else stands in its column. A missing number is NaN; a missing text is null.

The copy is one .npz (docs/adr/0302): arrays of float64, and two for each column of text or images,
its cells' bytes and how many each has.
Jobs train on it, whatever happens to the file that it came from. Worker processes only: the daemon
itself never imports numpy for data.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from protocol.errors import FatalError

if TYPE_CHECKING:
    import polars as pl

Numbers: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

#: 1 kept a column whose every cell was a number as numbers, and forgot how its cells were written.
#: 2 kept an Arrow file for each column of text, twice the size.
_VERSION: Final = 3


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
    leaves nothing. `images` are the bytes of image files, null where there is none. `other` are
    columns of kinds that nothing here can use, by name, with their kind. `marks` says which marks a
    number's text has here. `notes` is what the owner is told about how the file was read, and
    `written` how it is written, as pairs of words; the copy keeps neither.
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
    written: tuple[tuple[str, str], ...] = ()
    images: Mapping[str, pl.Series] = field(default_factory=dict)

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
            images={name: cells[start:stop] for name, cells in self.images.items()},
        )

    def at(self, row: int) -> str:
        """Where row `row` (from 0) stands, for a person: 'ward.csv, line 17'."""
        return f"{self.file}, {self.unit} {self.lines[row]}"


def encode_table(table: Table, tell: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """The copy's bytes, in pieces. The same table gives the same bytes (the zip has no times).

    While a piece is hashed and written, a thread makes the next column's: both leave the
    interpreter's lock. `tell` gets the columns so far.
    """
    head = {
        "version": _VERSION,
        "file": table.file,
        "unit": table.unit,
        "marks": str(table.marks),
        "columns": [_described(table, name) for name in table.order],
    }
    out = _Pieces()
    with ThreadPoolExecutor(1) as ahead, zipfile.ZipFile(cast("IO[bytes]", out), "w") as archive:

        def added(name: str, array: NDArray[Any]) -> Iterator[bytes]:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
            yield from out.taken()

        kept = [(at, name) for at, name in enumerate(table.order) if name not in table.other]
        waiting: Future[list[tuple[str, NDArray[Any]]]] | None = None
        for at, name in [*kept, (-1, "")]:
            following = ahead.submit(_arrays, table, at, name) if name else None
            for each, array in waiting.result() if waiting else ():
                yield from added(each, array)
            tell(at if name else len(table.order))
            waiting = following
        yield from added("lines", table.lines)
        yield from added("head", np.frombuffer(json.dumps(head).encode(), np.uint8))
    yield from out.taken()


class _Pieces(io.RawIOBase):
    """A file that is only written: what was, since it was last asked."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        return iter(pieces)


def _described(table: Table, name: str) -> dict[str, str]:
    if name in table.other:
        return {"name": name, "kind": "other", "is": table.other[name]}
    kind = "number" if name in table.numbers else "image" if name in table.images else "text"
    return {"name": name, "kind": kind}


def _arrays(table: Table, at: int, name: str) -> list[tuple[str, NDArray[Any]]]:
    if name in table.numbers:
        return [(f"c{at}", table.numbers[name])]
    if name in table.images:
        lengths, content = _strung(table.images[name])
    else:
        lengths, content = _joined(table.texts[name])
    return [(f"n{at}", lengths), (f"c{at}", content)]


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
    images: dict[str, pl.Series] = {}
    other: dict[str, str] = {}
    for index, column in enumerate(head["columns"]):
        name = column["name"]
        if column["kind"] == "other":
            other[name] = column["is"]
        elif wanted is not None and name not in wanted:
            continue
        elif column["kind"] == "number":
            numbers[name] = stored[f"c{index}"]
        elif column["kind"] == "image":
            images[name] = _parted(stored[f"n{index}"], stored[f"c{index}"], text=False)
        else:
            texts[name] = _parted(stored[f"n{index}"], stored[f"c{index}"], text=True)
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
        images=images,
    )


def _joined(cells: pl.Series) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The cells' bytes, one after another, and how many each has: 0 where there is none.

    About as long as the cells were in a file of text: an Arrow file has 16 bytes more a cell.
    """
    import polars as pl

    counts = cells.str.len_bytes()
    lengths = (counts.fill_null(0) if cells.null_count() else counts).to_numpy()
    longest = int(lengths.max(initial=0))
    small = next(kind for kind in (np.uint8, np.uint16, np.uint32) if longest <= np.iinfo(kind).max)
    content = cells.str.join("").cast(pl.Binary).item() or b""
    return lengths.astype(small), np.frombuffer(content, np.uint8)


def _strung(cells: pl.Series) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The same of images. There are few, and each is large."""
    images = [b"" if image is None else image for image in cells.to_list()]
    lengths = np.array([len(image) for image in images], np.uint64)
    return lengths, np.frombuffer(b"".join(images), np.uint8)


def _parted(lengths: NDArray[Any], content: NDArray[np.uint8], text: bool) -> pl.Series:
    import nanoarrow as na
    import polars as pl

    places = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=places[1:])
    if places[-1] != len(content):
        raise ValueError(f"{places[-1]} bytes of cells are expected and {len(content)} there")
    filled = np.packbits(lengths > 0, bitorder="little")
    kind = na.large_string() if text else na.large_binary()
    array = na.c_array_from_buffers(kind, len(lengths), [filled, places, content], null_count=-1)
    return pl.Series(array)
