"""Statistics: nobody finds neighbours further apart than stated, and the statement is not slack."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kits.examples import examples
from scipy import stats

from protocol.arith.learning.feature_map import FeatureMap, MapKind
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.sealed.statistics import (
    RECORD_LENGTH,
    TARGET_WEIGHT,
    Statistics,
    decode_statistics,
    encode_statistics,
    exact,
    noised,
    statistics_bytes,
    targets,
)
from protocol.errors import FatalError, InputError
from protocol.layout.noise import RECORD_NORM
from protocol.params import MAX_CATEGORIES, MAX_DATASET_ROWS, MAX_SEALED_FEATURES

FAMILIES = (
    Model(Family.LINEAR, 5),
    Model(Family.LOGISTIC, 5),
    Model(Family.SOFTMAX, 5, 2),
    Model(Family.SOFTMAX, 5, 7),
)
NAMES = [f"{model.family}-{model.outputs}" for model in FAMILIES]


def squared_norm(vector: Integers) -> int:
    """In Python's integers: no width, no rounding."""
    return sum(value * value for value in vector.tolist())


def in_ball(rows: int, features: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    u = generator.normal(size=(rows, features))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return np.asarray(u * generator.random((rows, 1)) ** 0.25)


def targets_for(model: Model, rows: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    if model.classes:
        return generator.integers(0, model.classes, rows).astype(np.float64)
    return generator.random(rows)


# What they are


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
def test_statistics_are_the_stated_sums(model: Model) -> None:
    u, y = in_ball(200, 5, 1), targets_for(model, 200, 2)
    found = exact(model, u, y)
    assert (found.features, found.outputs, found.rows) == (5, model.outputs, 200)
    assert found.multiplier == 0.0
    assert found.numbers.dtype == np.int64
    assert np.allclose(found.gram, u.T @ u, rtol=0, atol=1e-6)
    assert (found.gram == found.gram.T).all()
    assert np.allclose(found.moments, u.T @ targets(model, y), rtol=0, atol=1e-6)


def test_targets_are_corners_at_distance_one() -> None:
    y = np.array([0.0, 1.0, 1.0])
    assert targets(Model(Family.LOGISTIC, 2), y).tolist() == [[-1.0], [1.0], [1.0]]
    for classes in (2, 3, 10):
        corners = targets(Model(Family.SOFTMAX, 2, classes), np.arange(classes))
        assert corners.shape == (classes, classes)
        assert np.allclose(np.linalg.norm(corners, axis=1), 1.0)
        assert np.allclose(corners.sum(axis=1), 0.0)
        scaled = corners * math.sqrt(classes * (classes - 1.0))  # the surrogate's own target
        assert np.allclose(scaled, classes * np.eye(classes) - 1.0)
    linear = targets(Model(Family.LINEAR, 2), np.array([0.25, -3.0, 1e300]))
    assert linear.tolist() == [[0.25], [0.0], [1.0]]


def test_the_dense_family_has_none() -> None:
    model = Model(Family.DENSE, 5, 3, 4)
    with pytest.raises(InputError, match=r"model\.family: is dense"):
        exact(model, in_ball(3, 5, 0), np.zeros(3))


# The sensitivity

EXTREME = st.one_of(
    st.floats(-1, 1),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-160, 1e-9, 1.0, -1.0, np.nextafter(1.0, 2.0), 1e154]),
)


