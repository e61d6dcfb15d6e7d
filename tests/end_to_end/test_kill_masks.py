"""Owners that die in the middle of an attempt whose sum opens by their shares alone.

Six owners make one block. With noise one may drop out of it, and every round completes; without,
the attempt fails and leaves nothing that could be opened, and the next one succeeds once the owner
is back. Whatever happens, each owner says one Release a round, and keeps no secret of an attempt
that is over.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.daemons.jobs import (
    ends,
    happened,
    paid_in_full,
    phases,
    post,
    reaches,
    released_once,
    requester_state,
    secrets_of,
    start,
    stayed,
    stored,
)
from kits.daemons.processes import Daemon, Swarm, until
from kits.daemons.stage import Stage, hold, kill, let_go

from node.home.config import load_config, save_config
from node.home.home import Home
from node.home.keys import Keys
from protocol.wire.envelope import open_envelope

pytestmark = pytest.mark.waits(220)

#: The job's block: all six, one of whom may drop out where noise is added.
BLOCK: dict[str, Any] = {"owners": 6, "block": 6}
NOISY = BLOCK | {"dropouts": 1}


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("kill-masks"), owners=6)
    yield start(swarm)
    swarm.destroy()


@pytest.mark.long
async def test_with_noise_every_round_completes_without_the_dead(swarm: Swarm) -> None:
    """Killed before its Ready, after it, and while shares are awaited; each is back in the next."""
    early, ready, late, _, second, gate = swarm.owners
    job = post(swarm, rounds=3, ready=20, contribute=12, **NOISY)
    stage = Stage(swarm, job)
    await stage.enrolled()
    kill(early)
    assert not said(early, job, "Ready")
    await reaches(swarm.requester, job, 0, "contribute", 60)
    await early.start()
    await stage.committing(0)
    hold(gate)
    await stage.killed_when_ready(1, ready, gate)
    await stage.committing(1)
    hold(gate)
    await ready.start()
    await stage.held_before_commit(2, gate, second, early, ready, late)
    kill(late)
    let_go(second)
    assert (2, 0) not in said(late, job, "Release")
    await reaches(swarm.requester, job, 2, "apply")
    assert secrets_of(ready, job) == {"seal"}
    await late.start()
    shown = await ends(swarm, job, 90)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    rounds = [(r["attempt"], r["contributors"], r["closed"]) for r in shown["rounds"]]
    assert rounds == [(0, 5, 0), (0, 5, 0), (0, 6, 0)]
    assert happened(swarm.requester, job, "attempt-failed") == []
    paid_in_full(swarm, job)
    # Its shares came in time to count: nobody has kept anything back.
    assert not any(member["withheld"] for member in shown["members"])
    await all_over(swarm, job)
    assert released_once(early, job) == {1: 0, 2: 0}
    assert released_once(ready, job) == {0: 0, 2: 0}
    for owner in (late, second, gate, swarm.owners[3]):
        assert released_once(owner, job) == {0: 0, 1: 0, 2: 0}


@pytest.mark.long
async def test_without_noise_the_attempt_opens_nothing_and_the_next_succeeds(swarm: Swarm) -> None:
    """Killed before its Ready, after it, and while it trains; each is back once that has failed."""
    early, ready, busy, _, _, gate = swarm.owners
    before = computed(swarm)
    job = post(swarm, rounds=3, ready=9, contribute=7, **BLOCK)
    stage = Stage(swarm, job)
    await stage.enrolled()
    kill(early)
    await comes_back(swarm, job, early, 0)
    await stage.committing(0)
    hold(gate)
    await stage.killed_when_ready(1, ready, gate)
    await comes_back(swarm, job, ready, 1)
    await stage.committing(1)
    hold(gate)
    await stage.killed_while_contributing(2, busy, gate)
    await comes_back(swarm, job, busy, 2)
    shown = await ends(swarm, job, 150)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert [(r["contributors"], r["closed"]) for r in shown["rounds"]] == [(6, 0)] * 3
    paid_in_full(swarm, job)
    succeeded = {r["number"]: r["attempt"] for r in shown["rounds"]}
    assert min(succeeded.values()) > 0, "an attempt went on without the dead"
    opened_nothing(swarm, job, succeeded)
    assert computed(swarm) - before == Counter(ComputeSum=3, ComputeApply=3)
    await all_over(swarm, job)
    for owner in swarm.owners:
        assert released_once(owner, job) == succeeded


@pytest.mark.ci
async def test_more_vanish_while_shares_are_awaited_than_may(swarm: Swarm) -> None:
    """Three of six are gone once their batches are committed, where four must give their shares:
    the round is paid and moves nothing, and the next one runs when they are back. Batches go under
    their masks alone. (Who still owes shares when the others are ready may be left out of it.)"""
    gone, (_, second, gate) = swarm.owners[:3], swarm.owners[3:]
    job = post(swarm, rounds=2, ready=25, contribute=20, unmask=5, envelope="masks", **NOISY)
    stage = Stage(swarm, job)
    await stage.enrolled()
    hold(gate)
    await stage.held_before_commit(0, gate, second, *gone)
    for owner in gone:
        owner.send(signal.SIGSTOP)
    let_go(second)
    await reaches(swarm.requester, job, 0, "apply")
    for owner in gone:
        owner.send(signal.SIGCONT)
    closed = happened(swarm.requester, job, "block-closed")
    assert closed == [(0, 0, "block 0 stays closed: too few shares came")]
    assert {o.member for o in requester_state(swarm, job).owed} == set(map(stage.member, gone))
    shown = await ends(swarm, job, 150)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    first, second_ = ((r["contributors"], r["closed"]) for r in shown["rounds"])
    assert (first, second_) in [((6, 1), (6, 0)), ((6, 1), (5, 0))]
    stayed(swarm, job, 0)
    paid_in_full(swarm, job)
    rate = int(shown["summary"]["rate"])
    assert sum(int(member["rate"]) for member in shown["members"]) == (6 + second_[0]) * rate
    await all_over(swarm, job)
    released = [set(released_once(owner, job)) for owner in swarm.owners]
    assert all(0 in rounds for rounds in released)
    assert sum(1 in rounds for rounds in released) == second_[0]


async def test_a_restored_node_releases_nothing_and_says_why(swarm: Swarm, tmp_path: Path) -> None:
    """Its owner has the store of the dead node, and keys from a backup: not the key that the others
    have sealed their shares to. The last test of this swarm, which has one owner less after it."""
    lost, *_, second, gate = swarm.owners
    job = post(swarm, rounds=2, ready=12, contribute=12, **NOISY)
    stage = Stage(swarm, job)
    await stage.enrolled()
    hold(gate)
    await stage.held_before_commit(0, gate, second, lost)
    kill(lost)
    let_go(second)
    copy = restored(lost, tmp_path)
    swarm.processes.append(copy)
    await copy.start()
    why = "no shares are released for round 0: the sealing key is gone"
    await until(lambda: why in copy.log.read_text(), 60, "it says why")
    shown = await ends(swarm, job, 90)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert [(r["contributors"], r["closed"]) for r in shown["rounds"]] == [(6, 0), (5, 0)]
    (reason,) = {text for _, _, text in happened(copy, job, "training-failed")}
    assert reason.startswith("the job's sealing key is gone")
    assert not said(copy, job, "Release")
    assert stored(copy, "SELECT 1 FROM releases WHERE job = ?", bytes.fromhex(job[2:])) == []
    me = stage.member(lost)
    assert [m["withheld"] for m in shown["members"]] == [i == me for i in range(6)]
    paid_in_full(swarm, job)


def restored(lost: Daemon, folder: Path) -> Daemon:
    """A new home with the store of another, and keys as a backup holds them."""
    backup = folder / "backup"
    Keys.open(lost.home).backup(backup, "correct horse")
    copy = Daemon(folder / "restored")
    copy.home.create()
    Keys.restore(copy.home, backup, "correct horse")
    save_config(copy.home, load_config(lost.home))
    for path in lost.home.path.glob(lost.home.database.name + "*"):
        shutil.copy(path, copy.home.path)
    for name in ("blobs", "datasets", "gradients"):
        shutil.copytree(lost.home.path / name, copy.home.path / name, dirs_exist_ok=True)
    assert Keys.open(Home(copy.home.path)).account == Keys.open(lost.home).account
    return copy


async def comes_back(swarm: Swarm, job: str, owner: Daemon, round_: int) -> None:
    """Start it again, once an attempt of the round has failed without it."""

    def failed() -> bool:
        return any(r == round_ for r, _, _ in happened(swarm.requester, job, "attempt-failed"))

    await until(failed, 60, f"an attempt of round {round_} fails")
    await owner.start()


def opened_nothing(swarm: Swarm, job: str, succeeded: dict[int, int]) -> None:
    """Of every attempt but the last of its round nobody has a list, a root, or a share."""
    harmless = {"ready", "freeze", "contribute", "failed"}
    seen = phases(swarm.requester, job)
    assert {(r, a) for r, a, _ in seen if succeeded[r] != a}, "no attempt failed"
    assert {phase for r, a, phase in seen if succeeded[r] != a} <= harmless
    for daemon in (swarm.requester, *swarm.owners):
        for kind in ("Committed", "Release"):
            assert all(succeeded[r] == a for r, a in said(daemon, job, kind))


def said(daemon: Daemon, job: str, kind: str) -> list[tuple[int, int]]:
    """Round and attempt of each message of a kind that a node has stored, its own and others'."""
    query = "SELECT body FROM messages WHERE job = ? AND kind = ? ORDER BY at"
    found = [open_envelope(body) for (body,) in stored(daemon, query, bytes.fromhex(job[2:]), kind)]
    return [(e.context.round, e.context.attempt) for e in found]


def computed(swarm: Swarm) -> Counter[str]:
    """How often the requester has added up and applied."""
    kinds = stored(swarm.requester, "SELECT kind FROM computations")
    return Counter(kind for (kind,) in kinds if kind in ("ComputeSum", "ComputeApply"))


async def all_over(swarm: Swarm, job: str) -> None:
    """Every owner saw its pay, and keeps nothing that could open anything."""
    for owner in swarm.owners:
        await until(lambda o=owner: o.state(job) == "finished", 60, "the owner saw its pay")
        await until(lambda o=owner: not secrets_of(o, job), 20, "its secrets are destroyed")
        assert not (owner.home.gradients / job[2:]).exists()
