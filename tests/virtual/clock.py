"""Virtual time: trio's loop without a real clock, without threads, in an order that a seed decides.

Everything that a node waits for is one of trio's deadlines, so that MockClock jumps from one to the
next. `time.time` gives the same virtual time, with the error of the clock of the node that asks.
What the product hands to a thread runs at once, in the loop (`Threads`).
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

if TYPE_CHECKING:
    from virtual.lives import Node

#: Where a loop asks the system what came in.
_Events = scheduler.TheIOManager

#: When every world begins, seconds since 1970.
START = 1_750_000_000

#: Whose task runs; None in the world's own tasks.
current: ContextVar[Node | None] = ContextVar("current", default=None)


def wall() -> float:
    """Seconds since 1970, as the clock of the node that asks shows them."""
    node = current.get()
    return START + trio.current_time() + (0.0 if node is None else node.skew)


async def _inline(
    function: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False, **_: Any
) -> Any:
    """What trio.to_thread.run_sync does, as far as its caller can tell, without a thread.

    Nothing runs beside it, so that limits on threads mean nothing.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    node = current.get()
    if node is None:
        return function(*args)
    await node.about_to_act()
    took = len(node.took)
    try:
        return function(*args)
    finally:
        if len(node.took) > took:
            seconds = sum(node.took[took:])
            del node.took[took:]
            with trio.CancelScope(shield=not abandon_on_cancel):
                await trio.sleep(seconds)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        await node.has_acted()


class Sleepers:
    """Tasks that sleep, by when they wake; `trio.sleep` and its like in the place of trio's own.

    Those make a cancel scope and raise an exception for every sleep, which is most of what a world
    of nodes does. Here the clock, before it jumps, looks who wakes next.
    """

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock
        self._queue: list[tuple[float, int, list[Any]]] = []
        self._count = 0
        #: Whether nothing more happens by itself.
        self.stand = True

    def jump(self) -> None:
        """Nothing can run: go to the next moment at which something can."""
        queue = self._queue
        while queue and queue[0][2][0] is None:
            heapq.heappop(queue)
        now = self._clock.current_time()
        runner = scheduler.GLOBAL_RUN_CONTEXT.runner
        at = min(runner.deadlines.next_deadline(), queue[0][0] if queue else math.inf)
        self.stand = at == math.inf
        if now < at < math.inf:
            self._clock.jump(at - now)
        while queue and queue[0][0] <= at:
            task = heapq.heappop(queue)[2][0]
            if task is not None:
                runner.reschedule(task)

    async def until(self, at: float) -> None:
        """trio.sleep_until."""
        if at <= self._clock.current_time():
            await trio.lowlevel.checkpoint()
            return
        entry: list[Any] = [trio.lowlevel.current_task()]
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, entry))

        def abort(_: Any) -> trio.lowlevel.Abort:
            entry[0] = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def sleep(self, seconds: float) -> None:
        """trio.sleep."""
        if seconds < 0:
            raise ValueError("`seconds` must be non-negative")
        await self.until(self._clock.current_time() + seconds)


def _still(clock: MockClock) -> None:
    """The same clock without the real one beside it: between two jumps it stands, and it is asked
    more often than anything else in a world."""

    def current_time() -> float:
        return clock._virtual_base

    def sleep_time(deadline: float) -> float:
        return 0 if deadline <= clock._virtual_base else 999999999

    clock.current_time = current_time  # type: ignore[method-assign]
    clock.deadline_to_sleep_time = sleep_time  # type: ignore[method-assign]


def _no_sockets(
    get_events: Callable[[Any, float], Any], sleepers: Sleepers
) -> Callable[[Any, float], Any]:
    """While anything in a world is to come, nothing comes from outside: the system is not asked."""
    return lambda manager, timeout: get_events(manager, timeout) if sleepers.stand else []


@contextlib.contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """trio shuffles what is ready; from a seed it does so in the same way each time."""
    state = scheduler._r.getstate()
    scheduler._r.seed(seed)
    try:
        with (
            patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
            patch.object(trio.to_thread, "run_sync", _inline),
            patch("time.time", wall),
        ):
            yield
    finally:
        scheduler._r.setstate(state)


def run(seed: int, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main` on virtual time from zero."""
    # A world's objects live as long as the world: looking for garbage finds none.
    gc.disable()
    try:
        clock = MockClock(autojump_threshold=0)
        sleepers = Sleepers(clock)
        clock._autojump = sleepers.jump  # type: ignore[method-assign]
        _still(clock)
        with (
            _deterministic(seed),
            patch.object(trio, "current_time", clock.current_time),
            patch.object(_Events, "get_events", _no_sockets(_Events.get_events, sleepers)),
            patch.object(trio, "sleep", sleepers.sleep),
            patch.object(trio, "sleep_until", sleepers.until),
        ):
            return trio.run(main, clock=clock)
    finally:
        gc.enable()
        gc.collect()


class Calls:
    """Calls that the world makes later, in the order of their moments and of their asking."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._new = trio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (trio.current_time() + max(0.0, seconds), self._count, call))
        self._new.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._new = trio.Event()
            if not self._queue:
                await self._new.wait()
                continue
            at = self._queue[0][0]
            if at > trio.current_time():
                with trio.move_on_at(at):
                    await self._new.wait()
                continue
            heapq.heappop(self._queue)[2]()


def chance(seed: int, what: str) -> random.Random:
    """A generator of its own for each thing that is left to chance."""
    return random.Random(f"{what} {seed}")
