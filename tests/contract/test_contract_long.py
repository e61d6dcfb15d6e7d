"""Thousands of calls that the contract accepted, on both code generators, whoever tries what:
payees that refuse, burn gas or call back, tokens that lie, take fees, shrink balances, say false,
burn gas or call back, payers with other lists, cancels and finishes at any moment.

`ASSAY_ACCEPTED_CALLS` says how many; `ASSAY_FUZZ_SEED` is the first seed, so that a run goes on
where another one ended: a test is cut off after ten minutes, so that many calls take many runs.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from kits.bounty import ETHER, HOUR, World
from kits.bounty_model import COHORT, ROUNDS, Job
from test_contract_solvency import OWNERS, Bounties, peopled

pytest.importorskip("pyrevm", reason="pyrevm has no wheel for this Python")

from kits.revm_world import Refused, RevmWorld

pytestmark = [pytest.mark.long, pytest.mark.waits(600)]

ACCEPTED = int(os.environ.get("ASSAY_ACCEPTED_CALLS", "3000"))
FIRST_SEED = int(os.environ.get("ASSAY_FUZZ_SEED", "1"))

HONEST, FALSE, LIES, BURNS, CALLS_BACK, FEE, REVERTS = range(7)
#: Moods in which a transfer goes through, and those of them in which the tokens really leave.
_PAYS, _MOVES = {HONEST, LIES, CALLS_BACK, FEE}, {HONEST, CALLS_BACK, FEE}


class LongBounties(Bounties):
    """`Bounties` on revm, with jobs in a token that has moods."""

    accepted = tried = 0

    def __init__(self) -> None:
        super().__init__()
        world = self.world
        self.token = world.mock("moody_token_mock")
        self.mood = HONEST
        #: What the contract really has of the token.
        self.tokens = 0
        for account in world.accounts[:2]:
            world.send(self.token.functions.mint(account, 10**9))
            world.send(self.token.functions.approve(world.bounty.address, 2**255), account)

    def make_world(self) -> tuple[World, list[Any]]:
        """A chain of its own, because one that is rolled back costs no less here."""
        return peopled(RevmWorld(self.experimental))

    def attempt(self, call: Any, sender: str, allowed: bool) -> Any:
        type(self).tried += 1
        if allowed:
            receipt = self.world.send(call, sender)
            type(self).accepted += 1
            return receipt
        with pytest.raises(Refused):
            self.world.send(call, sender)
        return None

    @precondition(lambda self: len(self.known) < 8)
    @rule(
        target=Bounties.jobs,
        requester=st.sampled_from([0, 1]),
        rate=st.integers(1, 1000),
        merit=st.integers(0, 1000),
        hours=st.integers(1, 6),
        permitted=st.booleans(),
    )
    def post_in_the_token(
        self, requester: int, rate: int, merit: int, hours: int, permitted: bool
    ) -> Any:
        """With a permit that the token does not know, or with none."""
        world, by = self.world, self.world.accounts[requester]
        spec, closes = bytes([len(self.known)]) * 32, world.now + hours * HOUR
        terms = [spec, self.token.address, ROUNDS, COHORT, rate, merit, closes]
        functions = world.bounty.functions
        call = functions.post(*terms)
        if permitted:
            call = functions.post_permitted(*terms, 27, bytes([1]) * 32, bytes([2]) * 32)
        receipt = self.attempt(call, by, self.mood in (HONEST, CALLS_BACK))
        job_id = world.view("job_id", by, spec)
        if receipt is None:
            # Nothing may have stayed; the spec is then posted in ether.
            return self.post(by, rate, merit, hours)
        job = Job(job_id, spec, by, rate, merit, closes, token=self.token.address)
        self.known.append(job)
        self.tokens += job.escrow
        return job

    @rule(mood=st.sampled_from(range(7)), job=Bounties.jobs)
    def the_token_has_another_mood(self, mood: int, job: Job) -> None:
        call = self.world.bounty.functions.withdraw(job.id)
        data = bytes.fromhex(call._encode_transaction_data()[2:])
        setting = self.token.functions.set_mood(mood, self.world.bounty.address, data)
        self.world.send(setting)
        self.mood = mood

    @precondition(lambda self: self.tokens)
    @rule(part=st.sampled_from([2, 3, 10, 1000]))
    def the_token_shrinks_balances(self, part: int) -> None:
        less = self.tokens // part
        self.world.send(self.token.functions.rebase(self.world.bounty.address, less))
        self.tokens -= less

    @rule(data=st.data(), everything=st.booleans())
    def claim_what_is_due(self, data: st.DataObject, everything: bool) -> None:
        """Drawn among claims that the model knows of: most of those drawn blindly are empty."""
        due = [
            (job, account, listed.round)
            for job in self.known
            for listed in job.books
            for account in {each.account for each in listed.contributions}
            if listed.round not in job.paid.get(account, set()) | job.settled(account)
        ]
        if due:
            job, account, number = data.draw(st.sampled_from(due))
            self.claim(job, account, set(range(ROUNDS)) if everything else {number}, True)

    @rule(data=st.data(), number=st.integers(1, ROUNDS))
    def pay_what_comes_next(self, data: st.DataObject, number: int) -> None:
        waiting = [job for job in self.known if job.full < len(job.books)]
        if waiting:
            job = data.draw(st.sampled_from(waiting))
            self.pay(job, number, 0, True, "", data)

    @rule(data=st.data(), accounts=st.lists(st.sampled_from(OWNERS), min_size=1, max_size=COHORT))
    def commit_what_comes_next(self, data: st.DataObject, accounts: list[bytes]) -> None:
        going = [
            job for job in self.known if job.is_open(self.world.now) and len(job.books) < ROUNDS
        ]
        if going:
            bare = data.draw(st.booleans())
            self.commit(data.draw(st.sampled_from(going)), accounts, len(accounts), True, bare)

    def unreached(self, job: Job, amounts: dict[bytes, int]) -> set[bytes]:
        if job.token != self.token.address:
            return super().unreached(job, amounts)
        missed, left = set(), self.tokens
        for account, amount in amounts.items():
            moves = self.mood in _MOVES
            if amount and (self.mood not in _PAYS or (moves and amount > left)):
                missed.add(account)
            elif moves:
                left -= amount
        return missed

    def delivered(self, job: Job, amounts: dict[bytes, int]) -> None:
        if job.token == self.token.address and self.mood in _MOVES:
            missed = self.unreached(job, amounts)
            self.tokens -= sum(amount for a, amount in amounts.items() if a not in missed)

    @invariant()
    def the_token_knows_of_nothing_else(self) -> None:
        held = self.world.read(self.token, "balanceOf", self.world.bounty.address)
        assert held == self.tokens
        assert not self.world.read(self.token, "worked"), "a token called back"

    def settle(self) -> None:
        """The token is honest at last, and what was taken from the contract comes back."""
        world = self.world
        world.send(self.token.functions.set_mood(HONEST, world.bounty.address, b""))
        owed = sum(world.job(job.id)["held"] for job in self.known if job.token != ETHER)
        short = max(0, owed - self.tokens)
        world.send(self.token.functions.mint(world.bounty.address, short))
        self.mood, self.tokens = HONEST, self.tokens + short
        super().settle()


class VenomLongBounties(LongBounties):
    experimental = True
    accepted = tried = 0


@pytest.mark.parametrize("machine", [LongBounties, VenomLongBounties], ids=["legacy", "venom"])
def test_calls_that_were_accepted_by_the_thousand(
    machine: type[LongBounties], capsys: pytest.CaptureFixture[str]
) -> None:
    quick = settings(
        max_examples=200,
        stateful_step_count=100,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for number in itertools.count(FIRST_SEED):
        run_state_machine_as_test(seed(number)(machine), settings=quick)
        with capsys.disabled():
            print(f"\nseed {number}: {machine.accepted} accepted of {machine.tried}", end="")
        if machine.accepted >= ACCEPTED:
            break
