"""Versions of data sets: which one each job uses, which copies a name has had, how well they fit.

A job keeps the version that it was joined (or posted) with. That is noted before the owner's
consent leaves, in one transaction with a look at the catalogue: whatever removes or replaces a data
set comes before, and the note fails, or after, and sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.store.catalogue import Dataset, load_dataset
from node.store.store import Transaction, now


@dataclass(frozen=True, slots=True)
class Use:
    """The version that a job uses: a copy (`digest`), its rows, and its owner's column map."""

    job: bytes
    dataset: str
    digest: bytes
    rows: int
    renames: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How many of a data set's rows a job can use, and why not the others; for its owner alone."""

    dataset: str
    rows: int
    usable: int
    why: str


def use(tx: Transaction, job: bytes, dataset: Dataset) -> bool:
    """Note that a job uses this version. False, and nothing changed, if it is not the present one:
    look again."""
    present = load_dataset(tx, dataset.name)
    if present is None or (present.digest, present.renames) != (dataset.digest, dataset.renames):
        return False
    _note(tx, job, dataset)
    return True


def keep(tx: Transaction, jobs: frozenset[bytes], dataset: Dataset) -> None:
    """Jobs of before uses were noted use the present version, which is about to go."""
    for job in jobs:
        if use_of(tx, job) is None:
            _note(tx, job, dataset)


def _note(tx: Transaction, job: bytes, dataset: Dataset) -> None:
    tx.execute(
        "INSERT INTO dataset_uses (job, dataset, digest, rows, renames, at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE SET dataset = excluded.dataset,"
        " digest = excluded.digest, rows = excluded.rows, renames = excluded.renames,"
        " at = excluded.at, over = NULL",
        (job, dataset.name, dataset.digest, dataset.rows, dataset.renames, now()),
    )


def use_of(tx: Transaction, job: bytes) -> Use | None:
    """The version that a job uses; None where none was noted."""
    row = tx.execute(f"{_USES} WHERE job = ?", (job,)).fetchone()
    return None if row is None else Use(*row)


def uses(tx: Transaction) -> list[Use]:
    """Of all jobs that may still ask for their version."""
    return [Use(*row) for row in tx.execute(f"{_USES} WHERE over IS NULL ORDER BY rowid")]


def over(tx: Transaction, job: bytes) -> None:
    """A job is over: its version need not be kept for it. Unknown jobs are fine."""
    tx.execute("UPDATE dataset_uses SET over = ? WHERE job = ? AND over IS NULL", (now(), job))


def digests_of(tx: Transaction, name: str) -> frozenset[bytes]:
    """Every copy that a name has had."""
    rows = tx.execute("SELECT digest FROM dataset_digests WHERE name = ?", (name,))
    return frozenset(row[0] for row in rows)


def has_told(tx: Transaction, name: str) -> bool:
    """Whether jobs have learnt from a data set of this name, or may have."""
    charged = (
        "SELECT 1 FROM privacy_reserves r JOIN privacy_charges c ON c.job = r.job WHERE dataset = ?"
    )
    joined = "SELECT 1 FROM noiseless_joins WHERE dataset = ? AND idle IS NULL"
    return any(tx.execute(query, (name,)).fetchone() for query in (charged, joined))


def copies(tx: Transaction) -> frozenset[bytes]:
    """Digests of the copies that must stay: those that names have, and those that jobs use."""
    rows = tx.execute(
        "SELECT digest FROM datasets UNION SELECT digest FROM dataset_uses WHERE over IS NULL"
    )
    return frozenset(row[0] for row in rows)


def save_fit(tx: Transaction, job: bytes, fit: Fit) -> None:
    """Keep what was found of a job's rows."""
    tx.execute(
        "INSERT INTO dataset_fits (job, dataset, rows, usable, why) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (job, dataset) DO UPDATE SET rows = excluded.rows, usable = excluded.usable,"
        " why = excluded.why",
        (job, fit.dataset, fit.rows, fit.usable, fit.why),
    )


def forget_fits(tx: Transaction, dataset: str) -> None:
    """The data set is another now, or gone: what was found of it no longer holds."""
    tx.execute("DELETE FROM dataset_fits WHERE dataset = ?", (dataset,))


def fits_of(tx: Transaction, job: bytes) -> tuple[Fit, ...]:
    """What was found of a job, by data set."""
    rows = tx.execute(
        "SELECT dataset, rows, usable, why FROM dataset_fits WHERE job = ? ORDER BY dataset", (job,)
    )
    return tuple(Fit(*row) for row in rows)


_USES = "SELECT job, dataset, digest, rows, renames FROM dataset_uses"
