"""The public map from a row of inputs to the features that a sealed model is linear in.

    x in [0, 1]^d  ->  z = x - center  ->  map(z)  ->  one more feature `bias`, where it is above 0
    ->  scaled down to norm `clip_norm` where it is longer  ->  divided by `clip_norm`

so that every row ends in the closed unit ball, which is all that its owner's noise rests on
(statistics.py). Owners compute it in the clear; nothing in it depends on anybody's data. Maps:

    none     z itself
    fourier  sqrt(2 / width) (cos z W, sin z W), W of d x width / 2, normal of deviation `scale`:
             random features of the Gaussian kernel exp(-scale^2 |z - z'|^2 / 2) (Rahimi and Recht
             2007); in pairs, whose norm is exactly 1 (Sutherland and Schneider 2015, section 2)
    dense    sqrt(2 / width) relu(z W + b), W of d x width, normal of deviation scale / sqrt(d),
             b normal of deviation scale / 4: a layer that stays as it was drawn
    encoder  x itself, which a pretrained network made and no range bounds; its center is 0

Normals come from the spec's seed by Box and Muller's transform, the same on every machine up to
the last bits of libm. docs/spec/sealed-statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np

from protocol.arith.learning.models import Floats
from protocol.arith.numbers.entropy import SEED_BYTES, uniform_from_seed
from protocol.errors import InputError
from protocol.params import MAX_INPUTS, MAX_SEALED_FEATURES

#: Centers, scales, biases, norms: large enough for any use, small enough that nothing overflows.
_LARGEST: Final = 1e6

#: What squares of so many numbers do not overflow at.
_BEYOND: Final = 1e100

#: How much shorter than `clip_norm` a clipped row is made, relatively. Rounding in a norm of
#: MAX_SEALED_FEATURES numbers and in the division stays far below it.
_MARGIN: Final = 2.0**-40

#: Of the dense map: its offsets are of the size that z W has for inputs spread over [0, 1].
_OFFSETS: Final = 0.25


class MapKind(StrEnum):
    """What features are made of."""

    NONE = "none"
    FOURIER = "fourier"
    DENSE = "dense"
    ENCODER = "encoder"

    @property
    def random(self) -> bool:
        """Whether it has weights, which are drawn from the spec's seed."""
        return self in (MapKind.FOURIER, MapKind.DENSE)


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """`inputs` d numbers to `features` p numbers. `width`, `scale` and `seed` are those of a map's
    random weights; none has no use for them. `drawn` are the matrix and offsets themselves, as a
    model's file has them, in place of the seed.

    Raises InputError, naming the spec's field, where a value makes no map.
    """

    kind: MapKind
    inputs: int
    width: int
    scale: float
    center: float
    bias: float
    clip_norm: float
    seed: bytes
    drawn: tuple[Floats, Floats] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in tuple(MapKind):
            raise InputError(f"is {self.kind!r}, known are {', '.join(MapKind)}", "model.map")
        object.__setattr__(self, "kind", MapKind(self.kind))
        if not 1 <= self.inputs <= MAX_INPUTS:
            raise InputError(f"are {self.inputs}, 1 to {MAX_INPUTS} are allowed", "features")
        if self.kind.random:
            self._check_weights()
        if not abs(self.center) <= _LARGEST:
            raise InputError(f"is {self.center}, at most {_LARGEST:g} is allowed", "model.center")
        if not 0.0 <= self.bias <= _LARGEST:
            raise InputError(f"is {self.bias}, 0 to {_LARGEST:g} is allowed", "model.bias")
        if not 1.0 / _LARGEST <= self.clip_norm <= _LARGEST:
            allowed = f"{1.0 / _LARGEST:g} to {_LARGEST:g} is allowed"
            raise InputError(f"is {self.clip_norm}, {allowed}", "training.clip_norm")
        if self.features > MAX_SEALED_FEATURES:
            allowed = f"a sealed model has at most {MAX_SEALED_FEATURES}"
            field = "model.map_width" if self.kind.random else "features"
            raise InputError(f"make {self.features} features, {allowed}", field)

    def _check_weights(self) -> None:
        if self.width < 1:
            raise InputError(f"is {self.width}, at least 1 is needed", "model.map_width")
        if self.kind is MapKind.FOURIER and self.width % 2:
            raise InputError(f"is {self.width}; features come in pairs", "model.map_width")
        if not 0.0 < self.scale <= _LARGEST:
            allowed = f"must lie in (0, {_LARGEST:g}]"
            raise InputError(f"is {self.scale}, {allowed}", "model.map_scale")
        if self.drawn is not None:
            shapes = tuple(array.shape for array in self.drawn)
            wide = self.width // 2 if self.kind is MapKind.FOURIER else self.width
            offsets = 0 if self.kind is MapKind.FOURIER else self.width
            if shapes != ((self.inputs, wide), (offsets,)):
                raise InputError(f"weights of shapes {shapes} make no such map", "model.map")
        elif len(self.seed) != SEED_BYTES:
            raise InputError(f"has {len(self.seed)} bytes, {SEED_BYTES} are needed", "seed")

    @property
    def features(self) -> int:
        """p: how many numbers a row becomes."""
        mapped = self.width if self.kind.random else self.inputs
        return mapped + (self.bias > 0.0)

    def rows(self, x: Floats) -> Floats:
        """(n, inputs) to (n, features), each row in the closed unit ball.

        A number outside of [0, 1] counts as the nearer end, unless an encoder made it. One row at a
        time, in the same buffers: a row's features depend on that row alone, to the last bit
        (noise.sum_records says why). Takes some 20 microseconds a row of 64 inputs and 256
        features. Raises InputError for another shape, or for values that are not finite.
        """
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise InputError(f"rows have shape {x.shape}, the map takes {self.inputs} inputs")
        if not np.isfinite(x).all():
            raise InputError("a row holds a value that is not finite")
        features = np.empty((len(x), self.features))
        row, mapped = np.empty(self.inputs), np.empty(self.features)
        if self.bias > 0.0:
            mapped[-1] = self.bias
        inner = mapped[:-1] if self.bias > 0.0 else mapped
        for index, given in enumerate(x):
            if self.kind is MapKind.ENCODER:
                np.clip(given, -_BEYOND, _BEYOND, out=row)  # 32-bit floats end far before
            else:
                np.clip(given, 0.0, 1.0, out=row)
                row -= self.center
            self._map(row, inner)
            length = math.sqrt(mapped @ mapped) * (1.0 + _MARGIN)
            np.divide(mapped, max(length, self.clip_norm), out=features[index])
        return features

    def arrays(self) -> dict[str, Floats]:
        """The map's random weights by name, for use of the model elsewhere."""
        if not self.kind.random:
            return {}
        matrix, offsets = self._random()
        return {"map_matrix": matrix} | ({"map_offsets": offsets} if offsets.size else {})

    def _random(self) -> tuple[Floats, Floats]:
        if self.drawn is not None:
            return self.drawn
        return _weights(self.kind, self.inputs, self.width, self.scale, self.seed)

    def _map(self, z: Floats, out: Floats) -> None:
        if not self.kind.random:
            out[:] = z
            return
        matrix, offsets = self._random()
        if self.kind is MapKind.FOURIER:
            angles = z @ matrix
            np.cos(angles, out=out[: len(angles)])
            np.sin(angles, out=out[len(angles) :])
        else:
            np.matmul(z, matrix, out=out)
            out += offsets
            np.maximum(out, 0.0, out=out)
        out *= math.sqrt(2.0 / self.width)


