"""The attack `kind`: one odd cell decides what a whole column means, and so moves every row.

Neighbours differ by one row, and noise covers that row's vector alone. A reader that asks whether a
column is one of numbers, or that fills gaps with a mean, lets one cell change all other rows: the
sum moves by as many vectors as there are rows, and the noise hides nothing. The requester chooses
the words ("0" where files hold "0.0"), so that one row which is no number takes all others with it.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from node.data.cells import number_places, numbers_of, text_places
from node.data.datasets import import_file
from node.data.matrix import OwnedRows, owned_rows
from node.data.table import Numbers, Table, read_table
from node.store.blobs import Blobs
from protocol.arith.learning.models import Family, Model
from protocol.arith.noise import accountant
from protocol.arith.noise.mechanism import add_noise, sum_records
from protocol.arith.numbers.entropy import Entropy, draw
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.sealed import statistics
from protocol.layout.noise import RECORD_NORM
from protocol.spec.gaps import GapNumberFeature, Missing
from protocol.spec.job import ClassTarget, NumberFeature
from scripts.attacks.table import Row
from scripts.attacks.table import Table as Outcome

_ROWS: Final = 1000
_EPSILON, _DELTA = 1.0, 1e-5

#: Draws of each of two neighbours that the attacker tells apart.
_DRAWS: Final = 50

_X = NumberFeature("x", 0.0, 1.0)
_Y = ClassTarget("y", ("0", "1"))
_MODEL = Model(Family.LOGISTIC, 1, 1)

#: The requester's weights: they call every row a 1, so that those of class 0 have long gradients.
_WEIGHTS = np.array([0.0, 50.0])

Cells: TypeAlias = tuple[str, str]
Reading: TypeAlias = Callable[[Path], OwnedRows]


def run(entropy: Entropy = secrets.token_bytes) -> Outcome:
    """The whole table: three ways in which one row would move all others."""
    notes = [
        f"{_ROWS} rows of a column and a class, and one row more; each file is read from its bytes "
        "on. A unit is the sensitivity: the length of one record's vector, which noise covers.",
        f"Told apart: the sum with the odd row and the sum without it, {_DRAWS} draws of each at "
        f"epsilon {_EPSILON:g}; half of them are guessed right by a coin.",
        "The defence is that cells are read one by one (node/data/cells.py), and that a gap is "
        "what the spec says; without it a whole column decides.",
    ]
    title = "One row decides what all others mean"
    return Outcome("kind", title, [open_row(entropy), sealed_row(entropy), mean_row()], notes)


def open_row(entropy: Entropy) -> Row:
    """An open job's sum, and what its noise hides of it."""
    few, more = neighbours(_labelled(entropy), ("0.5", "?"))
    without, with_it = (
        [_gradients(each(rows)) for rows in (few, more)] for each in (by_column, by_cell)
    )
    direction = without[1] - without[0]
    moved, moves = _distance(*without), _distance(*with_it)
    right, rest = (_told_apart(sums, direction) for sums in (without, with_it))
    return Row(
        "an open job's sum of gradients, by one row whose class is '?'",
        f"moves by {moved:.0f} units; {right} of {2 * _DRAWS} told apart",
        f"moves by {moves:.0f} units; {rest} of {2 * _DRAWS} told apart",
        moved > _ROWS / 2 and moves <= 1.0 and right == 2 * _DRAWS and rest < 1.5 * _DRAWS,
    )


def sealed_row(entropy: Entropy) -> Row:
    """A sealed job's statistics."""
    few, more = neighbours(_labelled(entropy), ("0.5", "?"))
    moved, moves = (
        _distance(*(_statistics(each(rows)) for rows in (few, more)))
        for each in (by_column, by_cell)
    )
    return Row(
        "a sealed job's statistics, by the same row",
        f"move by {moved:.0f} units",
        f"move by {moves:.0f} units",
        moved > _ROWS / 10 and moves <= 1.0,
    )


def mean_row() -> Row:
    """Gaps that are filled with a column's mean, and with a number that the spec says."""
    few, more = neighbours([("0.1", "0"), *[("", "0")] * (_ROWS - 1)], ("1", "0"))
    moved, moves = (
        _distance(*(_gradients(each(rows)) for rows in (few, more)))
        for each in (by_mean, by_filling)
    )
    return Row(
        "an open job's sum where nearly all cells are gaps, by one row that has none",
        f"moves by {moved:.0f} units (gaps become the mean)",
        f"moves by {moves:.0f} units (gaps become 0.5)",
        moved > _ROWS / 10 and moves <= 1.0,
    )


