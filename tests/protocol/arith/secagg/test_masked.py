"""The masks envelope: words there and back, sums, and hostile bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.numbers.shape import NOBODY, Kind, Shape
from protocol.arith.secagg.masked import (
    add_words,
    centred,
    decode_words,
    encode_words,
    to_words,
    word_bits,
)
from protocol.arith.secagg.masks import Words, expand_words
from protocol.errors import FatalError, Malformed

MAKER = b"m" * 32
BITS = st.sampled_from(range(8, 65, 8))


@given(bits=BITS, count=st.integers(0, 50), data=st.data())
def test_words_round_trip(bits: int, count: int, data: st.DataObject) -> None:
    seed = data.draw(st.binary(min_size=32, max_size=32))
    words, shape = expand_words(seed, count, bits), Shape(Kind.MASKS, bits, count)
    blob = encode_words(words, shape, MAKER)
    assert len(blob) == shape.size == 45 + count * bits // 8
    assert blob[45:] == b"".join(int(word).to_bytes(bits // 8, "little") for word in words)
    for buffer in (blob, memoryview(blob)):
        back = decode_words(buffer, shape, MAKER)
        assert back.dtype == words.dtype
        np.testing.assert_array_equal(back, words)


@given(bits=BITS, data=st.data())
def test_signed_values_survive_a_wrapping_sum(bits: int, data: st.DataObject) -> None:
    space, top = Words(bits), 2 ** (min(bits, 63) - 3) - 1
    columns = data.draw(
        st.lists(st.lists(st.integers(-top, top), min_size=3, max_size=3), min_size=1, max_size=4)
    )
    shape = Shape(Kind.MASKS, bits, 3)
    batches = [
        encode_words(to_words(np.array(column, dtype=np.int64), space, top), shape, MAKER)
        for column in columns
    ]
    sums = centred(add_words(batches, shape), space)
    assert sums.dtype == np.int64
    assert sums.tolist() == [sum(column) for column in zip(*columns, strict=True)]


@pytest.mark.parametrize("bits", range(8, 65, 8))
def test_the_ends_of_a_word(bits: int) -> None:
    space, half = Words(bits), 1 << (bits - 1)
    words = np.array([0, 1, half - 1, half, 2 * half - 1], dtype=space.dtype)
    assert centred(words, space).tolist() == [0, 1, half - 1, -half, -1]


def test_a_word_holds_its_lane_in_whole_bytes() -> None:
    assert [word_bits(lane) for lane in (4, 8, 9, 21, 24, 25, 44)] == [8, 8, 16, 24, 24, 32, 48]


@given(data=st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_words(data, Shape(Kind.MASKS, 24, 3), MAKER)


@pytest.mark.parametrize(
    ("position", "value", "says"),
    [
        (0, ord("b"), "does not begin with 'assay'"),
        (5, 2, "version 2, this is version 1"),
        (6, 0, "says kind 0"),
        (6, 3, "says kind 3"),
        (8, 32, "32 bits"),
        (12, 4, "4 numbers, expected are kind 1, 3 masked words of 24 bits"),
        (13, 0, "made by another member or for another attempt"),
    ],
)
def test_a_header_that_disagrees_is_refused(position: int, value: int, says: str) -> None:
    shape = Shape(Kind.MASKS, 24, 3)
    forged = bytearray(encode_words(expand_words(b"s" * 32, 3, 24), shape, MAKER))
    forged[position] = value
    with pytest.raises(Malformed, match=says):
        decode_words(bytes(forged), shape, MAKER)


def test_lengths_are_exact() -> None:
    shape = Shape(Kind.MASKS, 24, 3)
    blob = encode_words(expand_words(b"s" * 32, 3, 24), shape, NOBODY)
    for wrong in (blob[:-1], blob + b"0", b"", blob[:45]):
        with pytest.raises(Malformed, match="3 masked words of 24 bits take 54"):
            decode_words(wrong, shape, None)
    with pytest.raises(Malformed, match="batch 1 has 53 bytes"):
        add_words([blob, blob[:-1]], shape)
    with pytest.raises(FatalError, match="no batch"):
        add_words([], shape)
    with pytest.raises(FatalError, match="2 words to encode"):
        encode_words(expand_words(b"s" * 32, 2, 24), shape, NOBODY)


def test_values_beyond_their_width_are_ours_to_blame() -> None:
    space = Words(8)
    assert to_words(np.array([-7, 7]), space, 7).tolist() == [249, 7]
    for values in (np.array([8]), np.array([-8]), np.zeros((1, 1), np.int64), np.zeros(1)):
        with pytest.raises(FatalError, match="to mask"):
            to_words(values, space, 7)
