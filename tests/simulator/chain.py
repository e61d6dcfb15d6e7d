"""The chain, simulated: a block a second, the rules of contracts/bounty.vy, reorganisations."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.clock import Clock

from protocol.books.enrolment import job_id
from protocol.books.evidence import ClaimProof
from protocol.books.trees import (
    EMPTY,
    Merit,
    SumNode,
    SumTree,
    contribution_leaf,
    index_root,
    verify_index,
    verify_sum,
)
from protocol.books.typed_data import Commitment, Domain, commitment_digest, recover
from protocol.errors import Malformed

BLOCK_MS = 1_000
#: The contract's are two hours and one: as long a wait would only cost tests their time.
NOTICE = 120
MAX_VALIDITY = 60
_MERIT_BIT = 1 << 255


class Revert(Exception):
    """What the contract refuses."""


@dataclass
class Job:
    requester: bytes
    spec_digest: bytes
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
    merit_root: bytes = EMPTY
    unpaid: int = 0
    contributions: int = 0
    enrolled: list[tuple[bytes, int]] = field(default_factory=list)
    committed: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    paid: dict[bytes, int] = field(default_factory=dict)
    shared: dict[bytes, int] = field(default_factory=dict)
    full: int = 0


@dataclass(frozen=True)
class Log:
    """An event of the contract."""

    job: bytes
    name: str
    facts: dict[str, Any]


class Bounty:
    """The contract's state and functions, as far as jobs in ether go."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.jobs: dict[bytes, Job] = {}
        self.received: dict[bytes, int] = {}
        self.logs: list[Log] = []
        self.now = 0

    def call(self, sender: bytes, function: str, args: tuple[Any, ...]) -> None:
        getattr(self, function)(sender, *args)

    def post(
        self,
        sender: bytes,
        spec_digest: bytes,
        token: bytes,
        rounds: int,
        cohort: int,
        rate: int,
        merit: int,
        expiry: int,
    ) -> None:
        job = job_id(self.domain, sender, spec_digest)
        _require(job not in self.jobs, "posted already")
        _require(expiry > self.now, "expiry is past")
        escrow = rounds * cohort * rate + merit
        self.jobs[job] = Job(
            sender, spec_digest, token, rounds, cohort, rate, merit, expiry, escrow, merit
        )
        self._log(job, "Posted")

    def enrol(self, sender: bytes, job: bytes, root: bytes, count: int) -> None:
        held = self._open(job)
        _require(sender == held.requester, "not the requester")
        total = sum(n for _, n in held.enrolled) + count
        _require(total <= held.cohort, "cohort is full")
        held.enrolled.append((root, count))
        self._log(job, "Enrolled", index=len(held.enrolled) - 1, root=root, count=count)

    def commit(
        self,
        sender: bytes,
        job: bytes,
        round_: int,
        root: bytes,
        count: int,
        model_digest: bytes,
        valid_until: int,
        signature: bytes,
    ) -> None:
        held = self._posted(job)
        _require(self.now < held.closes, "closed")
        _require(round_ == len(held.committed), "not the next round")
        _require(round_ < held.rounds, "no rounds left")
        _require(0 < count <= held.cohort, "count not in 1 to cohort")
        _require(self.now <= valid_until, "commitment has expired")
        _require(valid_until <= self.now + MAX_VALIDITY, "commitment is valid for too long")
        if signature or sender != held.requester:
            statement = Commitment(job, round_, root, count, model_digest, valid_until)
            try:
                signer = recover(commitment_digest(self.domain, statement), signature)
            except Malformed as e:
                raise Revert("not signed by the requester") from e
            _require(signer == held.requester, "not signed by the requester")
        held.committed.append((root, count, model_digest))
        held.contributions += count
        held.unpaid += count
        facts = {"round": round_, "root": root, "count": count, "model_digest": model_digest}
        self._log(job, "Committed", **facts)

    def finish(
        self, sender: bytes, job: bytes, model: bytes, evidence: bytes, root: bytes, total: int
    ) -> None:
        held = self._open(job)
        _require(sender == held.requester, "not the requester")
        none = total == 0 and not held.contributions
        _require(total == held.merit or none, "merit total is not the pot")
        _require((root == EMPTY) == (total == 0), "merit root does not fit the total")
        held.finished, held.by_tree, held.merit_root = True, total > 0, root
        held.closes = min(held.closes, self.now + NOTICE)
        facts = {"model_digest": model, "evidence_digest": evidence, "effective": held.closes}
        self._log(job, "Finished", **facts)

    def cancel(self, sender: bytes, job: bytes) -> None:
        held = self._open(job)
        _require(sender == held.requester, "not the requester")
        effective = self.now + NOTICE
        _require(effective < held.closes, "closes sooner already")
        held.closes = effective
        self._log(job, "Cancelled", effective=effective)

    def claim(self, sender: bytes, job: bytes, proof: ClaimProof) -> None:
        held, account = self._posted(job), proof.account
        before = after = held.paid.get(account, 0)
        number = 0
        for each in proof.rounds:
            _require(each.round < len(held.committed), "round is not committed")
            root, count, _ = held.committed[each.round]
            if after >> each.round & 1:
                continue
            leaf = contribution_leaf(
                account, each.block, each.roster_digest, each.contribution_digest
            )
            there = verify_index(root, count, each.position, leaf, each.proof)
            _require(there, "contribution is not under the round's root")
            after |= 1 << each.round
            number += 1
        bits, worth = after ^ before, 0
        shared = held.shared.get(account, 0)
        if held.by_tree:
            if proof.merit and not after & _MERIT_BIT:
                top = SumNode(held.merit_root, held.merit)
                entry = Merit(account, proof.merit)
                fits = verify_sum(top, proof.merit_position, entry, proof.merit_proof)
                _require(fits, "merit is not under the root")
                worth, after = proof.merit, after | _MERIT_BIT
        else:
            _require(proof.merit == 0, "merit without a sum tree")
            if self.now >= held.closes and (due := after & ~shared):
                worth = held.merit // held.contributions * due.bit_count()
                shared = after
        _require(bool(bits or worth), "nothing to pay")
        amount = number * held.rate + worth
        _require(amount <= held.held and worth <= held.merit_left, "liabilities")
        held.paid[account], held.shared[account] = after, shared
        held.unpaid -= number
        held.merit_left -= worth
        held.held -= amount
        self.received[account] = self.received.get(account, 0) + amount
        self._log(job, "Claimed", account=account, amount=amount)

    def pay(
        self,
        sender: bytes,
        job: bytes,
        rounds: list[list[tuple[bytes, bytes]]],
        merit: list[Merit],
    ) -> None:
        """Whole rounds from the first on, each of (account, leaf), and merit if there is a tree."""
        held = self._posted(job)
        _require(not held.full and bool(rounds), "not the next round to be paid in full")
        _require(len(rounds) <= len(held.committed), "round is not committed")
        bits: dict[bytes, int] = {}
        for number, listed in enumerate(rounds):
            root, count, _ = held.committed[number]
            fits = len(listed) == count and index_root([leaf for _, leaf in listed]) == root
            _require(fits, "list is not what was committed")
            for account, _ in listed:
                bits[account] = bits.get(account, 0) | 1 << number
        worths: dict[bytes, int] = {}
        share = 0
        if held.by_tree:
            _require(SumTree(merit).root.hash == held.merit_root, "merit is not what the root says")
            worths = {entry.account: entry.amount for entry in merit}
        else:
            _require(not held.merit or self.now >= held.closes, "merit is not certain yet")
            share = held.merit // held.contributions
        for account in {**bits, **worths}:
            before, mine = held.paid.get(account, 0), bits.get(account, 0)
            worth = 0 if before & _MERIT_BIT else worths.get(account, 0)
            worth += share * (mine & ~held.shared.get(account, 0)).bit_count()
            fresh = mine & ~before
            amount = fresh.bit_count() * held.rate + worth
            held.paid[account] = before | mine | (_MERIT_BIT if account in worths else 0)
            held.shared[account] = held.shared.get(account, 0) | mine
            held.unpaid -= fresh.bit_count()
            held.merit_left -= worth
            held.held -= amount
            self.received[account] = self.received.get(account, 0) + amount
            if amount:
                # As the product's machines are told of each account in the one event.
                self._log(job, "Claimed", account=account, amount=amount)
        held.full = len(rounds)

    def withdraw(self, sender: bytes, job: bytes) -> None:
        held = self._posted(job)
        _require(sender == held.requester, "not the requester")
        amount = held.held - self._owed(held)
        _require(amount > 0, "nothing to withdraw")
        held.held -= amount
        self.received[sender] = self.received.get(sender, 0) + amount
        self._log(job, "Withdrawn", amount=amount)

    def _owed(self, held: Job) -> int:
        owed = held.unpaid * held.rate + held.merit_left
        if self.now >= held.closes and held.by_tree:
            return owed
        if self.now >= held.closes:
            spare = held.merit % held.contributions if held.contributions else held.merit_left
            return owed - spare
        return owed + (held.rounds - len(held.committed)) * held.cohort * held.rate

    def _posted(self, job: bytes) -> Job:
        _require(job in self.jobs, "unknown job")
        return self.jobs[job]

    def _open(self, job: bytes) -> Job:
        held = self._posted(job)
        _require(not held.finished, "finished")
        _require(self.now < held.closes, "closed")
        return held

    def _log(self, job: bytes, name: str, **facts: Any) -> None:
        self.logs.append(Log(job, name, facts))


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Revert(f"bounty: {reason}")