def neighbours(rows: Sequence[Cells], odd: Cells) -> tuple[bytes, bytes]:
    """Two files: these rows, and these rows with one more."""

    def file(rows: Sequence[Cells]) -> bytes:
        return "\n".join(",".join(cells) for cells in [("x", "y"), *rows, ()]).encode()

    return file(rows), file([*rows, odd])


def by_cell(content: bytes) -> OwnedRows:
    """The product's reading, as an owner in a job with noise reads."""
    return _read(content, lambda copy: owned_rows(copy, [_X], _Y))


def by_filling(content: bytes) -> OwnedRows:
    """The product's reading where the spec says what a gap becomes."""
    filled = GapNumberFeature("x", 0.0, 1.0, (), Missing.FILL, 0.5, False)
    return _read(content, lambda copy: owned_rows(copy, [filled], _Y))


def by_column(content: bytes) -> OwnedRows:
    """A reading that asks of a whole column whether it is numbers: then words go by value, and by
    spelling where one cell is none."""
    return _read(content, lambda copy: _whole(read_table(copy)))


def by_mean(content: bytes) -> OwnedRows:
    """A reading that fills gaps with the mean of their column."""

    def filled(copy: Path) -> OwnedRows:
        table = read_table(copy)
        x = numbers_of(table.texts["x"])
        return _owned(np.where(np.isnan(x), np.nanmean(x), x), _classes(table))

    return _read(content, filled)


def _labelled(entropy: Entropy) -> list[Cells]:
    """Rows of which one in ten is of class 1, with classes as pandas writes whole numbers once a
    column has had a gap."""
    coins = np.frombuffer(draw(entropy, _ROWS), np.uint8)
    return [(f"{0.5 + coin / 512:.3f}", f"{int(coin < 26)}.0") for coin in coins]


def _read(content: bytes, reading: Reading) -> OwnedRows:
    """A file's rows, from its bytes on: imported as `assay data add` does it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ward.csv"
        file.write_bytes(content)
        return reading(Blobs(Path(folder)).path(import_file(file, Path(folder)).copy.digest))


def _whole(table: Table) -> OwnedRows:
    return _owned(numbers_of(table.texts["x"]), _classes(table))


def _classes(table: Table) -> Numbers:
    """Each row's class by a whole column's kind [rows]; NaN where it is none."""
    cells = table.texts["y"]
    values = numbers_of(cells)
    numeric = not np.isnan(values).any()
    places = number_places(values, _Y.classes) if numeric else text_places(cells, _Y.classes)
    return np.where(places < 0, np.nan, places)


def _owned(x: Numbers, y: Numbers) -> OwnedRows:
    unused = np.isnan(x) | np.isnan(y)
    return OwnedRows(np.where(unused, 0.0, x)[:, None], np.where(unused, 0.0, y), unused, "")


def _gradients(held: OwnedRows) -> Integers:
    """The sum of all rows' vectors, every row sampled, before noise."""
    chosen = np.arange(len(held.features))
    features, used = held.features, ~held.unused
    return sum_records(_MODEL, _WEIGHTS, features, held.target, chosen, 0.5, used)[0]


def _statistics(held: OwnedRows) -> Integers:
    return statistics.exact(_MODEL, held.features, held.target).numbers


def _distance(few: Integers, more: Integers) -> float:
    """In units of the sensitivity."""
    return float(np.linalg.norm((more - few).astype(np.float64)) / RECORD_NORM)


def _told_apart(sums: Sequence[Integers], direction: Integers) -> int:
    """How many noised sums the attacker calls by their right name: it looks along `direction`, in
    which the odd row moves a sum if all rows move with it."""
    multiplier = accountant.multiplier(_EPSILON, _DELTA, 1.0, 1)
    along = direction / np.linalg.norm(direction.astype(np.float64))
    least = float(along @ sums[0]) + float(np.linalg.norm(direction.astype(np.float64))) / 2
    right = 0
    for odd, total in enumerate(sums):
        for _ in range(_DRAWS):
            noisy = add_noise(total, multiplier)
            right += (float(along @ noisy) > least) == bool(odd)
    return right
