"""Claims that a person asks for: each its own intent, and every intent's end is told in peace."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import Books as Ledger
from kits.books import make_books, make_job

from node.chain import events
from node.chain.intents import rows
from node.chain.intents.intents import Intent, IntentOutcome
from node.chain.intents.rows import GAP
from node.engine.clock import Clock
from node.engine.engine import Machine
from node.jobs.books import Books, taken_back
from node.perform.chain import settled
from node.store import records
from node.store.blobs import BlobRef, Blobs
from node.store.jobs import save_contract_event
from node.store.store import Store
from protocol.books.evidence import encode_evidence
from protocol.books.trees import depth_of
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import EarnedRound, OwnerState


class Chain:
    """Takes claims as the contract would: each round and the merit once."""

    def __init__(self, ledger: Ledger) -> None:
        self.counts = {each.number: each.count for each in ledger.evidence.rounds}
        self.words: dict[bytes, int] = {}
        self.sent: dict[str, tuple[Intent, str]] = {}
        self.refuses = False

    async def paid(self, job: bytes, account: bytes) -> int:
        return self.words.get(account, 0)

    async def submit(self, intent: Intent) -> None:
        assert intent.id not in self.sent, "one id stands for one call, whose end is told once"
        self.sent[intent.id] = intent, "failed" if self.refuses else "final"
        _, account, payments, merit = intent.args
        if not self.refuses:
            bits = sum(1 << each for each in self.rounds(payments)) | (merit[1] > 0) << 255
            self.words[account] = self.words.get(account, 0) | bits

    def rounds(self, payments: bytes) -> Iterator[int]:
        """The rounds of a claim: a payment is as long as its round's tree is deep."""
        at = 0
        while at < len(payments):
            yield payments[at]
            at += 27 + 24 * depth_of(self.counts[payments[at]])
        assert at == len(payments)

    async def get(self, ident: str) -> IntentOutcome | None:
        known = self.sent.get(ident)
        return None if known is None else outcome(ident, known[1])

    async def settled(self, ident: str) -> IntentOutcome:
        return outcome(ident, self.sent[ident][1])


def outcome(ident: str, state: str) -> IntentOutcome:
    return IntentOutcome(ident, state, b"\x07" * 32, 5, 90_000, "")


@pytest.fixture
def ledger() -> Ledger:
    return make_books(make_job(11), [(0, 1), (0,)])


@pytest.fixture
def chain(ledger: Ledger) -> Chain:
    return Chain(ledger)


@pytest.fixture
async def services(tmp_path: Path, ledger: Ledger, chain: Chain) -> AsyncIterator[Any]:
    """The parts that are asked here; the contract said that the job is finished."""
    blobs = Blobs(tmp_path)
    blobs.put(encode_evidence(ledger.evidence))
    for data, _ in ledger.lists.values():
        blobs.put(data)

    def blob(digest: bytes) -> BlobRef:
        return BlobRef(digest, blobs.size(digest) or 0)

    fed: list[tuple[bytes, inputs.Input]] = []

    async def feed(job: bytes, input_: inputs.Input) -> None:
        fed.append((job, input_))

    engine = SimpleNamespace(feed=feed, fed=fed)
    books = ledger.chain
    ends = books.final_model, books.evidence_digest, books.merit_root
    said = events.Finished(ledger.job.id, *ends, ledger.job.spec.payment.merit, 7200)
    with Store.open(tmp_path / "books.db") as store:
        seen = events.ChainEvent(20, bytes(32), 0, bytes(32), said)
        await store.run(partial(save_contract_event, event=seen))
        yield SimpleNamespace(
            blobs=blobs,
            blob=blob,
            chain=chain,
            intents=chain,
            engine=engine,
            clock=Clock(),
            store=store,
        )


def owner(ledger: Ledger, rounds: int, finished: bool) -> Machine:
    """As an owner that was told of so many rounds."""
    job = ledger.job
    me = job.people[0]
    earned = tuple(
        EarnedRound(r.number, r.root, r.list_digest, r.list_size, 10 + r.number)
        for r in ledger.evidence.rounds[:rounds]
    )
    evidence = ledger.evidence_digest if finished else b""
    state = OwnerState(
        phase=JobPhase.FINISHING if finished else JobPhase.TRAINING,
        earned=earned,
        evidence_digest=evidence,
        evidence_on_chain=evidence,
    )
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)
    return Machine(Role.OWNER, context, state)


def in_both_rounds(ledger: Ledger) -> str:
    """A payout account of block 0, whose members contributed twice."""
    member = ledger.job.members_of([0])[0]
    return "0x" + ledger.job.cohort.members[member].payout.hex()