@given(
    u=hnp.arrays(np.float64, st.integers(1, 12), elements=EXTREME),
    shape=st.sampled_from(["as it is", "unit", "unit and more", "spike", "uniform", "tiny"]),
    family=st.sampled_from([Family.LINEAR, Family.LOGISTIC, Family.SOFTMAX]),
    outputs=st.integers(2, 9),
    target=st.floats(0, 1),
)
@example(np.full(12, 1.0), "uniform", Family.SOFTMAX, 9, 0.3)
@example(np.full(1, 1.0), "spike", Family.LOGISTIC, 2, 1.0)
@example(np.full(7, np.inf), "as it is", Family.LINEAR, 2, 1.0)
@examples(4)
def test_no_row_is_longer_than_stated(
    u: Floats, shape: str, family: Family, outputs: int, target: float
) -> None:
    """Whatever its features are: also those that no feature map gives."""
    if shape == "spike":
        u = np.zeros(len(u))
        u[-1] = 1.0
    elif shape == "uniform":
        u = np.full(len(u), 1.0 / math.sqrt(len(u)))
    elif shape == "tiny":
        u = np.full(len(u), 1e-5)
    elif shape != "as it is" and 1e-100 < np.abs(u).max() < 1e100:
        u = u / np.linalg.norm(u) * (1 + 1e-9 * (shape == "unit and more"))
    model = Model(family, len(u), outputs if family is Family.SOFTMAX else 1)
    y = target if not model.classes else min(int(target * model.classes), model.classes - 1)
    alone = exact(model, u[None], np.array([y]))
    assert squared_norm(alone.numbers) <= RECORD_NORM**2


@given(
    model=st.sampled_from(FAMILIES),
    rows=st.integers(2, 9),
    where=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(MapKind),
    clip_norm=st.floats(1e-3, 10.0),
    bias=st.sampled_from([0.0, 0.3, 5.0]),
)
@examples(1.2)
def test_no_neighbours_are_further_apart_than_stated(
    model: Model, rows: int, where: int, seed: int, kind: MapKind, clip_norm: float, bias: float
) -> None:
    """From inputs on, through the map: a row comes or goes, anywhere; all else stays as it was."""
    inputs = 5 - (bias > 0)
    width = inputs - inputs % 2
    mapping = FeatureMap(kind, inputs, width, 0.7, 0.3, bias, clip_norm, bytes(32))
    model = Model(model.family, mapping.features, model.outputs)
    x = np.random.default_rng(seed).random((rows, inputs))
    y = targets_for(model, rows, seed)
    left = where % rows
    whole = exact(model, mapping.rows(x), y)
    fewer = exact(model, mapping.rows(np.delete(x, left, axis=0)), np.delete(y, left))
    alone = exact(model, mapping.rows(x[left : left + 1]), y[left : left + 1])
    assert (whole.numbers - fewer.numbers == alone.numbers).all()
    assert squared_norm(whole.numbers - fewer.numbers) <= RECORD_NORM**2


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
def test_climbing_finds_rows_at_the_bound_and_none_beyond(model: Model) -> None:
    """A search that keeps what makes a row's vector longest: the derivation is tight."""
    generator = random.Random(str(model))
    worst, best = 0, in_ball(1, 5, 3) * 0.1
    y = np.array([1.0])
    for _ in range(400):
        tried = best * (1 + 2.0 ** generator.uniform(-40, 1) * generator.choice([-1, 1]))
        tried[0, generator.randrange(5)] += generator.gauss(0, 0.1)
        tried /= max(1.0, float(np.linalg.norm(tried)))
        found = squared_norm(exact(model, tried, y).numbers)
        if found >= worst:
            worst, best = found, tried
    assert worst <= RECORD_NORM**2
    assert math.isqrt(worst) >= RECORD_NORM - 32
    # A shorter target, or a row within the ball, is less: both halves of the bound are used.
    half = squared_norm(exact(model, best / 2, y).numbers)
    assert math.isqrt(half) < RECORD_NORM // 2


@pytest.mark.parametrize("features", [1, 2, 64, 257, MAX_SEALED_FEATURES])
def test_long_rows_do_not_add_up_to_more(features: int) -> None:
    model = Model(Family.SOFTMAX, features, 3)
    generator = np.random.default_rng(features)
    for u in (np.ones(features), generator.normal(size=features), np.eye(features)[0]):
        u = u / np.linalg.norm(u)
        squared = squared_norm(exact(model, u[None], np.array([2.0])).numbers)
        assert squared <= RECORD_NORM**2
        # At most a unit a number is cut off, and every unit of length is used.
        assert math.isqrt(squared) >= RECORD_NORM - 2 * (features + 1) - 16


