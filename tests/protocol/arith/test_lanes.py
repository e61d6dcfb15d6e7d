"""Balanced-digit lanes against the definition sum v_i 2^(w i), at every width and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.encoding.lanes import Lanes, SumOutOfRange
from protocol.errors import FatalError, InputError
from protocol.layout.packing import BATCH_HEADER_BYTES, Packing
from protocol.params import MAX_COHORT, VALUE_BITS

layouts = st.builds(
    Lanes,
    value_bits=st.integers(*VALUE_BITS),
    summands=st.integers(1, 64) | st.just(MAX_COHORT),
    key_bits=st.sampled_from([256, 272, 512, 3072]),
)


def by_definition(lanes: Lanes, values: np.ndarray) -> list[int]:
    per = lanes.lanes_per_ciphertext
    return [
        sum(int(v) << (lanes.width * i) for i, v in enumerate(values[start : start + per]))
        for start in range(0, len(values), per)
    ]


@given(lanes=layouts, count=st.integers(0, 700), seed=st.integers(0, 2**32))
def test_packing_is_the_definition_and_unpacks(lanes: Lanes, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(-lanes.max_int, lanes.max_int, count, endpoint=True)
    packed = lanes.pack(values)
    assert packed == by_definition(lanes, values)
    assert len(packed) == lanes.ciphertexts(count)
    np.testing.assert_array_equal(lanes.unpack(packed, count), values)


@given(lanes=layouts, sign=st.sampled_from([1, -1, 0]), seed=st.integers(0, 2**32))
def test_full_sums_decode_at_the_very_edge(lanes: Lanes, sign: int, seed: int) -> None:
    """`headroom` batches, all values at the limit (one sign, or mixed), stay below n / 2."""
    count = 2 * lanes.lanes_per_ciphertext + 1
    signs = (
        np.full(count, sign)
        if sign
        else np.random.default_rng(seed).choice(np.array([-1, 1]), count)
    )
    values = signs * lanes.max_int
    sums = [lanes.headroom * plaintext for plaintext in lanes.pack(values)]
    assert all(abs(total) < 1 << (lanes.key_bits - 2) for total in sums)
    unpacked = lanes.unpack(sums, count)
    np.testing.assert_array_equal(unpacked, lanes.headroom * values)
    lanes.check_sum(unpacked, lanes.headroom)
    with pytest.raises(FatalError, match="lanes have room for"):
        lanes.check_sum(unpacked, lanes.headroom + 1)


@given(lanes=layouts)
def test_headroom_covers_the_declared_summands(lanes: Lanes) -> None:
    assert lanes.headroom >= lanes.summands
    assert lanes.width == lanes.value_bits + math.ceil(math.log2(lanes.summands))
    assert lanes.width * lanes.lanes_per_ciphertext <= lanes.key_bits - 2


@pytest.mark.parametrize("value_bits", range(VALUE_BITS[0], VALUE_BITS[1] + 1))
def test_every_width_round_trips(value_bits: int) -> None:
    for summands in (1, 2, 3, 32, MAX_COHORT):
        lanes = Lanes(value_bits, summands, 512)
        top = lanes.max_int
        values = np.array([top, -top, 0, -1, 1, -top, -top, top, top, -1] * 5)
        assert lanes.pack(values) == by_definition(lanes, values)
        np.testing.assert_array_equal(lanes.unpack(lanes.pack(values), 50), values)


def test_the_lowest_digit_is_read_as_one_digit_and_then_refused() -> None:
    lanes = Lanes(8, 4, 256)  # lanes of 10 bits: digits from -512 to 511, sums within 4 x 127
    found = lanes.unpack([-512 + (511 << 10)], 2)
    np.testing.assert_array_equal(found, [-512, 511])
    with pytest.raises(SumOutOfRange, match=r"lane 0 holds -512.*more than 508 \(2 such lanes\)"):
        lanes.check_sum(found, 4)


def test_a_sum_at_the_bound_passes_and_one_past_it_is_named() -> None:
    lanes = Lanes(16, 5, 512)
    bound = 3 * lanes.max_int
    lanes.check_sum(np.array([bound, -bound, 0]), 3)
    for wrong in (bound + 1, -bound - 1):
        with pytest.raises(SumOutOfRange, match=f"lane 2 holds {wrong}"):
            lanes.check_sum(np.array([0, bound, wrong]), 3)


@given(noise=st.integers(0, (1 << 256) - 1))
def test_any_number_modulo_n_is_digits_or_refused(noise: int) -> None:
    """What a hostile owner may add: decoding is total, and what it accepts re-packs to itself."""
    lanes = Lanes(8, 5, 256)
    plaintext = noise - (1 << 255)
    try:
        digits = lanes.unpack([plaintext], lanes.lanes_per_ciphertext)
    except SumOutOfRange:
        assert abs(plaintext) >> (lanes.width * lanes.lanes_per_ciphertext - 2)
    else:
        assert sum(int(v) << (lanes.width * i) for i, v in enumerate(digits)) == plaintext


def test_a_remainder_above_the_last_lane_is_refused() -> None:
    lanes = Lanes(8, 2, 256)
    end = lanes.width * lanes.lanes_per_ciphertext
    for plaintext in (1 << end, -(1 << end), 1 << (end - 1)):
        with pytest.raises(SumOutOfRange, match="plaintext 1 does not end with lane 27"):
            lanes.unpack([0, plaintext], 2 * lanes.lanes_per_ciphertext)


def test_lanes_past_the_last_value_must_be_zero() -> None:
    lanes = Lanes(8, 2, 256)
    with pytest.raises(SumOutOfRange, match="lane 3 lies past the last value"):
        lanes.unpack([1 << (3 * lanes.width)], 3)


def test_the_caller_s_mistakes_are_fatal() -> None:
    lanes = Lanes(8, 2, 256)
    for bad in (
        np.array([128]),
        np.array([-128]),
        np.array([np.iinfo(np.int64).min]),
        np.array([1.0]),
        np.zeros((2, 2), dtype=np.int64),
    ):
        with pytest.raises(FatalError):
            lanes.pack(bad)
    with pytest.raises(FatalError, match="1 plaintexts"):
        lanes.unpack([0], 0)
    with pytest.raises(FatalError, match="0 batches"):
        lanes.check_summands(0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((VALUE_BITS[0] - 1, 2, 512), "value_bits"),
        ((VALUE_BITS[1] + 1, 2, 512), "value_bits"),
        ((16, 0, 512), "summands"),
        ((16, MAX_COHORT + 1, 512), "summands"),
        ((16, 2, 18), "key_bits"),
    ],
)
def test_layouts_out_of_range_are_refused(arguments: tuple[int, int, int], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Lanes(*arguments)
    assert caught.value.field == field


@given(lanes=layouts, values=st.integers(0, 100_000))
def test_estimates_above_this_floor_agree(lanes: Lanes, values: int) -> None:
    packing = Packing(lanes.value_bits, lanes.summands, lanes.key_bits)
    assert packing.lane_bits == lanes.width
    assert packing.lanes == lanes.lanes_per_ciphertext
    assert packing.ciphertexts(values) == lanes.ciphertexts(values)
    assert packing.batch_bytes(values) == BATCH_HEADER_BYTES + lanes.ciphertext_bytes(values)


def test_figures_of_the_usual_lanes() -> None:
    """16-bit values, 32 summands, a 3072-bit key: at most 5.5 bytes a parameter."""
    lanes = Lanes(16, 32, 3072)
    assert (lanes.width, lanes.lanes_per_ciphertext) == (21, 146)
    assert lanes.ciphertext_bytes(100_000) / 100_000 < 5.5
    assert lanes.ciphertexts(19_210) == 132
