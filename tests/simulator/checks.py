"""What must hold after a job, whatever happened on the way."""

from __future__ import annotations

import itertools
from collections import Counter

from simulator.chain import Job
from simulator.world import World

from protocol.books import lists
from protocol.books.audit import ChainBooks, ChainRound, audit
from protocol.books.evidence import decode_evidence
from protocol.machines.job import JobPhase


def committed_rounds(world: World) -> Counter[bytes]:
    """For how many committed rounds the books owe each payout account."""
    cohort = world.requester.contexts[world.job].require_cohort()
    owed: Counter[bytes] = Counter()
    for record in world.books.records:
        listed = lists.decode_contributions(world.requester.blobs[record.list_digest])
        for leaf in lists.leaves(listed):
            owed[cohort.members[leaf.member].payout] += 1
    return owed


def held(world: World) -> Job:
    return world.chain.state.jobs[world.job]


def check_money(world: World) -> None:
    """What was escrowed is what was paid, returned, or is still held; nobody else is paid."""
    job, received = held(world), world.chain.state.received
    assert sum(received.values()) + job.held == world.spec.escrow
    payouts = {owner.payout for owner in world.owners}
    assert set(received) <= payouts | {world.requester.account}


def check_paid(world: World) -> None:
    """Every owner has its rate for every committed round, and the whole pot is shared out."""
    owed, received, pay = committed_rounds(world), world.chain.state.received, world.spec.payment
    for owner in world.owners:
        assert received.get(owner.payout, 0) >= owed[owner.payout] * pay.rate
        if world.job in owner.jobs:
            assert world.owner_state(owner).paid == received.get(owner.payout, 0)
    assert sum(c for _, c, _ in held(world).committed) == sum(owed.values())
    if held(world).finished and owed:
        total = sum(received.get(owner.payout, 0) for owner in world.owners)
        assert total == sum(owed.values()) * pay.rate + pay.merit
        assert held(world).held == 0


def check_models(world: World) -> None:
    """Each round is on the model that the round before it made, and the chain says the same."""
    records = world.books.records
    for before, after in itertools.pairwise(records):
        assert before.next_model == after.model_digest
    assert [m for _, _, m in held(world).committed] == [r.model_digest for r in records]
    for owner in world.owners:
        if world.job in owner.jobs:
            models = [m for m, _ in world.owner_state(owner).contributed]
            assert len(set(models)) == len(models), "one model, contributed to in two rounds"


def check_audit(world: World) -> None:
    """The audit, made from what the chain and the requester hold, finds no fault."""
    books, requester, job = world.books, world.requester, held(world)
    logs = [(b, log) for b in world.chain.blocks for log in b.logs if log.job == world.job]
    facts = {log.name: (block, log.facts) for block, log in logs}
    enrolled = [block.number for block, log in logs if log.name == "Enrolled"]
    claimed: Counter[bytes] = Counter()
    for _, log in logs:
        if log.name == "Claimed":
            claimed[log.facts["account"]] += log.facts["amount"]
    evidence = decode_evidence(requester.blobs[books.evidence_digest])
    blobs = {r.number: requester.blobs[r.list_digest] for r in books.records}
    cohort = requester.contexts[world.job].require_cohort().first(books.adopted)
    found = audit(
        world.spec,
        requester.contexts[world.job].spec_digest,
        world.job,
        cohort,
        evidence,
        books.evidence_digest,
        {n: (data, lists.leaves(lists.decode_contributions(data))) for n, data in blobs.items()},
        ChainBooks(
            spec_digest=job.spec_digest,
            enrol_roots=tuple(root for root, _ in job.enrolled),
            seeds=tuple(world.chain.blocks[number + 1].hash for number in enrolled),
            rounds={n: ChainRound(r, c, m) for n, (r, c, m) in enumerate(job.committed)},
            final_model=facts["Finished"][1]["model_digest"],
            evidence_digest=facts["Finished"][1]["evidence_digest"],
            merit_root=job.merit_root,
            escrowed=world.spec.escrow,
            claimed=dict(claimed),
            withdrawn=facts["Withdrawn"][1]["amount"] if "Withdrawn" in facts else 0,
            held=job.held,
        ),
    )
    assert [check for check in found if not check.ok] == []


def check_done(world: World, rounds: int | None = None) -> None:
    """A job that ran to its end: everybody through, everybody paid, a better model."""
    expected = world.spec.training.rounds if rounds is None else rounds
    assert world.books.phase is JobPhase.CLOSED, world.books.reason
    assert len(world.books.records) == expected
    check_money(world)
    check_paid(world)
    check_models(world)
    check_audit(world)


def check_all_closed(world: World) -> None:
    """Every owner that took part has seen the end."""
    phases = {owner.name: world.owner_state(owner).phase for owner in world.owners}
    assert set(phases.values()) == {JobPhase.CLOSED}, phases
