"""Known cards of data sets in the store, and which of this node's slots holds whose card."""

from __future__ import annotations

from collections.abc import Iterable

from node.store.store import Transaction
from protocol.cards.table import Entry, Key


def save_card(tx: Transaction, entry: Entry, body: bytes) -> None:
    """Put a word into its slot, in the place of the one before. `body` is its envelope."""
    delete_cards(tx, [entry.key])
    tx.execute(
        "INSERT INTO cards"
        " (peer, slot, sequence, valid_until, kept_until, since, withdrawn, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.peer,
            entry.slot,
            entry.sequence,
            entry.valid_until,
            entry.kept_until,
            entry.since,
            int(entry.withdrawn),
            body,
        ),
    )


def delete_cards(tx: Transaction, keys: Iterable[Key]) -> None:
    """Forget slots."""
    tx.executemany("DELETE FROM cards WHERE peer = ? AND slot = ?", list(keys))


def card_entries(tx: Transaction) -> list[Entry]:
    """What is known of every slot."""
    rows = tx.execute(
        "SELECT peer, slot, sequence, valid_until, kept_until, since, withdrawn FROM cards"
    )
    return [
        Entry(peer, slot, sequence, valid_until, kept_until, since, bool(withdrawn))
        for peer, slot, sequence, valid_until, kept_until, since, withdrawn in rows
    ]


def cards_after(tx: Transaction, mark: int, now: int, limit: int) -> tuple[int, list[bytes]]:
    """Up to `limit` envelopes that are valid at `now` and were learned after a mark, in order, and
    the mark of the last; the given mark where there is none.

    A mark above all that were ever given is of a store that is gone: it counts as 0.
    """
    newest = tx.execute("SELECT seq FROM sqlite_sequence WHERE name = 'cards'").fetchone()
    if newest is None or mark > newest[0]:
        mark = 0
    rows = tx.execute(
        "SELECT mark, body FROM cards WHERE mark > ? AND valid_until > ? ORDER BY mark LIMIT ?",
        (mark, now, limit),
    ).fetchall()
    return (rows[-1][0] if rows else mark), [body for _, body in rows]


def live_cards(tx: Transaction, now: int) -> list[tuple[bytes, int, bytes]]:
    """Every card that is valid at `now`: its peer, when its slot was first heard of, its
    envelope. Newest last."""
    rows = tx.execute(
        "SELECT peer, since, body FROM cards WHERE NOT withdrawn AND valid_until > ? ORDER BY mark",
        (now,),
    )
    return list(rows)


def words_of(tx: Transaction, peer: bytes, now: int) -> dict[int, bytes]:
    """A peer's envelopes that are valid at `now`, by slot."""
    rows = tx.execute(
        "SELECT slot, body FROM cards WHERE peer = ? AND valid_until > ? ORDER BY slot",
        (peer, now),
    )
    return dict(rows.fetchall())


def own_slots(tx: Transaction) -> dict[str, int]:
    """The slot of each data set that has a card, valid or not."""
    return dict(tx.execute("SELECT dataset, slot FROM own_cards").fetchall())


def save_own(tx: Transaction, dataset: str, slot: int) -> None:
    """A data set's card stands in this slot."""
    tx.execute(
        "INSERT INTO own_cards (dataset, slot) VALUES (?, ?)"
        " ON CONFLICT (dataset) DO UPDATE SET slot = excluded.slot",
        (dataset, slot),
    )


def delete_own(tx: Transaction, dataset: str) -> None:
    """A data set has no card any more."""
    tx.execute("DELETE FROM own_cards WHERE dataset = ?", (dataset,))
