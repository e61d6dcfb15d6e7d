"""Feature maps: every row ends in the unit ball, depends on itself alone, and is the stated one."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kits.examples import examples
from scipy import stats

from protocol.arith.learning.feature_map import FeatureMap, MapKind, normal_from_seed
from protocol.arith.learning.models import Floats
from protocol.errors import InputError
from protocol.params import MAX_INPUTS, MAX_SEALED_FEATURES

SEED = bytes(range(32))


def made(
    kind: MapKind = MapKind.NONE,
    inputs: int = 3,
    width: int = 8,
    scale: float = 0.5,
    center: float = 0.25,
    bias: float = 0.0,
    clip_norm: float = 1.0,
    seed: bytes = SEED,
) -> FeatureMap:
    return FeatureMap(kind, inputs, width, scale, center, bias, clip_norm, seed)


MAPS = (
    made(),
    made(bias=0.3, clip_norm=0.2),
    made(MapKind.FOURIER),
    made(MapKind.FOURIER, bias=0.5, clip_norm=1.1),
    made(MapKind.DENSE, clip_norm=0.1),
    made(MapKind.DENSE, bias=1e6),
)
NAMES = [f"{each.kind}-{each.bias:g}" for each in MAPS]


def exactly_squared(row: Floats) -> Fraction:
    return sum((Fraction(value) ** 2 for value in row.tolist()), Fraction())


EXTREME = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.sampled_from([0.0, -0.0, 5e-324, 1.0, 0.25, np.nextafter(1.0, 2.0), 1.7e308, -1.7e308]),
)


@given(
    x=hnp.arrays(np.float64, (3,), elements=EXTREME),
    kind=st.sampled_from(MapKind),
    scale=st.floats(1e-6, 1e6),
    center=st.floats(-1e6, 1e6),
    bias=st.sampled_from([0.0, 1e-9, 0.3, 1.0, 1e6]),
    clip_norm=st.floats(1e-6, 1e6),
)
@example(np.full(3, 1.0), MapKind.NONE, 1.0, 0.0, 0.0, math.sqrt(3))  # exactly at the clip
@example(np.full(3, 1.0), MapKind.NONE, 1.0, 0.0, 0.0, np.nextafter(math.sqrt(3), 0))
@example(np.full(3, 0.25), MapKind.NONE, 1.0, 0.25, 0.0, 1e-6)  # a row of zeros
@examples(3)
def test_every_row_is_in_the_unit_ball(
    x: Floats, kind: MapKind, scale: float, center: float, bias: float, clip_norm: float
) -> None:
    mapped = made(kind, 3, 8, scale, center, bias, clip_norm).rows(x[None])
    assert mapped.dtype == np.float64
    assert np.isfinite(mapped).all()
    assert exactly_squared(mapped[0]) <= 1


@pytest.mark.parametrize("width", [2, 256, MAX_SEALED_FEATURES])
@pytest.mark.parametrize("kind", [MapKind.FOURIER, MapKind.DENSE])
def test_rounding_of_long_rows_stays_in_the_ball(kind: MapKind, width: int) -> None:
    x = np.random.default_rng(width).random((20, 64))
    for clip_norm in (1e-6, 0.3, 1.0):
        rows = made(kind, 64, width, clip_norm=clip_norm).rows(x)
        squared = [exactly_squared(row) for row in rows]
        assert max(squared) <= 1
        if kind is MapKind.FOURIER:  # of norm 1, whatever the row: none of the ball is wasted
            assert min(squared) > 1 - 1e-11


@pytest.mark.parametrize("mapping", MAPS, ids=NAMES)
def test_a_row_depends_on_itself_alone(mapping: FeatureMap) -> None:
    x = np.random.default_rng(5).random((64, 3))
    together = mapping.rows(x)
    assert together.shape == (64, mapping.features)
    for index in range(64):
        assert (mapping.rows(x[index : index + 1].copy()) == together[index]).all()
    order = np.random.default_rng(6).permutation(64)
    assert (mapping.rows(x[order]) == together[order]).all()
    assert (mapping.rows(np.asfortranarray(x)) == together).all()
    assert (mapping.rows(np.repeat(x, 2, axis=1)[:, ::2]) == together).all()


def test_none_centers_clips_and_adds_a_bias() -> None:
    plain = made(center=0.5, clip_norm=2.0)
    x = np.array([[0.0, 0.5, 1.0], [-3.0, 0.5, 7.0]])
    assert np.allclose(plain.rows(x), [[-0.25, 0.0, 0.25]] * 2, rtol=0, atol=1e-12)
    assert plain.features == 3
    with_bias = replace(plain, bias=1.0)
    assert with_bias.features == 4
    assert np.allclose(with_bias.rows(x[:1]), [[-0.25, 0.0, 0.25, 0.5]], rtol=0, atol=1e-12)
    clipped = replace(plain, clip_norm=0.1).rows(x[:1])
    assert np.allclose(clipped, [[-math.sqrt(0.5), 0, math.sqrt(0.5)]], rtol=0, atol=1e-9)
    assert plain.arrays() == {}


def by_hand(purpose: str, count: int) -> list[float]:
    """Normals from the seed as the specification words it, without numpy."""
    data = hashlib.shake_256(b"assay/" + purpose.encode() + b"\0" + SEED).digest(8 * count)
    uniform = [(word >> 11) * 2.0**-53 for word in struct.unpack(f"<{count}Q", data)]
    found = []
    for u, v in zip(uniform[::2], uniform[1::2], strict=True):
        radius = math.sqrt(-2 * math.log1p(-u))
        found += [radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)]
    return found


def test_fourier_features_are_the_stated_ones() -> None:
    x = [0.9, 0.1, 0.4]
    z = [value - 0.25 for value in x]
    normals = by_hand("map/fourier", 12)
    angles = [sum(z[i] * 0.5 * normals[4 * i + k] for i in range(3)) for k in range(4)]
    wanted = [0.5 * math.cos(a) for a in angles] + [0.5 * math.sin(a) for a in angles]
    assert np.allclose(made(MapKind.FOURIER).rows(np.array([x]))[0], wanted, rtol=0, atol=1e-11)


def test_dense_features_are_the_stated_ones() -> None:
    x = [0.9, 0.1, 0.4]
    z = [value - 0.25 for value in x]
    normals, offsets = by_hand("map/dense", 24), by_hand("map/offsets", 8)
    wanted = []
    for k in range(8):
        inner = sum(z[i] * 0.5 / math.sqrt(3) * normals[8 * i + k] for i in range(3))
        wanted.append(0.5 * max(0.0, inner + 0.125 * offsets[k]) / 1e3)
    found = made(MapKind.DENSE, clip_norm=1e3).rows(np.array([x]))[0]
    assert max(found) > 0.0
    assert np.allclose(found, wanted, rtol=0, atol=1e-14)


def test_fourier_features_approximate_the_gaussian_kernel() -> None:
    x = np.random.default_rng(1).random((30, 10))
    rows = made(MapKind.FOURIER, 10, MAX_SEALED_FEATURES, scale=1.5).rows(x)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    error = rows @ rows.T - np.exp(-(1.5**2) * squared / 2)
    assert np.abs(error).max() < 6 / math.sqrt(MAX_SEALED_FEATURES)  # 512 draws each


def test_normals_are_normal_and_follow_from_seed_and_purpose() -> None:
    drawn = normal_from_seed(SEED, "a", 100_001)
    assert drawn.shape == (100_001,)
    assert stats.kstest(drawn, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(drawn[:-1:2], drawn[1::2])[0, 1]) < 0.02
    assert (normal_from_seed(SEED, "a", 9) == drawn[:9]).all()
    assert (normal_from_seed(SEED, "b", 9) != drawn[:9]).all()
    assert (normal_from_seed(SEED[::-1], "a", 9) != drawn[:9]).all()


@pytest.mark.parametrize("kind", [MapKind.FOURIER, MapKind.DENSE])
def test_arrays_are_all_that_a_map_needs_elsewhere(kind: MapKind) -> None:
    mapping = made(kind, clip_norm=10.0)
    x = np.random.default_rng(2).random((5, 3))
    arrays = mapping.arrays()
    angles = (x - 0.25) @ arrays["map_matrix"]
    if kind is MapKind.FOURIER:
        inner = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    else:
        inner = np.maximum(angles + arrays["map_offsets"], 0.0)
    assert np.allclose(mapping.rows(x), inner * math.sqrt(2 / 8) / 10, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        arrays["map_matrix"][0] = 0.0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "sines"}, "model.map"),
        ({"inputs": 0}, "features"),
        ({"inputs": MAX_INPUTS + 1}, "features"),
        ({"inputs": MAX_SEALED_FEATURES + 1}, "features"),
        ({"inputs": MAX_SEALED_FEATURES, "bias": 0.1}, "features"),
        ({"kind": MapKind.DENSE, "width": 0}, "model.map_width"),
        ({"kind": MapKind.FOURIER, "width": 7}, "model.map_width"),
        ({"kind": MapKind.FOURIER, "width": MAX_SEALED_FEATURES + 2}, "model.map_width"),
        ({"kind": MapKind.FOURIER, "scale": 0.0}, "model.map_scale"),
        ({"kind": MapKind.DENSE, "scale": math.inf}, "model.map_scale"),
        ({"kind": MapKind.DENSE, "scale": math.nan}, "model.map_scale"),
        ({"kind": MapKind.DENSE, "seed": b"short"}, "seed"),
        ({"center": math.nan}, "model.center"),
        ({"center": 1.1e6}, "model.center"),
        ({"bias": -0.1}, "model.bias"),
        ({"bias": math.nan}, "model.bias"),
        ({"clip_norm": 0.0}, "training.clip_norm"),
        ({"clip_norm": math.nan}, "training.clip_norm"),
    ],
)
def test_what_is_no_map_names_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(made(), **change)
    assert caught.value.field == field


def test_the_widest_maps_are_maps() -> None:
    assert made(inputs=MAX_SEALED_FEATURES).features == MAX_SEALED_FEATURES
    widest = made(MapKind.FOURIER, MAX_INPUTS, MAX_SEALED_FEATURES)
    assert widest.features == MAX_SEALED_FEATURES
    assert made(MapKind("dense"), width=1).rows(np.zeros((0, 3))).shape == (0, 1)


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((2, 4)), np.array([[0.1, math.nan, 0.2]])])
def test_rows_of_another_shape_or_not_finite_are_refused(x: Floats) -> None:
    with pytest.raises(InputError):
        made().rows(x)
