"""A small model on sale, and one buyer's key for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.arith.numbers.fixedpoint import Floats
from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey
from protocol.arith.queries import ask, plain
from protocol.layout.queries import Mode, QueryLayout

MAKER = bytes(range(32))
SEED, OTHER_SEED = b"s" * 32, b"b" * 32


@dataclass(frozen=True)
class Sale:
    """Both sides' secrets, as no one holds them together but a test."""

    layout: QueryLayout
    private: PrivateKey
    public: PublicKey
    weights: plain.Weights


def model(features: int, classes: int, seed: int = 1) -> tuple[Floats, Floats]:
    drawn = np.random.default_rng(seed)
    return drawn.normal(size=(features, classes)), drawn.normal(size=classes)


def sale(private: PrivateKey, mode: Mode, features: int, classes: int, seed: int = 1) -> Sale:
    layout = QueryLayout(features, classes, 8, 16, private.public.bits, mode)
    public = ask.meet(ask.introduce(private), private.public.bits)
    weights, bias = model(features, classes, seed)
    return Sale(layout, private, public, plain.quantise_weights(layout, weights, bias))
