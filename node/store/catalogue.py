"""The catalogue of this node's data sets, and the policies that their owner set."""

from __future__ import annotations

import json
from dataclasses import dataclass

from node.store import people
from node.store.store import Transaction, now
from protocol.params import MAX_SPEC_BYTES
from protocol.policy.policy import Policy
from protocol.wire.codec import decode, encode


@dataclass(frozen=True, slots=True)
class Dataset:
    """An imported data set. `digest` (32 bytes) names its copy; `columns` are name and kind, as
    jobs see them.

    A `holdout` measures this node's own jobs and is offered to none. `renames` is the owner's
    column map (node.data.maps), empty if there is none. `format` says how the file was read, for
    people.
    """

    name: str
    source: str
    digest: bytes
    rows: int
    bytes: int
    columns: tuple[tuple[str, str], ...]
    added: float
    holdout: bool = False
    renames: str = ""
    format: tuple[tuple[str, str], ...] = ()


def save_dataset(tx: Transaction, dataset: Dataset) -> bool:
    """Enter a data set; False, and nothing changed, if its name is taken."""
    entered = tx.execute(
        "INSERT INTO datasets (name, source, digest, rows, bytes, columns, added, holdout, renames,"
        " format) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        (dataset.name, *_values(dataset)),
    ).rowcount
    if entered:
        _remember(tx, dataset)
    return entered > 0


def change_dataset(tx: Transaction, dataset: Dataset) -> bool:
    """Another version under the same name, policy and budget; False if there is no such name."""
    changed = tx.execute(
        "UPDATE datasets SET source = ?, digest = ?, rows = ?, bytes = ?, columns = ?, added = ?,"
        " holdout = ?, renames = ?, format = ? WHERE name = ?",
        (*_values(dataset), dataset.name),
    ).rowcount
    if changed:
        _remember(tx, dataset)
    return changed > 0


def _values(dataset: Dataset) -> tuple[str | bytes | int | float, ...]:
    return (
        dataset.source,
        dataset.digest,
        dataset.rows,
        dataset.bytes,
        json.dumps(dataset.columns),
        dataset.added,
        int(dataset.holdout),
        dataset.renames,
        json.dumps(dataset.format),
    )


def _remember(tx: Transaction, dataset: Dataset) -> None:
    """Note for good that a name had this copy."""
    tx.execute(
        "INSERT INTO dataset_digests (name, digest, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (dataset.name, dataset.digest, dataset.added),
    )


def load_dataset(tx: Transaction, name: str) -> Dataset | None:
    """The data set of this name, None if there is none."""
    row = tx.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _dataset(row)


def datasets(tx: Transaction) -> list[Dataset]:
    """All data sets, by name."""
    return [_dataset(row) for row in tx.execute(f"{_SELECT} ORDER BY name")]


def mark_holdout(tx: Transaction, name: str) -> None:
    """From now on a data set measures this node's own jobs, and is offered to none."""
    tx.execute("UPDATE datasets SET holdout = 1 WHERE name = ?", (name,))


def delete_dataset(tx: Transaction, name: str) -> bool:
    """Take a data set and its policy out; False if there was none. Its copy is the caller's. What
    it told, and to whose rows, stays (node/store/people.py)."""
    people.forget_unused(tx, name)
    return tx.execute("DELETE FROM datasets WHERE name = ?", (name,)).rowcount > 0


def save_policy(tx: Transaction, name: str, policy: Policy) -> None:
    """Set what data set `name` may be used for. `KeyError` if there is no such data set."""
    if load_dataset(tx, name) is None:
        raise KeyError(name)
    tx.execute(
        "INSERT INTO policies (name, body, updated) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET body = excluded.body, updated = excluded.updated",
        (name, encode(policy), now()),
    )


def policy_of(tx: Transaction, name: str) -> Policy:
    """The policy of data set `name`; the closed one where its owner has not decided yet."""
    row = tx.execute("SELECT body FROM policies WHERE name = ?", (name,)).fetchone()
    return Policy.closed() if row is None else _policy(row[0])


def policies(tx: Transaction) -> dict[str, Policy]:
    """All policies that were decided, by the name of their data set."""
    rows = tx.execute("SELECT name, body FROM policies ORDER BY name")
    return {name: _policy(body) for name, body in rows}


def _policy(body: bytes) -> Policy:
    return decode(Policy, body, MAX_SPEC_BYTES)


_SELECT = (
    "SELECT name, source, digest, rows, bytes, columns, added, holdout, renames, format"
    " FROM datasets"
)


def _dataset(
    row: tuple[str, str, bytes, int, int, str, float, int, str, str],
) -> Dataset:
    name, source, digest, rows, size, columns, added, holdout, renames, format_ = row
    return Dataset(
        name,
        source,
        digest,
        rows,
        size,
        _pairs(columns),
        added,
        bool(holdout),
        renames,
        _pairs(format_),
    )


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in json.loads(text))
