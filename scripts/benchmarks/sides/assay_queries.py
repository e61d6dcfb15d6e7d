"""assay's side of private queries: both parties of one query, each timed, and its bytes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256

import numpy as np

from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, generate_short_key
from protocol.arith.queries import answer, ask, label, plain
from protocol.layout.queries import Mode, QueryLayout
from scripts.benchmarks.sides.parts import Parts

PACKAGES = ("gmpy2", "coincurve", "numpy")

_FEATURE_BITS, _SUM_BITS = 16, 24


@cache
def buyer(bits: int) -> tuple[PrivateKey, PublicKey]:
    """A key, and what its seller keeps of it once it has checked the proof."""
    private = generate_short_key(bits, secrets.token_bytes)
    return private, ask.meet(ask.introduce(private), bits)


def sold(layout: QueryLayout) -> plain.Weights:
    """Weights, the same each time."""
    drawn = np.random.default_rng(1)
    weights = drawn.normal(size=(layout.features, layout.classes))
    return plain.quantise_weights(layout, weights, drawn.normal(size=layout.classes))


def scores(features: int, classes: int, bits: int) -> dict[str, object]:
    """One query answered with scores. Raises ValueError unless they are the model's."""
    layout = QueryLayout(features, classes, _FEATURE_BITS, _SUM_BITS, bits, Mode.SCORES)
    (private, public), weights, part = buyer(bits), sold(layout), Parts()
    row, maker = np.random.default_rng(2).uniform(-1, 1, features), secrets.token_bytes(32)
    with part("buyer"):
        query = ask.ask(layout, private, row, maker, secrets.token_bytes)
    seed = secrets.token_bytes(32)
    with part("seller"):
        reply = answer.answer_scores(layout, public, weights, query, maker, seed)
    with part("buyer"):
        found = ask.open_scores(layout, private, reply, maker)
    expected = plain.scores(layout, weights, plain.quantise_features(layout, row))
    if not np.array_equal(found, expected):
        raise ValueError("the scores are not the model's")
    return part.reply() | {"counts": {"up": len(query), "down": len(reply)}}


def one_label(features: int, classes: int, bits: int) -> dict[str, object]:
    """One query answered with the class alone, both sides of the whole exchange. Raises ValueError
    unless it is the model's."""
    layout = QueryLayout(features, classes, _FEATURE_BITS, _SUM_BITS, bits, Mode.LABEL)
    (private, public), weights, part = buyer(bits), sold(layout), Parts()
    row, maker = np.random.default_rng(2).uniform(-1, 1, features), secrets.token_bytes(32)
    theirs, own = secrets.token_bytes(32), secrets.token_bytes(32)
    with part("query"):
        query = ask.ask(layout, private, row, maker, secrets.token_bytes)
    with part("mask"):
        masked = label.mask(layout, public, weights, query, maker, theirs)
    with part("choose"):
        choices = label.choose(layout, private, masked, maker, own)
    with part("garble"):
        digest = sha256(query).digest()
        circuit = label.garble(layout, public, digest, choices, maker, theirs)
    with part("reveal"):
        found = label.reveal(layout, private, masked, circuit, maker, own)
    expected = plain.scores(layout, weights, plain.quantise_features(layout, row))
    if found != int(np.argmax(expected)):
        raise ValueError("the label is not the model's")
    counts = {"up": len(query) + len(choices), "down": len(masked) + len(circuit)}
    return part.reply() | {"counts": counts}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"scores": scores, "label": one_label}
