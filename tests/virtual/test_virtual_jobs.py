"""Whole nodes on virtual time: a job to its last claim, and the same log from the same seed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import trio
from kits.paths import ROOT, TESTS

from node.chain.watch import IDLE_SECONDS
from node.net.swarm import Swarm
from node.workers.compute import Compute
from virtual.chain import CONTRACT, Block, Mined, call_of
from virtual.network import Line
from virtual.workers import Hands
from virtual.world import Outcome, Terms, World


def run(**terms: Any) -> Outcome:
    outcome = World(Terms(**terms)).run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    return outcome


_OTHER_PROCESS = """
import sys
from virtual.world import Terms, World
sys.stdout.buffer.write(World(Terms(seed=1, rounds=2)).run().text)
"""


def test_a_job_runs_to_its_last_claim_and_each_time_with_the_same_log() -> None:
    """Everybody is paid, which the world looks at itself when all is over. Neither addresses in
    memory, nor the order of sets, nor an earlier world of this process decide anything."""
    one, other = run(seed=1, rounds=2), run(seed=1, rounds=2)
    assert (one.phase, one.rounds) == ("closed", 2)
    assert sum("mines pay" in line for line in one.log) == 1
    assert one.text == other.text
    elsewhere = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS],
        cwd=TESTS.parent,
        env={"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "PYTHONHASHSEED": "7", "PATH": "/bin"},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    assert elsewhere == one.text
    assert len(one.text) > 10_000


def test_a_requester_that_wants_claims_pays_by_them() -> None:
    outcome = run(seed=1, rounds=2, whole_rounds=False)
    said = [line for line in outcome.log if "mines" in line]
    assert sum("mines claim" in line for line in said) == 5
    assert not any("mines pay" in line for line in said)


class Away(World):
    """Its requester is killed within the notice of `finish`, and starts again before the contract
    has closed the job, or after."""

    before = True

    async def _close(self) -> None:
        if self.before:
            self.requester.down_seconds = 20.0
            self.requester.crash()
            while self.requester.running is None:  # noqa: ASYNC110 - it starts again by itself
                await trio.sleep(1.0)
        else:
            self.requester.down_seconds = 60.0
            self.calls.after(0.0, self.requester.crash)
        await super()._close()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_the_rest_comes_back_after_the_notice_whatever_the_requester_lived_through(
    before: bool,
) -> None:
    """Owners are paid before it, which the world looks at. That all is back, too."""
    world = Away(Terms(seed=1, rounds=1, spare=2))
    world.before = before
    outcome = world.run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    said = [line for line in outcome.log if "mines" in line or "crashes" in line]
    order = [line.split(maxsplit=2)[2] for line in said]
    assert order[-1].startswith("mines withdraw")
    assert "crashes" in order[-2]
    assert sum("mines pay" in line for line in order[:-2]) == 1
    # Nothing else hangs on the chain, so that it is looked at now and then; once, that is, and then
    # as often as in a round.
    set_at, taken = (
        next(float(line.split()[0]) for line in reversed(outcome.log) if text in line)
        for text in ("the clock is set to", "mines withdraw")
    )
    assert taken - set_at < IDLE_SECONDS + (10 if before else 60)


class Deep(World):
    """A reorganisation deeper than what counts as final, once `finish` is mined: it takes out the
    last commitment, whose nonce its account has used elsewhere, so that `finish` comes first."""

    struck = False

    def _block(self, block: Block) -> None:
        super()._block(block)
        said = [log.name for mined in block.mined for log in mined.logs]
        if self.struck or "Finished" not in said:
            return
        self.struck = True
        self.calls.after(0.0, self._strike)

    def _strike(self) -> None:
        chain = self.chain
        at, lost = next(
            (block.number, mined.tx)
            for block in reversed(chain.blocks)
            for mined in block.mined
            if any(log.name == "Committed" for log in mined.logs)
        )
        other = dataclasses.replace(lost, hash=bytes(32), to=lost.sender, value=0, data=b"")
        chain.reorganise(chain.head.number - at + 1, {lost.hash: other})


def test_a_commitment_that_the_chain_lost_is_put_back_within_the_notice_and_paid() -> None:
    """Its owners released their shares long ago. The requester's daemon sends it once more."""
    world = Deep(Terms(seed=1, rounds=2, finality=1))
    outcome = world.run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    assert (outcome.phase, outcome.rounds) == ("closed", 2)
    text = "\n".join(outcome.log)
    struck = text.index("a reorganisation of")
    assert text.index("mines finish", struck) < text.index("mines commit", struck)
    held = world.chain.head.ledger.jobs[world.job]
    assert len(held.committed) == 2
    assert all(bits & 3 == 3 for bits in held.paid.values())