@lru_cache(maxsize=2)
def _weights(
    kind: MapKind, inputs: int, width: int, scale: float, seed: bytes
) -> tuple[Floats, Floats]:
    """Matrix and offsets of a random map. The last two are kept: one may take 128 MiB."""
    if kind is MapKind.FOURIER:
        matrix = scale * normal_from_seed(seed, "map/fourier", inputs * width // 2)
        offsets = np.empty(0)
    else:
        matrix = scale / math.sqrt(inputs) * normal_from_seed(seed, "map/dense", inputs * width)
        offsets = _OFFSETS * scale * normal_from_seed(seed, "map/offsets", width)
    matrix = matrix.reshape(inputs, -1)
    matrix.flags.writeable = offsets.flags.writeable = False
    return matrix, offsets


def normal_from_seed(seed: bytes, purpose: str, count: int) -> Floats:
    """`count` standard normals: numbers 2 k and 2 k + 1 are r cos a and r sin a, where, with (u, v)
    the k-th pair of `uniform_from_seed`, r = sqrt(-2 ln(1 - u)) and a = 2 pi v."""
    pairs = uniform_from_seed(seed, purpose, count + count % 2).reshape(-1, 2)
    radius = np.sqrt(-2.0 * np.log1p(-pairs[:, 0]))
    angle = 2.0 * math.pi * pairs[:, 1]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.asarray(normal.reshape(-1)[:count])
