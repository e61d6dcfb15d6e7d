"""Offers: what a seller states of a model whose use it sells, and what follows from it.

An offer stands in its seller's signed catalogue (protocol/sale/catalogues.py). Who reads one
believes what it says of price and shape, since the seller is bound by it, and checks where the
model came from on the chain. The accuracy is the requester's word: nobody can check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from protocol.errors import InputError, Malformed
from protocol.layout.queries import Mode, QueryLayout
from protocol.params import (
    KEY_BITS,
    MAX_OFFER_BATCH,
    MAX_OFFER_MINUTE,
    MAX_QUERY_CLASSES,
    MAX_SEALED_FEATURES,
)
from protocol.sale.vouchers import MAX_DEPOSIT
from protocol.wire.codec import Amount, Range, Size, Wire, encode
from protocol.wire.messages import Address, Digest, Milliseconds


@dataclass(frozen=True, slots=True)
class Offer(Wire):
    """A model's use at a price.

    job: whose model it is, the contract's id. spec_digest: of the job's spec, which has the public
    map. chain_id, contract: of the channels that pay. account: is paid. token: 20 zeros for ether.
    price: of one row, in the token's smallest unit. unit: what a score of 1 stands for; 0 where
    labels are sold. accuracy: as the seller states it, 0 to 1; empty if it states none. batch:
    rows that may be asked one after the other; minute: rows a minute and buyer. until: milliseconds
    after which the offer binds nobody.
    """

    job: Digest
    spec_digest: Digest
    chain_id: Annotated[int, Range(1, 2**64 - 1)]
    contract: Address
    account: Address
    token: Address
    price: Amount
    mode: Mode
    features: Annotated[int, Range(1, MAX_SEALED_FEATURES)]
    classes: Annotated[int, Range(1, MAX_QUERY_CLASSES)]
    feature_bits: Annotated[int, Range(4, 16)]
    sum_bits: Annotated[int, Range(16, 28)]
    key_bits: Annotated[int, Range(KEY_BITS[0], KEY_BITS[-1])]
    unit: Annotated[float, Range(0.0, 1e300)]
    accuracy: Annotated[tuple[float, ...], Size(0, 1)]
    batch: Annotated[int, Range(1, MAX_OFFER_BATCH)]
    minute: Annotated[int, Range(1, MAX_OFFER_MINUTE)]
    until: Milliseconds

    def __post_init__(self) -> None:
        # dataclass(slots=True) makes another class: super() without arguments would not find it.
        Wire.__post_init__(self)
        if not 0 < self.price <= MAX_DEPOSIT:
            raise Malformed(f"Offer.price: {self.price} is outside 1 to {MAX_DEPOSIT}")
        if self.key_bits not in KEY_BITS:
            raise Malformed(f"Offer.key_bits: {self.key_bits} is none of {KEY_BITS}")
        if (self.mode is Mode.LABEL) != (self.unit == 0.0):
            raise Malformed("Offer.unit: a unit belongs to scores, and to them alone")
        if any(not 0.0 <= stated <= 1.0 for stated in self.accuracy):
            raise Malformed(f"Offer.accuracy: {self.accuracy[0]} is outside 0 to 1")
        try:
            self.layout  # noqa: B018 - built to be checked
        except InputError as error:
            raise Malformed(f"Offer.{error}") from error

    @property
    def layout(self) -> QueryLayout:
        """How queries and answers lie in ciphertexts."""
        return QueryLayout(
            self.features,
            self.classes,
            self.feature_bits,
            self.sum_bits,
            self.key_bits,
            self.mode,
        )

    @property
    def digest(self) -> bytes:
        """What names the offer."""
        return sha256(encode(self)).digest()

    @property
    def copy_price(self) -> int:
        """What it costs to buy as many answers as may give the model away."""
        return self.layout.answers_to_copy * self.price


def warning(offer: Offer) -> str:
    """What answers give away, as a seller is told before it offers: one line. What they cost,
    `copy_price`, is shown beside it in the token's own unit."""
    answers = offer.layout.answers_to_copy
    if offer.mode is Mode.SCORES:
        return (
            f"scores copy a linear model: {answers} answers are enough for whoever crafts its "
            "queries"
        )
    return (
        f"labels tell of the model's borders: {answers} answers carry as many bits as its weights, "
        "and fewer make a useful copy"
    )
