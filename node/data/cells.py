"""What one cell means: a number, or one of some declared words.

A cell is looked at alone. Nothing here asks what else stands in its column, so that a cell means
the same in every file and beside every other row. Runs in workers.

- A number is plain decimal text that is finite as a float64 (`-1.5`, `.5`, `2e3`; no `1_000`, no
  `0x10`, no `5E400`), or `true` and `false`, in any case, which are 1 and 0.
- A cell is the declared word that is spelt as the cell is. Failing that, where cell and word are
  both numbers, it is the word of the same value. Of several words of one value it is the one that
  is spelt as that number's shortest form, or none of them.
- A cell is a gap if it is empty, or spelt as one of the words that the spec declares for gaps, or
  of the same value as one of them. What becomes of it, the spec says (protocol/spec/gaps.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from node.data.table import Flags, Integers, Marks, Numbers, Table
from protocol.spec.words import TRUTHS, number_of

if TYPE_CHECKING:
    import polars as pl

#: How `true` and `false` may be spelt, and their numbers. Looking a cell up in all 48 spellings
#: takes an eighth of the time that making it small letters takes.
_TRUTHS: Final = tuple(
    (["".join(each) for each in itertools.product(*zip(word, word.upper(), strict=True))], number)
    for word, number in TRUTHS.items()
)

#: What people write for a gap: such cells do not make a column of numbers one of text.
GAPS: Final = ("NA", "N/A", "NaN", "nan", "n/a", "null", "NULL", "None", "?", "-", ".")

#: Filled cells of a column by which its kind is told.
_LOOKED_AT: Final = 10_000


def plain(cell: pl.Expr, marks: Marks) -> pl.Expr:
    """Cells whose numbers are in plain decimal text, where a file writes them with `marks`."""
    import polars as pl

    if marks is Marks.PLAIN:
        return cell
    if marks is Marks.EITHER:
        one = cell.str.contains(r"^[+-]?[0-9]*,[0-9]*([eE][+-]?[0-9]+)?$")
        return pl.when(one).then(cell.str.replace(",", ".", literal=True)).otherwise(cell)
    fraction, group = (r"\.", ",") if marks is Marks.POINT else (",", r"\.")
    # Groups of three behind one mark, the same throughout; nothing else is guessed at.
    each = "|".join(
        f"[0-9]{{1,3}}({mark}[0-9]{{3}})+" for mark in (group, " ", "\u00a0", "\u202f", "'")
    )
    fits = cell.str.contains(rf"^[+-]?([0-9]+|{each}|)({fraction}[0-9]*)?([eE][+-]?[0-9]+)?$")
    bare = cell.str.replace_all(rf"[ \u00a0\u202f']|{group}", "").str.replace(
        ",", ".", literal=True
    )
    return pl.when(fits).then(bare)


def numbers_of(cells: pl.Series, marks: Marks = Marks.PLAIN) -> Numbers:
    """The number that each cell of text is [rows]; NaN where it is none or the cell is empty."""
    import polars as pl

    cell = pl.col("cells")
    read = plain(cell, marks).cast(pl.Float64, strict=False).fill_null(np.nan)
    for spellings, number in _TRUTHS:
        read = pl.when(cell.is_in(spellings)).then(number).otherwise(read)
    values: Numbers = cells.alias("cells").to_frame().select(read).to_series().to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def text_places(cells: pl.Series, words: Sequence[str], values: Numbers | None = None) -> Integers:
    """Each cell's place among `words` [rows]; -1 where it is none of them or empty.

    `values` are the numbers that the cells are (`numbers_of`): they are needed where a word is a
    number.
    """
    import polars as pl

    spelt = cells.replace_strict(
        list(words), list(range(len(words))), default=-1, return_dtype=pl.Int64
    )
    exact: Integers = spelt.fill_null(-1).to_numpy()
    return exact if values is None else np.where(exact < 0, number_places(values, words), exact)


def number_places(values: Numbers, words: Sequence[str]) -> Integers:
    """Each number's place among `words` [rows], by value; -1 where it is none of them or NaN."""
    places: dict[float, list[int]] = {}
    for index, word in enumerate(words):
        number = number_of(word)
        if number is not None:
            places.setdefault(number + 0.0, []).append(index)
    meant = {
        value: found[0] if len(found) == 1 else _shortest(value, found, words)
        for value, found in places.items()
    }
    if not meant:
        return np.full(len(values), -1, np.int64)
    known = np.array(sorted(meant))
    index_of = np.array([meant[value] for value in known.tolist()], np.int64)
    nearest = np.minimum(np.searchsorted(known, values), len(known) - 1)
    # NaN sorts last and equals nothing.
    found: Integers = np.where(known[nearest] == values, index_of[nearest], -1)
    return found


def text_gaps(cells: pl.Series, words: Sequence[str], values: Numbers | None) -> Flags:
    """Which cells of text are gaps [rows]: empty, or one of `words`.

    `values` are the numbers that the cells are, as for `text_places`.
    """
    gaps = cells.is_null()
    if words:
        gaps = gaps | cells.is_in(list(words)).fill_null(False)
    found: Flags = gaps.to_numpy()
    return found if values is None else _or_valued(found, values, words)


def number_gaps(values: Numbers, words: Sequence[str]) -> Flags:
    """Which cells of a file that stores numbers are gaps [rows]: NaN, or the value of a word."""
    return _or_valued(np.isnan(values), values, words)


def _or_valued(gaps: Flags, values: Numbers, words: Sequence[str]) -> Flags:
    """`gaps`, and what has the value of a word."""
    for word in words:
        if (number := number_of(word)) is not None:
            gaps = gaps | (values == number)
    return gaps


def kinds(table: Table) -> tuple[tuple[str, str], ...]:
    """Name and kind ('number', 'text', 'image') of the columns that can be used, in the file's
    order.

    For the owner's eyes alone: a kind follows from a column's first cells, and decides nothing.
    """
    return tuple(
        (
            name,
            "number"
            if name in table.numbers
            else "image"
            if name in table.images
            else "number"
            if _all_numbers(table.texts[name], table.marks)
            else "text",
        )
        for name in table.order
        if name not in table.other
    )


def _all_numbers(cells: pl.Series, marks: Marks) -> bool:
    filled = cells.drop_nulls().head(_LOOKED_AT)
    none = np.isnan(numbers_of(filled, marks))
    return bool(not none.any() or filled.filter(none).is_in(GAPS).all())


def _shortest(value: float, places: Sequence[int], words: Sequence[str]) -> int:
    """Which of the words of one value is spelt as its shortest form; -1 where none is."""
    shortest = repr(value).removesuffix(".0")
    return next((place for place in places if words[place] == shortest), -1)
