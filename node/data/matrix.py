"""A job's view of a data set: the declared features and target as arrays, by declared ranges only.

No mean, no maximum, no order and no kind of a column enters the arrays, so preprocessing leaks
nothing: row i follows from row i's own cells and the spec alone, to the last bit. A cell is read
by itself (node/data/cells.py), whatever stands above and below it, and a gap becomes what the spec
says, never anything that was computed of other rows. Runs in workers.

An error names file, line, column and value for the owner of the data. It must never go to a peer:
a value of one record stands in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from node.data.cells import number_gaps, number_places, numbers_of, text_gaps, text_places
from node.data.limits import name_list
from node.data.maps.mapped import read_mapped
from node.data.rows.encoded import Cells, Embed, cells_of, no_encoder
from node.data.rows.faults import Fault, why_of
from node.data.table import Flags, Integers, Numbers, Table
from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import Encoder, Input, column_names
from protocol.spec.gaps import GapRule, Missing, gap_rule
from protocol.spec.parts import (
    CategoryFeature,
    ClassTarget,
    NumberFeature,
    NumberTarget,
    Outside,
    Target,
)
from protocol.spec.words import number_of


def build_matrix(
    copy: Path,
    features: Sequence[Input],
    target: Target,
    outside: Outside = Outside.REFUSE,
    renames: str = "",
    embed: Embed = no_encoder,
) -> tuple[Numbers, Numbers]:
    """`table_matrix` of the imported data set at `copy`, as its owner's column map `renames` has
    jobs see it; `FatalError` if that is damaged."""
    kept = build_kept_rows(copy, features, target, outside, renames, embed)
    return kept.features, kept.target


@dataclass(frozen=True, slots=True)
class InputRows:
    """Rows that a model is to predict for: features [rows, inputs], which of them cannot be used
    (their numbers are 0), and, for whoever holds the file, why the first cannot."""

    features: Numbers
    unused: Flags
    why: str


def input_rows(
    table: Table, features: Sequence[Input], outside: Outside, embed: Embed = no_encoder
) -> InputRows:
    """The inputs of a table's rows, each cell read as it is for training; no target is needed.

    Raises `InputError` for columns that are missing or of another kind.
    """
    _require_columns(table, features, None)
    made = _inputs(table, features, outside)
    made.embed(embed)
    unused, why = made.unused()
    made.features[unused] = 0.0
    return InputRows(made.features, unused, why)


@dataclass(frozen=True, slots=True)
class OwnedRows:
    """An owner's rows for a job with noise: features [rows, inputs], target [rows], which rows
    cannot be used (their numbers are 0), and, for the data's owner alone, why the first cannot."""

    features: Numbers
    target: Numbers
    unused: Flags
    why: str


def owned_rows(
    copy: Path,
    features: Sequence[Input],
    target: Target,
    renames: str = "",
    embed: Embed = no_encoder,
) -> OwnedRows:
    """The rows of the imported data set at `copy`, whatever stands in them.

    For jobs with noise. No value may decide whether an owner takes part: the requester declares
    ranges and words, and if it asked again and again it could read a column's largest value off who
    enrols. Numbers outside become their range's nearer end; a row with a cell that is no number or
    no declared word, or with a gap that the spec fills with nothing, is not used. Raises
    `InputError` for columns that are missing or of another kind, which says nothing of a row;
    `FatalError` for a damaged copy.
    """
    table = _read(copy, features, target, renames)
    made = _matrix(table, features, target, Outside.CLIP)
    made.embed(embed)
    unused, why = made.unused()
    made.features[unused], made.target[unused] = 0.0, 0.0
    return OwnedRows(made.features, made.target, unused, why)


@dataclass(frozen=True, slots=True)
class KeptRows:
    """A data set's rows for a job without noise: features [kept, inputs] and target [kept], which
    rows of the file were left out [rows], and, for the data's owner alone, why the first was."""

    features: Numbers
    target: Numbers
    left_out: Flags
    why: str


def build_kept_rows(
    copy: Path,
    features: Sequence[Input],
    target: Target,
    outside: Outside = Outside.REFUSE,
    renames: str = "",
    embed: Embed = no_encoder,
) -> KeptRows:
    """`kept_rows` of the imported data set at `copy`; `FatalError` if that is damaged."""
    return kept_rows(_read(copy, features, target, renames), features, target, outside, embed)


def kept_rows(
    table: Table,
    features: Sequence[Input],
    target: Target,
    outside: Outside = Outside.REFUSE,
    embed: Embed = no_encoder,
) -> KeptRows:
    """`table_matrix`, with the rows that were left out for their gaps."""
    made = _matrix(table, features, target, outside)
    made.check()
    made.embed(embed)
    made.check()
    left_out = made.left_out()
    if not made.gaps:
        return KeptRows(made.features, made.target, left_out, "")
    why = why_of(table, made.gaps[0])
    if left_out.all():
        raise InputError(f"no row is left of {table.file}: {why}", made.gaps[0].column)
    return KeptRows(made.features[~left_out], made.target[~left_out], left_out, why)


