"""Nodes that die in the middle of a job: they come back, it ends well, nothing happens twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from random import Random

import pytest
import trio
from kits.daemons.chain_proxy import Proxy
from kits.daemons.jobs import ends, holds, intents, owner_state, post, reaches, start, stored
from kits.daemons.processes import Swarm, free_port, run, until

from node.console.failure import Failure
from node.home.config import load_config, save_config

pytestmark = pytest.mark.waits(170)

#: The owner that sees the chain through the proxy.
BEHIND_PROXY = 4


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Swarm:
    """The swarm before its start."""
    return Swarm(tmp_path_factory.mktemp("kill"), owners=5)


@pytest.fixture(scope="module")
def proxy(stopped: Swarm) -> Iterator[Proxy]:
    proxy = Proxy(stopped.chain.url, "fine")
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def swarm(stopped: Swarm, proxy: Proxy) -> Iterator[Swarm]:
    stopped.chain_urls[BEHIND_PROXY] = proxy.url
    yield start(stopped)
    stopped.destroy()


async def test_one_kill_of_an_owner_and_one_of_the_requester(swarm: Swarm) -> None:
    """An owner dies while it trains, the requester when its commitment is stored and perhaps sent:
    the moment at which a careless node pays twice, or never."""
    rounds = 4
    job = post(swarm, rounds=rounds)
    owner = swarm.owners[0]
    await reaches(owner, job, 1, "contribute")
    owner.kill()
    await owner.start()
    await until(lambda: len(intents(swarm, job, "commit")) >= 3, 60, "round 2 is to be committed")
    swarm.requester.kill()
    before = intents(swarm, job, "commit")
    assert len(before) == 3
    assert before[-1] in ("queued", "stored", "sent"), "it was killed too late to prove a thing"
    await swarm.requester.start()
    await ends(swarm, job, 90)
    await holds(swarm, job, rounds)


@pytest.mark.ci
async def test_an_owner_that_dies_between_the_list_and_the_root(swarm: Swarm, proxy: Proxy) -> None:
    """It has examined the cohort's list and has not seen the root final when it dies: the list is
    no part of its state, and what comes next relies on it."""
    job = post(swarm, rounds=2, finality=4)
    owner = swarm.owners[BEHIND_PROXY]
    rooted = "SELECT 1 FROM contract_events WHERE job = ? AND kind = 'Enrolled'"
    key = bytes.fromhex(job[2:])
    await until(lambda: bool(stored(owner, rooted, key)), 60, "the owner sees the root")
    proxy.fail()
    await until(lambda: bool(owner_state(owner, job).cohort_roots), 60, "it examines the list")
    owner.kill()
    state = owner_state(owner, job)
    assert not state.cohort_here, "it saw the root final: this proves nothing"
    proxy.mend()
    await owner.start()
    await ends(swarm, job, 90)
    await holds(swarm, job, 2)


@pytest.mark.ci
async def test_down_and_up_in_the_middle_of_a_job(swarm: Swarm) -> None:
    """The polite end: drained and told so; the job goes on at the next start."""
    rounds = 3
    job = post(swarm, rounds=rounds)
    owner = swarm.owners[1]
    await reaches(swarm.requester, job, 1, "ready")
    for daemon in (owner, swarm.requester):
        ended = await trio.to_thread.run_sync(
            run, "--home", str(daemon.home.path), "--json", "down"
        )
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert (told["pid"], told["jobs_running"]) == (daemon.pid, 1)
        await until(lambda d=daemon: d.exit_code == 0, 60, "the process ended well")
    for daemon in (owner, swarm.requester):
        await daemon.start()
    # Attempts that a busy machine misses are followed by others, later each time.
    await ends(swarm, job, 300)
    await holds(swarm, job, rounds)


@pytest.mark.ci
async def test_a_requester_that_moves_in_the_middle_of_a_job(swarm: Swarm) -> None:
    """Another port, and nobody looks for it there: it dials whom it knew, and the job goes on."""
    rounds = 3
    job = post(swarm, rounds=rounds)
    requester = swarm.requester
    await reaches(requester, job, 1, "contribute")
    await until(requester.home.known_peers.exists, 30, "it has noted whom it knows")
    requester.kill()
    config = load_config(requester.home)
    assert config.bootstrap == ()
    before = config.listen
    try:
        elsewhere = (f"/ip4/127.0.0.1/tcp/{free_port()}",)
        save_config(requester.home, dataclasses.replace(config, listen=elsewhere))
        await requester.start()
        await ends(swarm, job, 120)
        await holds(swarm, job, rounds)
    finally:
        requester.kill()
        save_config(requester.home, dataclasses.replace(config, listen=before))
        await requester.start()


@pytest.mark.long
async def test_the_requester_dies_at_each_kind_of_transaction(swarm: Swarm) -> None:
    """From the post to the last claim: each is stored, the requester dies, each happens once."""
    requester, before = swarm.requester, {job["job"] for job in swarm.requester.call("jobs")}

    def posting() -> None:
        with contextlib.suppress(Failure):  # it dies before it answers
            post(swarm, rounds=2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, posting)
        count = len(intents(swarm, "0x", "post"))
        await until(lambda: len(intents(swarm, "0x", "post")) > count, 30, "the post is stored")
        requester.kill()
    await requester.start()
    (job,) = {job["job"] for job in requester.call("jobs")} - before
    for function in ("enrol", "commit", "finish", "pay"):
        await until(lambda f=function: bool(intents(swarm, job, f)), 90, f"{function} is stored")
        requester.kill()
        await requester.start()
    await ends(swarm, job, 120)
    await holds(swarm, job, 2)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_kills_at_any_moment(swarm: Swarm, seed: int) -> None:
    """Owners, the requester and workers die over and over, and the chain falls silent once."""
    random = Random(seed)
    rounds = 8
    job = post(swarm, rounds=rounds, ready=30, contribute=30)
    victims = [swarm.requester, swarm.requester, swarm.requester, *swarm.owners[:3]]
    random.shuffle(victims)
    silent = random.randrange(len(victims))
    for number, victim in enumerate(victims):
        await trio.sleep(random.uniform(0.5, 5))
        for worker in random.choice([swarm.requester, *swarm.owners]).workers():
            os.kill(worker, signal.SIGKILL)
        if number == silent:
            swarm.chain.send(signal.SIGSTOP)
            await trio.sleep(10)
            swarm.chain.send(signal.SIGCONT)
        victim.kill()
        await trio.sleep(random.uniform(0, 2))
        await victim.start()
    await ends(swarm, job, 300)
    await holds(swarm, job, rounds)
