"""The columns of the demo's data, with the ranges that a requester declares in its spec.

A range follows from what the field knows beforehand, not from the data. So scaling by it tells
nothing of any owner's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DataName = Literal["digits", "breast-cancer"]


@dataclass(frozen=True)
class Column:
    """A column of numbers and its declared range."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """A data set's columns and its target, whose k-th class is scikit-learn's class k.

    `holdout` is the requester's share, on which accuracy is measured and nothing is trained: enough
    rows that a point of accuracy is more than one or two of them.
    """

    title: str
    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...]
    holdout: float


#: 8 x 8 images of hand-written digits, 1,797 of them.
DIGITS: Final = Table(
    "Hand-written digits",
    tuple(Column(f"pixel_{row}_{column}", 0, 16) for row in range(8) for column in range(8)),
    "digit",
    tuple("0123456789"),
    0.2,
)

#: 569 fine needle aspirates of breast masses (Wisconsin, diagnostic): 30 measurements of nuclei.
BREAST_CANCER: Final = Table(
    "Breast cancer, Wisconsin",
    (
        Column("mean_radius", 5, 30),
        Column("mean_texture", 5, 40),
        Column("mean_perimeter", 40, 200),
        Column("mean_area", 100, 3000),
        Column("mean_smoothness", 0.05, 0.2),
        Column("mean_compactness", 0, 0.4),
        Column("mean_concavity", 0, 0.5),
        Column("mean_concave_points", 0, 0.25),
        Column("mean_symmetry", 0.1, 0.4),
        Column("mean_fractal_dimension", 0.04, 0.1),
        Column("radius_error", 0, 3),
        Column("texture_error", 0, 5),
        Column("perimeter_error", 0, 25),
        Column("area_error", 0, 600),
        Column("smoothness_error", 0, 0.04),
        Column("compactness_error", 0, 0.15),
        Column("concavity_error", 0, 0.4),
        Column("concave_points_error", 0, 0.06),
        Column("symmetry_error", 0, 0.1),
        Column("fractal_dimension_error", 0, 0.03),
        Column("worst_radius", 5, 40),
        Column("worst_texture", 10, 50),
        Column("worst_perimeter", 50, 300),
        Column("worst_area", 100, 5000),
        Column("worst_smoothness", 0.05, 0.25),
        Column("worst_compactness", 0, 1.2),
        Column("worst_concavity", 0, 1.3),
        Column("worst_concave_points", 0, 0.3),
        Column("worst_symmetry", 0.1, 0.7),
        Column("worst_fractal_dimension", 0.05, 0.25),
    ),
    "diagnosis",
    ("malignant", "benign"),
    0.34,
)

TABLES: Final[dict[DataName, Table]] = {"digits": DIGITS, "breast-cancer": BREAST_CANCER}
