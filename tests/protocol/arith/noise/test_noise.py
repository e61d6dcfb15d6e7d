"""Noise: nobody finds neighbours further apart than stated, samples and draws are what they say."""

from __future__ import annotations

import gc
import math
import random
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kits.examples import examples
from kits.real_data import digits
from scipy import stats

from protocol.arith.learning.models import Family, Floats, Model, accuracy, clipped_gradient
from protocol.arith.learning.training import Training, apply_gradient
from protocol.arith.noise.accountant import multiplier
from protocol.arith.noise.mechanism import (
    add_noise,
    noisy_gradient,
    poisson_sample,
    record_vector,
    sum_records,
)
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import FixedPoint, Integers
from protocol.errors import FatalError, InputError
from protocol.layout.noise import (
    MIN_RECORD_STEPS,
    RECORD_NORM,
    NoisePlan,
    check_resolution,
    multiplier_bound,
    noise_clip,
    record_steps,
    sampling_rate,
)

FAMILIES = (
    Model(Family.LINEAR, 5),
    Model(Family.LOGISTIC, 5),
    Model(Family.SOFTMAX, 5, 4),
    Model(Family.DENSE, 5, 3, 7),
)
TRAINING = Training(local_steps=1, batch_rows=32, rate=0.5, clip_norm=4.0)


def squared_norm(vector: Integers) -> int:
    """In Python's integers: no width, no rounding."""
    return sum(value * value for value in vector.tolist())


# The sensitivity


EXTREME = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-160, 1.0, -1.0, 1e154, 1.4e154, 1.7e308, -1.7e308]
    ),
)


@given(
    gradient=hnp.arrays(np.float64, st.integers(1, 40), elements=EXTREME),
    clip_norm=st.floats(1e-9, 1e6),
)
@example(gradient=np.full(40, 1.7e308), clip_norm=1e-9)
@example(gradient=np.full(40, 5e-324), clip_norm=1e6)
@example(gradient=np.full(4, 2.0), clip_norm=4.0)  # exactly at the clip
@example(gradient=np.array([3.0, 4.0]), clip_norm=np.nextafter(5.0, 0.0))
@examples(4)
def test_no_record_is_longer_than_stated(gradient: Floats, clip_norm: float) -> None:
    vector, _, finite = record_vector(gradient, clip_norm)
    assert finite == np.isfinite(gradient).all()
    assert finite or not vector.any()
    assert vector.dtype == np.int64
    assert squared_norm(vector) <= RECORD_NORM**2
    # Every coordinate was moved towards zero, or not at all.
    assert not (np.sign(vector) * np.sign(gradient) < 0).any()


@pytest.mark.parametrize("size", [1, 2, 3, 650, 19_210, 1_000_003])
def test_many_coordinates_do_not_add_up_to_more(size: int) -> None:
    """Where errors of rounding have the most room: long vectors, at the clip and above it."""
    generator = np.random.default_rng(size)
    for gradient in (
        np.ones(size),
        np.full(size, 0.1),
        generator.normal(size=size),
        generator.standard_cauchy(size=size),
        1e-8 * np.arange(1.0, size + 1),
    ):
        for part in (1.0, 0.3, 1e-6):
            clip_norm = float(np.linalg.norm(gradient)) * part
            found = record_vector(gradient, clip_norm)
            assert int(found[0] @ found[0]) <= RECORD_NORM**2
            # And the clip is used: at most a unit a coordinate is cut off, and rounding.
            assert math.sqrt(found[0] @ found[0]) >= RECORD_NORM - 2 * math.sqrt(size) - 16


