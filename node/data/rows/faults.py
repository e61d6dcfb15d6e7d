"""Rows that cannot be used, and the words for it: for the data's owner alone.

A value of one record stands in these words, so that they must never go to a peer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from node.bounds.pictures import fault_of
from node.data.table import Flags, Table
from protocol.spec.words import number_of


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that cannot be used for one column's sake [rows], at least one; and what is allowed."""

    column: str
    rows: Flags
    allowed: str


def why_of(table: Table, fault: Fault) -> str:
    """The fault of the first row that is wrong, and how many more there are."""
    name, row = fault.column, int(np.argmax(fault.rows))
    others = int(np.count_nonzero(fault.rows)) - 1
    more = (
        "" if not others else f"; so are {others} more rows" if others > 1 else "; so is 1 more row"
    )
    cell = f"{table.at(row)}: {_shown(table, name, row)}"
    return f"{cell}; {fault.allowed}{more}{_hint(table, name, row)}"


def _shown(table: Table, name: str, row: int) -> str:
    if (image := table.images.get(name)) is not None:
        content = image[row] or b""
        said = fault_of(content) or f"{len(content)} bytes of an image"
        return f"column {name!r}: {said if content else 'there is no image'}"
    text = table.texts.get(name)
    if text is not None:
        cell: str | None = text[row]
        return "the cell is empty" if cell is None else f"{cell[:60]!r}"
    value = table.numbers[name][row]
    return "the cell is empty or NaN" if np.isnan(value) else f"{value:.17g}"


#: What people write for numbers and is none, and what to do about it.
_HINTS: Final = (
    (re.compile(r".*[0-9] ?%"), "a percent sign makes it text: write the number alone"),
    (re.compile(r"[\u2212\u2013].*"), "its sign is not the '-' of a keyboard: write that one"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*"), "a date is no number: write days since some day"),
    (
        re.compile(r"[+-]?[0-9.,' ]*[0-9][.,' ][0-9]+"),
        "add the file with --decimal to read its marks",
    ),
)


def _hint(table: Table, name: str, row: int) -> str:
    text = table.texts.get(name)
    cell = "" if text is None else text[row] or ""
    found = next((words for shape, words in _HINTS if shape.fullmatch(cell)), "")
    return f" ({found})" if found and number_of(cell) is None else ""
