"""CSV and its kin into tables: RFC 4180, or with tabs, semicolons or bars between cells.

How a file is written follows from its header or from what its owner declares. No row decides it,
so that no row changes what another means (but for a first line of numbers: node/data/headers.py).
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np

from node.data.frames import frame_table
from node.data.headers import column_names
from node.data.limits import INDEX_SAID, check_names, check_size
from node.data.reading import SEPARATORS, Reading
from node.data.table import Marks, Table
from node.data.unpacked import PACKED, Text, unpacked
from protocol import params
from protocol.errors import InputError

__all__ = ["PACKED", "read_text"]

#: Rows that are looked at for marks that want a word from the owner. Nothing is read by it.
_LOOKED_AT: Final = 10_000

_GROUPS: Final = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$"
_COMMA: Final = r"^[+-]?[0-9]+,[0-9]+$"
_BOTH_MARKS: Final = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+$|^[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+$"

#: A line that only Excel means.
_EXCEL_MARK: Final = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
_MARK_CHARACTERS: Final = 12

#: Marks in words, for whoever asks how a file was read.
_MARKS: Final = {
    Marks.PLAIN: ".",
    Marks.EITHER: ". or ,",
    Marks.POINT: ". (, between groups)",
    Marks.COMMA: ", (. between groups)",
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """A header's names, the separator that it shows, how many lines stand above the rows, and how
    many of those above the header. `above` says that there is one: the names are made up if not."""

    names: list[str]
    separator: str
    lines: int
    comments: int
    above: bool
    notes: tuple[str, ...]


def read_text(path: Path, reading: Reading) -> Table:
    """The table in a file of text. Raises `InputError`."""
    import polars as pl

    text = unpacked(path, reading.encoding)
    _check_lines(text)
    header = _header(text, reading, path)
    width, names = len(header.names), header.names
    indexed = header.above and width > 1 and not names[0]
    check_names(text.name, names[1:] if indexed else names)
    check_size(text.name, text.breaks, width)
    try:
        frame = pl.read_csv(
            text.source,
            infer_schema=False,
            skip_lines=header.comments,
            separator=header.separator,
            has_header=header.above,
            glob=False,
        )
    except pl.exceptions.PolarsError as error:
        raise _fault(text, header, error) from error
    if frame.width != width:
        raise InputError(
            f"{text.name}: the header cannot be read; quote it as RFC 4180 says", "data"
        )
    last = frame.to_series(width - 1)
    # A row that is short, or a blank line, has no last cell.
    filled = ~last.is_null()
    if last.null_count():
        filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        if width > 1 and (last.is_null() & filled).any():
            _check_short(text, header)
    lines = np.arange(frame.height, dtype=np.int64) + header.lines + 1
    if text.quoted and text.breaks + text.open_end > frame.height + header.lines:
        # A quoted cell may hold line breaks: every row below stands that much lower.
        breaks = frame.select(
            pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0))
        ).to_series()
        lines[1:] += np.cumsum(breaks.to_numpy().astype(np.int64))[:-1]
    frame.columns = [name or f"\0{place}" for place, name in enumerate(names)]
    frame = frame.drop(frame.columns[0]) if indexed else frame
    if last.null_count() and not filled.all():
        # Blank lines, at the end above all, are no rows.
        frame, lines = frame.filter(filled), lines[filled.to_numpy()]
    table = frame_table(text.name, "line", frame, lines, bare=text.bare)
    marks, said = _marks(table, header, reading)
    notes = (*text.notes, *header.notes, *((INDEX_SAID,) if indexed else ()), *said)
    separator = _called(header.separator)
    written = (
        ("separator", separator),
        ("decimal mark", _MARKS[marks]),
        ("encoding", text.encoding),
    )
    return dataclasses.replace(table, marks=marks, notes=notes, written=written)


def _check_lines(text: Text) -> None:
    """Refuse a file that has no first line."""
    with text.open() as file:
        begins = file.read(params.MAX_HEADER_BYTES).removeprefix(codecs.BOM_UTF8)
    if not begins.strip():
        raise InputError(f"{text.name} is empty: it has no columns; export it again", "data")
    if not begins.splitlines()[0].strip():
        raise InputError(
            f"{text.name}, line 1: it is empty, so that the file has no columns; names of columns "
            "belong there: take empty lines above them out",
            "data",
        )


def _header(text: Text, reading: Reading, path: Path) -> _Header:
    """The header, by the separator that is declared, or the one that makes the most names of it."""
    comments, notes = _comments(text), []
    if comments:
        above = "its first line is a comment" if comments == 1 else f"{comments} lines are comments"
        notes.append(f"{above} (#) and left out")
    elif mark := _mark_above(text):
        comments = 1
        notes.append(f"its first line says that cells are separated by {_called(mark)}")
        reading = dataclasses.replace(reading, separator=reading.separator or mark)
    tabs = {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes}
    first = "\t" if tabs else ","
    tried = [reading.separator] if reading.separator else [first, *SEPARATORS.values()]
    bare = reading.header is False and not reading.separator
    found: list[tuple[list[str], int, str]] = []
    for separator in tried:
        try:
            found.append((*_names(text, separator, comments), separator))
        except csv.Error as error:
            if len(tried) == 1 or (separator == tried[-1] and not found):
                raise InputError(
                    f"{text.name}, line {comments + 1}: the header cannot be read ({error}); "
                    f"between cells may stand a {', a '.join(SEPARATORS)}",
                    "data",
                ) from error
    # The first of those that make equally many.
    names, lines, separator = max(found, key=lambda each: len(each[0]))
    if separator != first and not reading.separator:
        mark = _called(separator)
        if bare:
            # Without a header this line is a row like others, and one row decides nothing.
            raise InputError(
                f"{text.name}, line {comments + 1}: cells seem to be separated by {mark}; without "
                f"a header, say so: --separator {mark} (or {_called(first)})",
                "data",
            )
        notes.append(f"cells are separated by {mark}; --separator declares another")
    names, named, said = column_names(f"{text.name}, line {comments + 1}", names, reading)
    lines = lines if named else 0
    return _Header(names, separator, comments + lines, comments, named, (*notes, *said))


def _called(separator: str) -> str:
    return next(name for name, one in SEPARATORS.items() if one == separator)


def _comments(text: Text) -> int:
    """Lines above the header that begin with '#'. A header may begin so too: those lines are
    comments where each of them is one cell, and the line below them is more."""
    with text.lines() as file:
        count, alone = 0, True
        for line in _bounded_lines(text.name, file):
            several = any(separator in line for separator in SEPARATORS.values())
            if not line.startswith("#"):
                return count if several and alone else 0
            count, alone = count + 1, alone and not several
    return 0


def _mark_above(text: Text) -> str:
    """The separator that a line `sep=;` above the header says, as Excel writes and reads it; empty
    where there is none."""
    with text.lines() as file:
        found = _EXCEL_MARK.fullmatch(file.readline(_MARK_CHARACTERS))
    return found.group(1) if found else ""


def _names(text: Text, separator: str, skipped: int) -> tuple[list[str], int]:
    """The header's names, and how many lines it takes. Raises csv.Error."""
    with text.lines() as file:
        lines = _bounded_lines(text.name, file)
        for _ in range(skipped):
            next(lines)
        reader = csv.reader(lines, strict=True, delimiter=separator)
        # Cells lose the blanks around them too.
        return [name.strip() for name in next(reader, [])], reader.line_num


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


