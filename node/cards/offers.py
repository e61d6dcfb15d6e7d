"""Cards as people see them: this home's, those that a requester looks for, those that meet a job.

The methods of the control socket that are about cards; node/api.py has them as its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from functools import partial
from typing import Literal

import trio

from node.cards.own import OwnCard, OwnCards
from node.cards.shelf import Shelf, seconds_now
from node.control.cards import results as r
from node.engine.services import Services
from node.store import cards
from protocol.addresses import parse_address, to_checksum
from protocol.cards.draft import draft_spec, rows_text
from protocol.cards.search import Query, meet
from protocol.errors import InputError
from protocol.spec.parts import ETHER
from protocol.spec.toml import parse_toml
from protocol.wire import identity
from protocol.wire.cards import Card, ColumnKind, bucket_span
from protocol.wire.envelope import reopen_envelope

#: The most cards that one reply lists.
_MAX_LIMIT = 256


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """A card in the store. `peer` is a peer id, `since` Unix seconds."""

    peer: bytes
    since: int
    card: Card


def card_id(peer: bytes, slot: int) -> bytes:
    """A card's id: of its peer and slot, so that it stays when the card is replaced."""
    return hashlib.sha256(b"assay/1 card\x00" + peer + bytes([slot])).digest()


class CardCalls:
    """Calls of node.control.api.NodeApi that are about cards."""

    def __init__(self, services: Services, shelf: Shelf) -> None:
        self._node = services
        self._own = OwnCards(services, shelf)

    async def announce_cards(self) -> None:
        """Say this home's cards again and again; until cancelled."""
        await self._own.run()

    async def card_publish(self, dataset: str, card: str, dry_run: bool) -> r.OwnCard:
        return self._own_card(await self._own.publish(dataset, card, dry_run))

    async def card_list(self) -> tuple[r.OwnCard, ...]:
        return tuple(self._own_card(each) for each in await self._own.cards())

    async def card_withdraw(self, dataset: str) -> r.WithdrawnCard:
        await self._own.withdraw(dataset)
        return r.WithdrawnCard(dataset)

    async def offers(
        self,
        columns: tuple[str, ...],
        kind: Literal["number", "category"] | None,
        purpose: str | None,
        max_rate: int | None,
        token: str | None,
        limit: int,
    ) -> r.Offers:
        if not 1 <= limit <= _MAX_LIMIT:
            raise InputError(f"is {limit}; allowed is 1 to {_MAX_LIMIT}", "limit")
        wanted = b"" if token is None and max_rate is None else ETHER
        query = Query(
            columns=columns,
            kind=None if kind is None else ColumnKind(kind),
            purpose=purpose or "",
            token=wanted if token is None else parse_address(token),
            max_rate=max_rate,
        )
        known = await self._known()
        found = [each for each in known if query.meets(each.card)]
        others = sum(each.peer != self._me for each in known)
        newest = found[::-1][:limit]
        return r.Offers(others, len(found), tuple(self._offer(each) for each in newest))

    async def offer_show(self, card: str) -> r.OfferDetail:
        prefix = card.removeprefix("0x")
        known = await self._known()
        found = [k for k in known if card_id(k.peer, k.card.slot).hex().startswith(prefix)]
        if len(found) != 1:
            count = f"{len(found)} cards" if found else "no card"
            error = InputError(f"{count} here begin{'' if found else 's'} with {card!r}", "card")
            error.add_note("assay offers")
            raise error
        offer = self._offer(found[0])
        return r.OfferDetail(offer, draft_spec(found[0].card, "0x" + offer.card.hex()))

    async def offers_match(self, spec: str, no_noise: bool) -> r.Matches:
        # A spec of the largest size takes some milliseconds to read.
        draft = await trio.to_thread.run_sync(parse_toml, spec, no_noise)
        known = [each.card for each in await self._known() if each.peer != self._me]
        found = await trio.to_thread.run_sync(meet, known, draft.terms)
        return r.Matches(len(known), found.columns, found.purpose, found.price)

    @property
    def _me(self) -> bytes:
        return self._node.swarm.peer_id_bytes

    async def _known(self) -> list[_Known]:
        """Every valid card, read on a thread: a full table takes a while to decode."""
        rows = await self._node.store.read(partial(cards.live_cards, now=seconds_now()))
        return await trio.to_thread.run_sync(_decoded, rows)

    def _own_card(self, own: OwnCard) -> r.OwnCard:
        offer = self._offer(_Known(self._me, seconds_now(), own.card))
        return r.OwnCard(own.dataset, own.published, offer, own.notes)

    def _offer(self, known: _Known) -> r.Offer:
        card = known.card
        low, past = bucket_span(card.rows)
        return r.Offer(
            card=card_id(known.peer, card.slot),
            peer=identity.peer_id_text(known.peer),
            mine=known.peer == self._me,
            title=card.title,
            rows=rows_text(card.rows),
            rows_least=low,
            rows_below=past,
            columns=tuple(
                r.CardColumn(
                    column.name,
                    "number" if column.kind is ColumnKind.NUMBER else "category",
                    column.words,
                )
                for column in card.columns
            ),
            purposes=card.purposes,
            token=None if card.token == ETHER else to_checksum(card.token),
            least_rate=card.rate,
            valid_until=float(card.valid_until),
            known_since=float(known.since),
        )


def _decoded(rows: list[tuple[bytes, int, bytes]]) -> list[_Known]:
    found = []
    for peer, since, body in rows:
        card = reopen_envelope(body).body
        if isinstance(card, Card):
            found.append(_Known(peer, since, card))
    return found
