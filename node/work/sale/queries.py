"""A query's steps on either side, and the key that a buyer makes for a seller.

Every step follows from its arguments alone (protocol/arith/queries), so that a crash repeats it to
the last byte. Raises Malformed for what the other side sent, InputError for the buyer's own row.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from node.work.sale.models import unpack
from protocol.layout.queries import Mode, QueryLayout

if TYPE_CHECKING:
    from protocol.arith.paillier.cryptosystem import PrivateKey
    from protocol.arith.paillier.public_key import PublicKey
    from protocol.arith.queries.plain import Weights


@dataclass(frozen=True, slots=True)
class BuyerKey:
    """A buyer's key for one seller, and what introduces it there."""

    private: bytes = field(repr=False)
    introduction: bytes


@dataclass(frozen=True, slots=True)
class Buying:
    """One query as its buyer computes it."""

    layout: QueryLayout
    key: bytes = field(repr=False)
    maker: bytes
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Selling:
    """One query as its seller computes it. `key`: n, of a key that was met. `model`: as
    node.work.sale.models packs it; empty where no weight is needed."""

    layout: QueryLayout
    key: bytes
    maker: bytes
    seed: bytes = field(repr=False)
    model: bytes = field(default=b"", repr=False)


def make_key(bits: int) -> BuyerKey:
    """A fresh key. Seconds at 3072 bits."""
    from protocol.arith.paillier.cryptosystem import generate_short_key
    from protocol.arith.queries.ask import introduce

    key = generate_short_key(bits, secrets.token_bytes)
    return BuyerKey(key.to_bytes(), introduce(key))


def check_key(introduction: bytes, bits: int) -> bytes:
    """n, big-endian, of a key that holds. Raises Malformed."""
    from protocol.arith.queries.ask import meet

    return meet(introduction, bits).to_bytes()


def make_query(buying: Buying, row: bytes) -> bytes:
    """The query for a row of features: float64, little-endian. Raises InputError."""
    import numpy as np

    from protocol.arith.numbers.entropy import from_seed
    from protocol.arith.queries.ask import ask

    features = np.frombuffer(row, dtype="<f8").astype(np.float64)
    entropy = from_seed(sha256(buying.seed + row).digest(), "query encryption")
    return ask(buying.layout, _private(buying.key), features, buying.maker, entropy)


def make_choices(buying: Buying, masked: bytes) -> bytes:
    """The buyer's choices after a masked answer. Raises Malformed."""
    from protocol.arith.queries.label import choose

    return choose(buying.layout, _private(buying.key), masked, buying.maker, buying.seed)


def read_answer(buying: Buying, masked: bytes, answer: bytes) -> tuple[int, ...]:
    """The label, or the scores where these are sold; `masked` counts for a label. Raises
    Malformed."""
    from protocol.arith.queries.ask import open_scores
    from protocol.arith.queries.label import reveal

    key = _private(buying.key)
    if buying.layout.mode is Mode.SCORES:
        scores = open_scores(buying.layout, key, answer, buying.maker)
        return tuple(int(each) for each in scores)
    return (reveal(buying.layout, key, masked, answer, buying.maker, buying.seed),)


def make_reply(selling: Selling, query: bytes) -> bytes:
    """What a seller says to a query: scores, or a masked answer. Raises Malformed."""
    from protocol.arith.queries.answer import answer_scores
    from protocol.arith.queries.label import mask

    make = answer_scores if selling.layout.mode is Mode.SCORES else mask
    public, weights = _public(selling.key), _weights(selling.layout, selling.model)
    return make(selling.layout, public, weights, query, selling.maker, selling.seed)


def make_circuit(selling: Selling, query: bytes, choices: bytes) -> bytes:
    """The circuit for a buyer's choices; `query` is the digest of what it asked. Raises
    Malformed."""
    from protocol.arith.queries.label import garble

    public = _public(selling.key)
    return garble(selling.layout, public, query, choices, selling.maker, selling.seed)


@lru_cache(maxsize=8)
def _private(key: bytes) -> PrivateKey:
    """A buyer asks many rows under one key: its tables are made once a worker."""
    from protocol.arith.paillier.cryptosystem import PrivateKey

    return PrivateKey.from_bytes(key)


@lru_cache(maxsize=64)
def _public(modulus: bytes) -> PublicKey:
    from protocol.arith.paillier.public_key import PublicKey

    return PublicKey.from_bytes(modulus)


@lru_cache(maxsize=8)
def _weights(layout: QueryLayout, model: bytes) -> Weights:
    from protocol.arith.queries.plain import quantise_weights

    weights, bias = unpack(model)
    return quantise_weights(layout, weights, bias)
