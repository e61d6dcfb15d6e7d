"""The outbox: effects that are stored and not yet carried out.

An effect is written in the transaction that writes the state which wants it, and marked done after
it was carried out. After a crash in between it is carried out again, because effects are
idempotent. Order is by id, which is the order in which they were wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.store.store import Transaction, now


@dataclass(frozen=True, slots=True)
class Pending:
    """A stored effect. `seq` counts the effects of machine (`kind`, `key`) from 1."""

    id: int
    kind: str
    key: bytes
    seq: int
    effect: bytes


def put(
    tx: Transaction, kind: str, key: bytes, first_seq: int, effects: Iterable[bytes]
) -> list[Pending]:
    """Store `effects` of machine (`kind`, `key`) under `first_seq` and the numbers after it.

    Raises `sqlite3.IntegrityError` if one of the numbers is taken: no effect is stored twice.
    """
    stored = []
    for seq, effect in enumerate(effects, start=first_seq):
        row = tx.execute(
            "INSERT INTO outbox (kind, key, seq, effect, created) VALUES (?, ?, ?, ?, ?)"
            " RETURNING id",
            (kind, key, seq, effect, now()),
        ).fetchone()
        stored.append(Pending(row[0], kind, key, seq, effect))
    return stored


def pending(tx: Transaction, after: int = 0, limit: int = 1000) -> list[Pending]:
    """Effects not yet carried out, oldest first, with ids above `after`; at most `limit`."""
    rows = tx.execute(
        "SELECT id, kind, key, seq, effect FROM outbox WHERE done IS NULL AND id > ?"
        " ORDER BY id LIMIT ?",
        (after, limit),
    )
    return [Pending(*row) for row in rows]


def complete(tx: Transaction, effect_id: int) -> bool:
    """Mark one effect as carried out; False if it already was. `KeyError` if there is none."""
    changed = tx.execute(
        "UPDATE outbox SET done = ? WHERE id = ? AND done IS NULL", (now(), effect_id)
    ).rowcount
    if changed:
        return True
    if tx.execute("SELECT 1 FROM outbox WHERE id = ?", (effect_id,)).fetchone() is None:
        raise KeyError(effect_id)
    return False


def prune(tx: Transaction, older_than: float) -> int:
    """Delete effects that were carried out before `older_than` (seconds since 1970); how many.

    A machine's `seq` is kept with its state, so a number is never given out again.
    """
    return tx.execute("DELETE FROM outbox WHERE done < ?", (older_than,)).rowcount
