"""A stand-in for OpenDP's discrete Gaussian, which takes no seed. For the simulator alone.

It is a rounded Gaussian from a generator that a seed determines: no privacy comes of it, and the
same seed gives the same log. What it is to stand for is held by
tests/protocol/arith/noise/test_noise.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from protocol.layout.noise import RECORD_NORM


def rounded_gaussian(
    values: npt.NDArray[np.int64], multiplier: float, entropy: Callable[[int], bytes]
) -> npt.NDArray[np.int64]:
    """`values` plus Gaussian noise of deviation `multiplier` x RECORD_NORM, rounded."""
    draw = np.random.default_rng(list(entropy(16)))
    noise = np.rint(draw.normal(0.0, multiplier * RECORD_NORM, values.shape))
    return values + noise.astype(np.int64)
