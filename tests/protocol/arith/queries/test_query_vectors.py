"""The vectors of docs/spec/queries.md, made without assay, byte by byte."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from kits.paths import TESTS

from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.queries import answer, ask, label, plain
from protocol.layout.queries import Mode, QueryLayout

VECTORS = json.loads((TESTS / "vectors" / "arith" / "queries.json").read_text())


def layout_of(told: dict[str, Any]) -> QueryLayout:
    names = ("features", "classes", "feature_bits", "sum_bits", "key_bits")
    return QueryLayout(*(told[name] for name in names), Mode(told["mode"]))


@pytest.mark.parametrize("told", VECTORS["layouts"])
def test_layouts(told: dict[str, Any]) -> None:
    layout = layout_of(told)
    for name in ("bound", "score_bits", "width", "lanes", "per_group", "groups"):
        assert getattr(layout, name) == told[name]


@pytest.mark.parametrize("case", VECTORS["exchanges"])
def test_exchanges(case: dict[str, Any]) -> None:
    layout = layout_of(case["layout"])
    names = ("private", "maker", "seller", "buyer", "query")
    key, maker, seller, buyer, query = (bytes.fromhex(case[name]) for name in names)
    private = PrivateKey.from_bytes(key)
    matrix, bias = (np.array(case[name], np.int64) for name in ("matrix", "bias"))
    weights = plain.Weights(matrix, bias, 1.0)
    assert plain.scores(layout, weights, case["features"]).tolist() == case["scores"]
    if layout.mode is Mode.SCORES:
        reply = answer.answer_scores(layout, private.public, weights, query, maker, seller)
        assert reply.hex() == case["answer"]
        assert ask.open_scores(layout, private, reply, maker).tolist() == case["scores"]
        return
    masked = label.mask(layout, private.public, weights, query, maker, seller)
    assert masked.hex() == case["masked"]
    choices = label.choose(layout, private, masked, maker, buyer)
    assert choices.hex() == case["choices"]
    digest = sha256(query).digest()
    circuit = label.garble(layout, private.public, digest, choices, maker, seller)
    assert circuit.hex() == case["circuit"]
    assert label.reveal(layout, private, masked, circuit, maker, buyer) == case["label"]
