"""A job's view of a data set: the declared features and target as arrays, by declared ranges only.

No mean, no maximum, no order and no kind of a column enters the arrays, so preprocessing leaks
nothing: row i follows from row i's own cells and the spec alone, to the last bit. A cell is read
by itself (node/data/cells.py), whatever stands above and below it. Runs in workers.

An error names file, line, column and value for the owner of the data. It must never go to a peer:
a value of one record stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.data.cells import number_of, number_places, numbers_of, text_places
from node.data.limits import name_list
from node.data.maps.mapped import read_mapped
from node.data.table import Integers, Numbers, Table
from protocol import params
from protocol.errors import InputError
from protocol.spec.parts import ClassTarget, Feature, NumberFeature, NumberTarget, Outside, Target


def build_matrix(
    copy: Path,
    features: Sequence[Feature],
    target: Target,
    outside: Outside = Outside.REFUSE,
    renames: str = "",
) -> tuple[Numbers, Numbers]:
    """`table_matrix` of the imported data set at `copy`, as its owner's column map `renames` has
    jobs see it; `FatalError` if that is damaged."""
    needed = frozenset([*(feature.name for feature in features), target.name])
    return table_matrix(read_mapped(copy, renames, needed), features, target, outside)


@dataclass(frozen=True, slots=True)
class OwnedRows:
    """An owner's rows for a job with noise: features [rows, inputs], target [rows], which rows
    cannot be used (their numbers are 0), and, for the data's owner alone, why the first cannot."""

    features: Numbers
    target: Numbers
    unused: NDArray[np.bool_]
    why: str


def owned_rows(
    copy: Path, features: Sequence[Feature], target: Target, renames: str = ""
) -> OwnedRows:
    """The rows of the imported data set at `copy`, whatever stands in them.

    For jobs with noise. No value may decide whether an owner takes part: the requester declares
    ranges and words, and if it asked again and again it could read a column's largest value off who
    enrols. Numbers outside become their range's nearer end; a row with a cell that is empty, no
    number or no declared word is not used. Raises `InputError` for columns that are missing or of
    another kind, which says nothing of a row; `FatalError` for a damaged copy.
    """
    needed = frozenset([*(feature.name for feature in features), target.name])
    table = read_mapped(copy, renames, needed)
    faults = _Unused(np.zeros(table.rows, dtype=np.bool_))
    x, y = _matrix(table, features, target, Outside.CLIP, faults)
    x[faults.rows], y[faults.rows] = 0.0, 0.0
    return OwnedRows(x, y, faults.rows, faults.why)


@dataclass(slots=True)
class _Unused:
    """Rows with a fault, and the first fault's words."""

    rows: NDArray[np.bool_]
    why: str = ""

    def __call__(self, table: Table, name: str, wrong: NDArray[np.bool_], allowed: str) -> None:
        if wrong.any():
            self.why = self.why or _why(table, name, wrong, allowed)
            self.rows |= wrong


Faults: TypeAlias = Callable[[Table, str, "NDArray[np.bool_]", str], None]


def table_matrix(
    table: Table,
    features: Sequence[Feature],
    target: Target,
    outside: Outside = Outside.REFUSE,
) -> tuple[Numbers, Numbers]:
    """Features [rows, inputs] and target [rows], float64, of a table that has these columns.

    A number's declared range becomes 0 to 1; a category becomes one input for each of its words, in
    declared order, 1 where it holds. A class target is its place among the classes, from 0; a
    number target goes from 0 to 1. Under `Outside.CLIP` a number outside its range becomes the
    range's nearer end; every other fault is refused whatever `outside` says.

    Raises `InputError` (the field is the column): columns missing, text where numbers belong,
    values empty, not finite or outside, unknown words.
    """
    return _matrix(table, features, target, outside, _refuse)


