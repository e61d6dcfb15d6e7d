"""T local steps on a sealed model's weights as one affine map, made of noised statistics alone.

For a model linear in its weights, cross entropy gives way to its second-order expansion at score 0
(Hardy et al. 2017, section 4.1): with T the surrogate's target,

    loss = s / 2 |W^T u - T|^2, mean over rows, + ridge / 2 |W|^2
    linear: s = 1, T = y    logistic: s = 1/4, T = 2 t    softmax: s = 1/C, T = C onehot(y) - 1

Its gradient is H W - g, H = s A / n + ridge, g = s B / n, and T steps of size eta from W are

    W -> M W + b,    M = (I - eta H)^T,    b = sum over t < T of (I - eta H)^t eta g.

Projection, ridge and step size follow from the noised A and public numbers, so that one charge pays
for all (docs/spec/sealed-statistics.md, docs/adr/0602). M is symmetric with eigenvalues in [0, 1]:
it never expands, whatever the noise, which also bounds what rounding does over rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.sealed.statistics import Statistics
from protocol.errors import FatalError, InputError
from protocol.layout.sealed import SealedLayout
from protocol.params import SEALED_FRACTION_BITS

#: The ridge added to a noised gram, in noise multipliers: chosen by measurement on draws that no
#: published figure uses (docs/adr/0602). It does not grow with p, because the projection already
#: cuts off what p numbers of noise add up to.
NOISE_RIDGE: Final = 2.0

#: M's eigenvalues are kept inside [0, 1] by this much: more than double precision errs by for
#: MAX_SEALED_FEATURES features, less than the fixed point can show.
_INSIDE: Final = 2.0**-33

_ONE: Final = 1 << SEALED_FRACTION_BITS


@dataclass(frozen=True, slots=True, eq=False)
class AffineMap:
    """W -> W + (matrix W + offset): `matrix` is M - I, (p, p), `offset` is b, (p, C)."""

    matrix: Floats
    offset: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """The integers that an owner multiplies ciphertexts with: int64 (p, p) and (p, C).

    A row of `matrix` has magnitudes that sum to `layout.row_max` at most, `offset` magnitudes up to
    `layout.bound`; `clipped` of its numbers were cut to that.
    """

    matrix: Integers
    offset: Integers
    clipped: int


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """How far the fixed point can be from real numbers, in units of weights.

    `reply`: one number of a reply over q, against the owner's map at the same rounded weights.
    `move`: one number of the owners' mean move, against their maps at the weights before rounding.
    `weights`: an output's weights after all rounds, in 2-norm, against rounds in real numbers.
    """

    reply: float
    move: float
    weights: float


def surrogate(model: Model) -> tuple[float, float]:
    """(s, f): the surrogate's curvature, and its target as f times statistics.targets'. Raises
    InputError for the dense family."""
    if model.family is Family.DENSE:
        raise InputError("is dense, which cannot be sealed; use a map instead", "model.family")
    if model.family is Family.LINEAR:
        return 1.0, 1.0
    if model.family is Family.LOGISTIC:
        return 0.25, 2.0
    classes = model.outputs
    return 1.0 / classes, math.sqrt(classes * (classes - 1.0))


def project(values: Floats, most: float) -> Floats:
    """The eigenvalues of the nearest matrix (Frobenius) that is positive semidefinite and has a
    trace of at most `most`: max(v - theta, 0), with the least theta >= 0 that gives such a sum.

    A gram of n rows in the unit ball has both properties; that set is convex, so that projecting a
    noised one brings it nearer. (Duchi et al. 2008, figure 1, for the simplex.)
    """
    positive = np.maximum(values, 0.0)
    if positive.sum() <= most:
        return positive
    descending = np.sort(values)[::-1]
    excess = (np.cumsum(descending) - most) / np.arange(1, len(values) + 1)
    theta = excess[np.flatnonzero(descending > excess)[-1]]
    return np.asarray(np.maximum(values - theta, 0.0))


def local_map(
    model: Model, statistics: Statistics, steps: int, rate: float, ridge: float = 0.0
) -> AffineMap:
    """`steps` >= 1 steps of size min(`rate`, 1 / the largest eigenvalue of H) as one map.

    A function of its arguments alone, whatever the data was: post-processing. Takes one
    eigendecomposition (0.03 s at p = 257, 0.5 s at p = 1024), for any number of steps. Raises
    InputError for the dense family or numbers that make no training, FatalError for statistics of
    another model.
    """
    curvature, factor = surrogate(model)
    if (statistics.features, statistics.outputs) != (model.inputs, model.outputs):
        raise FatalError(f"statistics of {statistics.features} x {statistics.outputs} for {model}")
    if steps < 1:
        raise InputError(f"is {steps}, at least 1 is needed", "training.local_steps")
    if not (math.isfinite(rate) and rate > 0.0):
        raise InputError(f"is {rate}, must be above 0", "training.rate")
    if not (math.isfinite(ridge) and ridge >= 0.0):
        raise InputError(f"is {ridge}, must be at least 0", "training.ridge")
    rows = statistics.rows
    values, vectors = np.linalg.eigh(statistics.gram)
    noise_ridge = NOISE_RIDGE * statistics.multiplier
    bent = curvature * (project(values, rows) + noise_ridge) / rows + ridge
    top = float(bent.max())
    step = min(rate, 1.0 / top) if top > 0.0 else rate
    shrinks = np.minimum(step * bent, 1.0)
    with np.errstate(divide="ignore"):  # a step of 1 / top takes its direction to the end: log 0
        gone = -np.expm1(steps * np.log1p(-shrinks))  # 1 - (1 - step h)^T
    reached = np.full_like(bent, step * steps)  # (1 - (1 - step h)^T) / h, and its limit at h = 0
    np.divide(gone, bent, out=reached, where=shrinks > 0.0)
    moments = statistics.moments
    if model.family is Family.SOFTMAX:
        moments -= moments.mean(axis=1, keepdims=True)  # 0 but for noise: targets sum to 0
    pulled = vectors.T @ (moments * (curvature * factor / rows))
    inside = _INSIDE + gone * (1.0 - 2.0 * _INSIDE)
    matrix = -(vectors * inside) @ vectors.T
    return AffineMap((matrix + matrix.T) / 2.0, vectors @ (reached[:, None] * pulled))


def quantised(
    found: AffineMap, weight: float, layout: SealedLayout, weight_limit: float
) -> Quantised:
    """The map times `weight` q in (0, 1], in units of 2^-16 for the matrix and of 2^-16 weight
    steps for the offset, a step being weight_limit / layout.weight_max.

    A row of the matrix has a 2-norm of at most 1, so that its rounded magnitudes sum to row_max at
    most; that is checked. Raises FatalError for a map of another layout or a weight outside.
    """
    p, outputs = layout.features, layout.outputs
    if found.matrix.shape != (p, p) or found.offset.shape != (p, outputs):
        raise FatalError(f"a map {found.offset.shape} for a layout of {p} x {outputs}")
    if not 0.0 < weight <= 1.0:
        raise FatalError(f"a contribution weighs {weight}, not in (0, 1]")
    matrix = np.rint(found.matrix * (weight * _ONE)).astype(np.int64)
    longest = int(np.abs(matrix).sum(axis=1).max())
    if longest > layout.row_max:
        raise FatalError(f"a row of the map sums to {longest}, {layout.row_max} fit")
    scaled = np.rint(found.offset * (weight * _ONE * layout.weight_max / weight_limit))
    clipped = int(np.count_nonzero(np.abs(scaled) > layout.bound))
    offset = np.clip(scaled, -layout.bound, layout.bound).astype(np.int64)
    return Quantised(matrix, offset, clipped)


def error_bound(
    layout: SealedLayout,
    weight_limit: float,
    *,
    total: int | None = None,
    weights: tuple[float, ...] = (1.0,),
    rounds: int = 1,
) -> ErrorBound:
    """The worst error of the fixed point, for replies of these weights q_i over `rounds`.

    With unit = weight_limit / weight_max, w~ the rounded weights and `total` the largest sum of
    |w~| of one output (p weight_max where None, which no trained model comes near):

    - the matrix' entries are off by 2^-17 at most and the offset's by 2^-17 steps, so that a reply
      is off by unit 2^-17 (total + 1), and over q by that over q;
    - the mean of k replies, their sum over sum q, is off by k / sum q times that; weights rounded
      to unit / 2 move it by at most sqrt(p) unit / 2, as rows of M - I have 2-norms up to 1;
    - the mean of maps expands nothing, so that a round's errors add to the earlier ones: per round,
      sqrt(p) times the replies' share, and |(M - I)(rounding)| <= sqrt(p) unit / 2.

    For offsets that were not clipped, weights within weight_limit, a server rate of at most 1 and
    no momentum. Double precision itself errs by some 1e-12, which is not counted.
    """
    p = layout.features
    unit = weight_limit / layout.weight_max
    most = p * layout.weight_max if total is None else total
    each = unit / (2 * _ONE) * (most + 1)
    mean = each * len(weights) / math.fsum(weights)
    rounding = math.sqrt(p) * unit / 2
    return ErrorBound(
        each / min(weights), mean + rounding, rounds * (math.sqrt(p) * mean + rounding)
    )
