"""Several jobs at once, honest and hostile: whatever is tried, the balance covers what is owed."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from eth._utils.address import generate_contract_address
from eth_tester.exceptions import TransactionFailed
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kits.bounty import ETHER, HOUR, NOTHING, Book, Contribution, World, merit_claim, owner
from kits.bounty_model import COHORT, ROUNDS, Job, are_lists
from kits.examples import examples

from protocol.books.trees import (
    Merit,
    SumTree,
    contribution_detail,
    contribution_leaf,
    verify_index,
)
from protocol.books.whole import encode_whole

#: Contracts that may refuse their pay, burn what gas they get, or call back in the middle: deployed
#: right after the bounty, by the first account.
PROUD, GREEDY, CALLER = (
    generate_contract_address(bytes.fromhex("7e5f4552091a69125d5dfcb7b8c2659029395bdf"), nonce)
    for nonce in (1, 2, 3)
)
OWNERS = [*(owner(number) for number in range(4)), PROUD, GREEDY, CALLER]


@functools.cache
def shared_world(experimental: bool) -> tuple[World, list[Any]]:
    return peopled(World(experimental))


def peopled(world: World) -> tuple[World, list[Any]]:
    """A chain, and the accounts that misbehave."""
    hostile = [world.mock("attacker_mock") for _ in range(3)]
    assert [bytes.fromhex(each.address[2:]) for each in hostile] == [PROUD, GREEDY, CALLER]
    return world, hostile


def proves(mine: Book, count: int, account: bytes, payment: tuple[Any, ...]) -> bool:
    """Whether another's payment is the account's own all the same: details and paths repeat."""
    _, position, block, roster, digest, proof = payment
    leaf = contribution_leaf(account, block, roster, digest)
    return verify_index(mine.tree.root, count, position, leaf, proof)


class Bounties(RuleBasedStateMachine):
    """Each rule knows whether the contract may accept; a wrong refusal fails it too."""

    experimental = False
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.world, hostile = self.make_world()
        self.proud_one, self.greedy_one, self.caller = hostile
        self.snapshot = self.world.snapshot()
        #: Who refuses, or burns its gas.
        self.out_of_reach: set[bytes] = set()
        self.known: list[Job] = []
        self.before = {account: self.world.ether(account) for account in OWNERS}

    def make_world(self) -> tuple[World, list[Any]]:
        return shared_world(self.experimental)

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.world.revert(self.snapshot)

    def attempt(self, call: Any, sender: str, allowed: bool) -> Any:
        """Sends, and holds the contract to the model's word on whether it may go through."""
        if allowed:
            return self.world.send(call, sender)
        self.world.tester.mine_blocks(1)
        with pytest.raises(TransactionFailed):
            call.call({"from": sender, "gas": 12_000_000})
        return None

    @initialize(target=jobs)
    def two_jobs(self) -> Any:
        world = self.world
        return multiple(
            self.post(world.requester, 100, 1000, 24), self.post(world.other, 7, 50, 24)
        )

    @precondition(lambda self: len(self.known) < 4)
    @rule(
        target=jobs,
        requester=st.sampled_from([0, 1]),
        rate=st.integers(0, 1000),
        merit=st.integers(0, 1000),
        hours=st.integers(1, 6),
    )
    def post_another(self, requester: int, rate: int, merit: int, hours: int) -> Any:
        return self.post(self.world.accounts[requester], rate, merit, hours)

    def post(self, requester: str, rate: int, merit: int, hours: int) -> Job:
        world = self.world
        spec = bytes([len(self.known)]) * 32
        terms = {"rounds": ROUNDS, "cohort": COHORT, "rate": rate, "merit": merit}
        closes = world.now + hours * HOUR
        job_id = world.post(spec, requester, expiry=closes, **terms)
        self.known.append(Job(job_id, spec, requester, rate, merit, closes))
        return self.known[-1]

    @rule(
        job=jobs,
        accounts=st.lists(st.sampled_from(OWNERS), min_size=1, max_size=COHORT + 1),
        count=st.integers(1, COHORT + 1),
        by_requester=st.booleans(),
        bare=st.booleans(),
    )
    def commit(
        self, job: Job, accounts: list[bytes], count: int, by_requester: bool, bare: bool
    ) -> None:
        """Accounts may stand twice, and the count may be less or more than the tree's. Signed, and
        brought by anybody; or bare, by whoever it is of."""
        world = self.world
        listed = Book(
            len(job.books), [Contribution(account, n) for n, account in enumerate(accounts)]
        )
        signer = job.requester if by_requester else world.anybody
        commitment = world.commitment(job.id, listed, count=count)
        allowed = (
            job.is_open(world.now) and by_requester and count <= COHORT and listed.round < ROUNDS
        )
        signature = b"" if bare else world.sign(commitment, signer)
        committing = world.committing(commitment, signature)
        if self.attempt(committing, signer if bare else world.anybody, allowed):
            job.books.append(listed)
            job.counts.append(count)

    @rule(job=jobs, data=st.data())
    def commit_again(self, job: Job, data: st.DataObject) -> None:
        if job.books:
            listed = data.draw(st.sampled_from(job.books))
            commitment = self.world.commitment(job.id, listed)
            signature = self.world.sign(commitment, job.requester)
            self.attempt(self.world.committing(commitment, signature), job.requester, False)

    @rule(
        job=jobs,
        weights=st.lists(st.integers(0, 10), min_size=len(OWNERS), max_size=len(OWNERS)),
        surplus=st.sampled_from([0, 0, 0, 1, -1]),
        sender=st.sampled_from([0, 1]),
        with_merit=st.sampled_from([True, True, True, False]),
    )
    def finish(
        self, job: Job, weights: list[int], surplus: int, sender: int, with_merit: bool
    ) -> None:
        pot = job.merit if with_merit else 0
        amounts = [pot * weight // (sum(weights) or 1) for weight in weights]
        amounts[0] += pot - sum(amounts) + surplus
        if amounts[0] < 0:
            return
        entries = [Merit(a, n) for a, n in zip(OWNERS, amounts, strict=True) if n]
        by = self.world.accounts[sender]
        now = self.world.now
        whole = sum(entry.amount for entry in entries) == job.merit
        allowed = by == job.requester and job.is_open(now) and job.entries is None
        allowed = allowed and (whole or (not entries and not job.books))
        if self.attempt(self.world.finishing(job.id, SumTree(entries)), by, allowed):
            job.entries = entries
            job.closes = min(job.closes, now + 2 * HOUR)

    @rule(job=jobs, sender=st.sampled_from([0, 1]))
    def cancel(self, job: Job, sender: int) -> None:
        by = self.world.accounts[sender]
        effective = self.world.now + 2 * HOUR
        allowed = by == job.requester and job.entries is None and effective < job.closes
        if self.attempt(self.world.bounty.functions.cancel(job.id), by, allowed):
            job.closes = effective

    @rule(hours=st.integers(1, 3))
    def wait(self, hours: int) -> None:
        self.world.travel(self.world.now + hours * HOUR)

    @rule(
        job=jobs,
        account=st.sampled_from(OWNERS),
        rounds=st.sets(st.integers(0, ROUNDS - 1)),
        merit=st.booleans(),
    )
    def claim(self, job: Job, account: bytes, rounds: set[int], merit: bool) -> None:
        """Proves whatever the account can prove of these rounds, paid before or not."""
        payments, fresh = [], set()
        for listed in job.books:
            places = [
                n
                for n, listing in enumerate(listed.contributions[: job.counts[listed.round]])
                if listing.account == account and self.is_provable(job, listed)
            ]
            if listed.round in rounds and places:
                payments += [listed.payment(place) for place in places]
                fresh.add(listed.round)
        fresh -= job.paid.get(account, set()) | job.settled(account)
        proof, worth, due = NOTHING, 0, set()
        if not job.entries:
            due = self.share_due(job, account, fresh)
            worth = self.share(job) * len(due)
        elif merit and account in {entry.account for entry in job.entries}:
            proof = merit_claim(SumTree(job.entries), job.entries, account)
            full = job.merit_full and account not in job.missed_merit
            worth = 0 if full or account in job.with_merit else proof[1]
        call = self.world.claiming(job.id, account, payments, proof)
        refused = self.unreached(job, {account: job.rate * len(fresh) + worth})
        receipt = self.attempt(call, self.world.anybody, bool(fresh or worth) and not refused)
        if receipt:
            event = self.world.event(receipt, "Claimed")
            assert event["amount"] == job.rate * len(fresh) + worth
            assert event["merit"] == worth
            job.paid.setdefault(account, set()).update(fresh)
            job.shared.setdefault(account, set()).update(due)
            job.with_merit |= {account} if worth and job.entries else set()
            job.merit_paid += worth
            self.delivered(job, {account: event["amount"]})

    @rule(
        job=jobs,
        number=st.integers(0, ROUNDS),
        ahead=st.sampled_from([0, 0, 0, 0, 1]),
        merit=st.booleans(),
        twist=st.sampled_from(["", "", "", "", "order", "twice", "another", "detail", "cut"]),
        data=st.data(),
    )
    def pay(
        self, job: Job, number: int, ahead: int, merit: bool, twist: str, data: st.DataObject
    ) -> None:
        """Whole rounds: out of order, twice, of another job, with lists of something else."""
        first = job.full + ahead
        books = [book for book in job.books if first <= book.round < first + number]
        if first + len(books) > len(job.books):
            return
        entries = job.entries if merit and job.entries else []
        others = [book for other in self.known if other is not job for book in other.books]
        listed = [
            [(each.account, contribution_detail(each.block, each.roster, each.digest))
             for each in book.contributions]
            for book in books
        ]  # fmt: skip
        if twist == "another" and listed and others:
            foreign = data.draw(st.sampled_from(others))
            listed[0] = [
                (each.account, contribution_detail(each.block, each.roster, each.digest))
                for each in foreign.contributions
            ]
        if twist == "order" and listed:
            listed[0] = listed[0][::-1]
        call = encode_whole(first, listed, entries)
        lists = call.lists
        if twist == "twice" and listed:
            call = replace(call, rounds=call.rounds + 1)
            lists += lists[20 * call.accounts + 17 * call.merits :]
        if twist == "detail" and listed:
            lists = lists[:-2] + bytes([lists[-2] ^ 1]) + lists[-1:]
        if twist == "cut" and listed:
            lists = lists[:-25]
        call = replace(call, lists=lists)
        honest = are_lists(job, call)
        certain = bool(job.entries) or not job.merit or not job.is_open(self.world.now)
        allowed = honest and certain and first == job.full and bool(call.rounds or entries)
        allowed = allowed and not (entries and job.merit_full)
        receipt = self.attempt(self.world.paying_lists(job.id, call), self.world.anybody, allowed)
        if not receipt:
            return
        said = self.world.paid_by(job.id, self.world.event(receipt, "Paid"))
        job.full += call.rounds
        books = job.books[first : job.full]
        dues: dict[bytes, tuple[set[int], set[int], int]] = {}
        for account in said:
            rounds = {
                book.round for book in books for each in book.contributions
                if each.account == account
            }  # fmt: skip
            fresh = rounds - job.paid.get(account, set())
            shares = set() if job.entries else rounds - job.shared.get(account, set())
            worth = self.share(job) * len(shares)
            if account not in job.with_merit:
                worth += sum(entry.amount for entry in entries if entry.account == account)
            dues[account] = fresh, shares, worth
        amounts = {a: job.rate * len(fresh) + worth for a, (fresh, _, worth) in dues.items()}
        refused = self.unreached(job, amounts)
        self.delivered(job, amounts)
        for account, (fresh, shares, worth) in dues.items():
            amount = amounts[account]
            if account in refused:
                assert said[account] == (0, 0)
                job.missed.setdefault(account, set()).update(range(first, job.full))
                job.missed_merit |= {account} if entries else set()
                continue
            assert said[account] == (sum(1 << each for each in fresh), amount)
            job.paid.setdefault(account, set()).update(fresh)
            job.shared.setdefault(account, set()).update(shares)
            job.with_merit |= {entry.account for entry in entries if entry.account == account}
            job.merit_paid += worth
        job.merit_full = job.merit_full or bool(entries)

    def share(self, job: Job) -> int:
        """Of one contribution, once the job has closed without a sum tree."""
        contributions = sum(job.counts)
        if job.entries or job.is_open(self.world.now) or not contributions:
            return 0
        return job.merit // contributions

    @rule(greedy=st.booleans())
    def a_hostile_one_changes_its_mind(self, greedy: bool) -> None:
        account = GREEDY if greedy else PROUD
        to = account not in self.out_of_reach
        one = self.greedy_one.functions.burn(to) if greedy else self.proud_one.functions.refuse(to)
        self.world.send(one)
        self.out_of_reach ^= {account}

    @rule(job=jobs, claims=st.booleans())
    def the_caller_means_to_call_back(self, job: Job, claims: bool) -> None:
        functions = self.world.bounty.functions
        call = self.world.claiming(job.id, CALLER, []) if claims else functions.withdraw(job.id)
        data = bytes.fromhex(call._encode_transaction_data()[2:])
        self.world.send(self.caller.functions.call_back(self.world.bounty.address, data))

    def unreached(self, job: Job, amounts: dict[bytes, int]) -> set[bytes]:
        """Whom money that is sent in this order does not reach. Nothing is sent of zero."""
        return {account for account, amount in amounts.items() if amount} & self.out_of_reach

    def delivered(self, job: Job, amounts: dict[bytes, int]) -> None:
        """These were sent, but to whom they did not reach."""

    @rule(job=jobs, other=jobs, account=st.sampled_from(OWNERS), data=st.data())
    def steal(self, job: Job, other: Job, account: bytes, data: st.DataObject) -> None:
        """Brings another account's place, another job's, or one past the count."""
        if not other.books or not job.books:
            return
        listed = data.draw(st.sampled_from(other.books))
        place = data.draw(st.integers(0, len(listed.contributions) - 1))
        mine = job.books[listed.round] if listed.round < len(job.books) else None
        if mine is not None and (
            listed.round in job.paid.get(account, set()) | job.settled(account)
            or proves(mine, job.counts[listed.round], account, listed.payment(place))
        ):
            return
        call = self.world.claiming(job.id, account, [listed.payment(place)])
        self.attempt(call, self.world.anybody, False)

    @rule(job=jobs, sender=st.sampled_from([0, 1]))
    def withdraw(self, job: Job, sender: int) -> None:
        by = self.world.accounts[sender]
        free = self.world.surplus(job.id)
        allowed = by == job.requester and free > 0 and not self.unreached(job, {bytes(20): free})
        receipt = self.attempt(self.world.bounty.functions.withdraw(job.id), by, allowed)
        if receipt:
            job.withdrawn += self.world.event(receipt, "Withdrawn")["amount"]
            self.delivered(job, {bytes(20): free})

    @rule(job=consumes(jobs))
    def post_the_same_spec_again(self, job: Job) -> Any:
        terms = self.world.terms(job.spec, rate=0, merit=0)
        self.attempt(self.world.posting(terms), job.requester, False)

    @invariant()
    def the_balance_covers_all_that_is_owed(self) -> None:
        world = self.world
        held = owed = 0
        assert not world.read(self.caller, "worked"), "somebody who is paid called back"
        for job in self.known:
            of_job = world.job(job.id)["held"]
            bound = sum(world.view("liabilities", job.id))
            assert of_job == job.escrow - job.rate_paid - job.merit_paid - job.withdrawn
            assert bound <= of_job
            # Rate is owed for every contribution that was ever committed, paid or not.
            assert job.rate_paid <= job.rate * sum(job.counts)
            if job.token == ETHER:
                held += of_job
                owed += bound
        assert owed <= held == world.ether(world.bounty.address)

    @invariant()
    def owners_hold_what_the_claims_said(self) -> None:
        gained = sum(self.world.ether(account) - self.before[account] for account in OWNERS)
        assert gained == sum(j.rate_paid + j.merit_paid for j in self.known if j.token == ETHER)

    @staticmethod
    def is_provable(job: Job, listed: Book) -> bool:
        """A count of another depth than the tree's makes every proof too long or too short."""
        count, leaves = job.counts[listed.round], listed.tree.count
        return (count - 1).bit_length() == (leaves - 1).bit_length()

    def share_due(self, job: Job, account: bytes, fresh: set[int]) -> set[int]:
        """Rounds that an unfinished job's closing owes the account, now that `fresh` join."""
        if not self.share(job):
            return set()
        return (job.paid.get(account, set()) | fresh) - job.shared.get(account, set())

    def settle(self) -> None:
        """At the end all is claimed and withdrawn: what stays is what no proof can reach."""
        world = self.world
        if not self.known:
            return
        world.travel(max([world.now, *(job.closes for job in self.known)]) + 1)
        world.send(self.proud_one.functions.refuse(False))
        world.send(self.greedy_one.functions.burn(False))
        self.out_of_reach = set()
        for job in self.known:
            for account in OWNERS:
                self.claim(job, account, set(range(ROUNDS)), True)
            self.withdraw(job, world.accounts.index(job.requester))
            reached = sum(len(rounds) for rounds in job.paid.values())
            lost = sum(job.counts) - reached
            stuck = job.rate * lost
            if not job.entries and job.books:
                stuck += job.merit // sum(job.counts) * lost
            assert world.job(job.id)["held"] == stuck
        self.the_balance_covers_all_that_is_owed()
        self.owners_hold_what_the_claims_said()


class VenomBounties(Bounties):
    experimental = True


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        pytest.param(Bounties, 0.1, id="legacy"),
        pytest.param(VenomBounties, 0.05, id="venom", marks=pytest.mark.ci),
    ],
)
def test_money_out_never_exceeds_money_in_whoever_tries_what(
    machine: type[Bounties], part: float
) -> None:
    # Calls to the chain take their time, whatever is drawn.
    run_state_machine_as_test(machine, settings=examples(part, steps=20, allow=list(HealthCheck)))