@pytest.mark.parametrize("model", FAMILIES, ids=NAMES)
def test_a_row_s_vector_does_not_depend_on_the_others(model: Model) -> None:
    u, y = in_ball(64, 5, 4), targets_for(model, 64, 5)
    alone = [exact(model, u[i : i + 1], y[i : i + 1]).numbers for i in range(64)]
    order = np.random.default_rng(1).permutation(64)
    assert (exact(model, u[order], y[order]).numbers == np.sum(alone, axis=0)).all()
    assert (exact(model, np.asfortranarray(u), y).numbers == np.sum(alone, axis=0)).all()


def test_rows_that_are_not_finite_count_as_zero() -> None:
    model = Model(Family.LOGISTIC, 2)
    u = np.array([[0.6, 0.0], [np.nan, 0.1], [np.inf, 0.0]])
    found = exact(model, u, np.zeros(3))
    assert (found.numbers == exact(model, u[:1], np.zeros(1)).numbers).all()
    assert found.rows == 3  # the public count says nothing of it


def test_so_many_rows_fit_and_no_more() -> None:
    assert MAX_DATASET_ROWS * RECORD_NORM < 2**62  # no sum comes near 64 bits
    model = Model(Family.LINEAR, 1)
    for rows in (0, MAX_DATASET_ROWS + 1):
        u, y = np.broadcast_to(np.zeros(1), (rows, 1)), np.broadcast_to(np.zeros(()), rows)
        with pytest.raises(InputError, match="data: there are"):
            exact(model, u, y)


@pytest.mark.parametrize("u", [np.zeros((3, 4)), np.zeros(5), np.zeros((2, 5))])
def test_rows_of_another_shape_are_refused(u: Floats) -> None:
    with pytest.raises(InputError, match="do not fit"):
        exact(Model(Family.LINEAR, 5), u, np.zeros(3))


# The noise


def test_noise_is_of_the_stated_deviation_in_every_number() -> None:
    model = Model(Family.SOFTMAX, 80, 10)
    u, y = in_ball(30, 80, 6), targets_for(model, 30, 7)
    plain, noisy = exact(model, u, y), noised(model, u, y, 0.7)
    assert (noisy.multiplier, noisy.rows) == (0.7, 30)
    standard = (noisy.numbers - plain.numbers) / (0.7 * RECORD_NORM)
    assert stats.kstest(standard, "norm").pvalue > 1e-7
    # In units of the sums: an entry beside the diagonal stands for two, and has half the variance.
    gram = (noisy.gram - plain.gram) / (0.7 * RECORD_LENGTH)
    moments = (noisy.moments - plain.moments) / (0.7 * RECORD_LENGTH)
    assert abs(np.diag(gram).std() - 1.0) < 6 / math.sqrt(2 * 80)
    assert abs(gram[np.triu_indices(80, 1)].std() - math.sqrt(0.5)) < 0.06
    assert abs(moments.std() * TARGET_WEIGHT - 1.0) < 6 / math.sqrt(2 * 800)
    assert (gram == gram.T).all()
    assert (noised(model, u, y, 0.7).numbers != noisy.numbers).any()  # drawn anew


@pytest.mark.parametrize("multiplier", [0.0, -1.0, math.nan, math.inf])
def test_no_noise_is_not_called_noise(multiplier: float) -> None:
    with pytest.raises(InputError, match="multiplier"):
        noised(Model(Family.LINEAR, 2), np.zeros((1, 2)), np.zeros(1), multiplier)


# Kept bytes


