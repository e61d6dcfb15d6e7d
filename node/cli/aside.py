"""A command's own worker: a process for what reads or computes much, without a daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def in_worker(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """`function(*args)` in a worker: its value, or what it raised. Ctrl-C ends the worker too."""
    import trio

    from node.workers.compute import log, open_compute

    # The result is here by then: a worker that is slow to end is ended, and that is no news.
    log.setLevel("ERROR")

    async def ask() -> T:
        async with open_compute() as compute:
            return await compute.run(function, *args)

    return trio.run(ask)
