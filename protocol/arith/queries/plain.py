"""What is multiplied, in integers: the buyer's features, and the seller's weights.

A feature x in [-1, 1] is the nearest integer to x `feature_max`. A seller scales its weights so
that the magnitudes of the largest class, with its bias, add up to `sum_max` at most: no score can
then leave the layout's range, whatever the features are. The scale is one number for all classes;
it changes no label, and who sells scores states it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from protocol.arith.numbers.fixedpoint import Floats, Integers
from protocol.errors import FatalError, InputError
from protocol.layout.queries import Mode, QueryLayout


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A model as its seller multiplies with it. Secret.

    `matrix` is (C, p) and `bias` (C,), int64, a bias in units of a weight times a feature of 1. A
    score of 1 stands for `unit`.
    """

    matrix: Integers = field(repr=False)
    bias: Integers = field(repr=False)
    unit: float


def quantise_features(layout: QueryLayout, features: Floats) -> list[int]:
    """The integers that are encrypted. Raises InputError, naming the feature, unless they are (p,)
    finite numbers in [-1, 1]."""
    if features.shape != (layout.features,) or features.dtype != np.float64:
        raise InputError(
            f"are {features.dtype} of shape {features.shape}, expected are {layout.features} "
            "float64",
            "features",
        )
    for index, value in enumerate(features.tolist()):
        if not math.isfinite(value) or abs(value) > 1.0:
            raise InputError(f"is {value}, allowed is -1 to 1", f"features[{index}]")
    return [int(number) for number in np.rint(features * layout.feature_max)]


def quantise_weights(layout: QueryLayout, weights: Floats, bias: Floats | None = None) -> Weights:
    """`weights` (p, C) and `bias` (C,) as they are sold. A single output becomes two classes where
    labels are sold: the first has the score 0, the second wins where the output is above 0.

    Every rounded weight is off by 1/2 at most. Raises InputError on other shapes, and on a weight
    that is not finite.
    """
    offsets = np.zeros(weights.shape[-1:]) if bias is None else bias
    if layout.mode is Mode.LABEL and weights.ndim == 2 and weights.shape[1] == 1:
        weights = np.hstack([np.zeros_like(weights), weights])
        offsets = np.concatenate([np.zeros_like(offsets), offsets])
    p, classes = layout.features, layout.classes
    if weights.shape != (p, classes) or offsets.shape != (classes,):
        raise InputError(
            f"are {weights.shape} with a bias {offsets.shape}, the layout has {p} features and "
            f"{classes} classes",
            "weights",
        )
    whole = np.vstack([weights, offsets[None, :]]).astype(np.float64)
    if not np.isfinite(whole).all():
        raise InputError("hold a number that is not finite", "weights")
    # Scaled to 1 first: a sum of magnitudes could be beyond float64.
    largest = float(np.abs(whole).max()) or 1.0
    shares = whole / largest
    longest = float(np.abs(shares).sum(axis=0).max()) or 1.0
    scale = (layout.sum_max - (p + 2) / 2) / longest
    rounded = np.rint(shares * scale).astype(np.int64)
    found = int(np.abs(rounded).sum(axis=0).max())
    if found > layout.sum_max:
        raise FatalError(f"rounded weights add up to {found}, {layout.sum_max} fit")
    unit = largest / scale / layout.feature_max
    return Weights(np.ascontiguousarray(rounded[:p].T), rounded[p], unit)


def scores(layout: QueryLayout, weights: Weights, integers: list[int]) -> Integers:
    """In the clear what a query computes encrypted: (C,) int64, exact."""
    return weights.matrix @ np.array(integers, np.int64) + weights.bias * layout.feature_max