def rows_for(model: Model, size: float, count: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Weights, features and targets of a magnitude, some of them crafted to be long."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=model.parameter_count) * size
    x = generator.normal(size=(count, model.inputs)) * size
    if model.classes:
        y = generator.integers(0, model.classes, count).astype(np.float64)
    else:
        y = generator.normal(size=count) * size
    return weights, x, y


@given(
    family=st.sampled_from(FAMILIES),
    exponent=st.integers(-320, 300),
    clip_norm=st.floats(1e-6, 1e4),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    where=st.integers(0, 8),
)
@examples(1.5)
def test_no_neighbours_are_further_apart_than_stated(
    family: Model, exponent: int, clip_norm: float, count: int, seed: int, where: int
) -> None:
    """Search: a record comes or goes, anywhere in the sample; all else stays as it was."""
    weights, x, y = rows_for(family, 10.0**exponent, count, seed)
    everybody = np.arange(count)
    without = np.delete(everybody, where % count)
    with_record, *_ = sum_records(family, weights, x, y, everybody, clip_norm)
    without_record, *_ = sum_records(family, weights, x, y, without, clip_norm)
    assert squared_norm(with_record - without_record) <= RECORD_NORM**2
    # A neighbouring data set in which the record is not even in memory.
    left_x, left_y = np.delete(x, where % count, axis=0), np.delete(y, where % count)
    left, *_ = sum_records(family, weights, left_x, left_y, np.arange(count - 1), clip_norm)
    assert (left == without_record).all()


def test_climbing_finds_no_worse_neighbour() -> None:
    """A search that keeps what makes the difference longest, from a thousand starts a family."""
    for model in FAMILIES:
        generator = random.Random(str(model))
        worst = 0
        weights, x, y = rows_for(model, 1.0, 1, 7)
        for _ in range(1_000):
            tried = x * (1 + 2.0 ** generator.uniform(-50, 4) * generator.choice([-1, 1]))
            tried[0, generator.randrange(model.inputs)] *= 10.0 ** generator.uniform(-3, 3)
            vector, *_ = sum_records(model, weights, tried, y, np.arange(1), 1.0)
            if squared_norm(vector) >= worst:
                worst, x = squared_norm(vector), tried
        assert 0 < worst <= RECORD_NORM**2


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: model.family)
def test_a_record_s_vector_does_not_depend_on_who_else_is_sampled(model: Model) -> None:
    """The classical mistake: a product over many rows rounds a row by its neighbours."""
    weights, x, y = rows_for(model, 0.7, 64, 3)
    alone = [sum_records(model, weights, x, y, np.array([i]), 1.0)[0] for i in range(64)]
    order = np.random.default_rng(1).permutation(64)
    shuffled, *_ = sum_records(model, weights, x[order].copy(), y[order].copy(), np.arange(64), 1.0)
    assert (shuffled == np.sum(alone, axis=0)).all()
    fortran = np.asfortranarray(x)
    strided, *_ = sum_records(model, weights, fortran, y, np.arange(64), 1.0)
    assert (strided == shuffled).all()


def test_weights_that_overflow_tell_nothing_of_a_record() -> None:
    model = Model(Family.DENSE, 2, 2, 3)
    weights = np.full(model.parameter_count, 1e300)
    x, y = np.array([[1e200, 1.0], [0.0, 0.0]]), np.array([0.0, 1.0])
    total, clipped, unusable = sum_records(model, weights, x, y, np.arange(2), 1.0)
    assert unusable >= 1
    assert squared_norm(total) <= RECORD_NORM**2
    assert clipped + unusable <= 2


def steps_of(function: Callable[[], object]) -> list[tuple[str, str]]:
    """Every call that a function makes, into Python and into C, in order."""
    steps: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, called: Any) -> None:
        name = frame.f_code.co_name if called is None else getattr(called, "__qualname__", "")
        steps.append((event, name))

    gc.disable()  # a collection may come in the middle of any call
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return steps


@pytest.mark.parametrize("family", [Family.SOFTMAX, Family.DENSE])
def test_a_row_that_counts_as_zero_takes_the_steps_of_any_other(family: Family) -> None:
    """Rows whose gradient was not finite cost half, which told how many of them there are."""
    model = Model(family, 2, 2, 3 if family is Family.DENSE else 0)
    weights = np.full(model.parameter_count, 1e300)
    x, y = np.array([[0.3, 0.4], [1e200, 1.0], [0.0, 0.0]]), np.array([0.0, 1.0, 1.0])
    used = np.array([True, True, False])
    *_, unusable = sum_records(model, weights, x, y, np.array([1]), 1.0, used)
    assert unusable == 1
    steps = [
        steps_of(partial(sum_records, model, held, x, y, np.array([row]), 1.0, used))
        for row, held in enumerate((weights / 1e300, weights, weights / 1e300))
    ]
    assert len(steps[0]) > 20
    assert steps[0] == steps[1] == steps[2]


def test_rows_that_are_not_used_add_nothing() -> None:
    model, weights, x, y = Model(Family.SOFTMAX, 3, 2), np.zeros(8), np.eye(3), np.zeros(3)
    used = np.array([True, False, True])
    total, _, unusable = sum_records(model, weights, x, y, np.arange(3), 1.0, used)
    assert unusable == 1
    assert (total == sum_records(model, weights, x, y, np.array([0, 2]), 1.0)[0]).all()


# The sample


