"""The machine of test_contract_solvency, with settlements: honest, false, challenged and paid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from kits.bounty import HOUR, NOTHING, packed
from kits.examples import examples
from kits.solvency import COHORT, OWNERS, ROUNDS, Bounties, Job

from protocol.addresses import to_checksum
from protocol.books.settlement import SettledAccount, Settlement
from protocol.books.trees import Merit, SumTree

DAY = 24 * HOUR
WINDOW, BOND_TIME = 3 * DAY, 30 * DAY


@dataclass
class Book:
    """What the test knows of one job's settlement."""

    list: Settlement
    bond: int
    paid: set[int] = field(default_factory=set)
    rounds: int = 0  # paid from what was unpaid
    void: bool = False


class Settlements(Bounties):
    def __init__(self) -> None:
        super().__init__()
        self.books: dict[bytes, Book] = {}

    @initialize(target=Bounties.jobs, data=st.data())
    def one_that_is_settled(self, data: st.DataObject) -> Any:
        return self.make(data)

    @precondition(lambda self: len(self.known) < 5)
    @rule(target=Bounties.jobs, data=st.data())
    def another_that_is_settled(self, data: st.DataObject) -> Any:
        return self.make(data)

    def make(self, data: st.DataObject) -> Job:
        """The way to a settlement, which steps drawn one by one seldom take."""
        world = self.world
        accounts = st.lists(st.sampled_from(OWNERS), min_size=1, max_size=COHORT)
        rounds = data.draw(st.lists(accounts, min_size=1, max_size=ROUNDS))
        first, share = data.draw(st.integers(0, len(OWNERS) - 1)), data.draw(st.integers(0, 10))
        job = self.post(world.requester, data.draw(st.integers(0, 1000)), 1000, 24)
        for listed in rounds:
            self.commit(job, listed, len(listed), True)
        part = job.merit * share // 10
        amounts = {OWNERS[first]: part, OWNERS[first - 1]: job.merit - part}
        job.entries = [Merit(account, n) for account, n in amounts.items() if n]
        world.send(world.finishing(job.id, SumTree(job.entries)), job.requester)
        job.closes = min(job.closes, world.now + 2 * HOUR)
        world.travel(job.closes)
        early = data.draw(st.booleans())
        if early:
            self.claim(job, OWNERS[0], {0, 1}, False)
        self.bring(job, data, data.draw(st.sampled_from(["honest", "false", "puppet"])))
        return job

    @rule(days=st.sampled_from([1, 3, 31]))
    def wait_long(self, days: int) -> None:
        if self.books:
            self.world.travel(self.world.now + days * DAY)

    def earned(self, job: Job) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for listed in job.books:
            for n, leaf in enumerate(listed.contributions[: job.counts[listed.round]]):
                if self.is_provable(job, listed) and n < listed.tree.count:
                    found[leaf.account] = found.get(leaf.account, 0) | 1 << listed.round
        return found

    @precondition(lambda self: any(job.entries for job in self.known))
    @rule(data=st.data(), kind=st.sampled_from(["honest", "puppet", "false"]))
    def bring_settlement(self, data: st.DataObject, kind: str) -> None:
        job = data.draw(st.sampled_from([job for job in self.known if job.entries]))
        self.bring(job, data, kind)

    def bring(self, job: Job, data: st.DataObject, kind: str) -> None:
        world, now = self.world, self.world.now
        merit = {entry.account: entry.amount for entry in job.entries or ()}
        bits = dict.fromkeys(merit, 0) | self.earned(job)
        if kind == "puppet":
            robbed = data.draw(st.sampled_from(sorted(bits)))
            others = [account for account in OWNERS if account != robbed]
            free = ~bits.get(others[0], 0) & ((1 << 8) - 1)
            taken = bits.pop(robbed).bit_count()
            word = sum([1 << n for n in range(8) if free >> n & 1][:taken])
            bits[others[0]] = bits.get(others[0], 0) | word
            if robbed in merit:
                merit[others[0]] = merit.get(others[0], 0) + merit.pop(robbed)
        if kind == "false":
            for account in OWNERS:
                word = data.draw(st.integers(0, (1 << ROUNDS) - 1))
                bits[account] = data.draw(st.sampled_from([word, bits.get(account, 0)]))
            if len(merit) > 1 and data.draw(st.booleans()):
                merit = {OWNERS[0]: sum(merit.values())}
        leaves = [SettledAccount(a, bits[a], merit.get(a, 0)) for a in sorted(bits)]
        if not leaves:
            return
        settled, unpaid = Settlement(leaves), self.unpaid(job)
        deposit = data.draw(st.sampled_from([unpaid * job.rate, 0]))
        held = world.job(job.id)["held"] + deposit
        left = world.job(job.id)["merit_left"]
        allowed = (
            job.entries is not None
            and now >= job.closes
            and job.id not in self.books
            and (bool(job.entries) or job.merit == 0)
            and sum(each.rounds.bit_count() for each in leaves) <= sum(job.counts)
            and sum(each.merit for each in leaves) == job.merit
            and held >= 2 * unpaid * job.rate + left
        )
        call = world.settling(job.id, settled, deposit)
        if allowed:
            world.send(call, job.requester, deposit)
            job.deposited += deposit
            job.stands = now + WINDOW
            self.books[job.id] = Book(settled, unpaid)
        else:
            self.refused(call, job.requester, deposit)

    def refused(self, call: Any, sender: str, value: int = 0) -> None:
        self.world.refused(call, ".", sender, value)

    def unpaid(self, job: Job) -> int:
        proved = sum(len(rounds) for rounds in job.paid.values())
        return sum(job.counts) - proved - (self.books[job.id].rounds if self.settled(job) else 0)

    def settled(self, job: Job) -> bool:
        return job.id in self.books

    def standing(self, job: Job) -> bool:
        return self.settled(job) and self.world.now >= (job.stands or 0)

    def one_settled(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from([job for job in self.known if self.settled(job)]))

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def challenge(self, data: st.DataObject) -> None:
        job = self.one_settled(data)
        if not job.books:
            return
        world, book = self.world, self.books[job.id]
        listed = data.draw(st.sampled_from(job.books))
        place = data.draw(st.integers(0, len(listed.contributions) - 1))
        account, bit = listed.contributions[place].account, 1 << listed.round
        proves = place < job.counts[listed.round] and self.is_provable(job, listed)
        at = book.list.place(account)
        own = book.list.position_of(account)
        leaf = 0 if own is None else book.list.accounts[own].rounds
        args = packed([listed.payment(place)]), NOTHING, at.position, at.proof
        call = world.bounty.functions.challenge(job.id, to_checksum(account), *args)
        if book.void or not proves or leaf & bit:
            self.refused(call, world.anybody)
        elif not self.standing(job):
            unpaid = self.unpaid(job)
            event = world.event(world.send(call, world.anybody), "Voided")
            forfeited = book.bond * job.rate
            assert event["reward"] == forfeited // 8
            rest = forfeited - event["reward"]
            assert event["rate"] == job.rate + (rest // unpaid if unpaid else 0)
            job.rewarded += event["reward"]
            job.rate, book.void, book.bond, job.stands = event["rate"], True, 0, 2**64 - 1
        else:
            paid = listed.round in job.paid.get(account, set()) | job.late.get(account, set())
            within = world.now < (job.stands or 0) + BOND_TIME
            if paid or not within or not book.bond:
                self.refused(call, world.anybody)
            else:
                world.send(call, world.anybody)
                job.late.setdefault(account, set()).add(listed.round)
                book.bond -= 1
                job.rate_paid += job.rate

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def collect(self, data: st.DataObject) -> None:
        job = self.one_settled(data)
        world, book = self.world, self.books[job.id]
        position = data.draw(st.integers(0, len(book.list.accounts) - 1))
        call = world.bounty.functions.collect(job.id, position, book.list.leaf_and_proof(position))
        number, merit = self.due(job, position)
        short = max(0, number - self.unpaid(job))
        within = world.now < (job.stands or 0) + BOND_TIME
        allowed = (
            self.standing(job)
            and position not in book.paid
            and number * job.rate + merit > 0
            and (short == 0 or (within and short <= book.bond))
        )
        if not allowed:
            self.refused(call, world.anybody)
            return
        event = world.event(world.send(call, world.anybody), "Claimed")
        assert (event["amount"], event["merit"]) == (number * job.rate + merit, merit)
        self.book(job, {position}, number, merit)

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def pay_all(self, data: st.DataObject) -> None:
        self.pay(self.one_settled(data))

    def pay(self, job: Job) -> None:
        world, book = self.world, self.books[job.id]
        open_ = set(range(len(book.list.accounts))) - book.paid
        dues = [self.due(job, position) for position in open_]
        number, merit = sum(n for n, _ in dues), sum(m for _, m in dues)
        call = world.paying(job.id, book.list)
        if not (self.standing(job) and open_ and number <= self.unpaid(job)):
            self.refused(call, world.anybody)
            return
        world.send(call, world.anybody)
        self.book(job, open_, number, merit)

    def due(self, job: Job, position: int) -> tuple[int, int]:
        leaf = self.books[job.id].list.accounts[position]
        known = job.paid.get(leaf.account, set()) | job.late.get(leaf.account, set())
        bits = leaf.rounds & ~sum(1 << number for number in known)
        return bits.bit_count(), 0 if self.has_merit(job, leaf.account) else leaf.merit

    def book(self, job: Job, positions: set[int], number: int, merit: int) -> None:
        book = self.books[job.id]
        rounds = min(number, self.unpaid(job))
        book.bond -= number - rounds
        book.rounds += rounds
        book.paid |= positions
        job.rate_paid += number * job.rate
        job.merit_paid += merit

    def settle(self) -> None:
        """Whoever an honest settlement names has all that it earned, once all is paid."""
        world = self.world
        for job in self.known:
            if self.settled(job) and not self.books[job.id].void:
                world.travel(max(world.now, job.stands or 0))
                self.pay(job)
        super().settle()


class VenomSettlements(Settlements):
    experimental = True


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        pytest.param(Settlements, 0.1, id="legacy"),
        pytest.param(VenomSettlements, 0.05, id="venom", marks=pytest.mark.ci),
    ],
)
def test_no_settlement_lets_more_out_than_is_held(machine: type[Settlements], part: float) -> None:
    run_state_machine_as_test(machine, settings=examples(part, steps=30, allow=list(HealthCheck)))
