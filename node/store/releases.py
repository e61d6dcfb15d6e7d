"""The shares that this node released: of each member and attempt one kind, for ever.

The chain already enforces the rule (protocol/owner/release.py), because it holds one committed list
a round and that list says who is in. The store enforces it once more: a row is written in the
transaction that stores the message, before its first byte leaves, and a second row of another kind,
or of another attempt of the round, cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from node.store.store import Transaction
from protocol.errors import FatalError

Kind = Literal["seed", "key"]


def record(
    tx: Transaction, job: bytes, round_: int, attempt: int, kinds: Mapping[int, Kind]
) -> None:
    """Note which kind of share of each member is to leave. The same again is fine.

    Raises FatalError for another kind than was noted before, or another attempt: nothing may leave.
    """
    for member, kind in sorted(kinds.items()):
        tx.execute(
            "INSERT OR IGNORE INTO releases (job, round, member, attempt, kind)"
            " VALUES (?, ?, ?, ?, ?)",
            (job, round_, member, attempt, kind),
        )
        held = tx.execute(
            "SELECT attempt, kind FROM releases WHERE job = ? AND round = ? AND member = ?",
            (job, round_, member),
        ).fetchone()
        if held != (attempt, kind):
            raise FatalError(
                f"a {held[1]} share of member {member} was released for attempt "
                f"{round_}.{held[0]}: no {kind} share of it is released for {round_}.{attempt}"
            )
