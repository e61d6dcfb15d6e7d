"""An owner's rows as a sealed model sees them: two sums, on an integer grid, noised together, once.

With u a row's features (feature_map.py: in the unit ball of R^p) and t its target (at most 1 long)

    gram     A = sum of u u^T        (p, p)
    moments  B = sum of u t^T        (p, C)

A row's vector is (svec(u u^T), TARGET_WEIGHT u t^T), svec the upper triangle with what stands off
the diagonal times sqrt(2), which keeps Frobenius norms: its norm is at most |u| sqrt(|u|^2 +
TARGET_WEIGHT^2 |t|^2) <= sqrt(1 + TARGET_WEIGHT^2) = RECORD_LENGTH. That length is RECORD_NORM on
the grid, where noise.record_vector holds each row to it exactly; adding or removing one row then
changes the sum by RECORD_NORM at most, and one draw of noise.add_noise costs one Charge(rate=1,
multiplier, steps=1). Whatever is made of the noised sum costs nothing more, however often.
docs/spec/sealed-statistics.md has the statement and the proof.

Kept on the owner's disk as integers:

    'assay'  version (1 byte)  'T'  0 (1)  p (4)  C (4)  rows (8)  multiplier (8)
    p (p + 1) / 2 numbers of the gram: diagonal first, then row by row; p C of the moments (8 each)

Integers are big-endian in the header, little-endian after it; the multiplier is IEEE 754, 0 where
there is no noise.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.noise.mechanism import add_noise, record_vector
from protocol.arith.numbers.fixedpoint import Integers
from protocol.errors import FatalError, InputError
from protocol.layout.noise import RECORD_NORM
from protocol.params import (
    MAX_CATEGORIES,
    MAX_DATASET_ROWS,
    MAX_SEALED_FEATURES,
    PROTOCOL_VERSION,
)

#: How much moments weigh against the gram in a row's vector. The gram's noise is met again by the
#: projection and by the ridge, that of the moments by nothing. Measured at epsilon 1 to 8 on digits
#: and breast cancer: 2 is within a point of the best of 1, 1.5, 2, 3 and 4 nearly everywhere
#: (docs/spec/sealed-statistics.md).
TARGET_WEIGHT: Final = 2.0

#: The longest that a row's vector can be; RECORD_NORM on the grid.
RECORD_LENGTH: Final = math.sqrt(1.0 + TARGET_WEIGHT**2)

_STEP: Final = RECORD_LENGTH / RECORD_NORM
_HEADER: Final = struct.Struct(">5sBcBIIQd")
_MAGIC: Final = b"assay"
_KIND: Final = b"T"


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """The sum of all rows' integer vectors, `numbers` (p (p + 1) / 2 + p C,) int64, with noise of
    deviation multiplier x RECORD_NORM in each; 0.0: without. `rows` n is the public count."""

    features: int
    outputs: int
    rows: int
    multiplier: float
    numbers: Integers

    @property
    def gram(self) -> Floats:
        """(p, p), symmetric; with noise it need not be positive semidefinite."""
        p = self.features
        matrix = np.zeros((p, p))
        upper = self.numbers[p : p * (p + 1) // 2] * (_STEP / math.sqrt(2.0))
        matrix[np.triu_indices(p, 1)] = upper
        matrix += matrix.T
        np.fill_diagonal(matrix, self.numbers[:p] * _STEP)
        return matrix

    @property
    def moments(self) -> Floats:
        """(p, C)."""
        after = self.features * (self.features + 1) // 2
        flat = self.numbers[after:] * (_STEP / TARGET_WEIGHT)
        return np.asarray(flat.reshape(self.features, self.outputs), dtype=np.float64)


def targets(model: Model, y: npt.NDArray[np.generic]) -> Floats:
    """(n, C): what stands for `y` in the moments, each row of norm at most 1.

    linear: y itself, moved into [0, 1], which the spec's declared range makes it; logistic: 1 for
    class 1 and -1 for class 0; softmax: the corner of a regular simplex, (C onehot(y) - 1) /
    sqrt(C (C - 1)), of norm 1 and sum 0. Raises InputError for the dense family, which is not
    linear in its weights.
    """
    if model.family is Family.DENSE:
        raise InputError("is dense, which cannot be sealed; use a map instead", "model.family")
    if model.family is Family.LINEAR:
        return np.clip(np.asarray(y, dtype=np.float64), 0.0, 1.0)[:, None]
    if model.family is Family.LOGISTIC:
        return np.where(np.asarray(y) > 0.5, 1.0, -1.0)[:, None]
    classes = model.outputs
    corners = (classes * np.eye(classes) - 1.0) / math.sqrt(classes * (classes - 1.0))
    return np.asarray(corners[np.asarray(y, dtype=np.intp)])


def exact(model: Model, u: Floats, y: npt.NDArray[np.generic]) -> Statistics:
    """The statistics of rows `u` (n, p) in the unit ball and targets `y` (n,), without noise: on
    the grid, hence up to some 2e-9 a row and number. Arguments as models.check_rows returns them.

    Takes some 0.2 ms a row at p = 257, C = 10, where BLAS has one thread, as in workers. Raises
    InputError as `targets` does, for no rows, and for more than 2^24: their sum is to fit 64 bits.
    """
    if u.ndim != 2 or u.shape[1] != model.inputs or len(u) != len(y):
        raise InputError(f"rows {u.shape} and {len(y)} targets do not fit {model.inputs} features")
    if not 1 <= len(u) <= MAX_DATASET_ROWS:
        raise InputError(f"there are {len(u)} rows, 1 to {MAX_DATASET_ROWS} are allowed", "data")
    numbers = _sum_rows(np.ascontiguousarray(u, dtype=np.float64), targets(model, y))
    return Statistics(model.inputs, model.outputs, len(u), 0.0, numbers)


def noised(model: Model, u: Floats, y: npt.NDArray[np.generic], multiplier: float) -> Statistics:
    """`exact` with noise: one charge of (rate 1, `multiplier`, 1 step), which a caller makes first.

    Each call draws anew, from OpenDP's own generator: a second draw is a second release. Takes
    some 10 microseconds a number beside what `exact` takes. Raises InputError as `exact` does and
    for a multiplier that is not above 0.
    """
    if not (math.isfinite(multiplier) and multiplier > 0.0):
        raise InputError(f"is {multiplier}, must be above 0", "multiplier")
    plain = exact(model, u, y)
    noisy = add_noise(plain.numbers, multiplier)
    return Statistics(plain.features, plain.outputs, plain.rows, multiplier, noisy)


def _sum_rows(u: Floats, t: Floats) -> Integers:
    """The sum of all rows' integer vectors, one row at a time in the same buffers: a row's vector
    depends on that row alone (noise.sum_records)."""
    p, outputs = u.shape[1], t.shape[1]
    gram_numbers = p * (p + 1) // 2
    vector = np.empty(gram_numbers + p * outputs)
    off_diagonal, moments = vector[p:gram_numbers], vector[gram_numbers:].reshape(p, outputs)
    upper = np.ravel_multi_index(np.triu_indices(p, 1), (p, p))
    row, products = np.empty(p), np.empty((p, p))
    total = np.zeros(vector.shape, dtype=np.int64)
    for features, target in zip(u, t, strict=True):
        row[:] = features
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply.outer(row, row, out=products)
            vector[:p] = products.diagonal()
            # All indices are in range; "clip" spares the copy that "raise" makes.
            np.take(products.reshape(-1), upper, out=off_diagonal, mode="clip")
            off_diagonal *= math.sqrt(2.0)
            np.multiply.outer(row, TARGET_WEIGHT * target, out=moments)
        # Features that are not finite count as zero, and take as long as others (mechanism.py).
        total += record_vector(vector, RECORD_LENGTH)[0]
    return total


def statistics_bytes(features: int, outputs: int) -> int:
    """The exact size of `encode_statistics`' bytes."""
    return _HEADER.size + 8 * (features * (features + 1) // 2 + features * outputs)


def encode_statistics(statistics: Statistics) -> bytes:
    """The canonical bytes: equal statistics, equal bytes. Raises FatalError for what is none."""
    s = statistics
    _check(s, FatalError)
    # + 0.0 makes -0.0 into 0.0
    header = _HEADER.pack(
        _MAGIC, PROTOCOL_VERSION, _KIND, 0, s.features, s.outputs, s.rows, s.multiplier + 0.0
    )
    return header + s.numbers.astype("<i8").tobytes()


def decode_statistics(data: bytes, features: int, outputs: int) -> Statistics:
    """The statistics of a job with so many features and outputs.

    Raises InputError unless `data` is exactly what `encode_statistics` gives for some of them: the
    owner's own file is damaged, or another's. Nothing is allocated before its size is checked.
    """
    size = statistics_bytes(features, outputs)
    if len(data) != size:
        raise InputError(
            f"have {len(data)} bytes; {features} features and {outputs} outputs take {size}",
            "statistics",
        )
    magic, version, kind, zero, p, c, rows, multiplier = _HEADER.unpack_from(data)
    if magic != _MAGIC or kind != _KIND or zero:
        raise InputError("do not begin as kept statistics do", "statistics")
    if version != PROTOCOL_VERSION:
        raise InputError(f"are of version {version}, this is {PROTOCOL_VERSION}", "statistics")
    if (p, c) != (features, outputs):
        found = f"are of {p} features and {c} outputs, the job has {features} and {outputs}"
        raise InputError(found, "statistics")
    if multiplier == 0.0 and math.copysign(1.0, multiplier) < 0.0:
        raise InputError("have a multiplier of -0, which has no canonical form", "statistics")
    numbers = np.frombuffer(data, dtype="<i8", offset=_HEADER.size).astype(np.int64)
    found_statistics = Statistics(p, c, rows, multiplier, numbers)
    _check(found_statistics, InputError)
    return found_statistics


def _check(s: Statistics, error: type[FatalError | InputError]) -> None:
    """Raises `error` for what no rows and no noise give."""
    if not (1 <= s.features <= MAX_SEALED_FEATURES and 1 <= s.outputs <= MAX_CATEGORIES):
        raise error(f"statistics of {s.features} features and {s.outputs} outputs")
    if s.numbers.shape != (s.features * (s.features + 1) // 2 + s.features * s.outputs,):
        raise error(f"statistics of {s.features} features hold {s.numbers.shape} numbers")
    if not 1 <= s.rows <= MAX_DATASET_ROWS:
        raise error(f"statistics of {s.rows} rows")
    if not (math.isfinite(s.multiplier) and s.multiplier >= 0.0):
        raise error(f"statistics with a noise multiplier of {s.multiplier}")
    if s.multiplier == 0.0:
        longest = s.rows * RECORD_NORM
        if (
            s.numbers.min() < -longest
            or s.numbers.max() > longest
            or s.numbers[: s.features].min() < 0
        ):
            raise error(f"statistics without noise that no {s.rows} rows have")
