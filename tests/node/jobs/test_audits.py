"""What a node can prove from the lists and the evidence that it holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from kits.books import Books, make_books, make_job

from node.chain import events
from node.chain.views import JobView
from node.engine.engine import Machine
from node.jobs.audits import audit_job, claims, known_lists
from node.jobs.remeasuring import remeasured
from node.store.blobs import BlobRef, Blobs
from node.store.jobs import StoredEvent
from protocol.books import lists
from protocol.books.evidence import encode_evidence
from protocol.books.lists import BlockList, ContributionList
from protocol.books.remeasured import NOT_MEASURED
from protocol.errors import StateError
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import EarnedRound, OwnerState
from protocol.requester.state import RequesterState, RoundRecords
from protocol.spec.job import MeritBy
from protocol.tokens import NO_TOKENS, Tokens
from protocol.wire.blobs import blob_digest


class Shelf:
    """The one part of a node that is asked here: its blobs."""

    def __init__(self, path: Path) -> None:
        self.blobs = Blobs(path)

    def tokens_shown(self) -> Tokens:
        return NO_TOKENS

    def blob(self, digest: bytes) -> BlobRef:
        size = self.blobs.size(digest)
        assert size is not None
        return BlobRef(digest, size)


@pytest.fixture
def books() -> Books:
    return make_books(make_job(11), [(0, 1), (0,)])


@pytest.fixture
def shelf(tmp_path: Path, books: Books) -> Any:
    """Holds everything."""
    found = Shelf(tmp_path)
    found.blobs.put(encode_evidence(books.evidence))
    for data, _ in books.lists.values():
        found.blobs.put(data)
    return found


def machine(books: Books, state: OwnerState | RequesterState) -> Machine:
    job, role = books.job, Role.REQUESTER
    if isinstance(state, OwnerState):
        role = Role.OWNER
    me = job.people[0]
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)
    return Machine(role, context, state)


def owner(books: Books, evidence_on_chain: bytes = b"", **changes: Any) -> OwnerState:
    earned = tuple(
        EarnedRound(r.number, r.root, r.list_digest, r.list_size, 10 + r.number)
        for r in books.evidence.rounds
    )
    return OwnerState(
        phase=JobPhase.FINISHING,
        earned=earned,
        evidence_digest=books.evidence_digest,
        evidence_on_chain=evidence_on_chain,
        **changes,
    )


def requester(books: Books, settling: bool) -> RequesterState:
    return RequesterState(
        records=RoundRecords.of(books.evidence.rounds),
        evidence_digest=books.evidence_digest,
        settling=settling,
    )


def test_a_finished_job_proves_rounds_and_merit(books: Books, shelf: Any) -> None:
    for state in (owner(books, books.evidence_digest), requester(books, settling=False)):
        proofs = claims(shelf, machine(books, state), None, books.chain.merit_root)
        assert len(proofs) == len(books.job.people)
        assert sum(len(proof.rounds) for proof in proofs) == 11 + len(books.job.members_of([0]))
        assert sum(proof.merit for proof in proofs) == books.job.spec.payment.merit


def test_a_job_that_was_not_finished_proves_no_merit(books: Books, shelf: Any) -> None:
    """The contract refuses merit that is named where `finish` never came."""
    for state in (owner(books), requester(books, settling=True)):
        proofs = claims(shelf, machine(books, state), None, books.chain.merit_root)
        assert sum(len(proof.rounds) for proof in proofs) > 0
        assert {(proof.merit, proof.merit_proof) for proof in proofs} == {(0, ())}


def test_merit_under_another_root_leaves_no_round_unpaid(books: Books, shelf: Any) -> None:
    """The contract would refuse the claim whole."""
    at = machine(books, owner(books, books.evidence_digest))
    account = books.job.cohort.members[3].payout
    (proof,) = claims(shelf, at, account, b"\x01" * 32)
    assert (len(proof.rounds), proof.merit, proof.merit_proof) == (2, 0, ())
    twice = dataclasses.replace(books.evidence, merit=books.evidence.merit[:1] * 2)
    digest = shelf.blobs.put(encode_evidence(twice)).digest
    none = dataclasses.replace(owner(books, digest), evidence_digest=digest)
    (proof,) = claims(shelf, machine(books, none), account, books.chain.merit_root)
    assert (len(proof.rounds), proof.merit) == (2, 0)


def test_one_account_is_proved_alone_and_a_stranger_not_at_all(books: Books, shelf: Any) -> None:
    at = machine(books, owner(books, books.evidence_digest))
    account = books.job.cohort.members[3].payout
    assert [proof.account for proof in claims(shelf, at, account, books.chain.merit_root)] == [
        account
    ]
    with pytest.raises(StateError, match="contributed to no committed round"):
        claims(shelf, at, b"\xee" * 20, books.chain.merit_root)


def test_a_round_that_the_chain_does_not_hold_is_not_claimed(books: Books, shelf: Any) -> None:
    """An owner without evidence, one of whose rounds was taken back by a reorganisation."""
    state = owner(books)
    first, second = state.earned
    earned = (first, dataclasses.replace(second, block=0))
    alone = dataclasses.replace(state, evidence_digest=b"", earned=earned)
    at = machine(books, alone)
    assert {
        part.round
        for proof in claims(shelf, at, None, books.chain.merit_root)
        for part in proof.rounds
    } == {0}
    assert {n: len(leaves) for n, (_, leaves) in known_lists(shelf, at).items()} == {0: 11}
    none = dataclasses.replace(alone, earned=(earned[1],))
    with pytest.raises(StateError, match="nothing is committed yet"):
        claims(shelf, machine(books, none), None, books.chain.merit_root)


def test_a_list_that_is_missing_is_named(books: Books, tmp_path: Path) -> None:
    bare: Any = Shelf(tmp_path)
    bare.blobs.put(encode_evidence(books.evidence))
    bare.blobs.put(books.lists[0][0])
    at = machine(books, owner(books, books.evidence_digest))
    with pytest.raises(StateError, match="round 1 is not here yet"):
        claims(bare, at, None, books.chain.merit_root)


def test_no_evidence_keeps_an_owner_from_its_pay(books: Books, shelf: Any) -> None:
    """Evidence is its requester's word: bytes that are none, a list that is none or that is not
    here, one of members that there are not."""
    me = books.job.cohort.members[3].payout
    shelf.blobs.put(b"no evidence")
    strangers = ContributionList((BlockList(0, bytes(32), (4000,), (bytes(32),)),))
    first = books.evidence.rounds[0]
    told = [blob_digest(b"no evidence")]
    for named in (b"no list", b"", lists.encode_contributions(strangers)):
        digest = shelf.blobs.put(named).digest if named else b"\x0e" * 32
        record = dataclasses.replace(first, number=7, list_digest=digest)
        false = dataclasses.replace(first, list_digest=digest)
        rounds = (false, books.evidence.rounds[1], record)
        other = books.with_evidence(rounds=rounds)
        told.append(shelf.blobs.put(encode_evidence(other.evidence)).digest)
    for digest in told:
        state = owner(books, books.evidence_digest, payout=me)
        at = machine(books, dataclasses.replace(state, evidence_digest=digest))
        (proof,) = claims(shelf, at, me, books.chain.merit_root)
        assert [part.round for part in proof.rounds] == [0, 1]
        assert set(known_lists(shelf, at)) == {0, 1}


@pytest.mark.parametrize("phase", [JobPhase.FINISHING, JobPhase.CLOSED, JobPhase.CANCELLED])
async def test_of_a_job_that_ended_without_a_round_there_is_nothing_to_audit(
    phase: JobPhase, books: Books, shelf: Any
) -> None:
    over = machine(books, OwnerState(phase=phase))
    with pytest.raises(StateError, match="nothing was committed: there is nothing to audit"):
        await audit_job(shelf, over, [], 10)


@dataclasses.dataclass
class ClaimedSince:
    """A chain on which an account's pay was claimed in the block after `read_to`."""

    books: Books
    read_to: int
    pay: int

    async def job(self, job: bytes, at: int | str = "latest") -> JobView:
        spec, held = self.books.job.spec, self.books.job.spec.escrow
        if at != self.read_to:
            held -= self.pay
        terms = spec.payment.token, 2, 11, spec.payment.rate, spec.payment.merit, 0, True
        return JobView(b"\x01" * 20, *terms, 2, 1, 11, 0, 0, 0, bytes(32), held, 0, False)

    async def block_hash(self, number: int) -> bytes:
        return self.books.job.seeds[0]


