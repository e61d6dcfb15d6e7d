"""Real daemons on anvil, whose chain turns: fees, reorganisations, slow blocks. In each job every
intent is on the chain exactly once, and everybody is paid.

anvil forgets what a reorganisation takes back: it is on the chain again because this node sends it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kits.anvil import AnvilSwarm
from kits.daemons.jobs import add_data, ends, holds, intents, paid_in_full, post, reaches
from kits.daemons.processes import until

from node.chain import events
from node.home.config import Config

pytestmark = [pytest.mark.long, pytest.mark.waits(600)]

OWNERS, ROUNDS = 5, 3


class Claiming(AnvilSwarm):
    """Its requester pays by claims."""

    def config(self, **changes: Any) -> Config:
        return super().config(**changes, whole_rounds=False)


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[AnvilSwarm]:
    async for swarm in lives(AnvilSwarm(tmp_path, OWNERS)):
        yield swarm


@pytest.fixture
async def claiming(tmp_path: Path) -> AsyncIterator[AnvilSwarm]:
    async for swarm in lives(Claiming(tmp_path, OWNERS)):
        yield swarm


async def lives(swarm: AnvilSwarm) -> AsyncIterator[AnvilSwarm]:
    try:
        await swarm.start()
        add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


async def finishes(swarm: AnvilSwarm, job: str) -> None:
    await ends(swarm, job, 480)
    await holds(swarm, job, ROUNDS)


async def test_gas_that_is_dear_now_and_then(swarm: AnvilSwarm) -> None:
    """Above the most that this node pays a transaction waits, and below it goes on."""
    job = post(swarm, rounds=ROUNDS, finality=2)
    for gwei, number in ((150, 1), (400, 2), (190, 3)):
        await until(lambda n=number: len(intents(swarm, job, "commit")) >= n, 240, "a commitment")
        swarm.chain.base_fee(gwei)
    await finishes(swarm, job)


@pytest.mark.parametrize("depth", [1, 2], ids=["one", "two"])
async def test_reorganisations_below_finality(swarm: AnvilSwarm, depth: int) -> None:
    """In each phase of the chain's part of a round, and while everybody is paid."""
    job = post(swarm, rounds=ROUNDS, finality=3)
    await until(lambda: intents(swarm, job, "post")[:1] == ["mined"], 60, "the post is mined")
    swarm.chain.reorganise(depth)
    for number in range(ROUNDS):
        await reaches(swarm.requester, job, number, "commit", 240)
        await until(
            lambda n=number: intents(swarm, job, "commit")[n : n + 1] == ["mined"],
            60,
            "the commitment is mined",
        )
        swarm.chain.reorganise(depth)
    await until(lambda: intents(swarm, job, "pay")[:1] == ["mined"], 240, "the pay is mined")
    swarm.chain.reorganise(depth)
    await finishes(swarm, job)


async def test_a_reorganisation_past_finality(swarm: AnvilSwarm) -> None:
    """What was final is gone, a commitment whose shares were released in it: it is sent again."""
    job = post(swarm, rounds=ROUNDS, finality=1)
    await reaches(swarm.requester, job, 1, "ready", 240)
    await until(lambda: intents(swarm, job, "commit")[:1] == ["final"], 60, "it is final")
    before = swarm.chain.height
    swarm.chain.reorganise(4)
    assert swarm.chain.height >= before
    await finishes(swarm, job)


@pytest.mark.parametrize(("depth", "state"), [(1, "mined"), (2, "mined"), (4, "final")])
async def test_reorganisations_around_finish(swarm: AnvilSwarm, depth: int, state: str) -> None:
    """Below finality, and past it: the last commitment goes with it then, and is put back."""
    job = post(swarm, rounds=ROUNDS, finality=3 if state == "mined" else 1)
    await until(lambda: intents(swarm, job, "finish")[:1] == [state], 300, "finish is there")
    swarm.chain.reorganise(depth)
    await finishes(swarm, job)


@pytest.mark.parametrize("depth", [1, 4], ids=["below finality", "past finality"])
async def test_reorganisations_around_claims(claiming: AnvilSwarm, depth: int) -> None:
    """Of some claims, and once all are there: each account is paid once, by one claim."""
    swarm, finality = claiming, 3 if depth == 1 else 1
    job = post(swarm, rounds=ROUNDS, finality=finality)
    there = ("mined", "final")
    for count in (1, OWNERS):
        await until(
            lambda n=count: sum(s in there for s in intents(swarm, job, "claim")) >= n,
            300,
            "claims are mined",
        )
        swarm.chain.reorganise(depth)
    await ends(swarm, job, 480)
    await until(lambda: set(intents(swarm, job, "claim")) == {"final"}, 120, "claims are final")
    paid_in_full(swarm, job)
    said = await swarm.chain.events(swarm.contract, bytes.fromhex(job[2:]))
    claims = [each.event for each in said if isinstance(each.event, events.Claimed)]
    assert sorted(each.account for each in claims) == sorted(swarm.accounts.values())
    assert {each.rounds_bits for each in claims} == {(1 << ROUNDS) - 1}
    assert not [each for each in said if isinstance(each.event, events.Paid)]


async def test_blocks_that_come_every_twelve_seconds(swarm: AnvilSwarm) -> None:
    swarm.chain.block_every(12)
    job = post(swarm, rounds=ROUNDS, finality=1)
    await finishes(swarm, job)
