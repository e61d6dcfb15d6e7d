"""What this node said and gave away in jobs whose contributions prove their norm, once each.

A row is written in the transaction that stores the message, before its first byte leaves. A second
one that differs cannot be written: words under two challenges, and sums of two sets, tell more
than was promised.
"""

from __future__ import annotations

from node.store.store import Transaction
from protocol.errors import FatalError


def record_words(
    tx: Transaction, job: bytes, round_: int, attempt: int, dealt: bytes, words: bytes
) -> None:
    """Note that words on the dealings of the list `dealt` are to leave. The same again is fine.

    Raises FatalError for other dealings, or other words, of this attempt: nothing may leave.
    """
    tx.execute(
        "INSERT OR IGNORE INTO words (job, round, attempt, dealt, words) VALUES (?, ?, ?, ?, ?)",
        (job, round_, attempt, dealt, words),
    )
    held = tx.execute(
        "SELECT dealt, words FROM words WHERE job = ? AND round = ? AND attempt = ?",
        (job, round_, attempt),
    ).fetchone()
    if held != (dealt, words):
        raise FatalError(
            f"words on other dealings of attempt {round_}.{attempt} were said: none are said now"
        )


def record_sum(
    tx: Transaction, job: bytes, round_: int, attempt: int, root: bytes, digest: bytes
) -> None:
    """Note that the sum `digest` is to leave, for the set that the commitment `root` lists. The
    same again is fine.

    Raises FatalError for another attempt, set or sum of this round: nothing may leave.
    """
    tx.execute(
        "INSERT OR IGNORE INTO sums (job, round, attempt, root, digest) VALUES (?, ?, ?, ?, ?)",
        (job, round_, attempt, root, digest),
    )
    held = tx.execute(
        "SELECT attempt, root, digest FROM sums WHERE job = ? AND round = ?", (job, round_)
    ).fetchone()
    if held != (attempt, root, digest):
        raise FatalError(
            f"a sum was released for attempt {round_}.{held[0]}: none is released for "
            f"{round_}.{attempt}"
        )
