"""The contract's rules without an EVM: contracts/bounty.vy for jobs in ether, word for word.

`test_virtual_ledger.py` walks both and compares. A ledger is a value: `apply` leaves the one that
it is given as it was, so that every chain block keeps its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak

from protocol.books.enrolment import job_id
from protocol.books.trees import (
    EMPTY,
    NODE_BYTES,
    Merit,
    SumNode,
    SumTree,
    depth_of,
    index_root,
    verify_index,
    verify_sum,
)
from protocol.books.typed_data import Commitment, Domain, commitment_digest, recover
from protocol.errors import Malformed

#: The contract's are two hours and one; a world that waits for them sets these.
NOTICE = 7200
MAX_VALIDITY = 3600
_MERIT_BIT = 1 << 255


class Revert(Exception):
    """What the contract refuses, in its words."""


@dataclass(frozen=True)
class Job:
    requester: bytes
    token: bytes
    rounds: int
    cohort: int
    rate: int
    merit: int
    closes: int
    held: int
    merit_left: int
    finished: bool = False
    by_tree: bool = False
    merit_root: bytes = bytes(32)
    enrolled: tuple[tuple[bytes, int], ...] = ()
    committed: tuple[tuple[bytes, int, bytes], ...] = ()
    contributions: int = 0
    unpaid: int = 0
    paid: Mapping[bytes, int] = field(default_factory=dict)
    shared: Mapping[bytes, int] = field(default_factory=dict)
    full: int = 0
    merit_full: bool = False

    def settled(self, account: bytes) -> int:
        """As the contract's `paid` shows it: nobody here refuses its pay."""
        whole = (1 << self.full) - 1 | (_MERIT_BIT if self.merit_full else 0)
        return self.paid.get(account, 0) | whole

    def view(self) -> tuple[Any, ...]:
        """As the contract's `jobs` shows it."""
        return (
            self.requester,
            self.token,
            self.rounds,
            self.cohort,
            self.rate,
            self.merit,
            self.closes,
            self.finished,
            len(self.committed),
            len(self.enrolled),
            sum(count for _, count in self.enrolled),
            self.contributions,
            self.unpaid,
            self.merit_left,
            self.merit_root,
            self.held,
            self.full,
            self.merit_full,
        )


NOBODY = (
    *(bytes(20), bytes(20), 0, 0, 0, 0, 0, False, 0, 0, 0, 0, 0, 0, bytes(32), 0),
    *(0, False),
)


@dataclass(frozen=True)
class Log:
    """An event: its name, and its fields in the order of the contract."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Ledger:
    """All jobs, and the ether of all accounts; the contract's own is what its jobs hold."""

    domain: Domain
    jobs: Mapping[bytes, Job] = field(default_factory=dict)
    balances: Mapping[bytes, int] = field(default_factory=dict)

    def apply(
        self, sender: bytes, value: int, now: int, function: str, args: tuple[Any, ...]
    ) -> tuple[Ledger, tuple[Log, ...]]:
        """A call's outcome. Raises Revert."""
        call = _Call(self, sender, value, now)
        require(function == "post" or not value, "no ether is taken")
        require(self.balances.get(sender, 0) >= value, "insufficient funds")
        call.move(sender, -value)
        getattr(call, function)(*args)
        return call.after, tuple(call.logs)


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise Revert(reason if ": " in reason else f"bounty: {reason}")