@given(
    features=st.integers(1, 6),
    outputs=st.integers(1, 4),
    rows=st.integers(1, MAX_DATASET_ROWS),
    multiplier=st.floats(1e-9, 1e9),
    data=st.data(),
)
@examples(0.6)
def test_kept_statistics_come_back_exactly(
    features: int, outputs: int, rows: int, multiplier: float, data: st.DataObject
) -> None:
    count = features * (features + 1) // 2 + features * outputs
    numbers = data.draw(hnp.arrays(np.int64, count))
    kept = encode_statistics(Statistics(features, outputs, rows, multiplier, numbers))
    assert len(kept) == statistics_bytes(features, outputs)
    back = decode_statistics(kept, features, outputs)
    assert (back.rows, back.multiplier) == (rows, multiplier)
    assert (back.numbers == numbers).all()
    assert encode_statistics(back) == kept


def some_bytes(multiplier: float = 0.0) -> bytes:
    found = exact(Model(Family.LOGISTIC, 3), in_ball(4, 3, 1), np.array([0.0, 1.0, 1.0, 0.0]))
    return encode_statistics(Statistics(3, 1, 4, multiplier, found.numbers))


@given(at=st.integers(0, statistics_bytes(3, 1) - 1), bit=st.integers(0, 7), noisy=st.booleans())
@examples(3)
def test_a_flipped_bit_is_refused_or_is_another_statistic(at: int, bit: int, noisy: bool) -> None:
    data = bytearray(some_bytes(1.5 if noisy else 0.0))
    data[at] ^= 1 << bit
    try:
        found = decode_statistics(bytes(data), 3, 1)
    except InputError:
        return
    assert encode_statistics(found) == bytes(data)


HEADER = struct.Struct(">5sBcBIIQd")


def with_header(**change: object) -> bytes:
    names = ("magic", "version", "kind", "zero", "features", "outputs", "rows", "multiplier")
    data = some_bytes()
    told = dict(zip(names, HEADER.unpack_from(data), strict=True)) | change
    return HEADER.pack(*told.values()) + data[HEADER.size :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "have 0 bytes"),
        (some_bytes()[:-1], "bytes; 3 features and 1 outputs take"),
        (some_bytes() + b"\0", "bytes; 3 features and 1 outputs take"),
        (with_header(magic=b"essay"), "do not begin"),
        (with_header(kind=b"W"), "do not begin"),
        (with_header(zero=1), "do not begin"),
        (with_header(version=2), "of version 2"),
        (with_header(features=1, outputs=8), "of 1 features and 8 outputs"),
        (with_header(rows=0), "of 0 rows"),
        (with_header(rows=MAX_DATASET_ROWS + 1), "rows"),
        (with_header(multiplier=-0.0), "-0"),
        (with_header(multiplier=-1.0), "multiplier of -1"),
        (with_header(multiplier=math.nan), "multiplier of nan"),
        (with_header(multiplier=math.inf), "multiplier of inf"),
        (some_bytes()[:-8] + (2**62).to_bytes(8, "little"), "that no 4 rows have"),
        (some_bytes()[:32] + (-1).to_bytes(8, "little", signed=True) + some_bytes()[40:], "no 4"),
    ],
)
def test_damage_is_refused(data: bytes, message: str) -> None:
    assert HEADER.size == 32
    with pytest.raises(InputError, match=message):
        decode_statistics(data, 3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        Statistics(3, 1, 4, 1.0, np.zeros(8, dtype=np.int64)),
        Statistics(0, 1, 4, 1.0, np.zeros(0, dtype=np.int64)),
        Statistics(1, MAX_CATEGORIES + 1, 4, 1.0, np.zeros(1, dtype=np.int64)),
        Statistics(1, 1, 0, 1.0, np.zeros(2, dtype=np.int64)),
        Statistics(1, 1, 1, math.nan, np.zeros(2, dtype=np.int64)),
        Statistics(1, 1, 1, 0.0, np.full(2, RECORD_NORM + 1)),
    ],
)
def test_what_are_no_statistics_is_not_kept(wrong: Statistics) -> None:
    with pytest.raises(FatalError, match="statistics"):
        encode_statistics(wrong)
