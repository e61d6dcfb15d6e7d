"""Sealed jobs of the demo: their recipes, and the accuracy that each epsilon is known to give.

The curves were measured by `python -m node.demo.clear.twin curve DATA FEATURES SPLITS` on splits
that no run shows unless it is asked to (seeds from twin.FIRST_SEED on): the demo's own unequal
parts of five owners, the recipes' rounds, owners' noise as the daemons draw it. A run is one split,
on a hold-out set of 359 (digits) or 193 rows: it is held to three standard deviations below the
mean, or to the worst split that was seen, whichever is lower (small epsilons have long tails).
docs/guides/sealed.md, 'What to expect', shows them to readers (a test holds both to each other);
docs/spec/sealed-statistics.md says where the noise stands, and what it costs six owners with equal
parts.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal

from node.demo.recipes.columns import DataName
from node.demo.recipes.job import Recipe, Sealing

FeaturesName = Literal["raw", "fourier"]

#: What a sealed job runs at when nothing else is asked for; its delta, always.
EPSILON: Final = 8.0
DELTA: Final = 1e-5

#: Deviations below the mean at which a run no longer counts as one of those that were measured.
_DEVIATIONS: Final = 3.0


@dataclass(frozen=True)
class Asked:
    """What was asked of a sealed run; `epsilon` None: no noise, among owners who trust."""

    features: FeaturesName
    epsilon: float | None


@dataclass(frozen=True)
class Point:
    """Accuracy at one epsilon (None: without noise) over many splits: mean, standard deviation,
    least."""

    epsilon: float | None
    mean: float
    deviation: float
    worst: float

    @property
    def floor(self) -> float:
        """What a run has to reach."""
        return min(self.mean - _DEVIATIONS * self.deviation, self.worst)


def _recipe(
    family: Literal["softmax", "logistic"],
    steps: int,
    clip_norm: float,
    features: tuple[Literal["none", "fourier"], int, float],
    center: float,
    bias: float,
) -> Recipe:
    """Six rounds: with noise the second is as good as any later one. Momentum, or more steps, gain
    nothing; contributions weigh by rows, of which no owner has as many as 1,000. `rate` is a bound
    that no step comes near."""
    sealing = Sealing(*features, center, bias, EPSILON, DELTA)
    return Recipe(family, 0, 6, steps, 1000, 1000.0, clip_norm, 0.0, 0.0, sealing)


#: Raw digits are the default: at epsilon 8 they are as good as 256 mapped features, of which there
#: is more to hide, and cost an owner a tenth. Without noise the map wins by four points.
#: Rows are scaled to the unit ball, which is all that noise rests on: a norm that nearly all of
#: them exceed uses it best.
_RECIPES: Final[dict[tuple[DataName, FeaturesName], Recipe]] = {
    ("digits", "raw"): _recipe("softmax", 50, 1.0, ("none", 0, 0.0), 0.3, 0.0),
    ("digits", "fourier"): _recipe("softmax", 200, 1.0, ("fourier", 256, 0.5), 0.0, 0.0),
    ("breast-cancer", "raw"): _recipe("logistic", 50, 0.7, ("none", 0, 0.0), 0.24, 0.3),
}

#: 60 splits of digits raw, 30 mapped, 100 of breast cancer.
_CURVES: Final[dict[tuple[DataName, FeaturesName], tuple[Point, ...]]] = {
    ("digits", "raw"): (
        Point(1.0, 0.7191, 0.0511, 0.5933),
        Point(2.0, 0.8204, 0.0292, 0.7493),
        Point(4.0, 0.8712, 0.0220, 0.8050),
        Point(8.0, 0.8931, 0.0195, 0.8440),
        Point(None, 0.9364, 0.0132, 0.9025),
    ),
    ("digits", "fourier"): (
        Point(1.0, 0.6537, 0.0716, 0.5181),
        Point(2.0, 0.8123, 0.0372, 0.6852),
        Point(4.0, 0.8585, 0.0275, 0.7744),
        Point(8.0, 0.8942, 0.0224, 0.8301),
        Point(None, 0.9762, 0.0077, 0.9554),
    ),
    ("breast-cancer", "raw"): (
        Point(1.0, 0.9087, 0.0341, 0.8290),
        Point(2.0, 0.9315, 0.0237, 0.8549),
        Point(4.0, 0.9422, 0.0174, 0.8912),
        Point(8.0, 0.9518, 0.0172, 0.9016),
        Point(None, 0.9665, 0.0128, 0.9275),
    ),
}

#: Which data can be had with which features.
KNOWN: Final = tuple(_RECIPES)


def recipe(data: DataName, asked: Asked) -> Recipe:
    """Raises KeyError for what is not in KNOWN."""
    found = _RECIPES[data, asked.features]
    if found.sealing is None:
        raise TypeError("a recipe of a sealed job says how it is sealed")
    delta = 0.0 if asked.epsilon is None else DELTA
    sealing = dataclasses.replace(found.sealing, epsilon=asked.epsilon, delta=delta)
    return dataclasses.replace(found, sealing=sealing)


def documented(data: DataName, asked: Asked) -> Point:
    """What is known of such a run. Between two epsilons: on the straight line between them, over
    the logarithm of epsilon, which lies below the curve; above the last: as at the last, since less
    noise does no harm. Raises ValueError below the first, KeyError for what is not in KNOWN."""
    points = {point.epsilon: point for point in _CURVES[data, asked.features]}
    epsilon = asked.epsilon
    if epsilon in points:
        return points[epsilon]
    known = sorted(each for each in points if each is not None)
    if epsilon is None or epsilon < known[0]:
        raise ValueError(f"nothing is documented at epsilon {epsilon}; it begins at {known[0]:g}")
    if epsilon > known[-1]:
        return dataclasses.replace(points[known[-1]], epsilon=epsilon)
    above = next(index for index, each in enumerate(known) if each > epsilon)
    low, high = points[known[above - 1]], points[known[above]]
    part = math.log(epsilon / known[above - 1]) / math.log(known[above] / known[above - 1])

    def between(a: float, b: float) -> float:
        return a + part * (b - a)

    return Point(
        epsilon,
        between(low.mean, high.mean),
        between(low.deviation, high.deviation),
        between(low.worst, high.worst),
    )
