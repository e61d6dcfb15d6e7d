"""Where a sealed model's numbers lie: bounds that hold, counts that fit, declarations checked."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.errors import InputError, Malformed
from protocol.layout.packing import BATCH_HEADER_BYTES, Packing
from protocol.layout.sealed import SEALED_HEADER_BYTES, SealedLayout
from protocol.params import (
    MAX_CATEGORIES,
    MAX_COHORT,
    MAX_SEALED_FEATURES,
    SEALED_FRACTION_BITS,
    VALUE_BITS,
)

ONE = 1 << SEALED_FRACTION_BITS
DIGITS = SealedLayout(257, 10, 16, 3072, 6)

layouts = st.builds(
    SealedLayout,
    features=st.integers(1, MAX_SEALED_FEATURES),
    outputs=st.integers(1, MAX_CATEGORIES),
    value_bits=st.integers(*VALUE_BITS),
    key_bits=st.sampled_from((256, 512, 2048, 3072, 7680)),
    members=st.integers(1, 64),
)


def test_figures_of_digits_with_fourier_features() -> None:
    """256 Fourier features and a bias, ten classes, six owners, a 3072-bit key."""
    assert (DIGITS.width, DIGITS.lanes, DIGITS.per_group, DIGITS.groups) == (41, 74, 10, 1)
    assert (DIGITS.rows_per_reply, DIGITS.model_ciphertexts, DIGITS.reply_ciphertexts) == (
        7,
        257,
        37,
    )
    assert DIGITS.model_bytes == 45 + 257 * 768
    assert DIGITS.field.hex() == (
        "00000101 0000000a 0000000a 00000001 0029 0006 10 10".replace(" ", "") + 20 * "0"
    )


@given(layout=layouts)
def test_sums_of_the_largest_replies_stay_inside_their_lanes(layout: SealedLayout) -> None:
    p = layout.features
    # isqrt is exact: row_max <= sqrt(p) 2^16 + p / 2 < row_max + 1
    rest = Fraction(2 * layout.row_max - p, 2)
    assert rest <= 0 or rest * rest <= p * ONE * ONE
    assert (rest + 1) ** 2 > p * ONE * ONE
    assert layout.bound == layout.row_max * (2 ** (layout.value_bits - 1) - 1)
    largest = layout.members * layout.max_int
    assert largest < 2 ** (layout.width - 1)
    assert layout.width <= 63
    # all lanes together keep away from n / 2
    full = sum(largest << (layout.width * i) for i in range(layout.lanes))
    assert full < 2 ** (layout.key_bits - 2)


@given(layout=layouts)
def test_every_number_has_one_place(layout: SealedLayout) -> None:
    places = [output for group in range(layout.groups) for output in layout.outputs_of(group)]
    assert places == list(range(layout.outputs))
    rows = [row for reply in range(layout.replies_per_group) for row in layout.rows_of(reply)]
    assert rows == list(range(layout.features))
    assert max(len(layout.outputs_of(group)) for group in range(layout.groups)) == layout.per_group
    assert layout.rows_per_reply * layout.row_bits <= layout.key_bits - 2
    assert layout.groups == 1 or layout.rows_per_reply == 1
    assert layout.model_ciphertexts == layout.groups * layout.features
    assert layout.reply_ciphertexts == layout.groups * layout.replies_per_group


@given(layout=layouts)
def test_packing_tells_sizes_of_replies(layout: SealedLayout) -> None:
    packing = Packing(layout.value_bits, layout.members, layout.key_bits, "paillier", sealed=layout)
    size = layout.reply_ciphertexts * layout.key_bits // 4
    assert packing.batch_bytes(layout.values) == BATCH_HEADER_BYTES + size
    assert packing.ciphertexts(layout.values) == layout.reply_ciphertexts
    assert (packing.lane_bits, packing.max_int) == (layout.width, layout.max_int)
    assert packing.lanes == layout.lanes
    assert packing.headroom >= layout.members


def test_a_model_begins_as_a_batch_does() -> None:
    assert SEALED_HEADER_BYTES == BATCH_HEADER_BYTES
    assert len(DIGITS.field) == 32


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"features": 0}, "features"),
        ({"features": MAX_SEALED_FEATURES + 1}, "features"),
        ({"outputs": 0}, "outputs"),
        ({"outputs": MAX_CATEGORIES + 1}, "outputs"),
        ({"value_bits": VALUE_BITS[0] - 1}, "value_bits"),
        ({"value_bits": VALUE_BITS[1] + 1}, "value_bits"),
        ({"members": 0}, "members"),
        ({"members": MAX_COHORT + 1}, "members"),
        ({"key_bits": 42}, "key_bits"),
        ({"features": MAX_SEALED_FEATURES, "value_bits": 32, "members": 257}, "members"),
    ],
)
def test_layouts_out_of_range_are_refused(change: dict[str, int], field: str) -> None:
    told = {"features": 257, "outputs": 10, "value_bits": 16, "key_bits": 3072, "members": 6}
    SealedLayout(**told)
    with pytest.raises(InputError) as caught:
        SealedLayout(**{**told, **change})
    assert caught.value.field == field


def test_the_limits_themselves_are_taken() -> None:
    assert SealedLayout(MAX_SEALED_FEATURES, MAX_CATEGORIES, 32, 7680, 256).width == 63
    assert SealedLayout(257, 10, 16, 43, 6).lanes == 1
    assert math.log2(SealedLayout(1, 1, 4, 256, MAX_COHORT).max_int) < 20


@given(layout=layouts, other=layouts)
@examples(0.5)
def test_a_declared_layout_is_taken_when_it_is_the_same(
    layout: SealedLayout, other: SealedLayout
) -> None:
    layout.check_field(layout.field)
    if other.field != layout.field:
        with pytest.raises(Malformed, match="sealed model says"):
            layout.check_field(other.field)


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (3, "features 256"),
        (7, "outputs 11"),
        (11, "per_group 11"),
        (15, "groups 0"),
        (17, "width 40"),
        (19, "members 7"),
        (20, "value_bits 17"),
        (21, "fraction_bits 17"),
        (22, "does not end in zeros"),
        (31, "does not end in zeros"),
    ],
)
def test_what_differs_is_named(at: int, name: str) -> None:
    field = bytearray(DIGITS.field)
    field[at] ^= 1
    with pytest.raises(Malformed, match=name):
        DIGITS.check_field(bytes(field))
    with pytest.raises(Malformed, match="this one 31"):
        DIGITS.check_field(DIGITS.field[:-1])
