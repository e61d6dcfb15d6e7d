"""A sealed model's numbers in lanes: in, added, out again; nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.encoding.sealed import SealedLanes
from protocol.errors import FatalError
from protocol.layout.sealed import SealedLayout

layouts = st.builds(
    SealedLayout,
    features=st.integers(1, 20),
    outputs=st.integers(1, 30),
    value_bits=st.sampled_from((4, 16, 32)),
    key_bits=st.sampled_from((256, 512, 1024)),
    members=st.integers(1, 40),
)

#: Two groups: 11 outputs, 9 lanes; 7 lanes of the second group hold nothing.
SPLIT = SealedLayout(3, 11, 4, 256, 64)
#: One group of 2 outputs, 4 rows in a ciphertext, the last of which has one row.
STACKED = SealedLayout(5, 2, 4, 256, 32)


def random_values(layout: SealedLayout, most: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(-most, most, layout.values, endpoint=True)
    values[:: max(1, layout.values // 3)] = most
    values[1 :: max(1, layout.values // 3)] = -most
    return values


def test_the_layouts_below_are_what_they_are_named_for() -> None:
    assert (SPLIT.groups, SPLIT.per_group, SPLIT.rows_per_reply) == (2, 9, 1)
    assert (STACKED.groups, STACKED.rows_per_reply, STACKED.reply_ciphertexts) == (1, 4, 2)


@given(layout=layouts, seed=st.integers(0, 2**32))
@examples(0.6)
def test_the_largest_sum_comes_out_as_it_went_in(layout: SealedLayout, seed: int) -> None:
    lanes = SealedLanes(layout)
    values = random_values(layout, layout.max_int, seed)
    plaintexts = lanes.pack(values)
    assert len(plaintexts) == layout.reply_ciphertexts == lanes.ciphertexts(layout.values)
    summed = [int(layout.members * plaintext) for plaintext in plaintexts]
    assert max(abs(plaintext) for plaintext in summed) < 2 ** (layout.key_bits - 2)
    sums = lanes.unpack(summed, layout.values)
    np.testing.assert_array_equal(sums, layout.members * values)
    lanes.check_sum(sums, layout.members)


@given(layout=layouts, seed=st.integers(0, 2**32))
@examples(0.6)
def test_places_are_those_of_the_specification(layout: SealedLayout, seed: int) -> None:
    """Sum by sum, as docs/spec/sealed-ciphertexts.md writes it."""
    lanes, w, n = SealedLanes(layout), layout.width, layout.per_group
    weights = random_values(layout, layout.weight_max, seed)
    matrix = weights.reshape(layout.features, layout.outputs).tolist()
    wanted = [
        sum(matrix[j][c] << (w * (c - g * n)) for c in layout.outputs_of(g))
        for g in range(layout.groups)
        for j in range(layout.features)
    ]
    assert lanes.pack_model(weights) == wanted
    np.testing.assert_array_equal(lanes.unpack_model(wanted), weights)
    k = layout.rows_per_reply
    assert lanes.pack(weights) == [
        sum(
            matrix[i][c] << (w * (n * (i % k) + c - g * n))
            for i in layout.rows_of(r)
            for c in layout.outputs_of(g)
        )
        for g in range(layout.groups)
        for r in range(layout.replies_per_group)
    ]


@pytest.mark.parametrize("layout", [SPLIT, STACKED], ids=["split", "stacked"])
def test_nothing_may_stand_elsewhere(layout: SealedLayout) -> None:
    lanes, w = SealedLanes(layout), layout.width
    values = random_values(layout, layout.max_int, 1)
    good = [int(plaintext) for plaintext in lanes.pack(values)]
    last = len(good) - 1
    top = w * lanes.lanes_per_ciphertext
    for number in (1 << top, -1 << top, 1 << (layout.key_bits - 2)):
        with pytest.raises(SumOutOfRange, match="plaintext 1 does not end with lane"):
            lanes.unpack([good[0], good[1] + number, *good[2:]], layout.values)
    # a class of a group's end that there is not, or a row past the last
    held = len(layout.outputs_of(layout.groups - 1))
    free = held if layout.groups > 1 else layout.per_group
    for number in (1, -1):
        with pytest.raises(
            SumOutOfRange, match=f"plaintext {last}: lane {free} stands for no value"
        ):
            lanes.unpack([*good[:last], good[last] + (number << (w * free))], layout.values)


@pytest.mark.parametrize("layout", [SPLIT, STACKED], ids=["split", "stacked"])
def test_sums_beyond_what_replies_can_give_are_refused(layout: SealedLayout) -> None:
    lanes = SealedLanes(layout)
    sums = np.zeros(layout.values, np.int64)
    for summands in (1, 5):
        for sign in (1, -1):
            sums[4] = sign * summands * layout.max_int
            lanes.check_sum(sums, summands)
            sums[4] += sign
            with pytest.raises(SumOutOfRange, match=f"lane 4 holds {sums[4]}, {summands} values"):
                lanes.check_sum(sums, summands)
    lanes.check_summands(lanes.headroom)
    for wrong in (0, lanes.headroom + 1):
        with pytest.raises(FatalError, match="replies to add"):
            lanes.check_sum(sums, wrong)


def test_weights_beyond_the_range_are_not_read_from_a_model() -> None:
    lanes = SealedLanes(STACKED)
    weights = random_values(STACKED, STACKED.weight_max, 1)
    plaintexts = lanes.pack_model(weights)
    with pytest.raises(SumOutOfRange, match="lane 0 holds 8"):
        lanes.unpack_model([plaintexts[0] + 1, *plaintexts[1:]])


def test_other_shapes_are_our_own_fault() -> None:
    lanes = SealedLanes(STACKED)
    good = np.zeros(STACKED.values, np.int64)
    with pytest.raises(FatalError, match="int32"):
        lanes.pack(good.astype(np.int32))
    with pytest.raises(FatalError, match="shape"):
        lanes.pack(good[:-1])
    with pytest.raises(FatalError, match="beyond"):
        lanes.pack(good + STACKED.max_int + 1)
    with pytest.raises(FatalError, match="beyond 7"):
        lanes.pack_model(good - STACKED.weight_max - 1)
    with pytest.raises(FatalError, match="a reply has 10"):
        lanes.unpack([0, 0], 11)
    with pytest.raises(FatalError, match="where 2 belong"):
        lanes.unpack([0], 10)
    assert lanes.ciphertext_bytes(10) == 2 * 64