def fit_rows(
    table: Table,
    features: Sequence[Feature],
    target: Target,
    outside: Outside,
    faults: Faults,
) -> None:
    """Tell `faults` of every row that `table_matrix` would refuse: (table, column, which rows are
    wrong [rows], what is declared). Raises `InputError` for columns that are missing or of another
    kind."""
    _matrix(table, features, target, outside, faults)


def _matrix(
    table: Table,
    features: Sequence[Feature],
    target: Target,
    outside: Outside,
    faults: Faults,
) -> tuple[Numbers, Numbers]:
    """`table_matrix`; rows that do not fit go to `faults`, and their numbers may be anything."""
    _require_columns(table, [*(feature.name for feature in features), target.name])
    inputs = sum(feature.inputs for feature in features)
    if table.rows * inputs > params.MAX_MATRIX_CELLS:
        raise InputError(
            f"{table.file} has {table.rows} rows and the job {inputs} inputs; "
            f"{params.MAX_MATRIX_CELLS} values are allowed",
            "data",
        )
    x = np.zeros((table.rows, inputs))
    at = 0
    for feature in features:
        if isinstance(feature, NumberFeature):
            x[:, at] = _scaled(table, feature, outside, faults)
        else:
            places = _places(table, feature.name, feature.categories, faults)
            x[np.arange(table.rows), at + places] = 1.0
        at += feature.inputs
    if isinstance(target, ClassTarget):
        return x, _places(table, target.name, target.classes, faults).astype(np.float64)
    return x, _scaled(table, target, outside, faults)


def _require_columns(table: Table, needed: Sequence[str]) -> None:
    present = set(table.order)
    missing = [name for name in needed if name not in present]
    if missing:
        raise InputError(
            f"{table.file} has no column {name_list(missing)}; it has {name_list(table.order)}",
            missing[0],
        )
    for name in needed:
        if name in table.other:
            raise InputError(
                f"{table.file}: the column is of kind {table.other[name]}; "
                "numbers or text are needed",
                name,
            )


def _scaled(
    table: Table, column: NumberFeature | NumberTarget, outside: Outside, faults: Faults
) -> Numbers:
    """Column values [rows], `low` to `high` as 0 to 1."""
    name, low, high = column.name, column.low, column.high
    allowed = f"a number from {low:g} to {high:g} is declared"
    text = table.texts.get(name)
    values = table.numbers[name] if text is None else numbers_of(text, table.marks)
    faults(table, name, ~np.isfinite(values), allowed)
    if outside is Outside.REFUSE:
        faults(table, name, (values < low) | (values > high), allowed)
    # The spec refuses ranges whose width is no float.
    scaled: Numbers = (np.clip(values, low, high) - low) / (high - low)
    return scaled


def _places(table: Table, name: str, words: Sequence[str], faults: Faults) -> Integers:
    """Each row's place among `words` [rows], 0 where there is none."""
    shown = ", ".join(words[:10]) + (", …" if len(words) > 10 else "")
    allowed = f"one of {shown} is declared"
    text = table.texts.get(name)
    if text is not None:
        places = text_places(text, words, table.marks)
    else:
        places = number_places(table.numbers[name], words)
    faults(table, name, places < 0, allowed)
    return np.maximum(places, 0)


def _refuse(table: Table, name: str, wrong: NDArray[np.bool_], allowed: str) -> None:
    """Raise for the first row that is `wrong`."""
    if wrong.any():
        raise InputError(_why(table, name, wrong, allowed), name)


def _why(table: Table, name: str, wrong: NDArray[np.bool_], allowed: str) -> str:
    """The fault of the first row that is `wrong`, and how many more there are."""
    row = int(np.argmax(wrong))
    others = int(np.count_nonzero(wrong)) - 1
    more = f"; so are {others} more rows" if others else ""
    return f"{table.at(row)}: {_shown(table, name, row)}; {allowed}{more}{_hint(table, name, row)}"


def _shown(table: Table, name: str, row: int) -> str:
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