def test_each_row_is_in_with_the_stated_probability(
    entropy_from: Callable[[int], Entropy],
) -> None:
    rows, draws = 200_000, 5
    for rate in (0.001, 0.1, 1 / 3, 0.97):
        sizes = []
        for seed in range(draws):
            chosen = poisson_sample(rows, rate, entropy_from(seed))
            assert (np.diff(chosen) > 0).all()
            assert len(chosen) == 0 or 0 <= chosen[0] <= chosen[-1] < rows
            sizes.append(len(chosen))
            # Neighbouring rows are independent: both in with probability rate^2.
            together = np.isin(chosen + 1, chosen).sum()
            expected = rate**2 * rows
            assert abs(together - expected) < 6 * math.sqrt(expected + 3 * rate**3 * rows) + 6
        deviation = math.sqrt(rows * rate * (1 - rate) / draws)
        assert abs(np.mean(sizes) - rows * rate) < 6 * deviation
        assert len(set(sizes)) > 1  # the size is random: no fixed batch is drawn


def test_the_rate_is_met_to_the_last_bit() -> None:
    def coins(value: int) -> Entropy:
        return lambda count: value.to_bytes(8, "little") * (count // 8)

    half = 1 << 63
    assert len(poisson_sample(3, 0.5, coins(half - 1))) == 3
    assert len(poisson_sample(3, 0.5, coins(half))) == 0
    tiny = 2.0**-60
    assert len(poisson_sample(3, tiny, coins(15))) == 3
    assert len(poisson_sample(3, tiny, coins(16))) == 0
    assert len(poisson_sample(3, np.nextafter(1.0, 0.0), coins(2**64 - 1))) == 0
    assert poisson_sample(3, 1.0, coins(2**64 - 1)).tolist() == [0, 1, 2]
    assert poisson_sample(0, 0.5, coins(0)).tolist() == []


def test_a_short_read_of_entropy_is_no_sample() -> None:
    with pytest.raises(FatalError, match="entropy"):
        poisson_sample(10, 0.5, lambda count: bytes(count - 1))


# The noise


def test_noise_is_gaussian_of_the_stated_deviation() -> None:
    noised, count = 1.3, 40_000
    noise = add_noise(np.zeros(count, dtype=np.int64), noised)
    assert noise.dtype == np.int64
    scale = noised * RECORD_NORM
    standard = noise / scale
    assert abs(standard.mean()) < 6 / math.sqrt(count)
    assert abs(standard.var() - 1) < 6 * math.sqrt(2 / count)
    assert stats.kstest(standard, "norm").pvalue > 1e-7
    assert stats.kstest(noise % 2, stats.bernoulli(0.5).cdf).statistic < 0.6  # both parities
    assert 0.45 < (noise % 2).mean() < 0.55  # integers to the last bit
    # Coordinates are independent, within a piece given to OpenDP and across.
    assert abs(np.corrcoef(standard[:-1], standard[1:])[0, 1]) < 6 / math.sqrt(count)


def test_noise_is_added_to_the_values_and_drawn_anew() -> None:
    values = np.array([2**50, -(2**50), 0], dtype=np.int64)
    first, second = add_noise(values, 0.5), add_noise(values, 0.5)
    assert (np.abs(first - values) < 20 * RECORD_NORM).all()
    assert (first != second).any()


def test_long_vectors_are_noised_to_their_end() -> None:
    noise = add_noise(np.zeros((1 << 16) + 3, dtype=np.int64), 1.0)
    assert (noise[-3:] != 0).all()
    assert (noise[:3] != noise[-3:]).all()


# The contribution


def fixed_point(training: Training, value_bits: int = 24) -> FixedPoint:
    return FixedPoint(
        value_bits, noise_clip(training.clip_norm, training.batch_rows, 20, 8.0, 1e-5)
    )


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: model.family)
def test_without_much_noise_it_is_the_clipped_gradient(
    model: Model, entropy_from: Callable[[int], Entropy]
) -> None:
    weights, x, y = rows_for(model, 1.0, 40, 5)
    point = fixed_point(TRAINING)
    values, facts = noisy_gradient(
        model, weights, x, y, TRAINING, point, NoisePlan(1.0, 1e-7), entropy_from(1)
    )
    mean, clipped = clipped_gradient(model, weights, x, y, TRAINING.clip_norm)
    np.testing.assert_allclose(
        point.restore(values), mean * len(x) / TRAINING.batch_rows, atol=point.step
    )
    assert (facts.rows, facts.clipped, facts.unusable, facts.cut) == (40, clipped, 0, 0)


def test_noise_on_the_wire_has_the_deviation_that_the_requester_expects(
    entropy_from: Callable[[int], Entropy],
) -> None:
    model = Model(Family.SOFTMAX, 99, 100)
    point = fixed_point(TRAINING, 20)
    weights, x, y = np.zeros(model.parameter_count), np.zeros((1, 99)), np.zeros(1)
    plan = NoisePlan(2.0**-40, 0.7)  # nobody is sampled: what is left is noise
    values, facts = noisy_gradient(model, weights, x, y, TRAINING, point, plan, entropy_from(1))
    assert facts.rows == 0
    expected = 0.7 * TRAINING.clip_norm / TRAINING.batch_rows
    count = model.parameter_count
    found = point.restore(values)
    assert abs(found.std() / expected - 1) < 6 / math.sqrt(2 * count)
    assert abs(found.mean()) < 6 * expected / math.sqrt(count)


