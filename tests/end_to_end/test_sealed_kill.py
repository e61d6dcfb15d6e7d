"""Sealed jobs whose owners and requester die in every phase: no reply is made twice with other
numbers under one mask, nothing is drawn twice, the job ends well, and money adds up."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
import trio
from kits.daemons import sealed_clouds
from kits.daemons.jobs import ends, happened, holds, paid_in_full, reaches, secrets_of
from kits.daemons.processes import Daemon, Swarm, until
from kits.daemons.sealed_books import models_made, numbers_told, replies_made
from kits.daemons.sealed_clouds import charges, statistics_of, store_held
from kits.daemons.stage import Stage, hold, kill, let_go

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("sealed-kill"), owners=6)
    sealed_clouds.start(swarm)
    yield swarm
    swarm.destroy()


class Draws:
    """The statistics that every owner was ever seen to keep for a job."""

    def __init__(self, swarm: Swarm, job: str) -> None:
        self._swarm, self._job = swarm, job
        self._seen: dict[str, set[bytes]] = {}

    def look(self) -> None:
        for owner in self._swarm.owners:
            seen = self._seen.setdefault(owner.home.path.name, set())
            seen |= set(statistics_of(owner, self._job).values())

    def check(self) -> None:
        """Each owner drew one, and was charged for one; it is gone with the job."""
        assert [len(seen) for seen in self._seen.values()] == [1] * len(self._swarm.owners)
        for owner in self._swarm.owners:
            assert charges(owner, self._job) == [(0, True)]
            assert statistics_of(owner, self._job) == {}


async def over(swarm: Swarm, job: str) -> None:
    """Every owner has seen its pay, and keeps nothing that could open anything."""
    for owner in swarm.owners:
        await until(lambda o=owner: o.state(job) == "finished", 60, "the owner saw its pay")
        await until(lambda o=owner: not secrets_of(o, job), 20, "its secrets are destroyed")


def check_replies(swarm: Swarm, job: str) -> dict[str, dict[tuple[int, int], int]]:
    """Replies by owner and attempt, none of them with other numbers than one before it."""
    return {o.home.path.name: numbers_told(swarm, o, job) for o in swarm.owners}


async def test_with_a_dropout_every_round_completes_without_the_dead(swarm: Swarm) -> None:
    """Killed before its Ready, after it, and while shares are awaited; each is back in the next."""
    early, ready, late, _, second, gate = swarm.owners
    job = sealed_clouds.post(swarm, rounds=3, ready=20, contribute=12, owners=6, dropouts=1)
    stage, draws = Stage(swarm, job), Draws(swarm, job)
    await stage.enrolled()
    kill(early)
    await reaches(swarm.requester, job, 0, "contribute", 60)
    await early.start()
    await stage.committing(0)
    draws.look()
    assert charges(early, job) == [], "it was charged for a round that went on without it"
    hold(gate)
    await stage.killed_when_ready(1, ready, gate)
    await stage.committing(1)
    draws.look()
    hold(gate)
    await ready.start()
    await stage.held_before_commit(2, gate, second, early, ready, late)
    draws.look()
    kill(late)
    let_go(second)
    await reaches(swarm.requester, job, 2, "apply")
    await late.start()
    shown = await ends(swarm, job, 90)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    rounds = [(r["attempt"], r["contributors"], r["closed"]) for r in shown["rounds"]]
    assert rounds == [(0, 5, 0), (0, 5, 0), (0, 6, 0)]
    assert shown["rounds"][-1]["accuracy"] > 0.9
    paid_in_full(swarm, job)
    await over(swarm, job)
    draws.check()
    told = check_replies(swarm, job)
    assert {len(places) for places in told.values()} == {2, 3}


async def test_an_owner_dies_when_its_reply_is_made_and_not_yet_noted(swarm: Swarm) -> None:
    """It makes another one under the same masks, which says the same: of the first, which nobody
    was told of, nothing can be learnt but what the second says."""
    victim, gate = swarm.owners[0], swarm.owners[5]
    job = sealed_clouds.post(swarm, rounds=2, owners=6)
    stage = Stage(swarm, job)
    await stage.committing(0)
    hold(gate)
    await stage.has_ready(1, victim)
    hold(victim)
    let_go(gate)
    await reaches(victim, job, 1, "contribute")
    await trio.sleep(1)  # what it writes down before it computes is written
    with store_held(victim):
        let_go(victim)
        # Less than the daemon waits for its store.
        await until(lambda: (1, 0) in replies_made(swarm, victim, job), 45, "its reply is made")
        kill(victim)
    await victim.start()
    await ends(swarm, job, 120)
    await holds(swarm, job, 2)
    told = check_replies(swarm, job)
    assert told.pop(victim.home.path.name) == {(0, 0): 1, (1, 0): 2}
    assert all(places == {(0, 0): 1, (1, 0): 1} for places in told.values())


async def test_owners_die_in_every_phase_and_nobody_may_drop_out(swarm: Swarm) -> None:
    """Ready; while it computes; when its reply is sent; while shares are awaited: in a round each.
    An attempt fails or waits for them, and the round ends whole."""
    rounds = ["ready", "contribute", "commit", "apply"]
    gate = swarm.owners[5]
    job = sealed_clouds.post(swarm, rounds=len(rounds), ready=25, contribute=25, owners=6)
    stage, draws = Stage(swarm, job), Draws(swarm, job)
    await stage.enrolled()
    for round_, (phase, victim) in enumerate(zip(rounds, swarm.owners, strict=False)):
        if phase in ("ready", "contribute"):
            hold(gate)
            moment = (
                stage.killed_when_ready if phase == "ready" else stage.killed_while_contributing
            )
            await moment(round_, victim, gate)
        else:
            await reaches(victim, job, round_, "commit", 120)
            if phase == "apply":
                await reaches(swarm.requester, job, round_, "unmask", 120)
            kill(victim)
        await victim.start()
        await stage.committing(round_)
        draws.look()
    await ends(swarm, job, 120)
    await holds(swarm, job, len(rounds))
    draws.check()
    check_replies(swarm, job)


async def test_the_requester_dies_in_every_phase(swarm: Swarm) -> None:
    """A round each; whatever it encrypts twice is the same model."""
    moments = ["ready", "freeze", "contribute", "commit", "unmask", "apply"]
    job = sealed_clouds.post(swarm, rounds=len(moments), owners=6)
    draws = Draws(swarm, job)
    for round_, phase in enumerate(moments):
        await reaches(swarm.requester, job, round_, phase, 120)
        swarm.requester.kill()
        draws.look()
        await swarm.requester.start()
    await ends(swarm, job, 120)
    await holds(swarm, job, len(moments))
    draws.check()
    told = check_replies(swarm, job)
    assert all({r for r, _ in places} == set(range(len(moments))) for places in told.values())
    assert len(set(models_made(swarm, job))) == len(moments) + 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_deaths_at_any_moment(swarm: Swarm, seed: int) -> None:
    """Of owners and the requester, over and over, two at a time now and then."""
    random, rounds = Random(seed), 6
    job = sealed_clouds.post(swarm, rounds=rounds, owners=6)
    draws = Draws(swarm, job)

    async def dies(victim: Daemon) -> None:
        kill(victim)
        await trio.sleep(random.uniform(0, 2))
        await victim.start()

    for _ in range(6):
        await trio.sleep(random.uniform(0.5, 4))
        async with trio.open_nursery() as nursery:
            for victim in random.sample([swarm.requester, *swarm.owners], random.choice([1, 2])):
                nursery.start_soon(dies, victim)
        draws.look()
    while swarm.requester.show(job)["summary"]["round"] < rounds - 1:
        draws.look()
        await trio.sleep(0.2)
    draws.look()
    await ends(swarm, job, 300)
    await holds(swarm, job, rounds)
    draws.check()
    check_replies(swarm, job)
    assert happened(swarm.requester, job, "broken") == []
    assert len(set(models_made(swarm, job))) == rounds + 1
