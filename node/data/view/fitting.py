"""How many rows of a data set a job can use, and why not the others: by column, reason and line.

It asks the code that makes vectors (node.data.matrix), and keeps what that finds wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.data.maps.mapped import read_mapped
from node.data.matrix import fit_rows
from node.data.rows.faults import Fault
from node.data.table import Table
from protocol.errors import InputError
from protocol.spec.job import Terms

#: Lines and cells that are shown of one reason, and reasons of one data set.
_SHOWN_LINES: Final = 5
_SHOWN_CELLS: Final = 3
_SHOWN_REASONS: Final = 100
_CELL_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Misfit:
    """Rows that one column keeps from being used, for one reason: what stands in their cells
    (`cells`, some of them; none where they are empty), and what is declared."""

    column: str
    empty: bool
    declared: str
    rows: int
    lines: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a job's spec fits a data set: of `rows`, `usable` can be used. `refused` says why the
    columns cannot serve the job at all. `unit` is what `lines` count: lines or rows of the file."""

    rows: int
    usable: int
    refused: str
    unit: str
    misfits: tuple[Misfit, ...] = ()


def fit_of(copy: Path, renames: str, terms: Terms) -> Fitting:
    """Hold every row of the copy against a job, as its owner would train on it.

    Raises `FatalError` for a copy that is gone or damaged.
    """
    needed = frozenset(terms.columns)
    # In a job with noise, numbers outside of their range become its nearer end (owned_rows).
    outside = terms.beyond
    table = read_mapped(copy, renames, needed)
    try:
        faults = fit_rows(table, terms.features, terms.target, outside)
    except InputError as error:
        return Fitting(table.rows, 0, str(error), table.unit)
    unused = np.zeros(table.rows, dtype=np.bool_)
    for fault in faults:
        unused |= fault.rows
    misfits = [each for fault in faults for each in _misfits(table, fault)]
    misfits.sort(key=lambda each: (-each.rows, each.column))
    shown = tuple(misfits[:_SHOWN_REASONS])
    return Fitting(table.rows, table.rows - int(unused.sum()), "", table.unit, shown)


def _misfits(table: Table, fault: Fault) -> Iterator[Misfit]:
    """A column's rows that are not used: those that are empty, and the others."""
    name, text = fault.column, table.texts.get(fault.column)
    text = table.images.get(name) if text is None else text
    empty = np.isnan(table.numbers[name]) if text is None else text.is_null().to_numpy()
    for rows, is_empty in ((fault.rows & empty, True), (fault.rows & ~empty, False)):
        if rows.any():
            places = np.flatnonzero(rows)
            cells = () if is_empty else _cells(table, name, places)
            lines = tuple(int(line) for line in table.lines[places[:_SHOWN_LINES]])
            yield Misfit(name, is_empty, fault.allowed, len(places), lines, cells)


def _cells(table: Table, name: str, places: NDArray[np.intp]) -> tuple[str, ...]:
    """Some of the cells that do not fit, each once, in the file's order."""
    text = table.texts.get(name)
    if name in table.images:
        return ()
    if text is None:
        values = table.numbers[name][places[:10_000]]
        found = [f"{value:.17g}" for value in values.tolist()]
    else:
        found = text.gather(places[:10_000]).to_list()
    return tuple(cell[:_CELL_CHARACTERS] for cell in dict.fromkeys(found))[:_SHOWN_CELLS]
