"""Keys that are slow to make, and entropy that a seed replays."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_key, generate_short_key


def seeded(seed: int) -> Entropy:
    """Bytes that `seed` determines: for tests alone."""
    return random.Random(seed).randbytes


@pytest.fixture(scope="session")
def entropy_from() -> Callable[[int], Entropy]:
    return seeded


@pytest.fixture(scope="session")
def small_key() -> PrivateKey:
    return generate_key(256, seeded(256))


@pytest.fixture(scope="session")
def medium_key() -> PrivateKey:
    return generate_key(512, seeded(512))


@pytest.fixture(scope="session")
def short_key() -> PrivateKey:
    return generate_short_key(512, seeded(512))


@pytest.fixture(scope="session")
def full_short_key() -> PrivateKey:
    return generate_short_key(3072, seeded(3072))


@pytest.fixture(scope="session")
def full_key() -> PrivateKey:
    return generate_key(3072, seeded(3072))
