"""pause, resume, leave: the owner's own word on what this node begins.

The methods of the control socket that hold a node back; node/api.py has them as its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.control.events import EventBus
from node.control.holding.results import Held
from node.control.job_results import JobSummary
from node.engine import holding
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.books import Books
from node.jobs.standing import runs
from node.store import jobs
from protocol.errors import StateError
from protocol.machines.job import OVER, JobPhase
from protocol.owner.state import OwnerState

log = logging.getLogger("assay.daemon")

#: How often a node with hours looks whether they began or ended, seconds.
_LOOK_SECONDS: Final = 15.0
_BEFORE: Final = (JobPhase.SEEN, JobPhase.CONSIDERING, JobPhase.WAITING)
_LEAVES: Final = "you left it: no attempt is begun on this node any more"


class HoldingCalls:
    """Calls of node.control.api.NodeApi that hold this node back.

    `find` finds a job as people name it; `again` holds every waiting job against the policies.
    """

    def __init__(
        self,
        services: Services,
        bus: EventBus,
        books: Books,
        find: Callable[[str], Machine],
        again: Callable[[], Awaitable[None]],
    ) -> None:
        self._held = services
        self._news = bus
        self._summaries = books
        self._named = find
        self._again = again
        self._paused: float | None = None

    def closed(self) -> str:
        """Why this node takes no job and begins no attempt now, from memory."""
        return holding.closed_now(self._held, self._paused)

    async def look_at_pause(self) -> None:
        """Read what `closed` tells from memory."""
        self._paused = await self._held.store.read(jobs.paused_since)

    async def pause(self) -> Held:
        await self._held.store.run(lambda tx: jobs.pause(tx, True))
        before = self._paused
        await self.look_at_pause()
        if before is None:
            log.info("paused: no job is taken and no attempt begun")
            self._news.publish("paused", "no job is taken and no attempt begun")
        # A job that waits says why, and one that would be taken now is not.
        await self._again()
        return self._told()

    async def resume(self) -> Held:
        await self._held.store.run(lambda tx: jobs.pause(tx, False))
        before = self._paused
        await self.look_at_pause()
        if before is not None:
            log.info("resumed: jobs are taken and attempts begun")
            self._news.publish("resumed", "jobs are taken and attempts begun")
        await self._again()
        return self._told()

    async def job_leave(self, job: str) -> JobSummary:
        machine = self._named(job)
        state = machine.state
        if not isinstance(state, OwnerState):
            own = StateError("the job is this requester's own: it can be cancelled, not left")
            own.add_note(f"assay job cancel {job}")
            raise own
        if state.phase in _BEFORE:
            waits = StateError(f"the job is {state.phase.value}: it was not taken")
            waits.add_note(f"assay job decline {job}")
            raise waits
        if state.phase in OVER or state.phase is JobPhase.FINISHING:
            raise StateError(f"the job is {state.phase.value}: no attempt of it begins any more")
        fresh = not await self._held.store.read(lambda tx: jobs.left(tx, machine.key))
        await self._held.store.run(lambda tx: jobs.leave(tx, machine.key, _LEAVES))
        if fresh:
            self._news.publish("left", _LEAVES, job="0x" + machine.key.hex())
        return await self._summaries.summary(machine)

    async def follow_hours(self) -> None:
        """Look at jobs that wait whenever this node's hours begin or end; until cancelled."""
        if not self._held.config.hours:
            return
        # Hours alone: a pause that begins or ends is told by whoever asked for it.
        known = holding.closed_now(self._held, None)
        while True:
            await trio.sleep(_LOOK_SECONDS)
            now = holding.closed_now(self._held, None)
            if now != known and self._paused is None:
                self._news.publish("hours", now or "this node's hours begin")
                await self._again()
            known = now

    def _told(self) -> Held:
        running = sum(runs(each) for each in self._held.engine.machines.values())
        return Held(self._paused is not None, self.closed(), running)
