"""Entropy that a seed determines: for the simulator alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


def stream(name: str) -> Callable[[int], bytes]:
    """Bytes that nobody but this name gives; calls go on where the last one ended."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{name} {count}".encode()).digest(size)

    return draw