def table_matrix(
    table: Table,
    features: Sequence[Input],
    target: Target,
    outside: Outside = Outside.REFUSE,
    embed: Embed = no_encoder,
) -> tuple[Numbers, Numbers]:
    """Features [kept, inputs] and target [kept], float64, of a table that has these columns.

    A number's declared range becomes 0 to 1; a category becomes one input for each of its words, in
    declared order, 1 where it holds; behind them stands the column's indicator, if it has one, 1
    where the cell was a gap. A class target is its place among the classes, from 0; a number target
    goes from 0 to 1. Under `Outside.CLIP` a number outside its range becomes the range's nearer
    end; every other fault is refused whatever `outside` says. Rows with a gap in a column that says
    `missing = "drop-row"` are left out.

    Raises `InputError` (the field is the column): columns missing, text where numbers belong, gaps
    that are neither filled nor left out, values not finite or outside, unknown words, no row left.
    """
    kept = kept_rows(table, features, target, outside, embed)
    return kept.features, kept.target


def fit_rows(
    table: Table, features: Sequence[Input], target: Target, outside: Outside
) -> tuple[Fault, ...]:
    """Every reason for which a row of the table is left out or does not fit, column by column.

    For the data's owner alone. Raises `InputError` for columns that are missing or of another kind.
    """
    made = _matrix(table, features, target, outside)
    return (*made.gaps, *made.faults)


def _read(copy: Path, features: Sequence[Input], target: Target, renames: str) -> Table:
    wanted = frozenset([*column_names(features), target.name])
    return read_mapped(copy, renames, wanted)


@dataclass(slots=True)
class _Made:
    """A table's numbers: those of rows that do not fit may be anything.

    `gaps` are rows to be left out for a gap, `faults` rows that do not fit.
    """

    table: Table
    outside: Outside
    features: Numbers
    target: Numbers
    gaps: list[Fault] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    encoder: Encoder | None = None
    cells: Cells | None = None

    def embed(self, embed: Embed) -> None:
        """Where an encoder makes the features: of every row that can be used, and of no other."""
        if self.encoder is None or self.cells is None:
            return
        unused, _ = self.unused()
        rows = np.flatnonzero(~unused)
        made = embed(self.encoder, self.cells.of(rows)).astype(np.float64)
        nothing = np.zeros(self.table.rows, dtype=np.bool_)
        nothing[rows] = ~np.isfinite(made).all(axis=1)
        if nothing.any():
            allowed = "the encoder makes no features of it"
            self.faults.append(Fault(self.encoder.columns[0], nothing, allowed))
        self.features[rows] = made

    def check(self) -> None:
        """Raises InputError where a row does not fit that is not left out: whatever else stands in
        a row that is left out is not looked at."""
        left_out = self.left_out()
        for fault in self.faults:
            wrong = fault.rows & ~left_out
            if wrong.any():
                why = why_of(self.table, dataclasses.replace(fault, rows=wrong))
                raise InputError(why, fault.column)

    def left_out(self) -> Flags:
        """Rows with a gap for which they are left out [rows]."""
        found = np.zeros(self.table.rows, dtype=np.bool_)
        for gap in self.gaps:
            found |= gap.rows
        return found

    def unused(self) -> tuple[Flags, str]:
        """Rows that cannot be used [rows], for a gap or a fault, and why the first cannot."""
        found = self.left_out()
        for fault in self.faults:
            found |= fault.rows
        if not found.any():
            return found, ""
        first = min((*self.gaps, *self.faults), key=lambda fault: int(np.argmax(fault.rows)))
        return found, why_of(self.table, first)

    def note(self, column: str, rule: GapRule, gaps: Flags, wrong: Flags, allowed: str) -> None:
        """Note a column's rows with gaps that nothing fills, and those whose cells do not fit."""
        if rule.missing is Missing.REFUSE:
            wrong = wrong | gaps
        elif gaps.any():
            wrong = wrong & ~gaps
            if rule.missing is Missing.DROP_ROW:
                allowed_gap = 'a gap, and missing = "drop-row" is declared'
                self.gaps.append(Fault(column, gaps, allowed_gap))
        if wrong.any():
            self.faults.append(Fault(column, wrong, allowed))


def _matrix(table: Table, features: Sequence[Input], target: Target, outside: Outside) -> _Made:
    """`table_matrix` of all rows, with those that do not fit."""
    _require_columns(table, features, target)
    made = _inputs(table, features, outside)
    if isinstance(target, ClassTarget):
        made.target = _places(made, target, target.classes)[0].astype(np.float64)
    else:
        made.target = _scaled(made, target)[0]
    return made