def _check_short(text: Text, header: _Header) -> None:
    """Refuse a row with fewer cells than names. polars fills such rows up without a word."""
    width = len(header.names)
    if text.quoted:
        with text.lines() as lines:
            reader = csv.reader(lines, delimiter=header.separator)
            for cells in reader:
                if reader.line_num > header.lines and 0 < len(cells) < width:
                    raise _ragged(text.name, reader.line_num, len(cells), width)
        return
    separator = header.separator.encode()
    with text.open() as file:
        for number, line in enumerate(file, start=1):
            count = line.count(separator) + 1
            if count < width and number > header.lines and line.rstrip(b"\r\n"):
                raise _ragged(text.name, number, count, width)


def _ragged(name: str, line: int, cells: int, width: int) -> InputError:
    has = "1 cell" if cells == 1 else f"{cells} cells"
    above = "; if the names stand further down, take what is above them out" if width == 1 else ""
    return InputError(
        f"{name}, line {line}: {has}, the header names {width}; mend that line, or say what stands "
        f"between cells: --separator{above}",
        "data",
    )


def _fault(text: Text, header: _Header, error: Exception) -> InputError:
    """polars does not say in which line a fault is: find it. Only for files that it refused."""
    width = len(header.names)
    with text.lines() as lines:
        read: list[str] = []  # lines of the row that is read now
        reader = csv.reader(_noted(lines, read), strict=True, delimiter=header.separator)
        begins = 1
        try:
            for cells in reader:
                if reader.line_num > header.lines and len(cells) > width:
                    return _ragged(text.name, reader.line_num, len(cells), width)
                if "".join(read).count('"') % 2:
                    return _quoted(text.name, begins, "has a quote inside of a cell")
                begins = reader.line_num + 1
                read.clear()
        except csv.Error as fault:
            if "expected after" in str(fault):
                return _quoted(text.name, reader.line_num, "has text behind a quote that closes")
            if "unexpected end" in str(fault):
                return _quoted(text.name, begins, "has a quote that is never closed")
            return InputError(f"{text.name}, line {reader.line_num}: {fault}", "data")
    return InputError(f"{text.name}: {str(error).splitlines()[0]}", "data")


