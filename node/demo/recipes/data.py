"""The demo's real data: loaded from scikit-learn, split among owners, written as CSV.

A split is a function of its seed alone. It is unequal on purpose: owners differ in how many rows
they have and in which classes these show, as hospitals do.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from node.demo.recipes.columns import TABLES, DataName, Table

#: Concentration of the Dirichlet draws. Of sizes: the largest part is about three times the
#: smallest. Of classes: every owner has most classes, in very different numbers.
_SIZES: Final = 8.0
_CLASSES: Final = 3.0

#: No owner has fewer rows: a mini-batch.
MIN_ROWS: Final = 32

#: Splits that are drawn before giving up; in practice one or two are.
_DRAWS: Final = 1000


@dataclass(frozen=True)
class Rows:
    """A data set: `x` (rows, columns) as the file holds them, `y` (rows,) class numbers."""

    table: Table
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]

    def take(self, chosen: npt.NDArray[np.int64]) -> Rows:
        return Rows(self.table, self.x[chosen], self.y[chosen])

    def balance(self) -> tuple[int, ...]:
        """Rows of each class."""
        return tuple(int(n) for n in np.bincount(self.y, minlength=len(self.table.classes)))

    def inputs(self) -> npt.NDArray[np.float64]:
        """The columns scaled by their declared ranges, as the daemons scale them."""
        low = np.array([column.low for column in self.table.columns])
        high = np.array([column.high for column in self.table.columns])
        scaled: npt.NDArray[np.float64] = (self.x - low) / (high - low)
        return scaled

    def targets(self) -> npt.NDArray[np.float64]:
        """The classes in the type of the kernels' targets."""
        return self.y.astype(np.float64)


@dataclass(frozen=True)
class Split:
    """Row numbers: the requester's hold-out set, and each owner's part."""

    holdout: npt.NDArray[np.int64]
    parts: tuple[npt.NDArray[np.int64], ...]

    def together(self, owners: int) -> npt.NDArray[np.int64]:
        """The rows of the first owners in one set."""
        return np.concatenate(self.parts[:owners])


def load(name: DataName) -> Rows:
    """The whole data set. Needs scikit-learn, which only the demo does."""
    from sklearn import datasets

    found = datasets.load_digits() if name == "digits" else datasets.load_breast_cancer()
    return Rows(TABLES[name], found.data.astype(np.float64), found.target.astype(np.int64))


def split(y: npt.NDArray[np.int64], owners: int, seed: int, holdout: float) -> Split:
    """Hold-out (that share of the rows) and parts, the same for the same seed.

    Every row goes to exactly one of them.

    Sizes and, within them, classes follow Dirichlet draws (Hsu, Qi and Brown 2019, section 3).
    Drawn again until every part has MIN_ROWS. Raises ValueError where the data cannot give that.
    """
    if owners * MIN_ROWS > (1 - holdout) * len(y):
        raise ValueError(f"{len(y)} rows are too few for {owners} owners of {MIN_ROWS}")
    random = np.random.default_rng(seed)
    order = random.permutation(len(y)).astype(np.int64)
    held = round(holdout * len(y))
    kept, rest = order[:held], order[held:]
    for _ in range(_DRAWS):
        weights = random.dirichlet(np.full(owners, _SIZES))
        parts: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(owners)]
        for label in np.unique(y):
            rows = rest[y[rest] == label]
            shares = weights * random.gamma(_CLASSES, size=owners)
            cuts = np.round(np.cumsum(shares / shares.sum())[:-1] * len(rows)).astype(np.int64)
            for part, piece in zip(parts, np.split(rows, cuts), strict=True):
                part.append(piece)
        joined = tuple(random.permutation(np.concatenate(part)) for part in parts)
        if min(len(part) for part in joined) >= MIN_ROWS:
            return Split(kept, joined)
    raise ValueError(f"no split of {len(y)} rows among {owners} owners was found in {_DRAWS} draws")


def write_csv(path: Path, rows: Rows) -> None:
    """A CSV file with a header, as a spreadsheet would export it; classes by their names."""
    columns = [column.name for column in rows.table.columns]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, rows.table.target])
        for values, label in zip(rows.x, rows.y, strict=True):
            writer.writerow([*map(_number, values), rows.table.classes[int(label)]])


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(float(value))
