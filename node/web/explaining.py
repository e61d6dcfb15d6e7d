"""Rules against waiting jobs, asked for seldom: the daemon reads a data set for every answer.

A view is fetched anew whenever something happens, several times a second while a round runs. What
was told a moment ago is told again, until a policy or a data set changes; a consent is checked by
the daemon once more, whatever stood here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from node.client.trio_rpc import TrioRpc
from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.control.shapes import Event, Explained

#: A budget may change without a word of it.
KEPT_SECONDS: Final = 30.0

#: A view does not wait longer for the rules of all its jobs: workers may be training.
VIEW_SECONDS: Final = 2.0

_MOST_KEPT: Final = 256


class Explanations:
    """What became of each waiting job at each data set, when it was looked at last."""

    def __init__(self, rpc: TrioRpc) -> None:
        self._rpc = rpc
        self._kept: dict[str, tuple[float, list[Explained]]] = {}
        self._asking = trio.Lock()
        self._behind = False

    async def of(self, job: str) -> list[Explained]:
        """Every rule against a job; none if it was forgotten since it was listed."""
        async with self._asking:
            if self._fresh(job):
                return self._kept[job][1]
            try:
                found = await self._rpc.policy_explain(job)
            except Failure as failure:
                if failure.end not in (Exit.USAGE, Exit.REFUSED):
                    raise
                return []
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[job] = trio.current_time(), found
            return found

    async def of_all(self, jobs: list[str]) -> dict[str, list[Explained]]:
        """Of as many of these as can be had before a view is to be shown.

        Looking goes on behind it, so that a view that is asked for again soon has them.
        """
        found: dict[str, list[Explained]] = {}
        missing = [job for job in jobs if not self._fresh(job)]
        if missing and not self._behind:
            self._behind = True
            trio.lowlevel.spawn_system_task(self._look, missing)
        with trio.move_on_after(VIEW_SECONDS):
            for job in jobs:
                found[job] = await self.of(job)
        return found

    async def _look(self, jobs: list[str]) -> None:
        try:
            for job in jobs:
                await self.of(job)
        except Failure:
            pass  # whoever shows a view is told
        finally:
            self._behind = False

    def _fresh(self, job: str) -> bool:
        at, _ = self._kept.get(job, (-KEPT_SECONDS, []))
        return trio.current_time() - at < KEPT_SECONDS

    def forget(self) -> None:
        """Something was done that may change them."""
        self._kept.clear()

    def hear(self, event: Event) -> None:
        """Something happened."""
        if event["kind"].startswith(("policy.", "data.")):
            self._kept.clear()
