"""Workers without processes: the daemon's own functions, run in the loop after the time they take.

Stands where node.workers.compute.Compute does, and has its public methods.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import trio
from simulator.entropy import stream

from node.work import pool as pool_tasks
from node.work import tasks
from node.workers.compute import ComputeStatistics, WorkerDied
from protocol.arith.paillier import key_proof
from protocol.arith.paillier.cryptosystem import generate_short_key
from virtual.clock import current

if TYPE_CHECKING:
    from virtual.lives import Node

#: Seconds of computations that are more than a moment, by their function's name.
_SECONDS = {"contribution": 0.3, "apply": 0.2, "noisy_gradient": 0.2, "generate_key": 1.0}
_MOMENT = 0.01


class Hands:
    """One node's workers: one computation at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._limiter = trio.CapacityLimiter(1)
        self._aside = trio.CapacityLimiter(1)
        self._done = 0
        self._died = Counter[str]()

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._run(self._limiter, function, *args)

    async def run_aside(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._run(self._aside, function, *args)

    async def _run(
        self, limiter: trio.CapacityLimiter, function: Callable[..., Any], *args: Any
    ) -> Any:
        node = self._node
        async with limiter:
            await trio.sleep(_SECONDS.get(function.__name__, _MOMENT) * node.slowness)
            await node.about_to_act()
            # What died once often dies again: the machine has too little memory for a while.
            chance = 0.7 if 0 < self._died[function.__name__] < 8 else node.workers_die
            if node.workers_die and node.dice.random() < chance:
                self._died[function.__name__] += 1
                raise WorkerDied(f"the worker that computed {function.__name__} was killed")
            value = function(*args)
            self._done += 1
            self._died[function.__name__] = 0
            await node.has_acted()
            return value

    def statistics(self) -> ComputeStatistics:
        limits = self._limiter.statistics()
        return ComputeStatistics(
            self._done, 0, 0, 0, limits.borrowed_tokens, limits.tasks_waiting, 0.0
        )


@functools.cache
def _key(bits: int, sealed: bool) -> tasks.JobKey:
    key = generate_short_key(bits, stream(f"a key of {bits} bits"))
    proof = key_proof.prove(key) if sealed else b""
    return tasks.JobKey(key.public.to_bytes(), key.public.base_bytes(), proof, key.to_bytes())


def generate_key(bits: int, sealed: bool) -> tasks.JobKey:
    """The same key for every job: making one takes longer than the job."""
    return _key(bits, sealed)


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """What a process of workers keeps between calls would outlive a world; rows are read once."""
    matrix = functools.lru_cache(maxsize=256)(tasks.matrix_of.__wrapped__)
    noised = functools.lru_cache(maxsize=256)(tasks.noised_rows.__wrapped__)
    make, pools = pool_tasks._pool.__wrapped__, {}

    def pool(*terms: Any) -> Any:
        key = current.get().name, *terms
        if key not in pools:
            pools[key] = make(*terms)
        return pools[key]

    with (
        patch.object(tasks, "generate_key", generate_key),
        patch.object(tasks, "matrix_of", matrix),
        patch.object(tasks, "noised_rows", noised),
        patch.object(pool_tasks, "_pool", pool),
    ):
        yield
