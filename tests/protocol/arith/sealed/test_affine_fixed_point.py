"""An affine map in integers: no row leaves its lane, no error is beyond what is derived."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kits.examples import examples

from protocol.arith.learning.models import Floats
from protocol.arith.sealed.affine import AffineMap, error_bound, quantised
from protocol.errors import FatalError
from protocol.layout.sealed import SealedLayout
from protocol.params import SEALED_FRACTION_BITS

ONE = 1 << SEALED_FRACTION_BITS

LAYOUT = SealedLayout(4, 2, 12, 2048, 6)

#: Maps as local_map gives them, and crafted ones: any M with 0 <= M <= 1.
MAPS = st.builds(
    lambda gone, turn, offset: AffineMap(_symmetric(gone, turn), offset),
    hnp.arrays(np.float64, 4, elements=st.floats(0, 1)),
    hnp.arrays(np.float64, (4, 4), elements=st.floats(-1, 1)),
    hnp.arrays(np.float64, (4, 2), elements=st.floats(-2, 2)),
)


def _symmetric(gone: Floats, turn: Floats) -> Floats:
    """M - I of these eigenvalues, less of them than rounding could add."""
    basis, _ = np.linalg.qr(turn + 3.0 * np.eye(4))
    return np.asarray(-(basis * (gone * (1.0 - 2.0**-32))) @ basis.T)


def exactly(array: Floats | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> np.ndarray:
    """Fractions, entry by entry: numpy's products of them are exact."""
    flat = [Fraction(value) for value in array.reshape(-1).tolist()]
    return np.array(flat, dtype=object).reshape(array.shape)


def rounded(weights: np.ndarray, unit: Fraction, most: int) -> np.ndarray:
    """Weights as the requester encrypts them."""
    flat = [max(-most, min(most, round(value / unit))) for value in weights.reshape(-1)]
    return np.array(flat, dtype=object).reshape(weights.shape)


WEIGHTS = hnp.arrays(
    np.float64, (4, 2), elements=st.one_of(st.floats(-8, 8), st.sampled_from([-8.0, 8.0, 0.0]))
)


@given(found=MAPS, weights=WEIGHTS, share=st.floats(1e-3, 1.0), value_bits=st.integers(4, 32))
@examples(2)
def test_a_reply_is_as_near_as_derived(
    found: AffineMap, weights: Floats, share: float, value_bits: int
) -> None:
    layout = SealedLayout(4, 2, value_bits, 2048, 6)
    unit = Fraction(8) / layout.weight_max
    integers = rounded(exactly(weights), unit, layout.weight_max)
    step = quantised(found, share, layout, 8.0)
    assert step.matrix.dtype == step.offset.dtype == np.int64
    assert np.abs(step.matrix).sum(axis=1).max() <= layout.row_max
    assert np.abs(step.offset).max() <= layout.bound
    assert step.clipped == 0
    product = step.matrix.astype(object) @ integers
    assert np.abs(product).max() <= layout.bound
    reply = product + step.offset.astype(object)
    assert np.abs(reply).max() <= layout.max_int
    wanted = exactly(found.matrix) @ (integers * unit) + exactly(found.offset)
    missed = np.abs(reply * unit / (ONE * Fraction(share)) - wanted).max()
    total = int(np.abs(integers).sum(axis=0).max())
    # Double precision rounds entries of M - I times 2^16 q, and b times more, before they are
    # rounded to integers: 2^-50 relative.
    slack = 1 + Fraction(1, 2**30)
    assert missed <= Fraction(error_bound(layout, 8.0, total=total, weights=(share,)).reply) * slack
    assert total <= 4 * layout.weight_max
    assert (
        error_bound(layout, 8.0, total=total).reply <= error_bound(layout, 8.0).reply
    )  # nobody's weights are worse than the worst


