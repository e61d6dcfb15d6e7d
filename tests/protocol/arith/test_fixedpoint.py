"""Quantisation: range, symmetry, and that stochastic rounding is unbiased."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.errors import FatalError, InputError
from protocol.params import VALUE_BITS


@given(
    bits=st.integers(*VALUE_BITS),
    clip=st.floats(1e-6, 1e6),
    fractions=st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=50),
    seed=st.integers(0, 2**32),
)
def test_values_come_back_within_a_step_and_saturate_at_the_clip(
    entropy_from, bits: int, clip: float, fractions: list[float], seed: int
) -> None:
    fixed = FixedPoint(bits, clip)
    values = np.array(fractions) * clip
    integers = fixed.quantise(values, entropy_from(seed))
    assert integers.dtype == np.int64
    assert (np.abs(integers) <= fixed.max_int).all()
    back = fixed.restore(integers)
    assert (np.abs(back - np.clip(values, -clip, clip)) <= fixed.step * (1 + 1e-6)).all()


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_the_clip_itself_and_zero_are_exact(entropy_from, bits: int) -> None:
    fixed = FixedPoint(bits, 0.7)
    values = np.array([0.7, -0.7, 0.0])
    for seed in range(20):
        integers = fixed.quantise(values, entropy_from(seed))
        assert np.abs(integers - [fixed.max_int, -fixed.max_int, 0]).max() <= (bits == 32)
        assert integers[2] == 0


def test_rounding_is_unbiased(entropy_from) -> None:
    """The mean of N draws of one value lies within five standard errors, sqrt(f (1 - f) / N)."""
    fixed = FixedPoint(8, 1.0)
    draws = 40_000
    for position, target in enumerate((0.1, 0.25, 0.5, 0.9, 3.001, -0.1, -0.5, -7.75, 126.3)):
        integers = fixed.quantise(np.full(draws, target * fixed.step), entropy_from(position))
        assert set(np.unique(integers)) <= {math.floor(target), math.ceil(target)}
        fraction = target - math.floor(target)
        error = math.sqrt(fraction * (1 - fraction) / draws)
        assert abs(integers.mean() - target) < 5 * error


def test_integers_never_move(entropy_from) -> None:
    fixed = FixedPoint(16, float((1 << 15) - 1))  # a step of exactly 1
    values = np.arange(-200.0, 200.0)
    np.testing.assert_array_equal(fixed.quantise(values, entropy_from(1)), values)


def test_a_sum_is_restored_as_a_mean() -> None:
    fixed = FixedPoint(16, 2.0)
    assert fixed.restore(np.array([3 * fixed.max_int]), 3)[0] == pytest.approx(2.0)
    with pytest.raises(FatalError, match="0 summands"):
        fixed.restore(np.array([1]), 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(entropy_from, bad: float) -> None:
    with pytest.raises(FatalError, match="not finite"):
        FixedPoint(16, 1.0).quantise(np.array([0.0, bad]), entropy_from(1))


def test_short_entropy_is_refused() -> None:
    with pytest.raises(FatalError, match="7 bytes where 8"):
        FixedPoint(16, 1.0).quantise(np.zeros(2), lambda count: bytes(count - 1))


@pytest.mark.parametrize(
    ("bits", "clip", "field"),
    [
        (VALUE_BITS[0] - 1, 1.0, "value_bits"),
        (VALUE_BITS[1] + 1, 1.0, "value_bits"),
        (16, 0.0, "clip"),
        (16, -1.0, "clip"),
        (16, math.nan, "clip"),
        (16, math.inf, "clip"),
    ],
)
def test_declarations_out_of_range_are_refused(bits: int, clip: float, field: str) -> None:
    with pytest.raises(InputError) as caught:
        FixedPoint(bits, clip)
    assert caught.value.field == field