def _inputs(table: Table, features: Sequence[Input], outside: Outside) -> _Made:
    """The features of all rows, with those that do not fit; no target yet."""
    inputs = sum(feature.inputs for feature in features)
    if table.rows * inputs > params.MAX_MATRIX_CELLS:
        raise InputError(
            f"{table.file} has {table.rows} rows and the job {inputs} inputs; "
            f"{params.MAX_MATRIX_CELLS} values are allowed",
            "data",
        )
    x = np.zeros((table.rows, inputs))
    made = _Made(table, outside, x, np.zeros(0))
    waiting, at = _Waiting(x), 0
    for feature in features:
        if isinstance(feature, Encoder):
            made.encoder, made.cells = feature, cells_of(table, feature, outside)
            for column in made.cells.columns:
                made.note(column.name, feature.rule, column.gaps, column.wrong, column.allowed)
            return made  # it stands alone
        if isinstance(feature, NumberFeature):
            values, gaps = _scaled(made, feature)
            waiting.put(at, values)
        else:
            places, gaps = _places(made, feature, feature.categories)
            waiting.put(at, places)
        at += feature.inputs
        if gap_rule(feature).indicator:
            waiting.put(at - 1, gaps.astype(np.float64))
    waiting.write()
    return made


class _Waiting:
    """Columns on their way into a matrix [rows, inputs] of zeros, some of them at a time.

    Written one by one, each column would pass through all of the matrix's memory: a block of rows
    that a processor's cache holds takes many columns at once.
    """

    _BLOCK: Final = 2048
    _MOST: Final = 16 * 1024 * 1024  # numbers that wait, 128 MiB

    def __init__(self, matrix: Numbers) -> None:
        self._matrix = matrix
        self._columns: list[tuple[int, Numbers | Integers]] = []

    def put(self, at: int, column: Numbers | Integers) -> None:
        """Input `at` of each row; of whole numbers, the place behind `at` that is 1."""
        self._columns.append((at, column))
        if len(self._columns) * len(column) >= self._MOST:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        rows, inputs = self._matrix.shape
        firsts = np.arange(0, self._BLOCK * inputs, inputs)  # of each row, in a flat block
        for start in range(0, rows, self._BLOCK):
            block = self._matrix[start : start + self._BLOCK]
            for at, column in self._columns:
                part = column[start : start + self._BLOCK]
                if part.dtype == np.float64:
                    block[:, at] = part
                else:
                    block.reshape(-1)[firsts[: len(part)] + (at + part)] = 1.0
        self._columns.clear()


def _require_columns(table: Table, features: Sequence[Input], target: Target | None) -> None:
    needed = [*column_names(features), *([target.name] if target is not None else [])]
    images = {n for each in features if isinstance(each, Encoder) for n in each.columns}
    present = set(table.order)
    missing = [name for name in needed if name not in present]
    if missing:
        raise InputError(
            f"{table.file} has no column {name_list(missing)}; it has {name_list(table.order)}",
            missing[0],
        )
    for name in needed:
        if name in table.images and name not in images:
            raise InputError(f"{table.file}: the column holds images, which an encoder reads", name)
        if name in table.other:
            raise InputError(
                f"{table.file}: the column is of kind {table.other[name]}; "
                "numbers or text are needed",
                name,
            )


def _scaled(made: _Made, column: NumberFeature | NumberTarget) -> tuple[Numbers, Flags]:
    """Column values [rows], `low` to `high` as 0 to 1; and which cells are gaps [rows]."""
    table, name, low, high = made.table, column.name, column.low, column.high
    allowed = f"a number from {low:g} to {high:g} is declared"
    rule = gap_rule(column)
    text = table.texts.get(name)
    if text is None:
        values = table.numbers[name]
        gaps = number_gaps(values, rule.words)
    else:
        values = numbers_of(text, table.marks)
        gaps = text_gaps(text, rule.words, values)
    if rule.missing is Missing.FILL:
        values = np.where(gaps, float(rule.fill or 0.0), values)
    wrong = ~np.isfinite(values)
    if made.outside is Outside.REFUSE:
        wrong |= (values < low) | (values > high)
    made.note(name, rule, gaps, wrong, allowed)
    # The spec refuses ranges whose width is no float.
    scaled: Numbers = np.clip(values, low, high)
    scaled -= low
    scaled /= high - low
    return scaled, gaps


def _places(
    made: _Made, column: CategoryFeature | ClassTarget, words: Sequence[str]
) -> tuple[Integers, Flags]:
    """Each row's place among `words` [rows], 0 where there is none; and which cells are gaps."""
    table, name, rule = made.table, column.name, gap_rule(column)
    shown = ", ".join(words[:10]) + (", …" if len(words) > 10 else "")
    allowed = f"one of {shown} is declared"
    text = table.texts.get(name)
    if text is None:
        values = table.numbers[name]
        places, gaps = number_places(values, words), number_gaps(values, rule.words)
    else:
        valued = any(number_of(word) is not None for word in (*words, *rule.words))
        read = numbers_of(text, table.marks) if valued else None
        places, gaps = text_places(text, words, read), text_gaps(text, rule.words, read)
    if rule.missing is Missing.FILL:
        places = np.where(gaps, words.index(str(rule.fill)), places)
    made.note(name, rule, gaps, places < 0, allowed)
    return np.maximum(places, 0), gaps