class Unpaid(World):
    """The chain loses the payment of whole rounds, `deep` blocks after it was mined. Then it waits
    again, or no node holds it any more, or another transaction of its account has its nonce."""

    deep, fate = 0, "waits"
    lost: Mined | None = None
    struck = False

    async def _close(self) -> None:
        """Once it is there again, and whoever would make it a third time has looked twice."""
        while not self.struck or not self.payments():  # noqa: ASYNC110 - the chain says it
            await trio.sleep(1.0)
        await trio.sleep(3 * IDLE_SECONDS)
        await super()._close()

    def payments(self) -> list[Mined]:
        """Those that the chain holds."""
        return [mined for block in self.chain.blocks for mined in block.mined if _is_pay(mined)]

    def _block(self, block: Block) -> None:
        super()._block(block)
        paid = [mined for mined in block.mined if _is_pay(mined)]
        if paid and self.lost is None:
            self.lost = paid[0]
            self.calls.after(self.deep + 0.5 if self.deep else 0.0, self._strike)

    def _strike(self) -> None:
        chain, lost = self.chain, self.lost
        assert lost is not None
        self.struck = True
        depth = chain.head.number - chain.index[lost.tx.hash].number + 1
        assert depth > self.deep
        other = dataclasses.replace(lost.tx, hash=bytes(32), to=lost.tx.sender, value=0, data=b"")
        if self.fate == "waits":
            chain.reorganise(depth)
            return
        if self.fate == "forgotten":
            other = dataclasses.replace(other, max_fee=0)  # no block takes it before it is gone
        chain.reorganise(depth, {lost.tx.hash: other})
        if self.fate == "forgotten":
            del chain.pool[other.hash]


def _is_pay(mined: Mined) -> bool:
    return mined.ok and mined.tx.to == CONTRACT and call_of(mined.tx.data)[0].name == "pay"


@pytest.mark.parametrize(
    ("deep", "fate"), [(0, "waits"), (0, "replaced"), (4, "waits"), (4, "forgotten")]
)
def test_a_payment_that_the_chain_lost_is_made_once_more_and_only_once(
    deep: int, fate: str
) -> None:
    """Also where it was final, and told: four blocks are more than this node's finality."""
    world = Unpaid(Terms(seed=1, rounds=2, finality=1))
    world.deep, world.fate = deep, fate
    outcome = world.run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    assert outcome.phase == "closed"
    payments = world.payments()
    assert len(payments) == 1
    lost = world.lost
    assert lost is not None
    assert payments[0].tx.data == lost.tx.data
    assert (payments[0].tx.nonce == lost.tx.nonce) == (fate != "replaced")
    said = "\n".join(outcome.log)
    struck = said.index("a reorganisation of")
    assert said.count("mines pay", 0, struck) == said.count("mines pay", struck) == 1
    assert "mines claim" not in said
    assert "reverts" not in said
    held = world.chain.head.ledger.jobs[world.job]
    assert all(bits & 3 == 3 for bits in held.paid.values())


@pytest.mark.parametrize(("ours", "theirs"), [(Line, Swarm), (Hands, Compute)])
def test_what_stands_in_for_a_port_has_all_of_it(ours: type, theirs: type) -> None:
    """Otherwise a call that the product makes would be found missing only where a seed makes it."""

    def public(cls: type) -> dict[str, Any]:
        return {name: each for name, each in vars(cls).items() if not name.startswith("_")}

    for name, wanted in public(theirs).items():
        found = public(ours).get(name)
        assert found is not None, name
        if inspect.isfunction(wanted):
            assert list(inspect.signature(found).parameters) == list(
                inspect.signature(wanted).parameters
            ), name


@pytest.mark.ci
def test_seeds_run_side_by_side_as_they_run_alone() -> None:
    """`scripts/simulate`: every seed once, in two processes, and what it tells is this."""
    command = [sys.executable, "-P", "-m", "virtual", "--faults", "lossy", "--processes", "2"]
    told = subprocess.run(
        [*command, "--first", "3", "--seeds", "2", "--json"],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": f"{ROOT}:{TESTS}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(told.stdout)
    assert (found["seeds"], found["failed"], found["phases"]) == (2, [], {"closed": 2})
