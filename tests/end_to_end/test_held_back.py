"""An owner pauses, another leaves, a third is restored from a backup: the job ends all the same,
what they contributed is paid, and nothing of old attempts is released twice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kits.daemons import clouds
from kits.daemons.jobs import (
    add_data,
    ends,
    happened,
    paid_in_full,
    post,
    released_once,
    stored,
    waits_because,
)
from kits.daemons.processes import Daemon, Swarm, assay, environment, until

from node.console.failure import Failure

pytestmark = [pytest.mark.ci, pytest.mark.waits(60)]
ROUNDS = 6


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 8)
    try:
        await swarm.start()
        add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


def command(home: Path, *arguments: str, said: str = "") -> str:
    done = subprocess.run(
        assay("--home", str(home), *arguments),
        env=environment(),
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=os.sep,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def committed(swarm: Swarm, job: str, rounds: int) -> None:
    def there() -> bool:
        return int(swarm.requester.show(job)["summary"]["round"]) >= rounds

    await until(there, 90, f"{rounds} rounds are applied")


async def test_a_job_goes_on_without_those_who_hold_back(swarm: Swarm, tmp_path: Path) -> None:
    paused, leaver, lost, *_ = swarm.owners
    paused.call("pause")
    job = post(swarm, rounds=ROUNDS, owners=8, block=8, dropouts=2, ready=6, contribute=12)
    await waits_because(paused, job, "paused")
    with pytest.raises(Failure, match="paused"):
        paused.call("job.consent", job=job, dataset="clouds")
    assert "resumed" in command(paused.home.path, "resume")
    await committed(swarm, job, 1)
    assert "1 running jobs go on without it" in command(paused.home.path, "pause")
    await until(lambda: held(paused, job) != [], 60, "no attempt is begun")
    assert paused.call("resume") == {"paused": False, "closed": "", "jobs_running": 1}
    assert "left" in command(leaver.home.path, "leave", job)
    backup = tmp_path / "backup"
    command(lost.home.path, "keys", "backup", str(backup), said="correct horse\n")
    at = int(swarm.requester.show(job)["summary"]["round"])
    await committed(swarm, job, at + 1)
    lost.kill()
    done = released_once(leaver, job)
    fresh = Daemon(tmp_path / "fresh")
    swarm.processes.append(fresh)
    told = command(fresh.home.path, "keys", "restore", str(backup), said="correct horse\n")
    assert "releases nothing of what it had begun" in told
    assert "assay data replace" in told
    await fresh.start()
    shown = await ends(swarm, job, 150)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    paid_in_full(swarm, job)
    # What was owed was released, once a round; who left and who came back began nothing more.
    assert set(done) <= set(released_once(leaver, job))
    assert len(released_once(leaver, job)) < ROUNDS
    for each, word in ((leaver, "you left it"), (fresh, "restored from a backup")):
        reasons = held(each, job)
        assert reasons, each.home.path
        assert all(word in reason for reason in reasons)
    assert all("paused" in reason for reason in held(paused, job))
    assert set(released(fresh, job)) <= set(released(lost, job)), "released after it was restored"
    assert stored(fresh, "SELECT 1 FROM messages WHERE kind = 'Release'") == []
    (budget,) = fresh.call("privacy", dataset="clouds")
    (line,) = budget["jobs"]
    assert (line["reserved"], line["charged"]) == (0, ROUNDS)
    for each in (paused, leaver, fresh):
        await until(lambda o=each: o.state(job) == "finished", 60, "it saw its pay")
        assert sum(int(line["paid"]) for line in each.call("earnings")["lines"]) > 0
    # The file is still needed, and the name keeps its budget.
    csv = clouds.write_csv(tmp_path / "again.csv", seed=102)
    command(fresh.home.path, "data", "replace", "clouds", str(csv))


def held(owner: Daemon, job: str) -> list[str]:
    """Why an owner began no attempt, each time."""
    return [text for _, _, text in happened(owner, job, "training-failed")]


def released(owner: Daemon, job: str) -> list[object]:
    query = "SELECT round, member FROM releases WHERE job = ?"
    return stored(owner, query, bytes.fromhex(job[2:]))
