"""The simulated contract is the contract: both are walked together, call by call.

A walk is drawn from a seed: calls of every kind by anybody, in any order, most of them refused.
After each, both must have said the same, hold the same, and have logged the same.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from kits.bounty import ETHER, NOTHING, Book, Raw, World, book, merit_claim, owner, packed
from web3.logs import DISCARD

from protocol.addresses import to_checksum
from protocol.books.trees import Merit, SumTree, contribution_detail
from protocol.books.typed_data import Commitment
from protocol.books.whole import encode_whole
from virtual import ledger as simulated
from virtual.chain import DOMAIN, plain

_GAS = 12_000_000
_ROOT = bytes([3]) * 32


class Walk:
    """The contract on a chain in memory, and the ledger beside it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.dice = world, random.Random(seed)
        self.people = [bytes.fromhex(each[2:]) for each in world.accounts[:3]]
        balances = dict.fromkeys(self.people, 10**24)
        self.ledger = simulated.Ledger(world.domain, {}, balances)
        self.jobs: list[bytes] = []
        self.books: dict[tuple[bytes, int], Book] = {}
        self.owners = [owner(number) for number in range(3)]
        self.said: list[str] = []
        self.happened: set[str] = set()

    def call(self, sender: bytes, value: int, function: str, *args: Any) -> None:
        """One call of both. Same answer, same logs, same state."""
        world = self.world
        shown = [self._abi(each) for each in args]
        if function == "pay":
            call: Any = Raw(world, "pay", shown[:-1], shown[-1])
        else:
            call = getattr(world.bounty.functions, function)(*shown)
        # The next transaction's block is mined at once, at the clock's present second.
        world.tester.mine_blocks(1)
        now = world.now
        terms = {"from": to_checksum(sender), "value": value, "gas": _GAS, "gasPrice": 10**10}
        real, logs = "", []
        try:
            call.call({key: terms[key] for key in ("from", "value", "gas")})
        except TransactionFailed as error:
            real = str(error.args[0])
            real = real or "reverted"
        else:
            receipt = world.w3.eth.get_transaction_receipt(call.transact(terms))
            assert receipt.status == 1
            now = int(world.w3.eth.get_block(receipt.blockNumber).timestamp)
            logs = [
                (name, {key: plain(value) for key, value in event.args.items()})
                for name in _EVENTS
                for event in world.bounty.events[name]().process_receipt(receipt, errors=DISCARD)
            ]
        ours, ours_logs = "", []
        try:
            self.ledger, found = self.ledger.apply(sender, value, now, function, args)
            ours_logs = [(log.name, dict(log.fields)) for log in found]
        except simulated.Revert as revert:
            ours = str(revert)
        self.said.append(ours)
        self.happened |= {name for name, _ in ours_logs}
        assert bool(ours) == bool(real), (function, ours, real)
        if ": " in real and "b''" not in real:
            assert ours in real, (function, ours, real)
        assert ours_logs == logs
        self._compare()

    def _compare(self) -> None:
        for job in self.jobs:
            held = self.ledger.jobs[job]
            assert held.view() == plain(self.world.view("jobs", job))
            self.world.tester.mine_blocks(1)
            assert simulated.owed(held, self.world.now) == sum(self.world.view("liabilities", job))
            for account in self.owners:
                paid = self.world.view("paid", job, to_checksum(account))
                assert held.settled(account) == paid
        for account in self.owners:
            assert self.ledger.balances.get(account, 0) == self.world.ether(account)

    @staticmethod
    def _abi(value: Any) -> Any:
        return to_checksum(value) if isinstance(value, bytes) and len(value) == 20 else value

    # --- what is drawn ----------------------------------------------------------------------

    def step(self) -> None:
        kinds = [self.post] if not self.jobs else self._kinds()
        self.dice.choice(kinds)()

    def _kinds(self) -> list[Any]:
        often = [self.commit] * 3 + [self.claim] * 4 + [self.pay] * 2
        once = [self.post, self.enrol, self.finish, self.cancel, self.withdraw, self.wait]
        return [*often, *once]

    def who(self) -> bytes:
        return self.dice.choice([self.people[0]] * 3 + self.people)

    def job(self) -> bytes:
        return self.dice.choice(self.jobs)

    def post(self) -> None:
        rounds, cohort = self.dice.randint(0, 3), self.dice.randint(1, 4)
        rate, merit = self.dice.randint(0, 100), self.dice.choice((0, 1000))
        expiry = self.world.now + self.dice.choice((-5, 7_000, 90_000, 90_000))
        spec = bytes([self.dice.randint(0, 3)]) * 32
        before, sender = set(self.ledger.jobs), self.people[0]
        escrow = rounds * cohort * rate + merit
        token = bytes.fromhex(ETHER[2:])
        self.call(sender, escrow, "post", spec, token, rounds, cohort, rate, merit, expiry)
        self.jobs += [job for job in self.ledger.jobs if job not in before]

    def enrol(self) -> None:
        root = self.dice.choice((_ROOT, _ROOT, bytes(32)))
        self.call(self.who(), 0, "enrol", self.job(), root, self.dice.randint(0, 3))

    def commit(self) -> None:
        job = self.job()
        number = len(self.ledger.jobs[job].committed) + self.dice.choice((0, 0, 0, 1))
        listed = book(number, *self.dice.sample(self.owners, self.dice.randint(1, 3)))
        until = self.world.now + self.dice.choice((600, 600, -600, 9_000))
        terms = job, number, listed.tree.root, listed.tree.count, bytes([number + 1]) * 32, until
        signer = to_checksum(self.dice.choice([self.people[0]] * 4 + self.people[1:]))
        signed = self.world.sign(Commitment(*terms), signer)
        signature = self.dice.choice((signed, signed, b""))
        before = len(self.ledger.jobs[job].committed)
        self.call(self.who(), 0, "commit", *terms, signature)
        if len(self.ledger.jobs[job].committed) > before:
            self.books[job, number] = listed

    def _tree(self, job: bytes) -> tuple[SumTree, list[Merit]]:
        entries = [Merit(self.owners[0], 400), Merit(self.owners[1], 600)]
        return SumTree(entries), entries

    def finish(self) -> None:
        job = self.job()
        held, (tree, _) = self.ledger.jobs[job], self._tree(job)
        pot = held.merit if held.contributions and self.dice.random() < 0.9 else 0
        root = tree.root.hash if pot else bytes(32)
        digests = bytes([9]) * 32, bytes([10]) * 32
        self.call(self.who(), 0, "finish", job, *digests, root, pot)

    def cancel(self) -> None:
        self.call(self.who(), 0, "cancel", self.job())

    def withdraw(self) -> None:
        self.call(self.who(), 0, "withdraw", self.job())

    def wait(self) -> None:
        self.world.travel(self.world.now + self.dice.choice((10, 10, 10, 8_000)))

    def claim(self) -> None:
        job, account = self.job(), self.dice.choice(self.owners)
        listed = [each for (of, _), each in self.books.items() if of == job]
        mine = [b for b in listed if account in {c.account for c in b.contributions}]
        chosen = [b for b in mine if self.dice.random() < 0.8]
        payments = packed([each.payment_of(account) for each in chosen])
        if payments and self.dice.random() < 0.15:
            flipped = bytearray(payments)
            flipped[self.dice.randrange(len(flipped))] ^= 1
            payments = bytes(flipped)
        tree, entries = self._tree(job)
        merit: Any = NOTHING
        named = account in {entry.account for entry in entries}
        if named and self.ledger.jobs[job].finished and self.dice.random() < 0.7:
            merit = merit_claim(tree, entries, account)
        place, amount, proof = merit
        told = place, amount, tuple((node[0], node[1]) for node in proof)
        self.call(self.who(), 0, "claim", job, account, payments, told)

    def pay(self) -> None:
        job = self.job()
        held = self.ledger.jobs[job]
        first = held.full + self.dice.choice((0, 0, 0, 0, 1))
        last = min(len(held.committed), first + self.dice.randint(0, 3))
        books = [self.books[job, number] for number in range(first, last)]
        rounds = [
            [
                (each.account, contribution_detail(each.block, each.roster, each.digest))
                for each in listed.contributions
            ]
            for listed in books
        ]
        entries = self._tree(job)[1] if held.by_tree and self.dice.random() < 0.5 else []
        call = encode_whole(first, rounds, entries)
        lists = call.lists
        if rounds and self.dice.random() < 0.15:
            # In a detail: what is elsewhere is refused in other words than the ledger's.
            at = len(lists) - 2 - self.dice.randrange(20)
            lists = lists[:at] + bytes([lists[at] ^ 1]) + lists[at + 1 :]
        numbers = call.first, call.rounds, call.accounts, call.merits
        self.call(self.who(), 0, "pay", job, *numbers, lists)


_EVENTS = (
    *("Posted", "Enrolled", "Committed", "Finished", "Cancelled", "Claimed", "Withdrawn"),
    "Paid",
)


@pytest.fixture(scope="module")
def chain() -> World:
    return World()


def test_the_ledger_says_what_the_contract_says(chain: World) -> None:
    happened: set[str] = set()
    refused: set[str] = set()
    for seed in (3, 5, 6):
        snapshot = chain.tester.take_snapshot()
        walk = Walk(chain, seed)
        for _ in range(60):
            walk.step()
        chain.tester.revert_to_snapshot(snapshot)
        happened |= walk.happened
        refused |= set(walk.said)
    assert happened == set(_EVENTS)
    assert len(refused) >= 12, refused


def test_a_ledger_is_a_value() -> None:
    """A chain block keeps the one that was true after it."""
    before = simulated.Ledger(DOMAIN, {}, {bytes(20): 10**20})
    copy = dataclasses.replace(before)
    terms = bytes(32), bytes(20), 1, 5, 10, 0, 10**10
    after, _ = before.apply(bytes(20), 50, 0, "post", terms)
    assert before == copy
    assert after != before