@given(
    found=st.lists(MAPS, min_size=1, max_size=4),
    start=WEIGHTS,
    shares=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4),
    rounds=st.integers(1, 4),
    server_rate=st.sampled_from([1.0, 0.25]),
)
@examples(0.6)
def test_rounds_stay_as_near_as_derived(
    found: list[AffineMap], start: Floats, shares: list[float], rounds: int, server_rate: float
) -> None:
    """Owners' fixed-point replies, summed and applied round by round, against real numbers."""
    shares = shares[: len(found)]
    limit = 64.0
    unit = Fraction(limit) / LAYOUT.weight_max
    steps = [quantised(each, q, LAYOUT, limit) for each, q in zip(found, shares, strict=True)]
    exact_q = [Fraction(q) for q in shares]
    total_q = sum(exact_q)
    real = fixed = exactly(start)
    most = 0
    for _ in range(rounds):
        integers = rounded(fixed, unit, LAYOUT.weight_max)
        most = max(most, int(np.abs(integers).sum(axis=0).max()))
        sums = sum(
            step.matrix.astype(object) @ integers + step.offset.astype(object) for step in steps
        )
        before = fixed
        move = sums * unit / (ONE * total_q)
        clear = (
            sum(
                (exactly(each.matrix) @ before + exactly(each.offset)) * q
                for each, q in zip(found, exact_q, strict=True)
            )
            / total_q
        )
        bound = error_bound(LAYOUT, limit, total=most, weights=tuple(shares), rounds=1)
        assert np.abs(move - clear).max() <= Fraction(bound.move) * (1 + Fraction(1, 2**30))
        fixed = before + Fraction(server_rate) * move
        real_move = (
            sum(
                (exactly(each.matrix) @ real + exactly(each.offset)) * q
                for each, q in zip(found, exact_q, strict=True)
            )
            / total_q
        )
        real = real + Fraction(server_rate) * real_move
    bound = error_bound(LAYOUT, limit, total=most, weights=tuple(shares), rounds=rounds)
    distance = max(math.sqrt(sum((real - fixed)[:, c] ** 2)) for c in range(2))
    assert distance <= bound.weights * (1 + 1e-9)


def test_weights_against_the_rounding_come_near_the_bound() -> None:
    """The worst case is one: the derivation is no slack."""
    layout = SealedLayout(64, 1, 16, 2048, 6)
    unit, bound = 64.0 / layout.weight_max, error_bound(layout, 64.0)
    half_off = AffineMap(np.full((64, 64), 0.5 / ONE), np.zeros((64, 1)))
    step = quantised(half_off, 1.0, layout, 64.0)  # every entry lies halfway
    every = np.full(64, layout.weight_max)
    missed = abs(float((step.matrix - 0.5).sum(axis=1)[0])) * every[0] * unit / ONE
    assert 0.999 * bound.reply <= missed <= bound.reply


@pytest.mark.parametrize("features", [1, 2, 30, 257])
@pytest.mark.parametrize("value_bits", [4, 16, 32])
def test_the_longest_rows_fit_a_lane(features: int, value_bits: int) -> None:
    """Rows of 2-norm 1 whose magnitudes are all equal sum to the most; so does -I."""
    layout = SealedLayout(features, 1, value_bits, 3072, 6)
    reflection = np.full((features, features), -1.0 / math.sqrt(features)) * (1 - 2.0**-33)
    for matrix in (reflection, -np.eye(features)):
        step = quantised(AffineMap(matrix, np.full((features, 1), 1e9)), 1.0, layout, 64.0)
        longest = int(np.abs(step.matrix).sum(axis=1).max())
        assert longest <= layout.row_max
        assert longest * layout.weight_max <= layout.bound
        assert step.clipped == features  # an offset that the range cuts is told
        assert (step.offset == layout.bound).all()


@pytest.mark.parametrize(
    ("found", "share", "message"),
    [
        (AffineMap(np.zeros((3, 3)), np.zeros((3, 2))), 1.0, "for a layout of 4 x 2"),
        (AffineMap(np.zeros((4, 4)), np.zeros((4, 1))), 1.0, "for a layout of 4 x 2"),
        (AffineMap(np.zeros((4, 4)), np.zeros((4, 2))), 0.0, "weighs 0.0"),
        (AffineMap(np.zeros((4, 4)), np.zeros((4, 2))), 1.5, "weighs 1.5"),
        (AffineMap(np.zeros((4, 4)), np.zeros((4, 2))), math.nan, "weighs nan"),
        (AffineMap(np.full((4, 4), -1.0), np.zeros((4, 2))), 1.0, "a row of the map sums to"),
    ],
)
def test_what_fits_no_layout_is_refused(found: AffineMap, share: float, message: str) -> None:
    with pytest.raises(FatalError, match=message):
        quantised(found, share, LAYOUT, 8.0)
