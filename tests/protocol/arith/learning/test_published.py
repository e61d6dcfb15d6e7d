"""Published hold-outs and sums: one encoding each, and nothing else is taken."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from kits.examples import examples

from protocol.arith.learning import published
from protocol.arith.learning.published import (
    NONCE_BYTES,
    decode_holdout,
    decode_sums,
    encode_holdout,
    encode_sums,
)
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.errors import FatalError, InputError, Malformed
from protocol.params import MAX_BLOCKS

NONCE = bytes(range(NONCE_BYTES))
finite = st.floats(-1e300, 1e300)

holdouts = st.tuples(st.integers(1, 5), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.float64, shape, elements=finite),
        arrays.arrays(np.float64, shape[0], elements=finite),
    )
)
gradients = st.integers(1, 6).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(arrays.arrays(np.float64, count, elements=finite), min_size=1, max_size=5),
    )
)


def test_the_layout_is_the_specifications() -> None:
    data = encode_holdout(np.array([[0.5, -0.0], [1.0, 2.0]]), np.array([3.0, 4.0]), NONCE)
    head = b"assay\x01H\x00" + struct.pack(">II", 2, 2) + NONCE
    assert data == head + struct.pack("<6d", 0.5, 0.0, 1.0, 2.0, 3.0, 4.0)


@given(holdouts)
def test_a_hold_out_reads_back(given_: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = given_
    found_x, found_y = decode_holdout(encode_holdout(x, y, NONCE), x.shape[1])
    assert np.array_equal(found_x, x)
    assert np.array_equal(found_y, y)


@given(holdouts, st.data())
@examples(2)
def test_other_bytes_are_refused_or_canonical(
    given_: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    x, y = given_
    changed = bytearray(encode_holdout(x, y, NONCE))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_holdout(bytes(changed), x.shape[1])
    except Malformed:
        return
    nonce = bytes(changed[16 : 16 + NONCE_BYTES])
    assert encode_holdout(*found, nonce) == changed, "what is taken has one encoding"


@given(holdouts, st.binary(min_size=1, max_size=9))
def test_nothing_may_be_missing_or_follow(
    given_: tuple[np.ndarray, np.ndarray], more: bytes
) -> None:
    x, y = given_
    data = encode_holdout(x, y, NONCE)
    for wrong in (data + more, data[: -len(more)], more):
        with pytest.raises(Malformed):
            decode_holdout(wrong, x.shape[1])
    with pytest.raises(Malformed, match=f"the job has {x.shape[1] + 1} inputs"):
        decode_holdout(data, x.shape[1] + 1)


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for wrong in (data, b"assay\x01H\x00" + data):
        with pytest.raises(Malformed):
            decode_holdout(wrong, 3)
    with pytest.raises(Malformed):
        decode_sums(data, 30)


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, b"x", "does not begin"),
        (5, b"\x02", "of version 2"),
        (6, b"W", "does not begin"),
        (7, b"\x01", "does not begin"),
        (8, b"\xff\xff\xff\xff", "says 4294967295 rows"),
        (12, b"\xff\xff\xff\xff", "4294967295 inputs"),
        (8, bytes(4), "says 0 rows"),
        (48, struct.pack("<d", -0.0), "negative zero"),
        (48, struct.pack("<d", float("nan")), "no number"),
        (56, struct.pack("<d", float("inf")), "no number"),
    ],
)
def test_a_hold_out_that_lies_is_named(at: int, value: bytes, why: str) -> None:
    data = encode_holdout(np.ones((1, 1)), np.ones(1), NONCE)
    with pytest.raises(Malformed, match=why):
        decode_holdout(data[:at] + value + data[at + len(value) :], 1)


def test_what_is_no_hold_out_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.ones((1, 1))
    for x, y, nonce in (
        (np.ones((0, 1)), np.ones(0), NONCE),
        (one, np.ones(2), NONCE),
        (one, np.ones(1), NONCE[1:]),
        (one * np.nan, np.ones(1), NONCE),
        (one, np.ones(1) * np.inf, NONCE),
    ):
        with pytest.raises(FatalError):
            encode_holdout(x, y, nonce)
    size = len(encode_holdout(one, np.ones(1), NONCE))
    monkeypatch.setattr(published, "MAX_BLOB_BYTES", size)
    assert encode_holdout(one, np.ones(1), NONCE)
    monkeypatch.setattr(published, "MAX_BLOB_BYTES", size - 1)
    with pytest.raises(InputError, match=f"1 rows of 1 inputs take {size} bytes"):
        encode_holdout(one, np.ones(1), NONCE)


@given(gradients)
def test_sums_read_back_and_one_byte_more_or_less_is_refused(
    given_: tuple[int, list[np.ndarray]],
) -> None:
    count, vectors = given_
    parts = tuple(encode_vector(Kind.GRADIENT, vector) for vector in vectors)
    data = encode_sums(parts)
    assert decode_sums(data, count) == parts
    for wrong in (data + b"\0", data[:-1], b""):
        with pytest.raises(Malformed):
            decode_sums(wrong, count)


def test_sums_are_gradients_and_as_many_as_a_job_has_blocks() -> None:
    one = encode_vector(Kind.GRADIENT, np.ones(1))
    assert len(decode_sums(one * MAX_BLOCKS, 1)) == MAX_BLOCKS
    with pytest.raises(Malformed, match="a block's take 24"):
        decode_sums(one * (MAX_BLOCKS + 1), 1)
    with pytest.raises(Malformed):
        decode_sums(one + encode_vector(Kind.MOMENTUM, np.ones(1)), 1)