async def test_what_was_claimed_early_does_not_stand_in_the_way_of_the_rest(
    services: Any, ledger: Ledger, chain: Chain
) -> None:
    account = in_both_rounds(ledger)
    (early,) = await Books(services).claim(owner(ledger, 1, finished=False), account)
    (late,) = await Books(services).claim(owner(ledger, 2, finished=True), account)
    assert (early.rounds, early.merit) == (1, 0)
    assert late.merit > 0
    assert chain.words[bytes.fromhex(account[2:])] == 0b11 | 1 << 255
    (nothing,) = await Books(services).claim(owner(ledger, 2, finished=True), account)
    assert (nothing.rounds, nothing.transaction) == (0, "")
    assert len(chain.sent) == 2


async def test_a_claim_that_was_refused_can_be_made_again_and_told(
    services: Any, ledger: Ledger, chain: Chain
) -> None:
    account, books = in_both_rounds(ledger), Books(services)
    chain.refuses = True
    (refused,) = await books.claim(owner(ledger, 2, finished=True), account)
    assert refused.rounds == 0
    chain.refuses = False
    (paid,) = await books.claim(owner(ledger, 2, finished=True), account)
    assert paid.rounds == 2
    for ident, (_, state) in chain.sent.items():
        await settled(services, outcome(ident, state))
    told = [input_ for _, input_ in services.engine.fed]
    assert [type(each) for each in told] == [inputs.TransactionFailed, inputs.TransactionFinal]
    assert {each.account for each in told} == {bytes.fromhex(account[2:])}
    assert {job for job, _ in services.engine.fed} == {ledger.job.id}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
async def test_an_account_is_paid_once_every_part_of_its_claim_is(
    services: Any, ledger: Ledger, chain: Chain, order: tuple[int, ...]
) -> None:
    """Whichever is final last: a part may wait while later ones go."""
    job, account = ledger.job.id, bytes([7]) * 20
    parts = [f"{job.hex()}/claim/{account.hex()}{mark}" for mark in (".part1", ".part2", "")]
    claim = Intent("", "claim", ())
    chain.sent.update(dict.fromkeys(parts, (claim, "sent")))
    for number in order:
        assert services.engine.fed == []
        chain.sent[parts[number]] = claim, "final"
        await settled(services, outcome(parts[number], "final"))
    ((_, told),) = services.engine.fed
    assert isinstance(told, inputs.TransactionFinal)
    assert told.account == account


async def test_a_claim_of_which_a_part_failed_was_not_paid(
    services: Any, ledger: Ledger, chain: Chain
) -> None:
    job, account = ledger.job.id, bytes([7]) * 20
    first, last = (f"{job.hex()}/claim/{account.hex()}{mark}" for mark in (".part1", ""))
    claim = Intent("", "claim", ())
    chain.sent.update({first: (claim, "failed"), last: (claim, "final")})
    await settled(services, outcome(first, "failed"))
    await settled(services, outcome(last, "final"))
    ((_, told),) = services.engine.fed
    assert isinstance(told, inputs.TransactionFailed)
    assert told.account == account


@pytest.mark.parametrize("state", ["final", "failed"])
async def test_the_payment_of_whole_rounds_is_told_once_it_is_whole(
    services: Any, ledger: Ledger, state: str
) -> None:
    """The last part needs those before it; the first failure ends it."""
    job = ledger.job.id.hex()
    await settled(services, outcome(f"{job}/pay/1.2", "final"))
    assert services.engine.fed == []
    await settled(services, outcome(f"{job}/pay/2.2", state))
    ((_, told),) = services.engine.fed
    kind = inputs.TransactionFinal if state == "final" else inputs.TransactionFailed
    assert isinstance(told, kind)
    assert (told.call, told.account) == (inputs.Call.PAY, b"")


async def test_the_end_of_a_transfer_that_fills_a_gap_is_nobodys(services: Any) -> None:
    await settled(services, outcome(f"{GAP}3/1207", "final"))
    assert services.engine.fed == []


async def test_an_end_that_a_reorganisation_took_back_is_in_the_books(
    services: Any, ledger: Ledger, tmp_path: Path
) -> None:
    """The machine hears nothing; the job's events and its audit name the transaction."""
    job = ledger.job.id
    ident = f"{job.hex()}/claim/{bytes(20).hex()}"
    with Store.open(tmp_path / "assay.db") as store:
        services.store = store
        whose = rows.Owner(1, bytes(20), bytes(20))
        await store.run(lambda tx: rows.insert(tx, whose, rows.Wanted(ident, "claim", b"", 0)))
        await settled(services, dataclasses.replace(outcome(ident, "sent"), taken_back="final"))
        (event,) = await store.read(lambda tx: records.events(tx, job=job))
        assert "claim was final, and a reorganisation took" in event.facts["text"]
        (lost,) = await store.read(lambda tx: taken_back(tx, job))
        assert (lost.ok, lost.detail.endswith("queued now")) == (False, True)
        await store.run(lambda tx: rows.set_mined(tx, 1, "final", b"\x07" * 32, 9, 1, 1, ""))
        (found,) = await store.read(lambda tx: taken_back(tx, job))
        assert found.ok
    assert services.engine.fed == []
