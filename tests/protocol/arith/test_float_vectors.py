"""Canonical bytes of float vectors: one vector, one encoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector, vector_bytes
from protocol.errors import FatalError, Malformed
from protocol.layout.packing import model_bytes

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(kind=st.sampled_from(Kind), values=st.lists(finite, max_size=20))
def test_vectors_round_trip_to_the_same_bytes(kind: Kind, values: list[float]) -> None:
    vector = np.array(values)
    data = encode_vector(kind, vector)
    assert len(data) == vector_bytes(len(values)) == model_bytes(len(values))
    back = decode_vector(kind, data, len(values))
    np.testing.assert_array_equal(back, vector)
    assert encode_vector(kind, back) == data
    back += 1.0  # a copy: the blob cannot be written through it


@given(data=st.binary(max_size=64), count=st.integers(0, 5))
def test_what_decodes_is_canonical(data: bytes, count: int) -> None:
    head = encode_vector(Kind.MODEL, np.zeros(count))[:16]
    for candidate in (data, head + data):
        try:
            vector = decode_vector(Kind.MODEL, candidate, count)
        except Malformed:
            continue
        assert encode_vector(Kind.MODEL, vector) == candidate


def test_a_turn_is_a_models_alone() -> None:
    """It makes another digest of the same weights; a round's number fits, and no more."""
    vector = np.array([1.0, 2.0])
    blobs = {encode_vector(Kind.MODEL, vector, turn) for turn in (0, 1, 255)}
    assert len(blobs) == 3
    for blob in blobs:
        np.testing.assert_array_equal(decode_vector(Kind.MODEL, blob, 2), vector)
    for kind, turn in ((Kind.MODEL, 256), (Kind.MODEL, -1), (Kind.GRADIENT, 1)):
        with pytest.raises(FatalError, match="turn"):
            encode_vector(kind, vector, turn)
    for kind in (Kind.GRADIENT, Kind.MOMENTUM):
        blob = encode_vector(kind, vector)
        with pytest.raises(Malformed, match="does not begin"):
            decode_vector(kind, blob[:7] + b"\1" + blob[8:], 2)


def test_hostile_bytes_are_named() -> None:
    good = encode_vector(Kind.MODEL, np.array([1.0, 2.0]))
    for data, says in (
        (good[:-1], "has 31 bytes, 2 values take 32"),
        (good + b"\0", "has 33 bytes"),
        (b"A" + good[1:], "does not begin"),
        (good[:5] + b"\2" + good[6:], "version 2"),
        (good[:6] + b"\2" + good[7:], "says kind 2"),
        (good[:15] + b"\3" + good[16:], "and 3 values"),
        (good[:24] + np.array([np.nan]).tobytes(), "value 1 is not finite"),
        (good[:24] + np.array([-np.inf]).tobytes(), "value 1 is not finite"),
        (good[:24] + np.array([-0.0]).tobytes(), "negative zero"),
    ):
        with pytest.raises(Malformed, match=says):
            decode_vector(Kind.MODEL, data, 2)


def test_a_diverged_model_is_not_encoded() -> None:
    with pytest.raises(FatalError, match="model vector"):
        encode_vector(Kind.MODEL, np.array([np.inf]))
