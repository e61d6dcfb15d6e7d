"""Offers: what may be offered, what names one, and what a copy costs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.offers import offer_with

from protocol.errors import Malformed
from protocol.layout.queries import Mode
from protocol.params import MAX_OFFER_BATCH, MAX_OFFER_MINUTE
from protocol.sale.offers import Offer, warning
from protocol.sale.vouchers import MAX_DEPOSIT
from protocol.wire.codec import decode, encode

OFFER = offer_with(
    job=b"j" * 32,
    spec_digest=b"d" * 32,
    chain_id=1,
    contract=b"c" * 20,
    account=b"a" * 20,
    price=1000,
    features=384,
    classes=10,
    key_bits=3072,
    accuracy=(0.93,),
    batch=100,
    minute=60,
    until=2**40,
)


def test_an_offer_travels_whole() -> None:
    assert decode(Offer, encode(OFFER), 1024) == OFFER
    assert OFFER.digest != dataclasses.replace(OFFER, price=1001).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": 0}, "Offer.price: 0 is outside 1"),
        ({"price": MAX_DEPOSIT + 1}, "Offer.price"),
        ({"classes": 1}, "classes: is 1, 2 to"),
        ({"key_bits": 2056}, "Offer.key_bits: 2056 is none of"),
        ({"unit": 1.0}, "a unit belongs to scores"),
        ({"mode": Mode.SCORES}, "a unit belongs to scores"),
        ({"unit": float("nan")}, "unit: not a finite number"),
        ({"accuracy": (1.5,)}, "Offer.accuracy: 1.5 is outside"),
        ({"accuracy": (0.5, 0.5)}, "accuracy"),
        ({"batch": MAX_OFFER_BATCH + 1}, "batch"),
        ({"minute": MAX_OFFER_MINUTE + 1}, "minute"),
        ({"features": 1025}, "features"),
    ],
)
def test_what_may_not_be_offered(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        dataclasses.replace(OFFER, **changes)
    dataclasses.replace(OFFER, batch=MAX_OFFER_BATCH, minute=MAX_OFFER_MINUTE)


def test_a_seller_is_told_what_answers_give_away() -> None:
    scores = dataclasses.replace(OFFER, mode=Mode.SCORES, unit=0.5)
    assert scores.copy_price == 231_000
    assert str(scores.copy_price) not in warning(scores), "an amount without its unit"
    assert "231 answers are enough" in warning(scores)
    assert "13860 answers carry" in warning(OFFER)
