"""What node.control.data_results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict


class DatasetChanged(TypedDict):
    """What node.control.data_results.DatasetChanged is as JSON."""

    name: str
    rows: int
    columns: list[str]
    column_count: int
    kept: list[str]
    notes: list[str]


class DatasetColumn(TypedDict):
    """What node.control.data_results.DatasetColumn is as JSON."""

    name: str
    column: str
    kind: str
    gaps: int
    numbers: int
    low: float | None
    high: float | None
    distinct: int
    words: list[DatasetWord]


class DatasetFit(TypedDict):
    """What node.control.data_results.DatasetFit is as JSON."""

    job: str
    rows: int
    usable: int
    refused: str
    older: bool
    unit: str
    reasons: list[DatasetMisfit]


class DatasetMisfit(TypedDict):
    """What node.control.data_results.DatasetMisfit is as JSON."""

    column: str
    empty: bool
    declared: str
    rows: int
    lines: list[int]
    cells: list[str]


class DatasetRemoved(TypedDict):
    """What node.control.data_results.DatasetRemoved is as JSON."""

    name: str
    copies: int
    told: bool


class DatasetView(TypedDict):
    """What node.control.data_results.DatasetView is as JSON."""

    name: str
    path: str
    rows: int
    bytes: int
    added_at: float
    holdout: bool
    mapped: bool
    format: dict[str, str]
    columns: list[DatasetColumn]
    column_count: int
    fit: DatasetFit | None


class DatasetWord(TypedDict):
    """What node.control.data_results.DatasetWord is as JSON."""

    word: str
    rows: int
