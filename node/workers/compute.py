"""The workers: everything over a few milliseconds runs in another process.

A thin layer over trio-parallel. Workers are spawned, never forked: they inherit no key, no socket
and no lock. They start with the first computation, stay for the next ones, and end with the daemon.
A worker that dies takes its one computation with it; the next call starts a fresh worker. `run`
never repeats a call; `in_worker` does, for computations whose half done work harms nobody.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio
import trio_parallel

from node.workers.progress import line_at
from node.workers.worker import prepare
from protocol.errors import AssayError, FatalError

log = logging.getLogger("assay.compute")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Idle workers end when their pipe closes; one that does not is killed after this long.
_GRACE_SECONDS: Final = 5.0

#: A worker may be killed by the system; the same computation is tried so often before it fails.
_TRIES: Final = 3


#: How often a worker's line is looked at.
_FOLLOW_SECONDS: Final = 0.5


class WorkerDied(AssayError):
    """A worker process ended before its result. The same call may be made again."""


@dataclass(frozen=True, slots=True)
class ComputeStatistics:
    """Computations by their end, those under way or waiting, and seconds that workers were busy."""

    done: int
    failed: int
    cancelled: int
    died: int
    running: int
    waiting: int
    busy_seconds: float


class Compute:
    """The open worker pool; see `open_compute`."""

    def __init__(self, context: trio_parallel.WorkerContext, workers: int) -> None:
        self._context = context
        self._limiter = trio.CapacityLimiter(workers)
        self._aside = trio.CapacityLimiter(1)
        self._done = 0
        self._failed = 0
        self._cancelled = 0
        self._died = 0
        self._busy_seconds = 0.0

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """`function(*args)` in a worker: its value, or what it raised.

        The function must be importable by name, arguments and value picklable. Calls wait their
        turn in order. Cancelling kills the worker at once, so the function must be one whose half
        done work harms nobody. Raises `WorkerDied` when the process ended by itself or was killed.
        """
        return await self._run(self._limiter, function, *args)

    async def run_aside(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """`run`, in a worker beside the others, one such call at a time: for what waits on somebody
        else, such as a database, so that no round waits with it."""
        return await self._run(self._aside, function, *args)

    async def _run(
        self, limiter: trio.CapacityLimiter, function: Callable[[*Ts], T], *args: *Ts
    ) -> T:
        async with limiter:
            began = time.monotonic()
            try:
                value: T = await self._context.run_sync(function, *args, kill_on_cancel=True)
            except trio_parallel.BrokenWorkerError as error:
                self._died += 1
                raise WorkerDied(
                    f"the worker that computed {function.__name__} {_end_of(error)}; "
                    "the next computation starts another"
                ) from error
            except trio.Cancelled:
                self._cancelled += 1
                raise
            except BaseException:
                self._failed += 1
                raise
            finally:
                self._busy_seconds += time.monotonic() - began
            self._done += 1
            return value

    def statistics(self) -> ComputeStatistics:
        """What the pool has done so far."""
        limits, aside = self._limiter.statistics(), self._aside.statistics()
        return ComputeStatistics(
            done=self._done,
            failed=self._failed,
            cancelled=self._cancelled,
            died=self._died,
            running=limits.borrowed_tokens + aside.borrowed_tokens,
            waiting=limits.tasks_waiting + aside.tasks_waiting,
            busy_seconds=self._busy_seconds,
        )


@asynccontextmanager
async def open_compute(workers: int = 1, share: int = 100) -> AsyncIterator[Compute]:
    """A pool of at most `workers` processes, none of them started yet, each with `share` percent of
    a core.

    Leave it with no `run` under way (cancel their tasks first): leaving waits for them.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers; at least 1 is needed")
    body_error: BaseException | None = None
    try:
        async with trio_parallel.open_worker_context(
            # An idle worker costs 35 MB and saves half a second each round: it stays.
            idle_timeout=math.inf,
            init=partial(prepare, share),
            grace_period=_GRACE_SECONDS,
        ) as context:
            try:
                yield Compute(context, workers)
            except BaseException as error:
                body_error = error
                raise
    except trio_parallel.BrokenWorkerError as error:
        # Only from closing: an idle worker had been killed, or did not end in time and now was.
        log.warning("a worker did not end cleanly: %s", error.args[0])
        # Closing must not put its own trouble in the place of what the body raised.
        if body_error is not None:
            raise body_error from None


async def in_worker(
    compute: Compute, function: Callable[[*Ts], T], *args: *Ts, aside: bool = False
) -> T:
    """`function(*args)` in a worker (`aside`: in the one beside the others); once more, and once
    more, where the worker is killed."""
    run = compute.run_aside if aside else compute.run
    for left in reversed(range(_TRIES)):
        try:
            return await run(function, *args)
        except WorkerDied as error:
            if not left:
                raise
            log.warning("%s; it is tried again", error)
            await trio.sleep(1)
    raise FatalError("unreachable: the last try returns or raises")


async def run_followed(
    compute: Compute,
    directory: Path,
    tell: Callable[[str], None],
    function: Callable[[*Ts, Path], T],
    *args: *Ts,
    repeated: bool = False,
) -> T:
    """`function(*args, place)` in a worker aside, which leaves lines at `place`
    (node.workers.progress). `tell` gets each that is there when it is looked at, and the last.

    The place is in `directory`, where what a crash leaves is cleared by the name's beginning
    (node.store.blobs). `repeated`: tried again where the worker is killed, as `in_worker` does.
    Raises what `Compute.run` does.
    """
    file, name = tempfile.mkstemp(prefix=".new-", dir=directory)
    told = ""

    def look() -> None:
        nonlocal told
        # A file of one page that was just written is in memory.
        line = line_at(file)
        if line and line != told:
            told = line
            tell(line)

    async def follow() -> None:
        while True:
            await trio.sleep(_FOLLOW_SECONDS)
            look()

    failed: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            try:
                if repeated:
                    value = await in_worker(compute, function, *args, Path(name), aside=True)
                else:
                    value = await compute.run_aside(function, *args, Path(name))
            except (AssayError, OSError) as error:
                failed = error  # raised below: a nursery would put it into a group
            nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed
        look()
        return value
    finally:
        os.close(file)
        os.unlink(name)


def _end_of(error: trio_parallel.BrokenWorkerError) -> str:
    code = getattr(error.args[-1], "exitcode", None)
    if code == -9:
        return "was killed (signal 9: often the system, out of memory)"
    if isinstance(code, int) and code < 0:
        return f"was ended by signal {-code}"
    return f"ended by itself (exit status {code})"