def told_by(books: Books) -> list[StoredEvent]:
    """The contract's events of a finished job."""
    job, chain = books.job, books.chain
    terms = job.spec.payment
    said: list[events.ContractEvent] = [
        events.Posted(
            job.id,
            job.people[0].account,
            chain.spec_digest,
            terms.token,
            3,
            11,
            terms.rate,
            terms.merit,
            0,
        ),
        events.Enrolled(job.id, 0, chain.enrol_roots[0], 11),
        *(
            events.Committed(job.id, number, each.root, each.count, each.model_digest, bytes(20))
            for number, each in chain.rounds.items()
        ),
        events.Finished(
            job.id, chain.final_model, chain.evidence_digest, chain.merit_root, terms.merit, 7200
        ),
    ]
    return [StoredEvent(10 + at, bytes(32), each) for at, each in enumerate(said)]


async def test_a_claim_that_is_mined_meanwhile_is_no_fault(books: Books, shelf: Any) -> None:
    """What was claimed and what is held are asked of one chain block."""
    job, told = books.job, told_by(books)
    shelf.chain = ClaimedSince(books, 20, job.spec.payment.rate)
    posted = told[0].event
    assert isinstance(posted, events.Posted)
    assert posted.rounds * posted.cohort * posted.rate + posted.merit == job.spec.escrow
    over = machine(books, owner(books, books.evidence_digest))
    checks = await audit_job(shelf, over, told, 20)
    assert [each for each in checks if not each.ok] == []
    assert "money: claimed, returned and held" in {each.name for each in checks}


async def test_bytes_that_are_no_evidence_are_a_finding(books: Books, shelf: Any) -> None:
    """On a job whose worth is measured as well."""
    shelf.chain = ClaimedSince(books, 20, books.job.spec.payment.rate)
    nothing = shelf.blobs.put(b"no evidence").digest
    state = dataclasses.replace(owner(books, nothing), evidence_digest=nothing)
    (found,) = await audit_job(shelf, machine(books, state), told_by(books), 20)
    assert (found.name, found.ok) == ("evidence", False)
    by_worth = make_books(make_job(15, min_owners=15, merit_by=MeritBy.WORTH), [(0, 1, 2)])
    assert await remeasured(shelf, machine(by_worth, state)) == NOT_MEASURED
