"""The library for programs that run on trio: `from node.client.trio import connect`.

    node = await connect()
    job = await node.job("0x5a5a")
    await job.wait(progress=False)
    model = await job.model()

Calls of one node may be made side by side; cancelling one ends its connection and nothing else.
"""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import trio

from node.client import frames, models
from node.client.job import Seen, moves
from node.client.models import Model
from node.client.progress import Shown, Wanted
from node.client.trio_rpc import TrioRpc
from node.home.home import find_home

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import polars as pl

    from node.control.shapes import Event, JobDetail, JobSummary, Status


class TrioJob(Seen):
    """A job. `summary` is what was last seen of it; `refresh` and `wait` look again."""

    def __init__(self, rpc: TrioRpc, summary: JobSummary) -> None:
        self._rpc = rpc
        self.summary = summary

    async def detail(self) -> JobDetail:
        """All that this node knows of it."""
        return await self._rpc.job_show(self.id)

    async def refresh(self) -> TrioJob:
        """Look at it again; the same object."""
        self.summary = (await self.detail())["summary"]
        return self

    async def rounds(self) -> pl.DataFrame:
        """A row for each round so far."""
        return frames.rounds((await self.detail())["rounds"])

    async def model(self, round: int | None = None) -> Model:
        """Its model as numpy arrays, the newest unless told which."""
        file = await self._rpc.model_get(self.id, round=round)
        return await trio.to_thread.run_sync(models.read, file)

    def events(
        self, since: int | None = None
    ) -> AbstractAsyncContextManager[AsyncGenerator[Event, None]]:
        """Its events as they come, to be read within an `async with` block."""
        return self._rpc.events(self.id, since)

    async def wait(self, progress: Wanted = True) -> TrioJob:
        """Wait until the job is over; trio's own scopes bound how long. See node.client.Job."""
        async with self.events() as events:
            with Shown((await self.refresh()).summary, progress) as shown:
                while not self.over:
                    event = await anext(events)
                    shown.event(event)
                    if moves(event):
                        shown.stands((await self.refresh()).summary)
                shown.over(self.summary)
        return self


class TrioNode:
    """A running daemon. `rpc` has every method of the control socket as a typed function."""

    def __init__(self, rpc: TrioRpc) -> None:
        self.rpc = rpc

    async def status(self) -> Status:
        """The daemon at a glance."""
        return await self.rpc.status()

    async def jobs(self) -> list[TrioJob]:
        """Jobs known here, newest first."""
        return [TrioJob(self.rpc, each) for each in await self.rpc.jobs()]

    async def job(self, job: str) -> TrioJob:
        """A job by its id, or by a prefix of it that is unambiguous."""
        return TrioJob(self.rpc, (await self.rpc.job_show(job))["summary"])

    async def post(
        self, spec: str, *, holdout: str | None = None, no_noise: bool = False
    ) -> TrioJob:
        """Check a spec (TOML text), escrow its bounty, announce the job. It spends money.

        `holdout`: a data set's name or an absolute path, on which accuracy is measured.
        """
        posted = await self.rpc.job_post(spec, holdout=holdout, no_noise=no_noise)
        return await self.job(posted["job"])


async def connect(
    home: str | os.PathLike[str] | None = None, seconds: float | None = None
) -> TrioNode:
    """The daemon of a home: of `home`, else of $ASSAY_HOME, else of this user.

    `seconds`: how long a call waits for its answer; None: as long as the daemon lives. A file may
    take hours to read. Raises NoDaemon where none runs.
    """
    node = TrioNode(TrioRpc(find_home(home), seconds))
    await node.status()
    return node
