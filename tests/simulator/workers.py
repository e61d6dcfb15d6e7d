"""The daemon's own worker functions, run in virtual time: blobs in memory, randomness from a seed.

What `node.work.tasks` and its neighbours compute is what the simulator computes; only what they
reach for is replaced while they run: the blob directory, the rows, and every source of randomness,
pycryptodome's, OpenDP's and a worker's pool among them, so that one seed gives one log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from simulator.gaussian import rounded_gaussian
from simulator.sealed import blinders

from node.store.blobs import BlobRef
from node.work import noisy as noisy_tasks
from node.work import pool as pool_tasks
from node.work import tasks
from protocol.arith.noise import mechanism as noise
from protocol.arith.sealed import statistics
from protocol.wire.blobs import blob_digest

if TYPE_CHECKING:
    from simulator.participant import Node

Entropy = Callable[[int], bytes]


class MemoryBlobs:
    """What node.blobs.Blobs is to a worker, over a node's dictionary."""

    def __init__(self, blobs: dict[bytes, bytes]) -> None:
        self._blobs = blobs

    def get(self, ref: BlobRef) -> bytes:
        return self._blobs[ref.digest]

    def put(self, content: bytes) -> BlobRef:
        digest = blob_digest(content)
        self._blobs[digest] = content
        return BlobRef(digest, len(content))


def work_of(spec: bytes) -> tasks.Work:
    """Where a worker reads and writes: the directory is `within`'s to replace."""
    return tasks.Work(Path("simulated"), spec)


def rows_of(name: str) -> tasks.Rows:
    """A node's data set, by the node's name."""
    return tasks.Rows(Path("simulated"), bytes(32), name)


@contextlib.contextmanager
def within(node: Node, entropy: Entropy) -> Iterator[None]:
    """Run worker functions as `node`, everything random from `entropy`."""
    world = node.world

    def matrix(spec: bytes, rows: tasks.Rows) -> Any:
        x, y = world.rows_by_name(rows.name)
        decoded = tasks.spec_of(work_of(spec))
        return (tasks.feature_map_of(decoded).rows(x), y) if decoded.privacy.sealed else (x, y)

    def used(spec: bytes, rows: tasks.Rows) -> Any:
        x, y = matrix(spec, rows)
        return x, y, np.ones(len(x), dtype=np.bool_)

    def blobs(_: Path) -> MemoryBlobs:
        return MemoryBlobs(node.blobs)

    def noisy(values: Any, multiplier: float) -> Any:
        return rounded_gaussian(values, multiplier, entropy)

    with contextlib.ExitStack() as stack:
        for place, name, value in (
            (tasks, "Blobs", blobs),
            (tasks, "matrix_of", matrix),
            (tasks, "noised_rows", used),
            (noisy_tasks, "Blobs", blobs),
            (noisy_tasks, "_rows", used),
            (noise, "add_noise", noisy),
            (statistics, "add_noise", noisy),
            (pool_tasks, "blinders", blinders(entropy)),
        ):
            stack.enter_context(patch.object(place, name, value))
        stack.enter_context(patch("secrets.token_bytes", entropy))
        yield
