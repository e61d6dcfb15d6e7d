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
    """An imported data set. `digest` (32 bytes) names its copy; `columns` are name and kind."""

    name: str
    source: str
    digest: bytes
    rows: int
    bytes: int
    columns: tuple[tuple[str, str], ...]
    added: float


def save_dataset(tx: Transaction, dataset: Dataset) -> bool:
    """Enter a data set; False, and nothing changed, if its name is taken."""
    return (
        tx.execute(
            "INSERT INTO datasets (name, source, digest, rows, bytes, columns, added)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (
                dataset.name,
                dataset.source,
                dataset.digest,
                dataset.rows,
                dataset.bytes,
                json.dumps(dataset.columns),
                dataset.added,
            ),
        ).rowcount
        > 0
    )


def load_dataset(tx: Transaction, name: str) -> Dataset | None:
    """The data set of this name, None if there is none."""
    row = tx.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _dataset(row)


def datasets(tx: Transaction) -> list[Dataset]:
    """All data sets, by name."""
    return [_dataset(row) for row in tx.execute(f"{_SELECT} ORDER BY name")]


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


_SELECT = "SELECT name, source, digest, rows, bytes, columns, added FROM datasets"


def _dataset(row: tuple[str, str, bytes, int, int, str, float]) -> Dataset:
    name, source, digest, rows, size, columns, added = row
    pairs = tuple((column, kind) for column, kind in json.loads(columns))
    return Dataset(name, source, digest, rows, size, pairs, added)
