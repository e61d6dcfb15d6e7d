"""A requester's claims for everybody, all made at one time: its books are read once for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import Books, make_books, make_job

from node.chain.intents.intents import Intent
from node.engine.engine import Machine, Wanted
from node.engine.sharing import Shared
from node.perform.chain import claim_args, transact
from node.store.blobs import BlobRef, Blobs
from protocol.books import evidence
from protocol.books.evidence import Claims, encode_evidence, payouts
from protocol.books.trees import IndexTree
from protocol.machines import effects
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.requester.state import RequesterState, RoundRecords, Unpaid


@pytest.fixture
def ledger() -> Books:
    return make_books(make_job(11), [(0, 1), (0,), (1,)])


@pytest.fixture
def accounts(ledger: Books) -> tuple[bytes, ...]:
    return payouts(ledger.job.cohort, [listed for _, listed in ledger.rounds])


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often trees of rounds are built."""
    found: Counter[str] = Counter()

    def build(leaves: list[bytes]) -> IndexTree:
        found["trees"] += 1
        return IndexTree(leaves)

    monkeypatch.setattr(evidence, "IndexTree", build)
    return found


class Home:
    """The parts of a node that pays; `sent` are its intents, by id."""

    def __init__(self, path: Path, ledger: Books) -> None:
        self.sent: dict[str, Intent] = {}
        self.completed: list[int] = []
        self.blobs, self.claims = Blobs(path), Shared()
        self.blobs.put(encode_evidence(ledger.evidence))
        for data, _ in ledger.lists.values():
            self.blobs.put(data)
        self.config = SimpleNamespace(whole_rounds=True)
        self.intents = self.engine = self

    def blob(self, digest: bytes) -> BlobRef:
        return BlobRef(digest, self.blobs.size(digest) or 0)

    async def submit(self, intent: Intent) -> None:
        self.sent[intent.id] = intent

    async def complete(self, number: int) -> None:
        self.completed.append(number)


def wanted(ledger: Books, accounts: tuple[bytes, ...], number: int, effect: Any) -> Wanted:
    job = ledger.job
    state = RequesterState(
        phase=JobPhase.PAYING,
        records=RoundRecords.of(ledger.evidence.rounds),
        evidence_digest=ledger.evidence_digest,
        unpaid=Unpaid.of(accounts),
    )
    me = job.people[0]
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)
    return Wanted(number, Machine(Role.REQUESTER, context, state), effect)


async def test_claims_for_all_read_the_books_once(
    tmp_path: Path, ledger: Books, accounts: tuple[bytes, ...], built: Counter[str]
) -> None:
    home: Any = Home(tmp_path, ledger)
    async with trio.open_nursery() as nursery:
        for number, account in enumerate(accounts):
            effect = effects.TransactClaim(account, ledger.evidence_digest)
            want = wanted(ledger, accounts, number, effect)
            nursery.start_soon(transact, home, want, effect)
    assert sorted(home.completed) == list(range(len(accounts)))
    assert built["trees"] == len(ledger.rounds)
    for account in accounts:
        proof = Claims(ledger.job.cohort, ledger.rounds, ledger.evidence).of(account)
        sent = home.sent[f"{ledger.job.id.hex()}/claim/{account.hex()}"]
        assert sent.args == (ledger.job.id, account, *claim_args(proof))
    assert home.claims._held == {}, "nothing stays in memory"


async def test_a_payment_that_cannot_be_made_reads_them_once_too(
    tmp_path: Path, ledger: Books, accounts: tuple[bytes, ...], built: Counter[str]
) -> None:
    home: Any = Home(tmp_path, ledger)
    home.config.whole_rounds = False
    effect = effects.TransactPay(ledger.evidence_digest)
    await transact(home, wanted(ledger, accounts, 7, effect), effect)
    assert built["trees"] == len(ledger.rounds)
    assert len(home.sent) == len(accounts)


async def test_books_that_cannot_be_read_are_read_again(
    tmp_path: Path, ledger: Books, accounts: tuple[bytes, ...]
) -> None:
    """The first that asks may fail, as where a disk does: it alone does."""
    home: Any = Home(tmp_path, ledger)
    size, failed = home.blob, []

    def broken(digest: bytes) -> BlobRef:
        if not failed:
            failed.append(digest)
            raise OSError("the disk fails")
        found: BlobRef = size(digest)
        return found

    home.blob = broken
    ends: list[str] = []

    async def one(account: bytes) -> None:
        effect = effects.TransactClaim(account, ledger.evidence_digest)
        try:
            await transact(home, wanted(ledger, accounts, 1, effect), effect)
        except OSError:
            ends.append("failed")

    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(one, account)
    assert ends == ["failed"]
    assert len(home.sent) == len(accounts) - 1
    assert home.claims._held == {}
