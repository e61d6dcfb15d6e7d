"""Virtual time: what happens when, in an order that the seed alone decides."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Clock:
    """A queue of calls by time; calls of one moment run in the order in which they were asked."""

    def __init__(self, start: int) -> None:
        self.now = start
        self._count = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def after(self, delay: float, call: Callable[[], None]) -> None:
        """Run `call` in `delay` milliseconds."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + max(0, int(delay)), self._count, call))

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Run until that moment, or until `done` says so; whether it did."""
        while self._queue and self._queue[0][0] <= until:
            if done():
                return True
            self.now, _, call = heapq.heappop(self._queue)
            call()
        self.now = max(self.now, until)
        return done()
