"""What node.control.cards.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class CardColumn(TypedDict):
    """What node.control.cards.results.CardColumn is as JSON."""

    name: str
    kind: Literal["number", "category"]
    words: list[str]


class Matches(TypedDict):
    """What node.control.cards.results.Matches is as JSON."""

    known: int
    columns: int
    purpose: int
    price: int


class Offer(TypedDict):
    """What node.control.cards.results.Offer is as JSON."""

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
    """What node.control.cards.results.OfferDetail is as JSON."""

    offer: Offer
    spec: str


class Offers(TypedDict):
    """What node.control.cards.results.Offers is as JSON."""

    known: int
    matching: int
    offers: list[Offer]


class OwnCard(TypedDict):
    """What node.control.cards.results.OwnCard is as JSON."""

    dataset: str
    published: bool
    offer: Offer
    notes: list[str]


class WithdrawnCard(TypedDict):
    """What node.control.cards.results.WithdrawnCard is as JSON."""

    dataset: str
