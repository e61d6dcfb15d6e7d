"""Small models on sale, and a buyer's key for them."""

from __future__ import annotations

import pytest
from kits.queries import Sale, sale

from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.layout.queries import Mode


@pytest.fixture(scope="session")
def scores_sale(short_key: PrivateKey) -> Sale:
    return sale(short_key, Mode.SCORES, 6, 3)


@pytest.fixture(scope="session")
def label_sale(short_key: PrivateKey) -> Sale:
    return sale(short_key, Mode.LABEL, 6, 5)
