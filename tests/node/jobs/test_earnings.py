"""What an owner earned follows from the chain's events and the job's books, round by round."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from kits.books import Books, make_books, make_job

from node.chain import events
from node.engine.engine import Machine
from node.jobs import purse
from node.jobs.earnings import earned
from node.jobs.purse import MoneyCalls
from node.store.blobs import BlobRef, Blobs
from node.store.jobs import StoredEvent
from protocol.addresses import to_checksum
from protocol.books import receipts
from protocol.books.evidence import encode_evidence
from protocol.books.typed_data import Domain
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import EarnedRound, OwnerState
from protocol.tokens import NO_TOKENS

CLAIM, LATER = b"\xc1" * 32, b"\xc2" * 32


@pytest.fixture
def books() -> Books:
    return make_books(make_job(11), [(0, 1), (0,)])


class Services:
    """What a node's money is made of, its chain in memory."""

    def __init__(self, path: Path, books: Books, **changes: Any) -> None:
        self.blobs = Blobs(path)
        self.blobs.put(encode_evidence(books.evidence))
        for data, _ in books.lists.values():
            self.blobs.put(data)
        job = books.job
        me = job.people[0]
        self.payout = job.cohort.members[0].payout
        earned_rounds = tuple(
            EarnedRound(r.number, r.root, r.list_digest, r.list_size, 10 + r.number)
            for r in books.evidence.rounds
        )
        state = OwnerState(
            phase=JobPhase.FINISHING,
            dataset="ward",
            payout=self.payout,
            earned=earned_rounds,
            evidence_digest=books.evidence_digest,
            **changes,
        )
        context = JobContext(
            job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort
        )
        self.machine = Machine(Role.OWNER, context, state)
        self.engine = SimpleNamespace(machines={job.id: self.machine})
        self.told: list[StoredEvent] = []
        self.store = SimpleNamespace(read=self._read)
        self.config = SimpleNamespace(payout=None)
        self._signer = Account.from_key(b"\x07" * 32)
        own = bytes.fromhex(self._signer.address[2:])
        self.keys = SimpleNamespace(account=own, sign_digest=self._sign)
        self.chain = SimpleNamespace(chain_id=7, balance=self._balance)
        self.domain = Domain(7, b"\x0c" * 20)

    async def _read(self, _: Any) -> dict[bytes, list[StoredEvent]]:
        return {self.machine.key: self.told}

    async def _balance(self, _: bytes) -> int:
        return 5

    def _sign(self, digest: bytes) -> bytes:
        return bytes(self._signer.unsafe_sign_hash(digest).signature)

    def tokens(self) -> Any:
        return NO_TOKENS

    def blob(self, digest: bytes) -> BlobRef:
        size = self.blobs.size(digest)
        assert size is not None
        return BlobRef(digest, size)

    def claimed(self, bits: int, merit: int, tx: bytes, block: int) -> None:
        rate = self.machine.context.spec.payment.rate
        amount = bits.bit_count() * rate + merit
        event = events.Claimed(self.machine.key, self.payout, amount, bits, merit)
        self.told.append(StoredEvent(block, tx, event))


def test_due_and_paid_are_told_round_by_round(tmp_path: Path, books: Books) -> None:
    services: Any = Services(tmp_path, books)
    rate = services.machine.context.spec.payment.rate
    services.claimed(0b01, 0, CLAIM, 30)
    found = earned(services, {services.machine.key: services.told})
    assert [(e.round, e.due, e.paid, e.transaction) for e in found] == [
        (0, rate, rate, CLAIM),
        (1, rate, 0, b""),
    ]
    assert all(len(e.batch) == 32 and e.size > 0 for e in found)
    assert found[0].batch != found[1].batch
    assert {(e.account, e.dataset) for e in found} == {(services.payout, "ward")}


