"""An owner's noisy contribution: Poisson sample, per-record clipping, discrete Gaussian noise.

Everything that the guarantee rests on happens in integers: a record's gradient becomes an integer
vector whose L2 norm is checked, exactly, against RECORD_NORM; the sum of vectors and the noise are
integers too (Mironov 2012 shows what floating-point noise gives away). Only then is the noisy sum
rounded to the wire's grid and cut to its range, which is post-processing. Adding or removing one
record changes the sum before the noise by that record's vector: by RECORD_NORM at most.
docs/spec/privacy.md has the statement and the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Floats, Model, clipped_gradient
from protocol.arith.learning.training import Training
from protocol.arith.noise import libraries
from protocol.arith.numbers.entropy import Entropy, draw
from protocol.arith.numbers.fixedpoint import FixedPoint, Integers
from protocol.errors import FatalError, InputError
from protocol.layout.noise import RECORD_NORM, NoisePlan

Flags: TypeAlias = npt.NDArray[np.bool_]

#: Rows whose coins are drawn at once, and values that OpenDP is given at once.
_CHUNK: Final = 1 << 16

_LARGEST_SQUARE: Final = RECORD_NORM * RECORD_NORM


@dataclass(frozen=True, slots=True)
class NoisyFacts:
    """For the owner's eyes alone; sample size and counts are not noised.

    `rows` sampled, `clipped` of them scaled down, `unusable` of them that count as zero (the caller
    cannot use them, or their gradient is not finite), and `cut` values of the noisy sum that lay
    outside the wire's range.
    """

    rows: int
    clipped: int
    unusable: int
    cut: int


def noisy_gradient(
    model: Model,
    weights: Floats,
    x: Floats,
    y: Floats,
    training: Training,
    fixed_point: FixedPoint,
    plan: NoisePlan,
    entropy: Entropy,
    used: Flags | None = None,
) -> tuple[Integers, NoisyFacts]:
    """One round's contribution: (parameter_count,) int64 in [-max_int, max_int], and facts.

    Times `fixed_point.step` it is the sum of the sample's clipped gradients over `batch_rows`, plus
    noise: an owner of fewer rows than `batch_rows` weighs accordingly less. `fixed_point` has the
    clip of layout/noise.py's noise_clip. `entropy` feeds the sample's coins; the noise comes from
    OpenDP's own generator. Each call draws anew and costs its plan's charge: a caller charges
    first, and stores the result. `x`, `y` as models.check_rows returns them. Raises InputError
    where the job has more than one local step.
    """
    if training.local_steps != 1:
        raise InputError(f"is {training.local_steps}; with noise it is 1", "training.local_steps")
    chosen = poisson_sample(len(x), plan.rate, entropy)
    total, clipped, unusable = sum_records(model, weights, x, y, chosen, training.clip_norm, used)
    noisy = add_noise(total, plan.multiplier)
    grid = training.clip_norm / (RECORD_NORM * training.batch_rows)
    scaled = np.rint(noisy.astype(np.float64) * (grid / fixed_point.step))
    cut = int(np.count_nonzero(np.abs(scaled) > fixed_point.max_int))
    values = np.clip(scaled, -fixed_point.max_int, fixed_point.max_int).astype(np.int64)
    return values, NoisyFacts(len(chosen), clipped, unusable, cut)


def poisson_sample(rows: int, rate: float, entropy: Entropy) -> npt.NDArray[np.intp]:
    """Rows of a sample that takes each of `rows` independently, ascending.

    A row is in when 64 fresh bits, as a number, lie below floor(rate 2^64): with probability at
    most `rate`, and less by under 2^-64. (The accountant's bound grows with the rate.)
    """
    if rate >= 1.0:
        return np.arange(rows)
    threshold = np.uint64(int(rate * 2.0**64))  # a power of two: the product is exact
    found = []
    for start in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - start)
        coins = np.frombuffer(draw(entropy, 8 * count), dtype="<u8")
        found.append(np.flatnonzero(coins < threshold) + start)
    return np.concatenate(found) if found else np.arange(0)


def sum_records(
    model: Model,
    weights: Floats,
    x: Floats,
    y: Floats,
    chosen: npt.NDArray[np.intp],
    clip_norm: float,
    used: Flags | None = None,
) -> tuple[Integers, int, int]:
    """The sum of the chosen rows' integer gradients, how many were clipped, how many unusable.

    One record at a time, each in the same buffers: in a product over many rows a row's last bits
    may depend on its neighbours (blocking, vector width), and a record that comes or goes would
    change the others' integers, which the sensitivity does not cover (Casacuberta et al. 2022).
    Every row takes the same steps, those that count as zero too, so that time does not count them.
    """
    used = np.ones(len(x), dtype=np.bool_) if used is None else used
    total = np.zeros(model.parameter_count, dtype=np.int64)
    row, target = np.empty((1, model.inputs)), np.empty(1)
    clipped = unusable = 0
    for index in chosen:
        row[0], target[0] = x[index], y[index]
        gradient, _ = clipped_gradient(model, weights, row, target, np.inf)
        integers, over, finite = record_vector(gradient, clip_norm)
        counts = finite and bool(used[index])
        total += integers * np.int64(counts)
        clipped += over and counts
        unusable += not counts
    return total, clipped, unusable


def record_vector(gradient: Floats, clip_norm: float) -> tuple[Integers, bool, bool]:
    """One record's gradient on the grid, clip_norm / RECORD_NORM a step; whether it was longer than
    `clip_norm`; and whether it was finite: if not, its vector is zeros.

    Fractions are cut off, towards zero, so that no coordinate and no norm grows; the norm is then
    at most RECORD_NORM, exactly, whatever the floats before it did. A record without a finite
    gradient (weights are the requester's choice) must not raise, and takes the same steps as any
    other: either would tell of it.
    """
    finite = bool(np.isfinite(gradient).all())
    held = np.where(finite, gradient, 0.0)
    top = float(np.max(np.abs(held), initial=0.0))
    # A row of zeros takes the same way as any other, so that time does not count them.
    direction = held / (top or 1.0)  # in [-1, 1], one of them at an end: nothing overflows
    length = float(np.sqrt(direction @ direction)) or 1.0
    over = top * length > clip_norm
    norm = RECORD_NORM * min(1.0, top * length / clip_norm)
    integers = (direction * (norm / length)).astype(np.int64)  # truncates
    while int(integers @ integers) > _LARGEST_SQUARE:
        # Rounding of `length` and of the product: a few steps in 2^30 at most.
        integers -= np.sign(integers)
    return integers, over, finite


def add_noise(values: Integers, multiplier: float) -> Integers:
    """`values` plus discrete Gaussian noise of parameter `multiplier` x RECORD_NORM, saturating at
    int64's ends. Raises FatalError where OpenDP would not vouch for multiplier's guarantee."""
    libraries.require()
    import opendp.prelude as dp  # late: a second and 70 MB, and only noisy jobs need it

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="i64")
    measurement: Any = dp.m.make_gaussian(
        *space, scale=float(np.nextafter(multiplier, np.inf)) * RECORD_NORM
    )
    # rho-zCDP with rho = sensitivity^2 / (2 scale^2) (Canonne, Kamath and Steinke 2020).
    if not measurement.map(RECORD_NORM) <= 0.5 / multiplier**2:
        raise FatalError(f"OpenDP gives less than a noise multiplier of {multiplier}")
    noisy = np.empty(values.shape, dtype=np.int64)
    for start in range(0, values.size, _CHUNK):
        # Coordinates are independent, so that pieces of the vector may be noised one by one.
        noisy[start : start + _CHUNK] = measurement(values[start : start + _CHUNK].tolist())
    return noisy
