"""What node.control.sale.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class BoughtFile(TypedDict):
    # node.control.sale.results.BoughtFile
    path: str
    rows: int
    empty: int
    columns: list[str]


class Buying(TypedDict):
    # node.control.sale.results.Buying
    purchase: str
    running: bool
    doing: str
    asked: int
    left: int
    spent: str


class FetchedEncoder(TypedDict):
    # node.control.sale.results.FetchedEncoder
    digest: str
    bytes: int
    name: str
    fetched: bool


class Prepared(TypedDict):
    # node.control.sale.results.Prepared
    purchase: str
    offer: SaleOffer
    rows: int
    unused: int
    why: str
    bought: int
    ask: int
    price: str
    in_channels: str
    notes: list[str]


class SaleChannel(TypedDict):
    # node.control.sale.results.SaleChannel
    channel: str
    side: Literal["buyer", "seller"]
    offer: str
    peer: str
    token: str | None
    price: str
    deposit: str
    granted: str
    redeemed: str
    left: str
    answers: int
    expiry: float
    state: Literal["open", "expired", "closed", "stopped"]
    problem: str


class SaleChannels(TypedDict):
    # node.control.sale.results.SaleChannels
    contract: str | None
    channels: list[SaleChannel]


class SaleOffer(TypedDict):
    # node.control.sale.results.SaleOffer
    offer: str
    peer: str
    mine: bool
    job: str
    account: str
    mode: Literal["label", "scores"]
    price: str
    token: str | None
    features: int
    classes: int
    key_bits: int
    batch: int
    minute: int
    accuracy: float | None
    until: float
    copy_answers: int
    copy_price: str
    warning: str


class SaleOfferDetail(TypedDict):
    # node.control.sale.results.SaleOfferDetail
    offer: SaleOffer
    problem: str
    posted: bool
    sold_by_requester: bool
    finished: bool
    requester: str | None
    owners: int
    rounds: int
    contributions: int
    title: str | None
    purpose: str | None
    sealed: bool | None
    epsilon: float | None
    delta: float | None
    columns: list[str]
    answers: list[str]
    encoder: str | None


class SaleOffers(TypedDict):
    # node.control.sale.results.SaleOffers
    offers: list[SaleOffer]


class Sold(TypedDict):
    # node.control.sale.results.Sold
    offer: SaleOffer
    published: bool


class TakenOff(TypedDict):
    # node.control.sale.results.TakenOff
    offer: str
