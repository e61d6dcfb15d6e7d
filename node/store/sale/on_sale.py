"""What is on sale, in the store: every seller's newest catalogue, and this node's own offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.store.store import Transaction, now
from protocol.sale.catalogues import Entry


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer of this node. `model`: its weights, sealed."""

    offer: bytes
    body: bytes
    spec: bytes
    model: bytes = field(repr=False)
    withdrawn: int


def save_catalogue(tx: Transaction, entry: Entry, body: bytes) -> None:
    """A seller's newest word, in the place of the one before."""
    delete_catalogues(tx, [entry.peer])
    tx.execute(
        "INSERT INTO sale_catalogues (peer, sequence, until, bearer, body) VALUES (?, ?, ?, ?, ?)",
        (entry.peer, entry.sequence, entry.until, entry.bearer, body),
    )


def delete_catalogues(tx: Transaction, peers: Iterable[bytes]) -> None:
    """Forget sellers."""
    tx.executemany("DELETE FROM sale_catalogues WHERE peer = ?", [(peer,) for peer in peers])


def entries(tx: Transaction) -> list[Entry]:
    """What is known of every seller."""
    rows = tx.execute("SELECT peer, sequence, until, bearer FROM sale_catalogues")
    return [Entry(*row) for row in rows]


def catalogues_after(tx: Transaction, mark: int, limit: int) -> tuple[int, list[bytes]]:
    """Up to `limit` words that were learned after a mark, in order, and the mark of the last; the
    given mark where there is none. A mark above all that were ever given counts as 0: it is of a
    store that is gone."""
    newest = tx.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sale_catalogues'").fetchone()
    if newest is None or mark > newest[0]:
        mark = 0
    rows = tx.execute(
        "SELECT mark, body FROM sale_catalogues WHERE mark > ? ORDER BY mark LIMIT ?", (mark, limit)
    ).fetchall()
    return (rows[-1][0] if rows else mark), [body for _, body in rows]


def catalogues(tx: Transaction) -> list[tuple[bytes, bytes]]:
    """Every seller's peer and word."""
    return list(tx.execute("SELECT peer, body FROM sale_catalogues ORDER BY mark"))


def save_offer(tx: Transaction, row: OfferRow) -> None:
    """Put an offer on sale; one that was withdrawn is on sale again."""
    tx.execute(
        "INSERT INTO sale_offers (offer, body, spec, model, withdrawn, at)"
        " VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT (offer) DO UPDATE SET withdrawn = 0",
        (row.offer, row.body, row.spec, row.model, now()),
    )


def withdraw_offer(tx: Transaction, offer: bytes) -> None:
    """Take an offer off sale. Channels that were opened for it are served on."""
    tx.execute("UPDATE sale_offers SET withdrawn = 1 WHERE offer = ?", (offer,))


def load_offer(tx: Transaction, offer: bytes) -> OfferRow | None:
    """An offer of this node."""
    rows = _offers(tx, "WHERE offer = ?", (offer,))
    return rows[0] if rows else None


def offers(tx: Transaction) -> list[OfferRow]:
    """All offers of this node, the oldest first."""
    return _offers(tx, "", ())


def spec_of(tx: Transaction, digest: bytes) -> bytes | None:
    """The spec of an offer of this node, by the spec's digest."""
    row = tx.execute(
        "SELECT s.body FROM specs s WHERE s.digest = ? AND EXISTS"
        " (SELECT 1 FROM sale_offers o WHERE o.spec = s.digest)",
        (digest,),
    ).fetchone()
    return None if row is None else row[0]


def _offers(tx: Transaction, where: str, given: tuple[object, ...]) -> list[OfferRow]:
    rows = tx.execute(
        f"SELECT offer, body, spec, model, withdrawn FROM sale_offers {where} ORDER BY at, rowid",  # noqa: S608 - constants of this file
        given,
    )
    return [OfferRow(*row) for row in rows]
