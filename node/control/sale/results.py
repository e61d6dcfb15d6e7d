"""Results of the methods about sales.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.control.wire import Address, Digest, Timestamp, Wei


@dataclass(frozen=True)
class SaleOffer:
    """A model on sale. What it says of price and shape binds its seller; the accuracy is the
    seller's word, and nobody can check it.

    offer: its id
    peer: the peer that sells
    mine: whether that is this node
    job: the job that made the model
    account: is paid
    mode: what an answer tells
    price: of one row, in the token's smallest unit
    token: the ERC-20 token that pays; null for the chain's own coin
    features: numbers of a row that are encrypted
    classes: classes that are told apart; 1 for a number
    key_bits: of the key that a buyer makes
    batch: rows that may be asked one after the other
    minute: rows a minute and buyer, beyond these
    accuracy: as the seller states it; null if it states none
    until: when the offer ends
    copy_answers: so many answers may give the model away
    copy_price: what these cost
    warning: what answers give away, in words
    """

    offer: Digest
    peer: str
    mine: bool
    job: Digest
    account: Address
    mode: Literal["label", "scores"]
    price: Wei
    token: Address | None
    features: int
    classes: int
    key_bits: int
    batch: int
    minute: int
    accuracy: float | None
    until: Timestamp
    copy_answers: int
    copy_price: Wei
    warning: str


@dataclass(frozen=True)
class Sold:
    """A model that was put on sale.

    offer: the offer
    published: false for what a dry run shows
    """

    offer: SaleOffer
    published: bool


@dataclass(frozen=True)
class TakenOff:
    """An offer that was taken off sale. Channels that were opened for it are served on.

    offer: its id
    """

    offer: Digest


@dataclass(frozen=True)
class SaleOffers:
    """Models on sale that are known here.

    offers: newest last
    """

    offers: tuple[SaleOffer, ...]


@dataclass(frozen=True)
class SaleOfferDetail:
    """An offer, and where its model comes from.

    offer: the offer
    problem: what could not be looked at, or does not hold; empty if all does
    posted: the chain has the job, for this spec
    sold_by_requester: the account that is paid posted the job
    finished: the chain says that the job is over
    requester: who posted it; null if the chain does not know it
    owners: how many enrolled, as the chain says
    rounds: how many were committed to, as the chain says
    contributions: how many the chain has paid or pays for
    title: of the job; null where its spec is not here
    purpose: of the job
    sealed: whether owners could not read the model
    epsilon: of each owner's noise; null for none
    delta: of the same; null for none
    columns: that a file to predict for has
    answers: the classes, or the range of the number
    encoder: digest of the network that makes the features, which a buyer runs; null for none
    """

    offer: SaleOffer
    problem: str
    posted: bool
    sold_by_requester: bool
    finished: bool
    requester: Address | None
    owners: int
    rounds: int
    contributions: int
    title: str | None
    purpose: str | None
    sealed: bool | None
    epsilon: float | None
    delta: float | None
    columns: tuple[str, ...]
    answers: tuple[str, ...]
    encoder: str | None


@dataclass(frozen=True)
class FetchedEncoder:
    """The encoder of an offer's model, which is here now.

    digest: its name
    bytes: of its package
    name: what it is called here
    fetched: false where it was here before
    """

    digest: str
    bytes: int
    name: str
    fetched: bool


@dataclass(frozen=True)
class Prepared:
    """A file whose predictions can be bought.

    purchase: its name while this daemon runs
    offer: the offer
    rows: of the file
    unused: rows that training could not have used, and that are not asked for
    why: why the first of these is not
    bought: rows whose prediction was bought before
    ask: rows to be asked for; equal rows count once
    price: what these cost
    in_channels: of that, what channels to this seller hold already
    notes: how the file was read
    """

    purchase: str
    offer: SaleOffer
    rows: int
    unused: int
    why: str
    bought: int
    ask: int
    price: Wei
    in_channels: Wei
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Buying:
    """How far a purchase is.

    purchase: its name
    running: whether rows are being asked for now
    doing: what is done; empty if nothing is
    asked: answers since it was prepared
    left: rows to be asked for still
    spent: what the answers cost
    """

    purchase: str
    running: bool
    doing: str
    asked: int
    left: int
    spent: Wei


@dataclass(frozen=True)
class BoughtFile:
    """Predictions that were bought, as CSV in this home.

    path: where it lies; the next purchases replace it
    rows: how many it has
    empty: rows without a prediction
    columns: its columns
    """

    path: str
    rows: int
    empty: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class SaleChannel:
    """A payment channel of this home's.

    channel: its id
    side: which side this node is
    offer: the offer that it is for
    peer: the other side
    token: the ERC-20 token; null for the chain's own coin
    price: of one row
    deposit: what the buyer put in
    granted: what vouchers give the seller so far
    redeemed: what the chain has paid the seller, as last seen here; a seller's channels alone
    left: what is not granted; the buyer's again at the end
    answers: how many were given
    expiry: from when on the buyer takes the rest back
    state: where it stands
    problem: why nothing more is asked; empty while it may be
    """

    channel: Digest
    side: Literal["buyer", "seller"]
    offer: Digest
    peer: str
    token: Address | None
    price: Wei
    deposit: Wei
    granted: Wei
    redeemed: Wei
    left: Wei
    answers: int
    expiry: Timestamp
    state: Literal["open", "expired", "closed", "stopped"]
    problem: str


@dataclass(frozen=True)
class SaleChannels:
    """Channels of this home.

    contract: the channel contract that this home knows; null for none
    channels: the oldest first
    """

    contract: Address | None
    channels: tuple[SaleChannel, ...]
