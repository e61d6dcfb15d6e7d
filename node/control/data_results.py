"""Results of control methods about the owner's own data. See node.control.results.

For the user of this home alone: values of records stand in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.control.wire import DatasetName, JobId, Timestamp


@dataclass(frozen=True)
class DatasetWord:
    """A cell's text, and how many rows have it.

    word: the text, cut after 60 characters
    rows: rows in which it stands
    """

    word: str
    rows: int


@dataclass(frozen=True)
class DatasetColumn:
    """One column of a data set, as jobs see it.

    name: its name for jobs, after the column map
    column: its name in the file
    kind: `number`, `text`, or the kind of the file that no job can use
    gaps: cells that are empty, or spelt as people write a gap (NA, ?, -)
    numbers: cells that are numbers
    low: the least of them; null if there is none
    high: the greatest of them; null if there is none
    distinct: different cells that are not empty
    words: the commonest of them, at most 12
    """

    name: str
    column: str
    kind: str
    gaps: int
    numbers: int
    low: float | None
    high: float | None
    distinct: int
    words: tuple[DatasetWord, ...]


@dataclass(frozen=True)
class DatasetMisfit:
    """Rows that a job cannot use, for one reason.

    column: the column, by its name for jobs
    empty: whether its cells are empty; otherwise they are not what is declared
    declared: what the job's spec declares
    rows: how many rows; a row may have several reasons
    lines: the first of them, as the file counts
    cells: some of what stands there; none where it is empty
    """

    column: str
    empty: bool
    declared: str
    rows: int
    lines: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class DatasetFit:
    """How a job's spec fits a data set's rows.

    job: the job
    rows: rows in all
    usable: rows that can be used; without noise, a job that cannot use all rows cannot be served
    refused: why the columns cannot serve it at all; empty otherwise
    older: whether the job was joined with an earlier version, which this is about
    unit: what `lines` count: line or row
    reasons: why rows cannot be used, the commonest first
    """

    job: JobId
    rows: int
    usable: int
    refused: str
    older: bool
    unit: str
    reasons: tuple[DatasetMisfit, ...]


@dataclass(frozen=True)
class DatasetView:
    """A data set from the inside.

    name: its name
    path: its file, or where it came from
    rows: records in it
    bytes: size of this node's copy
    added_at: when this version was added
    holdout: whether it measures this home's own jobs, and is offered to none
    mapped: whether it has a column map
    format: how the file was read: separator, decimal mark, encoding
    columns: its columns in the file's order, at most 256
    column_count: all of them
    fit: against a job; null where none was named
    """

    name: DatasetName
    path: str
    rows: int
    bytes: int
    added_at: Timestamp
    holdout: bool
    mapped: bool
    format: dict[str, str]
    columns: tuple[DatasetColumn, ...]
    column_count: int
    fit: DatasetFit | None


@dataclass(frozen=True)
class DatasetRemoved:
    """A data set that is gone. What was told of it stays in the ledger.

    name: its name
    copies: copies that were deleted
    told: whether jobs have learnt from it: its budget goes on if it comes back
    """

    name: DatasetName
    copies: int
    told: bool


@dataclass(frozen=True)
class DatasetChanged:
    """A data set's new version, or its new column map.

    name: its name
    rows: records in it now
    columns: its columns' names for jobs, at most 256
    column_count: all of them
    kept: jobs that go on with the version that they were joined with
    notes: how the file was read, where that was not plain
    """

    name: DatasetName
    rows: int
    columns: tuple[str, ...]
    column_count: int
    kept: tuple[JobId, ...]
    notes: tuple[str, ...]
