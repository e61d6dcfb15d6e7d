"""What sides share: a stopwatch by part, and the vectors that go in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt


class Parts:
    """Seconds by part. A part may be entered many times; what is outside of all is not counted."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def reply(self) -> dict[str, object]:
        """What a side answers: the whole is the sum of its parts."""
        return {"seconds": sum(self.seconds.values()), "parts": self.seconds}


def gradient(owner: int, values: int, clip: float) -> npt.NDArray[np.float64]:
    """Owner `owner`'s vector, the same on every side up to its clip."""
    return np.random.default_rng(owner).uniform(-clip, clip, values)