def test_merit_is_due_by_the_evidence_on_the_chain_and_paid_by_a_claim(
    tmp_path: Path, books: Books
) -> None:
    services: Any = Services(tmp_path, books, evidence_on_chain=books.evidence_digest)
    share = next(s.amount for s in books.evidence.merit if s.account == services.payout)
    assert share
    *_, merit = earned(services, {services.machine.key: services.told})
    assert (merit.round, merit.due, merit.paid, merit.at) == (None, share, 0, 0)
    services.claimed(0b11, share, LATER, 40)
    *_, merit = earned(services, {services.machine.key: services.told})
    assert (merit.due, merit.paid, merit.transaction, merit.at) == (share, share, LATER, 40)


def test_merit_in_equal_shares_comes_with_each_claim(tmp_path: Path, books: Books) -> None:
    """A job that closed without a sum tree, and more rounds than one claim holds."""
    services: Any = Services(tmp_path, books)
    services.claimed(0b01, 3, CLAIM, 30)
    services.claimed(0b10, 4, LATER, 40)
    found = earned(services, {services.machine.key: services.told})
    merit = [(e.due, e.paid, e.transaction, e.at) for e in found if e.round is None]
    assert merit == [(3, 3, CLAIM, 30), (4, 4, LATER, 40)]


def test_whole_rounds_are_earned_as_claims_are(tmp_path: Path, books: Books) -> None:
    """The first was claimed before; another account's pay in the same event is not ours."""
    services: Any = Services(tmp_path, books, evidence_on_chain=books.evidence_digest)
    rate = services.machine.context.spec.payment.rate
    share = next(s.amount for s in books.evidence.merit if s.account == services.payout)
    services.claimed(0b01, 0, CLAIM, 30)
    mine, other = (int.from_bytes(a, "big") << 96 for a in (services.payout, bytes([9]) * 20))
    words = (mine | 0b10, share, other | 0b11, 0, other + (1 << 96), 0)
    event = events.Paid(services.machine.key, 0, 2, True, words)
    services.told.append(StoredEvent(40, LATER, event))
    found = earned(services, {services.machine.key: services.told})
    assert [(e.round, e.due, e.paid, e.transaction) for e in found] == [
        (0, rate, rate, CLAIM),
        (1, rate, rate, LATER),
        (None, share, share, LATER),
    ]


def test_no_list_is_read_for_sums_alone(tmp_path: Path, books: Books) -> None:
    services: Any = Services(tmp_path, books)
    services.blobs = None  # whoever opens one fails
    found = earned(services, {services.machine.key: []}, batches=False)
    assert [e.round for e in found] == [0, 1]


def test_a_round_that_the_chain_lost_is_not_earned(tmp_path: Path, books: Books) -> None:
    services: Any = Services(tmp_path, books)
    state = services.machine.state
    gone = tuple(dataclasses.replace(e, block=0) for e in state.earned)
    services.machine.state = dataclasses.replace(state, earned=gone)
    assert earned(services, {services.machine.key: []}) == []


async def test_the_account_and_its_receipts(
    tmp_path: Path, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spent(*_: Any) -> float | None:
        return 0.25

    monkeypatch.setattr(purse, "job_spent", spent)
    services: Any = Services(tmp_path, books, evidence_on_chain=books.evidence_digest)
    services.claimed(0b01, 0, CLAIM, 30)
    calls = MoneyCalls(services, lambda _: services.machine)
    account = await calls.account()
    rate = services.machine.context.spec.payment.rate
    share = next(s.amount for s in books.evidence.merit if s.account == services.payout)
    (coin,) = account.currencies
    assert (coin.token, coin.balance, coin.rate, coin.merit) == (None, 5, rate, share)
    services.config.payout = b"\x5a" * 20
    assert (await calls.account()).payout == to_checksum(b"\x5a" * 20)
    plain = await calls.earnings()
    assert plain.receipts == ""
    signed = await calls.earnings("0x", True)
    assert signed.lines == plain.lines
    found = receipts.verify(signed.receipts.encode())
    assert found.account == services.keys.account
    assert [line["due"] for line in found.lines] == [str(line.due) for line in plain.lines]
    assert json.loads(signed.receipts.splitlines()[0])["chain_id"] == 7
