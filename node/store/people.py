"""Which data sets hold rows of the same people: sealed sketches of rows, and what they share.

A data set that is removed told what it told, and so its sketch stays. Only where it was never used
nothing of it is kept: it must not hold two others together for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.store.store import Transaction, now


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a data set, under its name: the digest of its copy."""

    dataset: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """Two versions whose rows are the same in `part` of the smaller one's. `apart`: their owner
    said that these are other people, and they share nothing."""

    one: Version
    other: Version
    part: float
    apart: bool


def save_sketch(tx: Transaction, version: Version, sketch: bytes) -> None:
    """Enter a version's sealed sketch; one that is there stays."""
    tx.execute(
        "INSERT INTO sketches (dataset, digest, sketch, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (dataset, digest) DO NOTHING",
        (version.dataset, version.digest, sketch, now()),
    )


def load_sketch(tx: Transaction, version: Version) -> bytes | None:
    """A version's sealed sketch, None if there is none."""
    row = tx.execute(
        "SELECT sketch FROM sketches WHERE dataset = ? AND digest = ?",
        (version.dataset, version.digest),
    ).fetchone()
    return None if row is None else row[0]


def versions(tx: Transaction) -> tuple[Version, ...]:
    """All versions that have a sketch, the oldest first."""
    rows = tx.execute("SELECT dataset, digest FROM sketches ORDER BY rowid")
    return tuple(Version(*row) for row in rows)


def is_compared(tx: Transaction, dataset: str) -> bool:
    """Whether a data set, as it is now, was compared with all others. One that is not there is."""
    row = tx.execute(
        "SELECT 1 FROM datasets d WHERE d.name = ? AND NOT EXISTS"
        " (SELECT 1 FROM sketches s WHERE s.dataset = d.name AND s.digest = d.digest)",
        (dataset,),
    ).fetchone()
    return row is None


def save_link(tx: Transaction, link: Link) -> None:
    """Enter what two versions share; what was known of them stays."""
    tx.execute(
        "INSERT INTO shared_rows (one, one_digest, other, other_digest, part, apart, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            link.one.dataset,
            link.one.digest,
            link.other.dataset,
            link.other.digest,
            link.part,
            int(link.apart),
            now(),
        ),
    )


def links(tx: Transaction) -> tuple[Link, ...]:
    """All links, the oldest first."""
    rows = tx.execute(
        "SELECT one, one_digest, other, other_digest, part, apart FROM shared_rows ORDER BY rowid"
    )
    return tuple(
        Link(Version(one, first), Version(other, second), part, bool(apart))
        for one, first, other, second, part, apart in rows
    )


def forget_unused(tx: Transaction, dataset: str) -> None:
    """Of a data set that is removed: its sketches and links are deleted, unless a job was or may be
    charged to it, or joined without noise."""
    used = tx.execute(
        "SELECT 1 FROM privacy_reserves r WHERE dataset = ? AND (released IS NULL OR EXISTS"
        " (SELECT 1 FROM privacy_charges c WHERE c.job = r.job)) UNION"
        " SELECT 1 FROM noiseless_joins WHERE dataset = ? AND idle IS NULL",
        (dataset, dataset),
    ).fetchone()
    if used is None:
        tx.execute("DELETE FROM sketches WHERE dataset = ?", (dataset,))
        tx.execute("DELETE FROM shared_rows WHERE one = ? OR other = ?", (dataset, dataset))


def part(tx: Transaction, digest: bytes, dataset: str) -> None:
    """The owner's word: rows of these bytes, under any name, are of other people than those of
    `dataset`, where that is not of the same bytes."""
    tx.execute(
        "UPDATE shared_rows SET apart = 1 WHERE one_digest != other_digest"
        " AND ((one_digest = ? AND other = ?) OR (other_digest = ? AND one = ?))",
        (digest, dataset, digest, dataset),
    )


def group(tx: Transaction, *names: str) -> tuple[str, ...]:
    """The names whose data sets share one budget with any of `names`, these included, in order:
    whatever is linked by any chain of links."""
    marks = ", ".join("(?)" for _ in names)
    rows = tx.execute(
        f"WITH RECURSIVE found (name) AS (VALUES {marks} UNION"  # noqa: S608 - marks alone
        " SELECT CASE WHEN l.one = f.name THEN l.other ELSE l.one END"
        " FROM found f JOIN shared_rows l ON l.apart = 0 AND (l.one = f.name OR l.other = f.name))"
        " SELECT name FROM found ORDER BY name",
        names,
    )
    return tuple(row[0] for row in rows)
