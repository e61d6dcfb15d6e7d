"""Cards as people see them: this home's, those that a requester looks for, those that meet a job.

The methods of the control socket that are about cards; node/api.py has them as its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, TypeVar

import trio

from node.cards.own import OwnCard, OwnCards
from node.cards.shelf import Shelf, seconds_now
from node.control.cards import results as r
from node.engine.services import Services
from node.store import cards
from protocol.addresses import parse_address
from protocol.cards.draft import draft_spec, rows_text
from protocol.cards.search import Query, meet
from protocol.errors import InputError
from protocol.spec.job import Terms
from protocol.spec.parts import ETHER
from protocol.spec.toml import parse_toml
from protocol.tokens import currency
from protocol.wire import identity
from protocol.wire.cards import Card, ColumnKind, bucket_span
from protocol.wire.envelope import reopen_envelope

T = TypeVar("T")

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
        self._looking = trio.CapacityLimiter(1)

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
        return await self._look(partial(_offers, query=query, limit=limit, me=self._me))

    async def offer_show(self, card: str) -> r.OfferDetail:
        return await self._look(partial(_detail, card=card, me=self._me))

    async def offers_match(self, spec: str, no_noise: bool) -> r.Matches:
        # A spec of the largest size takes some milliseconds to read.
        draft = await trio.to_thread.run_sync(parse_toml, spec, no_noise, self._node.tokens())
        return await self._look(partial(_matches, terms=draft.terms, me=self._me))

    @property
    def _me(self) -> bytes:
        return self._node.swarm.peer_id_bytes

    async def _look(self, find: Callable[[Iterable[_Known]], T]) -> T:
        """What `find` says of all valid cards, newest last. A full table takes seconds to read, to
        filter and to show: on a thread, one call at a time."""
        rows = await self._node.store.read(partial(cards.live_cards, now=seconds_now()))
        return await trio.to_thread.run_sync(lambda: find(_decoded(rows)), limiter=self._looking)

    def _own_card(self, own: OwnCard) -> r.OwnCard:
        offer = _offer(_Known(self._me, seconds_now(), own.card), self._me)
        return r.OwnCard(own.dataset, own.published, offer, own.notes)


def _offers(known: Iterable[_Known], query: Query, limit: int, me: bytes) -> r.Offers:
    others = matching = 0
    newest: deque[_Known] = deque(maxlen=limit)
    for each in known:
        others += each.peer != me
        if query.meets(each.card):
            matching += 1
            newest.append(each)
    return r.Offers(others, matching, tuple(_offer(each, me) for each in reversed(newest)))


def _detail(known: Iterable[_Known], card: str, me: bytes) -> r.OfferDetail:
    prefix = card.removeprefix("0x")
    found: _Known | None = None
    count = 0
    for each in known:
        if card_id(each.peer, each.card.slot).hex().startswith(prefix):
            found, count = each, count + 1
    if found is None or count > 1:
        named = f"{count} cards here begin" if count else "no card here begins"
        error = InputError(f"{named} with {card!r}", "card")
        error.add_note("assay card search")
        raise error
    offer = _offer(found, me)
    return r.OfferDetail(offer, draft_spec(found.card, "0x" + offer.card.hex()))


def _matches(known: Iterable[_Known], terms: Terms, me: bytes) -> r.Matches:
    others = columns = purpose = price = 0
    for each in known:
        if each.peer == me:
            continue
        found = meet((each.card,), terms)
        others += 1
        columns += found.columns
        purpose += found.purpose
        price += found.price
    return r.Matches(others, columns, purpose, price)


def _offer(known: _Known, me: bytes) -> r.Offer:
    card = known.card
    low, past = bucket_span(card.rows)
    return r.Offer(
        card=card_id(known.peer, card.slot),
        peer=identity.peer_id_text(known.peer),
        mine=known.peer == me,
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
        token=currency(card.token),
        least_rate=card.rate,
        valid_until=float(card.valid_until),
        known_since=float(known.since),
    )


def _decoded(rows: list[tuple[bytes, int, bytes]]) -> Iterator[_Known]:
    """One after the other: a million columns at once would be freed, or looked through by the
    garbage collector, in one stroke that holds the event loop up for half a second."""
    for peer, since, body in rows:
        card = reopen_envelope(body).body
        if isinstance(card, Card):
            yield _Known(peer, since, card)