def _noted(lines: IO[str], read: list[str]) -> Iterator[str]:
    for line in lines:
        read.append(line)
        yield line


def _quoted(name: str, line: int, what: str) -> InputError:
    return InputError(
        f"{name}, line {line}: {what}; a cell with quotes stands in quotes, and has each of its "
        'own twice: "5"" long"',
        "data",
    )


def _marks(table: Table, header: _Header, reading: Reading) -> tuple[Marks, list[str]]:
    """How numbers are written here, by the header's separator or by hand; and words to the owner
    about what was not taken for a number. Raises `InputError` for numbers of two marks, of which
    only their owner knows which is the decimal one."""
    if reading.decimal:
        return (Marks.COMMA if reading.decimal == "," else Marks.POINT), []
    looked = {name: cells.head(_LOOKED_AT) for name, cells in table.texts.items()}
    if header.separator == ";":
        for name, cells in looked.items():
            if cells.str.contains(_BOTH_MARKS).any():
                raise InputError(
                    f"{table.file}: column {name!r} has numbers with two marks; say which one is "
                    "the decimal mark: --decimal ',' or --decimal '.'",
                    "data",
                )
        commas = [name for name, cells in looked.items() if cells.str.contains(_COMMA).any()]
        said = _listed(commas, "2,5 is read as 2.5 in {}; --decimal declares another mark")
        return Marks.EITHER, said
    groups = [name for name, cells in looked.items() if cells.str.contains(_GROUPS).any()]
    commas = [
        name
        for name, cells in looked.items()
        if name not in groups and cells.str.contains(_COMMA).any()
    ]
    return Marks.PLAIN, [
        *_listed(groups, "12,500 is no number in {}; --decimal '.' reads marks between digits"),
        *_listed(commas, "2,5 is no number in {}; --decimal ',' reads decimal commas"),
    ]


def _listed(names: Sequence[str], words: str) -> list[str]:
    """The words about these columns, if there are any."""
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [words.format(", ".join(repr(name) for name in names[:3]) + more)]
