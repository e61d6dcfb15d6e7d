"""The encrypted product that is timed is the one that the figures name, and a wrong one is none."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest

from protocol.arith.paillier import cryptosystem as paillier
from scripts.benchmarks import sealed_product
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.sides import assay_matvec, product


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    private = paillier.generate_short_key(512, secrets.token_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_product, "key", lambda _: private)
        return sealed_product.given(512, 9, 16, 40)


@pytest.mark.parametrize("way", ["multiply", "powers"])
def test_a_product_is_timed_and_opened(way: str, given: dict[str, Any]) -> None:
    reply = assay_matvec.CALLS[way](**given)
    expected = product.matrix(9, 9, 16) @ product.weights(9, 10, 16)
    assert reply["seconds"] > 0
    assert reply["counts"]["digest"] == product.digest(expected)


@pytest.mark.parametrize("way", ["multiply", "powers"])
def test_a_product_of_other_weights_is_refused(way: str, given: dict[str, Any]) -> None:
    swapped = given["ciphertexts"][::-1]
    with pytest.raises(ValueError, match="does not decrypt"):
        assay_matvec.CALLS[way](**{**given, "ciphertexts": swapped})


def test_lanes_are_what_they_hold() -> None:
    values = np.array([[1, -2, 3], [-(2**38), 0, 2**38]], np.int64)
    assert product.packed(values, 40) == [
        1 - (2 << 40) + (3 << 80),
        -(1 << 38) + (1 << 118),
    ]


def test_entries_use_all_of_their_bits() -> None:
    entries = product.matrix(64, 64, 16)
    assert entries.min() < -32700
    assert entries.max() > 32700
    assert product.digest(entries) != product.digest(entries.T)


class Sides:
    """A context whose sides answer at once."""

    runs = 1

    def __init__(self, **digests: int) -> None:
        self.digests = digests

    def side(self, name: str) -> Any:
        return Answering(self.digests[name.replace("-", "_")])

    def say(self, text: str) -> None:
        raise AssertionError(text)


class Answering:
    def __init__(self, digest: int) -> None:
        self.digest = digest

    def call(self, function: str, **_: object) -> Reply:
        seconds = {"multiply": 2.0, "powers": 8.0, "helped": 4.0}[function]
        counts = {"digest": self.digest, "at once": 2.0, "by class": 3.0, "lanes": 1.0}
        return Reply(seconds, counts={**counts, "multiplications": 5})


def test_two_sides_with_two_results_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_product, "given", lambda *_: {})
    assert sealed_product.heu(Sides(matvec=1, heu_matvec=1)).ratio == 1
    with pytest.raises(ValueError, match="same product"):
        sealed_product.heu(Sides(matvec=1, heu_matvec=2))
    assert sealed_product.naive(Sides(matvec=1, gmpy2_matvec=1)).ratio == 4
    assert sealed_product.alone(Sides(matvec=1)).ours == 2
