"""Offers of predictions, with every field that a test does not say."""

from __future__ import annotations

from typing import Any, Final

from protocol.layout.queries import Mode
from protocol.sale.offers import Offer

_FIELDS: Final[dict[str, Any]] = {
    "job": bytes(32),
    "spec_digest": bytes(32),
    "chain_id": 1,
    "contract": bytes(20),
    "account": bytes(20),
    "token": bytes(20),
    "price": 1,
    "mode": Mode.LABEL,
    "features": 2,
    "classes": 2,
    "feature_bits": 16,
    "sum_bits": 24,
    "key_bits": 2048,
    "unit": 0.0,
    "accuracy": (),
    "batch": 1,
    "minute": 1,
    "until": 0,
}


def offer_with(**said: Any) -> Offer:
    """An offer of labels of a small model, but for the fields that are said."""
    return Offer(**(_FIELDS | said))
