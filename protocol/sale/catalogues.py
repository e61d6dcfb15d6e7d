"""Catalogues: all that a seller has on sale, in one signed word; and which of them are kept.

The newest catalogue of a seller replaces its others: an offer that it lacks is withdrawn. A node
keeps one a seller, up to a limit; where that is reached, whoever told most makes room. So nobody
fills a table with sellers of its own for anybody but itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from protocol.errors import Malformed
from protocol.sale import limits
from protocol.sale.offers import Offer
from protocol.wire.codec import Range, Size, Wire
from protocol.wire.messages import Milliseconds


@dataclass(frozen=True, slots=True)
class Catalogue(Wire):
    """Seller to everybody: what is on sale. `sequence` grows; `until`, milliseconds: no offer that
    it ever made ends later, so that this word may be forgotten then."""

    sequence: Annotated[int, Range(0, 2**63 - 1)]
    until: Milliseconds
    offers: Annotated[tuple[Offer, ...], Size(0, limits.MAX_OFFERS_OF_SELLER)]

    def __post_init__(self) -> None:
        # dataclass(slots=True) makes another class: super() without arguments would not find it.
        Wire.__post_init__(self)
        if any(offer.until > self.until for offer in self.offers):
            raise Malformed("Catalogue.until: an offer ends later")
        if len({offer.digest for offer in self.offers}) < len(self.offers):
            raise Malformed("Catalogue.offers: one stands twice")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a seller's newest word. `bearer`: the peer that told it first."""

    peer: bytes
    sequence: int
    until: int
    bearer: bytes


class CatalogueTable:
    """The sellers that a node knows; times in milliseconds."""

    def __init__(self, entries: list[Entry], me: bytes) -> None:
        self._entries = {entry.peer: entry for entry in entries}
        self._me = me

    def entry(self, peer: bytes) -> Entry | None:
        """What is known of a seller."""
        return self._entries.get(peer)

    def take(
        self, peer: bytes, word: Catalogue, bearer: bytes, now: int
    ) -> tuple[Entry | None, list[bytes]]:
        """The entry to be stored for a seller's word, or None where it changes nothing; and sellers
        that make room for it."""
        held = self._entries.get(peer)
        if word.until <= now or word.until > now + 1000 * limits.MAX_OFFER_SECONDS:
            return None, []
        if held is not None and word.sequence <= held.sequence:
            return None, []
        until = word.until if held is None else max(word.until, held.until)
        entry = Entry(peer, word.sequence, until, bearer if held is None else held.bearer)
        gone: list[bytes] = []
        if held is None and peer != self._me and len(self._entries) >= limits.MAX_CATALOGUES:
            told = Counter(each.bearer for each in self._entries.values() if each.peer != self._me)
            most, count = told.most_common(1)[0]
            if count <= told[bearer] + 1:
                return None, []
            room = min(
                (e for e in self._entries.values() if e.bearer == most and e.peer != self._me),
                key=lambda each: each.until,
            )
            del self._entries[room.peer]
            gone.append(room.peer)
        self._entries[peer] = entry
        return entry, gone

    def expire(self, now: int) -> list[bytes]:
        """Sellers whose words have all ended."""
        gone = [each.peer for each in self._entries.values() if each.until <= now]
        for peer in gone:
            del self._entries[peer]
        return gone
