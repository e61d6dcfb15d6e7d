"""A daemon that has much to show and nothing to do: the real control socket before made-up jobs.

    python -m scripts.benchmarks.stub_node HOME JOBS EVENTS [APART]

Prints a line once it answers. From then on a job's title says when it was changed last, in
milliseconds since the epoch, and an event says that it was, every APART seconds. The figures of the
page and of commands are theirs alone.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import cast

import trio

from node.control import examples as ex
from node.control import job_results as j
from node.control import results as r
from node.control.api import NodeApi
from node.control.events import EventBus
from node.control.money import examples as mx
from node.control.money import results as mr
from node.control.server import ControlServer
from node.home.config import Config, init_home
from node.home.home import Home


class Stub:
    """What the first view of the page, and `assay jobs`, ask for."""

    def __init__(self, jobs: int) -> None:
        states: tuple[j.JobState, ...] = ("waiting", "running", "finished", "declined", "settling")
        self._jobs = tuple(
            dataclasses.replace(
                ex.SUMMARY,
                job=f"0x{number:064x}",
                title=f"Job {number}: sepsis within 24 hours",
                state=states[number % len(states)],
            )
            for number in range(jobs)
        )

    def change(self) -> str:
        """The second job, which runs, is another from now on; its id."""
        changed = dataclasses.replace(self._jobs[1], title=f"changed {time.time() * 1000:.0f}")
        self._jobs = (self._jobs[0], changed, *self._jobs[2:])
        return changed.job

    def status(self) -> r.Status:
        """A snapshot."""
        return ex.STATUS

    async def jobs(self) -> tuple[j.JobSummary, ...]:
        """All of them."""
        return self._jobs

    async def policy_explain(self, job: str, dataset: str | None) -> tuple[r.Explained, ...]:
        """The example's rules."""
        return (dataclasses.replace(ex.EXPLAINED, job=job),)

    async def privacy(self, dataset: str | None, history: bool) -> tuple[r.Privacy, ...]:
        """The example's budget."""
        return (ex.PRIVACY,)

    async def account(self) -> mr.Account:
        """The example's account."""
        return mx.ACCOUNT


async def main(home: Home, jobs: int, events: int, apart: float) -> None:
    """Serve until the process is ended."""
    init_home(home, Config())
    bus, stub = EventBus(), Stub(jobs)
    server = ControlServer(cast(NodeApi, stub), bus)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: server.serve(home.socket_path(), task_status=task_status)
        )
        for number in range(events):
            bus.publish("round-applied", f"round {number}", job=f"0x{number % jobs:064x}")
        print("{}", flush=True)
        while apart:
            await trio.sleep(apart)
            bus.publish("round-applied", "a round", job=stub.change())


if __name__ == "__main__":
    home_, jobs_, events_, *rest = sys.argv[1:]
    between = float(rest[0]) if rest else 0.0
    trio.run(main, Home(Path(home_)), int(jobs_), int(events_), between)
