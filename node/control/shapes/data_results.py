"""What node.control.data_results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict


class DatasetChanged(TypedDict):
    # node.control.data_results.DatasetChanged
    name: str
    rows: int
    columns: list[str]
    column_count: int
    kept: list[str]
    notes: list[str]


class DatasetColumn(TypedDict):
    # node.control.data_results.DatasetColumn
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
    # node.control.data_results.DatasetFit
    job: str
    rows: int
    usable: int
    refused: str
    older: bool
    unit: str
    reasons: list[DatasetMisfit]


class DatasetMisfit(TypedDict):
    # node.control.data_results.DatasetMisfit
    column: str
    empty: bool
    declared: str
    rows: int
    lines: list[int]
    cells: list[str]


class DatasetRemoved(TypedDict):
    # node.control.data_results.DatasetRemoved
    name: str
    copies: int
    told: bool


class DatasetView(TypedDict):
    # node.control.data_results.DatasetView
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
    # node.control.data_results.DatasetWord
    word: str
    rows: int