class _Call:
    def __init__(self, before: Ledger, sender: bytes, value: int, now: int) -> None:
        self.after, self._sender, self._value, self._now = before, sender, value, now
        self.logs: list[Log] = []

    def move(self, account: bytes, amount: int) -> None:
        held = self.after.balances
        balances = {**held, account: held.get(account, 0) + amount}
        self.after = dataclasses.replace(self.after, balances=balances)

    def _put(self, job: bytes, held: Job) -> None:
        self.after = dataclasses.replace(self.after, jobs={**self.after.jobs, job: held})

    def _log(self, name: str, **fields: Any) -> None:
        self.logs.append(Log(name, fields))

    def _posted(self, job: bytes) -> Job:
        require(job in self.after.jobs, "unknown job")
        return self.after.jobs[job]

    def _own(self, job: bytes) -> Job:
        held = self._posted(job)
        require(self._sender == held.requester, "not the requester")
        return held

    def _open(self, held: Job) -> None:
        require(not held.finished, "finished")
        require(self._now < held.closes, "closed")

    def post(
        self,
        spec: bytes,
        token: bytes,
        rounds: int,
        cohort: int,
        rate: int,
        merit: int,
        expiry: int,
    ) -> None:
        job = job_id(self.after.domain, self._sender, spec)
        require(job not in self.after.jobs, "posted already")
        require(1 <= rounds <= 255, "rounds not in 1 to 255")
        require(1 <= cohort <= 4096, "cohort not in 1 to 4096")
        require(expiry > self._now, "expiry is past")
        escrow = rounds * cohort * rate + merit
        require(self._value == escrow, "escrow is not the value")
        held = Job(self._sender, token, rounds, cohort, rate, merit, expiry, escrow, merit)
        self._put(job, held)
        self._log(
            "Posted",
            job=job,
            requester=self._sender,
            spec_digest=spec,
            token=token,
            rounds=rounds,
            cohort=cohort,
            rate=rate,
            merit=merit,
            expiry=expiry,
        )

    def enrol(self, job: bytes, root: bytes, count: int) -> None:
        held = self._own(job)
        self._open(held)
        require(root != EMPTY, "root is empty")
        require(count != 0, "count is zero")
        total = sum(each for _, each in held.enrolled) + count
        require(total <= held.cohort, "cohort is full")
        self._put(job, dataclasses.replace(held, enrolled=(*held.enrolled, (root, count))))
        self._log("Enrolled", job=job, index=len(held.enrolled), root=root, count=count)

    def commit(
        self,
        job: bytes,
        number: int,
        root: bytes,
        count: int,
        model: bytes,
        until: int,
        signature: bytes,
    ) -> None:
        held = self._posted(job)
        require(self._now < held.closes, "closed")
        require(number == len(held.committed), "not the next round")
        require(number < held.rounds, "no rounds left")
        require(root != EMPTY, "root is empty")
        require(0 < count <= held.cohort, "count not in 1 to cohort")
        require(self._now <= until, "commitment has expired")
        require(until <= self._now + MAX_VALIDITY, "commitment is valid for too long")
        if signature or self._sender != held.requester:
            if len(signature) != 65:
                raise Revert("signing: length is not 65")
            statement = Commitment(job, number, root, count, model, until)
            try:
                signer = recover(commitment_digest(self.after.domain, statement), signature)
            except Malformed as error:
                raise Revert("bounty: not signed by the requester") from error
            require(signer == held.requester, "not signed by the requester")
        self._put(
            job,
            dataclasses.replace(
                held,
                committed=(*held.committed, (root, count, model)),
                contributions=held.contributions + count,
                unpaid=held.unpaid + count,
            ),
        )
        self._log(
            "Committed",
            job=job,
            round=number,
            root=root,
            count=count,
            model_digest=model,
            submitter=self._sender,
        )

    def finish(self, job: bytes, model: bytes, evidence: bytes, root: bytes, total: int) -> None:
        held = self._own(job)
        self._open(held)
        none = total == 0 and not held.contributions
        require(total == held.merit or none, "merit total is not the pot")
        require((root == EMPTY) == (total == 0), "merit root does not fit the total")
        after = dataclasses.replace(
            held, finished=True, by_tree=total > 0, closes=min(held.closes, self._now + NOTICE)
        )
        self._put(job, dataclasses.replace(after, merit_root=root) if total else after)
        self._log(
            "Finished",
            job=job,
            model_digest=model,
            evidence_digest=evidence,
            merit_root=root,
            merit_total=total,
            effective=after.closes,
        )

    def cancel(self, job: bytes) -> None:
        held = self._own(job)
        self._open(held)
        effective = self._now + NOTICE
        require(effective < held.closes, "closes sooner already")
        self._put(job, dataclasses.replace(held, closes=effective))
        self._log("Cancelled", job=job, effective=effective)

    def claim(
        self,
        job: bytes,
        account: bytes,
        payments: bytes,
        merit: tuple[int, int, tuple[tuple[bytes, int], ...]],
    ) -> None:
        held = self._posted(job)
        before, settled = held.paid.get(account, 0), held.settled(account)
        known = self._proved(held, account, payments, settled)
        bits, worth, shared = known ^ settled, 0, held.shared
        after = before | bits
        position, amount, proof = merit
        if held.by_tree:
            if amount and not known & _MERIT_BIT:
                top = SumNode(held.merit_root, held.merit)
                nodes = tuple(SumNode(digest, total) for digest, total in proof)
                fits = verify_sum(top, position, Merit(account, amount), nodes)
                require(fits, "merit is not under the root")
                worth, after = amount, after | _MERIT_BIT
        else:
            require(amount == 0, "merit without a sum tree")
            if self._now >= held.closes and (due := after & ~shared.get(account, 0)):
                share = held.merit // held.contributions
                worth = share * due.bit_count()
                shared = {**shared, account: after} if share else shared
        require(bool(bits or worth), "nothing to pay")
        number = bits.bit_count()
        pay = number * held.rate + worth
        require(number <= held.unpaid, "more than the rate owed")
        require(pay <= held.held, "more than the job holds")
        require(worth <= held.merit_left, "more than the merit left")
        self._put(
            job,
            dataclasses.replace(
                held,
                paid={**held.paid, account: after},
                shared=shared,
                unpaid=held.unpaid - number,
                merit_left=held.merit_left - worth,
                held=held.held - pay,
            ),
        )
        self.move(account, pay)
        self._log("Claimed", job=job, account=account, amount=pay, rounds_bits=bits, merit=worth)

    def pay(
        self, job: bytes, first: int, rounds: int, accounts: int, merits: int, lists: bytes
    ) -> None:
        """Whole rounds, by hand from the page: docs/spec/contract.md, 'Whole rounds'."""
        held = self._posted(job)
        require(rounds or merits, "paying: nothing to pay")
        require(first == held.full, "paying: not the next round to be paid in full")
        require(first + rounds <= len(held.committed), "paying: round is not committed")
        share = 0
        if not held.by_tree:
            require(merits == 0, "paying: merit without a sum tree")
            if held.merit:
                require(self._now >= held.closes, "paying: merit is not certain yet")
                share = held.merit // held.contributions
        names = [lists[20 * n : 20 * n + 20] for n in range(accounts)]
        above = zip([bytes(20), *names], names, strict=False)
        require(all(a < b for a, b in above), "paying: accounts do not ascend")
        at, worths = 20 * accounts, dict.fromkeys(names, 0)
        entries = []
        for _ in range(merits):
            entries.append(Merit(names[lists[at]], int.from_bytes(lists[at + 1 : at + 17], "big")))
            at += 17
        if merits:
            require(not held.merit_full, "paying: merit is paid in full already")
            root = SumTree(entries).root
            require(root.hash == held.merit_root, "paying: merit is not what the root says")
            worths |= {entry.account: entry.amount for entry in entries}
        bits = dict.fromkeys(names, 0)
        for number in range(first, first + rounds):
            root, count, _ = held.committed[number]
            leaves = []
            for _ in range(count):
                account, detail = names[lists[at + 24]], lists[at : at + 24]
                leaves.append(keccak(account + bytes(11) + b"\x01" + detail + bytes(8)))
                bits[account] |= 1 << number
                at += 25
            require(index_root(leaves) == root, "paying: list is not what was committed")
        require(at == len(lists), "paying: lists do not end with the call")
        words, merit = [], bool(merits or share)
        for account in names:
            before = held.paid.get(account, 0)
            worth = 0 if before & _MERIT_BIT else worths[account]
            worth += share * (bits[account] & ~held.shared.get(account, 0)).bit_count()
            fresh = bits[account] & ~before
            amount = fresh.bit_count() * held.rate + worth
            words += [int.from_bytes(account, "big") << 96 | fresh >> first]
            words += [worth] if merit else []
            top = _MERIT_BIT if worths[account] else 0
            held = dataclasses.replace(
                held,
                paid={**held.paid, account: before | fresh | top},
                shared={**held.shared, account: held.shared.get(account, 0) | bits[account]},
                unpaid=held.unpaid - fresh.bit_count(),
                merit_left=held.merit_left - worth,
                held=held.held - amount,
            )
            self.move(account, amount)
        self._put(
            job,
            dataclasses.replace(
                held, full=held.full + rounds, merit_full=held.merit_full or merits > 0
            ),
        )
        self._log("Paid", job=job, first=first, rounds=rounds, merit=merit, payments=tuple(words))

    def _proved(self, held: Job, account: bytes, data: bytes, known: int) -> int:
        """The rounds' bits with those that the payments prove."""
        at, number = 0, 0
        while at < len(data):
            number += 1
            require(number <= 32, "payments do not end with a proof, or are more than 32")
            round_ = data[at]
            require(round_ < len(held.committed), "round is not committed")
            root, count, _ = held.committed[round_]
            end = at + 27 + depth_of(count) * NODE_BYTES
            if not known >> round_ & 1:
                position = int.from_bytes(data[at + 1 : at + 3], "big")
                detail = data[at + 3 : at + 27]
                leaf = keccak(account + bytes(11) + b"\x01" + detail + bytes(8))
                steps = range(at + 27, end, NODE_BYTES)
                proof = tuple(data[step : step + NODE_BYTES] for step in steps)
                fits = verify_index(root, count, position, leaf, proof)
                require(fits, "contribution is not under the round's root")
                known |= 1 << round_
            at = end
        require(at == len(data), "payments do not end with a proof, or are more than 32")
        return known

    def withdraw(self, job: bytes) -> None:
        held = self._own(job)
        amount = held.held - owed(held, self._now)
        require(amount > 0, "nothing to withdraw")
        self._put(job, dataclasses.replace(held, held=held.held - amount))
        self.move(self._sender, amount)
        self._log("Withdrawn", job=job, amount=amount)


def owed(held: Job, now: int) -> int:
    """What the job's money is bound to: the contract's liabilities."""
    rate = held.unpaid * held.rate
    if now >= held.closes and held.by_tree:
        return rate + held.merit_left
    if now >= held.closes:
        if not held.contributions:
            return rate
        return rate + held.merit_left - held.merit % held.contributions
    return rate + held.merit_left + (held.rounds - len(held.committed)) * held.cohort * held.rate