@dataclass
class Tx:
    """A transaction. `block` is 0 while it waits; `failed` says why it reverted."""

    id: str
    sender: bytes
    function: str
    args: tuple[Any, ...]
    not_before: int
    block: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Block:
    number: int
    timestamp: int
    hash: bytes
    logs: tuple[Log, ...]
    after: Bounty


class Chain:
    """Blocks from genesis on; `watchers` are told that something is new, and look themselves."""

    def __init__(self, clock: Clock, domain: Domain, seed: str) -> None:
        self.clock = clock
        self._random = random.Random(f"chain {seed}")
        self._forks = 0
        genesis = Bounty(domain)
        self.blocks = [Block(0, clock.now // 1000, self._hash(0), (), genesis)]
        self.txs: dict[str, Tx] = {}
        self.watchers: list[Callable[[], None]] = []
        self.reverted: list[tuple[str, str]] = []
        self._holds: dict[str, list[int]] = {}
        self._refused: set[str] = set()
        clock.after(BLOCK_MS, self._tick)

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    @property
    def state(self) -> Bounty:
        return self.head.after

    def submit(self, id_: str, sender: bytes, function: str, args: tuple[Any, ...]) -> None:
        """Hand a transaction in; the same id again changes nothing."""
        if id_ not in self.txs:
            wait = self._random.randint(50, 900)
            holds = self._holds.get(function)
            wait += holds.pop(0) if holds else 0
            self.txs[id_] = Tx(id_, sender, function, args, self.clock.now + wait)

    def hold(self, function: str, which: int, wait_ms: int) -> None:
        """Keep the `which`th transaction to `function` (from 1) waiting for so long."""
        self._holds[function] = [0] * (which - 1) + [wait_ms]

    def refuse(self, function: str) -> None:
        """Let every transaction to `function` revert."""
        self._refused.add(function)

    def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by others, one more of them. What stood in them waits
        again, some of it for a while."""
        keep = max(1, len(self.blocks) - depth)
        lost = len(self.blocks) - keep
        self.blocks = self.blocks[:keep]
        self._forks += 1
        for tx in self.txs.values():
            if tx.block >= keep:
                tx.block, tx.failed = 0, ""
                tx.not_before = self.clock.now + self._random.choice((0, 0, 1500, 3000))
        for index in range(lost + 1):
            # Blocks of the past keep their second; the last one is of now.
            self._mine(self.head.timestamp + (1 if index < lost else 0))
        self._tell()

    def _tick(self) -> None:
        self._mine(max(self.clock.now // 1000, self.head.timestamp))
        self._tell()
        self.clock.after(BLOCK_MS, self._tick)

    def _mine(self, timestamp: int) -> None:
        number = self.head.number + 1
        state = copy.deepcopy(self.state)
        state.now, state.logs = timestamp, []
        for tx in self.txs.values():
            if tx.block or tx.not_before > self.clock.now:
                continue
            tx.block = number
            before = copy.deepcopy(state)
            try:
                _require(tx.function not in self._refused, "refused by the test")
                state.call(tx.sender, tx.function, tx.args)
            except Revert as revert:
                state, tx.failed = before, str(revert)
                self.reverted.append((tx.id, tx.failed))
        logs = tuple(state.logs)
        self.blocks.append(Block(number, timestamp, self._hash(number), logs, state))

    def _hash(self, number: int) -> bytes:
        return hashlib.sha256(b"block %d %d" % (number, self._forks)).digest()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()
