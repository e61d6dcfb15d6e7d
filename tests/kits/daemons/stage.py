"""Holds a round at a moment that a test wants, for as long as it wants, and kills there.

An owner whose workers are stopped (SIGSTOP) goes on talking, but draws no secrets and trains
nothing: the round waits for it, as it would for a slow machine, until the workers go on. So a test
need not race with a round. A gate is an owner that is stopped before its Ready, while the round
before it is being committed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from kits.daemons.jobs import reaches, requester_state
from kits.daemons.processes import Daemon, Swarm, until
from protocol.machines.round import Phase
from protocol.requester.state import RequesterRound, RequesterState


def hold(owner: Daemon) -> None:
    """Whatever it is to compute from now on waits."""
    workers = owner.workers()
    assert workers, "it has no worker yet: it would start one that is not held"
    _send(workers, signal.SIGSTOP)


def let_go(owner: Daemon) -> None:
    """It computes what waited."""
    _send(owner.workers(), signal.SIGCONT)


def kill(owner: Daemon) -> None:
    """SIGKILL to the daemon; workers that were held end by themselves once they go on."""
    workers = owner.workers()
    owner.kill()
    _send(workers, signal.SIGCONT)


def _send(workers: list[int], number: signal.Signals) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, number)


class Stage:
    """One job of a swarm, all of whose owners make one block."""

    def __init__(self, swarm: Swarm, job: str) -> None:
        self.swarm = swarm
        self.job = job

    async def enrolled(self) -> None:
        """Everybody has enrolled; the first round cannot be open yet, since no root is final."""
        count = len(self.swarm.owners)
        await until(lambda: len(self._state().enrolments) == count, 90, "all have enrolled")
        assert self._state().round is None, "the first round is open: this proves nothing"

    async def committing(self, round_: int) -> None:
        """A round's contributions are in: the next round is not open."""
        await reaches(self.swarm.requester, self.job, round_, "commit", 120)

    def _state(self) -> RequesterState:
        return requester_state(self.swarm, self.job)

    def member(self, owner: Daemon) -> int:
        """An owner's place in the cohort."""
        account = "0x" + self.swarm.accounts[owner.home.path.name].hex()
        members = self.swarm.requester.show(self.job)["members"]
        return next(i for i, m in enumerate(members) if m["account"].lower() == account)

    def _now(self, round_: int, phase: Phase) -> RequesterRound | None:
        """The requester's present attempt, if it is of that round and in that phase."""
        now = self._state().round
        return now if now is not None and (now.number, now.phase) == (round_, phase) else None

    async def has_ready(self, round_: int, *owners: Daemon) -> None:
        """The requester has these owners' Ready, and waits for others."""

        def there() -> bool:
            now = self._now(round_, Phase.READY)
            if now is None:
                return False
            return {self.member(o) for o in owners} <= {r.member for r in now.ready}

        await until(there, 120, f"ready in round {round_}")

    async def has_contributed(self, round_: int, *owners: Daemon) -> None:
        """The requester has these owners' batches, and waits for others."""

        def there() -> bool:
            now = self._now(round_, Phase.CONTRIBUTE)
            if now is None:
                return False
            return {self.member(o) for o in owners} <= {
                c.member for c in now.contributions if c.sound
            }

        await until(there, 120, f"contributed to round {round_}")

    # --- moments; the gate is held already

    async def killed_when_ready(self, round_: int, victim: Daemon, gate: Daemon) -> None:
        """It has said Ready and knows no roster."""
        await self.has_ready(round_, victim)
        kill(victim)
        let_go(gate)

    async def killed_while_contributing(self, round_: int, victim: Daemon, gate: Daemon) -> None:
        """It stands in the frozen roster and has not stored its batch."""
        await self.has_ready(round_, victim)
        hold(victim)
        let_go(gate)
        await reaches(victim, self.job, round_, "contribute", 120)
        kill(victim)

    async def held_before_commit(
        self, round_: int, gate: Daemon, second: Daemon, *contributors: Daemon
    ) -> None:
        """These have contributed, and nothing is committed before the test lets `second` go."""
        await self.has_ready(round_, second)
        hold(second)
        let_go(gate)
        await self.has_contributed(round_, *contributors)
