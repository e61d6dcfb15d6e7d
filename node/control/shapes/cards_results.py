"""What node.control.cards.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class CardColumn(TypedDict):
    # node.control.cards.results.CardColumn
    name: str
    kind: Literal["number", "category"]
    words: list[str]


class Matches(TypedDict):
    # node.control.cards.results.Matches
    known: int
    columns: int
    purpose: int
    price: int


class Offer(TypedDict):
    # node.control.cards.results.Offer
    card: str
    peer: str
    mine: bool
    title: str
    rows: str
    rows_least: int
    rows_below: int | None
    columns: list[CardColumn]
    purposes: list[str]
    token: str | None
    least_rate: str
    valid_until: float
    known_since: float


class OfferDetail(TypedDict):
    # node.control.cards.results.OfferDetail
    offer: Offer
    spec: str


class Offers(TypedDict):
    # node.control.cards.results.Offers
    known: int
    matching: int
    offers: list[Offer]


class OwnCard(TypedDict):
    # node.control.cards.results.OwnCard
    dataset: str
    published: bool
    offer: Offer
    notes: list[str]


class WithdrawnCard(TypedDict):
    # node.control.cards.results.WithdrawnCard
    dataset: str
