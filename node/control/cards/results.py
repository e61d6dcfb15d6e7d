"""Results of the methods about cards.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.control.wire import Address, DatasetName, Digest, Timestamp, Wei


@dataclass(frozen=True)
class CardColumn:
    """A column as its owner declares it.

    name: its name
    kind: what a job may read it as
    words: words of a category, where the owner names them
    """

    name: str
    kind: Literal["number", "category"]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Offer:
    """A card that is known here. All of it is its owner's word, unverified.

    card: its id: of its peer and slot, the same when the card is replaced
    peer: the peer that signed it
    mine: whether that is this node
    title: its title
    rows: its bucket of the row count, in words
    rows_least: the bucket's least row count
    rows_below: the count that is past the bucket; null if it has no upper end
    columns: its columns
    purposes: what it may be used for; empty for anything
    token: the token that it asks for; null for the chain's own coin
    least_rate: the least that a contribution must pay, in the token's smallest unit
    valid_until: when it ends
    known_since: when this node first heard of it, or of what it replaced
    """

    card: Digest
    peer: str
    mine: bool
    title: str
    rows: str
    rows_least: int
    rows_below: int | None
    columns: tuple[CardColumn, ...]
    purposes: tuple[str, ...]
    token: Address | None
    least_rate: Wei
    valid_until: Timestamp
    known_since: Timestamp


@dataclass(frozen=True)
class OwnCard:
    """A card of a dataset of this home.

    dataset: the dataset; no part of the card
    published: false for what a dry run shows
    offer: the card as others see it
    notes: where it promises what the policy does not take
    """

    dataset: DatasetName
    published: bool
    offer: Offer
    notes: tuple[str, ...]


@dataclass(frozen=True)
class WithdrawnCard:
    """A card that was taken back. Who has read it keeps what it said.

    dataset: the dataset that it was of
    """

    dataset: DatasetName


@dataclass(frozen=True)
class Offers:
    """Known cards that were looked for, newest first.

    known: cards known here, own ones not counted
    matching: of all known and own ones, those that were looked for
    offers: as many of these as were asked for
    """

    known: int
    matching: int
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class OfferDetail:
    """One card, and a spec to start from.

    offer: the card
    spec: TOML text with its columns, purposes and price; ranges are left to declare
    """

    offer: Offer
    spec: str


@dataclass(frozen=True)
class Matches:
    """How many known cards meet a job, as far as cards tell; own ones not counted.

    known: cards known here
    columns: have the spec's columns, of these kinds and words
    purpose: of these, allow its purpose
    price: of these, take its token and its rate
    """

    known: int
    columns: int
    purpose: int
    price: int
