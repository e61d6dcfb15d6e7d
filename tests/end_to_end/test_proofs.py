"""A job whose contributions prove their norm, between real daemons: one of six owners sends poison.

It is named by the requester and by every other owner, listed in no round, and paid nothing. One of
the others is killed once it has said its words, and comes back to say its sum.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from kits.daemons.jobs import ends, happened, post, reaches, start, stored
from kits.daemons.processes import Swarm, run, until
from kits.daemons.stage import kill

pytestmark = [pytest.mark.waits(400), pytest.mark.long]

CHEAT = 2


@pytest.fixture
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("proofs"), owners=6)
    cheat = swarm.owners[CHEAT]
    command = [sys.executable, "-m", "scripts.demos.poisoner"]
    cheat._command = [*command, "--home", str(cheat.home.path), "up"]
    yield start(swarm)
    swarm.destroy()


async def test_poison_is_named_by_everybody_and_paid_nothing(swarm: Swarm) -> None:
    job = post(
        swarm, rounds=2, owners=6, block=6, envelope="shares", ready=60, contribute=60, unmask=60
    )
    cheat, honest = swarm.owners[CHEAT], [o for o in swarm.owners if o is not swarm.owners[CHEAT]]
    victim = honest[0]
    await reaches(victim, job, 0, "commit", 200)
    kill(victim)
    await victim.start()
    shown = await ends(swarm, job, 300)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert [each["contributors"] for each in shown["rounds"]] == [5, 5]
    assert [each["closed"] for each in shown["rounds"]] == [0, 0]
    account = "0x" + swarm.accounts[cheat.home.path.name].hex()
    members = {member["account"].lower(): member for member in shown["members"]}
    assert (members[account]["cheated"], members[account]["contributions"]) == (0, 0)
    assert int(members[account]["claimed"]) == 0
    assert all(int(m["claimed"]) for a, m in members.items() if a != account)
    assert shown["rounds"][-1]["accuracy"] > 0.95
    for daemon in (swarm.requester, *honest):
        await until(lambda d=daemon: bool(happened(d, job, "proof-failed")), 30, "it is named")
    # Words once an attempt, one sum a round, on the disk of each.
    for owner in honest:
        key = bytes.fromhex(job[2:])
        (sums,) = stored(owner, "SELECT count(*) FROM sums WHERE job = ?", key)[0]
        assert sums == 2
    done = run("--home", str(swarm.requester.home.path), "audit", job, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