def test_what_lies_outside_the_range_is_cut_and_counted(
    entropy_from: Callable[[int], Entropy],
) -> None:
    model = Model(Family.SOFTMAX, 9, 10)
    point = FixedPoint(16, 1e-3)
    args = (np.zeros(model.parameter_count), np.zeros((1, 9)), np.zeros(1))
    values, facts = noisy_gradient(
        model, *args, TRAINING, point, NoisePlan(1.0, 5.0), entropy_from(1)
    )
    assert facts.cut > 50
    assert int(np.abs(values).max()) == point.max_int


def test_noise_takes_one_step_a_round(entropy_from: Callable[[int], Entropy]) -> None:
    model = FAMILIES[0]
    weights, x, y = rows_for(model, 1.0, 3, 5)
    two = Training(local_steps=2, batch_rows=32, rate=0.5, clip_norm=4.0)
    plan = NoisePlan(1.0, 1.0)
    with pytest.raises(InputError, match=r"training\.local_steps: is 2; with noise it is 1"):
        noisy_gradient(model, weights, x, y, two, fixed_point(two), plan, entropy_from(1))


@pytest.mark.ci
def test_digits_are_learnt_at_epsilon_eight(entropy_from: Callable[[int], Entropy]) -> None:
    """Five owners, forty rounds: some ten points under these settings' accuracy is a defect."""
    data, target = digits()
    order = np.random.default_rng(0).permutation(len(data))
    x, y = data[order] / 16, target[order].astype(np.float64)
    model, rounds, epsilon, delta = Model(Family.SOFTMAX, 64, 10), 40, 8.0, 1e-5
    training = Training(1, 96, 2.0, 1.0, 0.0, 1.0, 0.5)
    point = FixedPoint(18, noise_clip(training.clip_norm, training.batch_rows, rounds, 8.0, delta))
    owners = np.array_split(np.arange(360, len(x)), 5)
    rate = sampling_rate(training.batch_rows, len(owners[0]))
    plan = NoisePlan(rate, multiplier(epsilon, delta, rate, rounds))
    weights, momentum, entropy = np.zeros(model.parameter_count), None, entropy_from(4)
    for _ in range(rounds):
        drawn = [
            noisy_gradient(model, weights, x[rows], y[rows], training, point, plan, entropy)
            for rows in owners
        ]
        mean = point.restore(np.sum([values for values, _ in drawn], axis=0), len(owners))
        weights, momentum = apply_gradient(model, weights, mean, training, momentum)
    assert accuracy(model, weights, x[:360], y[:360]) > 0.88


# The grid


def test_a_grid_that_is_too_coarse_is_refused_with_what_would_do() -> None:
    args = (256, 100, 8.0, 1e-5)
    fine = next(bits for bits in range(4, 33) if record_steps(bits, *args) >= MIN_RECORD_STEPS)
    check_resolution(fine, *args)
    with pytest.raises(InputError) as refused:
        check_resolution(fine - 1, *args)
    assert refused.value.field == "encryption.value_bits"
    assert f"is {fine - 1}" in str(refused.value)
    assert f"{fine} bits give them" in str(refused.value)


@given(
    epsilon=st.floats(1e-3, 1e3),
    delta=st.floats(1e-12, 0.1),
    rounds=st.integers(1, 255),
    batch=st.integers(1, 65_536),
)
def test_the_range_holds_the_sample_and_the_noise(
    epsilon: float, delta: float, rounds: int, batch: int
) -> None:
    clip = noise_clip(3.0, batch, rounds, epsilon, delta)
    deviation = multiplier_bound(epsilon, delta, rounds) * 3.0 / batch
    assert clip >= 2 * 3.0 + 7.99 * deviation
    # A record's norm on the wire, from either side.
    point = FixedPoint(16, clip)
    steps = 3.0 / (batch * point.step)
    assert steps == pytest.approx(record_steps(16, batch, rounds, epsilon, delta))


def test_plans_and_rates_have_limits() -> None:
    assert sampling_rate(32, 64) == 0.5
    assert sampling_rate(32, 10) == 1.0
    with pytest.raises(InputError):
        sampling_rate(32, 0)
    for rate, noise in ((0.0, 1.0), (1.5, 1.0), (0.5, 0.0), (0.5, math.inf), (math.nan, 1.0)):
        with pytest.raises(InputError):
            NoisePlan(rate, noise)
