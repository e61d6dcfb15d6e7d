"""Entropy that a seed and the node's name determine: what is secret is drawn anew in each life.

Secrets come from `secrets` alone in the product, and from two libraries in workers; `seeded` gives
all of them streams of the node that draws. Ends a run that draws outside of any node.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from unittest.mock import patch

from simulator.gaussian import rounded_gaussian

from protocol.arith.noise import mechanism
from protocol.arith.sealed import statistics
from virtual.clock import current


def draw(size: int | None = None) -> bytes:
    """Bytes for the node whose task runs."""
    node = current.get()
    assert node is not None, "entropy drawn in no node"
    node.drawn += 1
    name = f"{node.world.seed} {node.name} {node.drawn}"
    return hashlib.shake_256(name.encode()).digest(32 if size is None else size)


def _hex(size: int | None = None) -> str:
    return draw(size).hex()


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    def noisy(values, multiplier):  # type: ignore[no-untyped-def]
        return rounded_gaussian(values, multiplier, draw)

    with (
        patch("secrets.token_bytes", draw),
        patch("secrets.token_hex", _hex),
        patch.object(mechanism, "add_noise", noisy),
        patch.object(statistics, "add_noise", noisy),
    ):
        yield
