"""The owner's machine: any input, its enrolment, silence, and how its job ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kits.books import REQUESTER, Job, digest_of, make_job
from kits.examples import examples
from kits.machine import BODIES, INPUTS, Effects, every, kinds, notes, only, sent
from kits.owner import DEPTH, OwnerKit, moments, owner_at
from simulator.strategies import wire

from protocol.books.enrolment import draw_blocks
from protocol.errors import StateError
from protocol.layout.packing import model_bytes
from protocol.machines import effects, inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.owner import machine as owner
from protocol.owner.state import OwnerState
from protocol.owner.turn import blocks_in
from protocol.wire.codec import decode, encode
from protocol.wire.messages import Ask, Enrolled, Finished, RefusalCode, Refuse
from protocol.wire.topics import JOBS_TOPIC, block_topic, job_topic

#: Outcomes of this node's own effects: what made them checked them.
OWN = (
    inputs.AssembledCohort,
    inputs.AssembledRoster,
    inputs.AssembledContributions,
    inputs.ExaminedCohort,
    inputs.ExaminedRoster,
    inputs.ExaminedContributions,
    inputs.ContributionMade,
    inputs.SecretsMade,
    inputs.Unmasked,
)


@pytest.fixture(scope="module", params=moments(), ids=lambda moment: moment[0])
def anywhere(request: pytest.FixtureRequest) -> OwnerKit:
    found = request.param[1]
    assert isinstance(found, OwnerKit)
    return found


#: Milliseconds; the clock of a node that is told later times is broken, and deadlines overflow.
LAST_YEAR = 2**52


@examples(0.6)
@given(input_=st.one_of([wire(kind) for kind in INPUTS if kind not in OWN]))
def test_no_input_breaks_it(anywhere: OwnerKit, input_: inputs.Input) -> None:
    """Any input in any phase: a new state and effects that can be stored, or StateError."""
    assume(input_.at < LAST_YEAR)
    try:
        state, wanted = anywhere.peek(input_)
    except StateError:
        return
    assert_storable(anywhere, state, wanted)


@examples(0.6)
@given(body=st.one_of([wire(kind) for kind in BODIES]), own=st.booleans(), at=st.booleans())
def test_no_message_breaks_it(anywhere: OwnerKit, body: Any, own: bool, at: bool) -> None:
    """Whatever the requester or a stranger signs, about the present attempt or about none."""
    place = () if at and anywhere.state.round is not None else (0, 0)
    sender = REQUESTER if own else anywhere.job.people[1]
    try:
        state, wanted = anywhere.peek(anywhere.message(anywhere.said(sender, body, *place)))
    except StateError:
        return
    assert own, "an owner takes a job's messages from its requester only"
    assert_storable(anywhere, state, wanted)


def assert_storable(kit: OwnerKit, state: OwnerState, wanted: Effects) -> None:
    assert decode(OwnerState, encode(state), 1 << 20) == state
    kit.assert_storable(state, wanted)


# --- from announcement to enrolment


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": b"\x09" * 20},
        {"spec_digest": b"\x09" * 32},
        {"token": b"\x09" * 20},
        {"rounds": 1},
        {"cohort": 4},
        {"rate": 1},
        {"merit": 0},
        {"expiry": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_terms_that_are_not_the_specs_are_declined(changes: dict[str, Any]) -> None:
    kit = owner_at(JobPhase.SEEN)
    kit.terms(**changes)
    assert kit.state.phase is JobPhase.DECLINED
    assert "on the chain is not the announced spec's" in kit.state.reason


def test_terms_that_hold_are_considered() -> None:
    assert kinds(owner_at(JobPhase.SEEN).terms()) == ["Consider"]


def test_a_job_that_the_chain_does_not_know_yet_is_looked_for_again() -> None:
    kit = owner_at(JobPhase.SEEN)
    kit.terms(known=False)
    assert kit.tick(kit.now + 4_999) == ()
    assert kinds(kit.tick(kit.now + 1)) == ["ReadJob"]


def test_an_unanswered_enrolment_is_sent_again_the_same() -> None:
    kit = owner_at(JobPhase.ENROLMENT_SENT)
    assert kit.tick(kit.state.enrol_sent_at + 4_999) == ()
    again = only(kit.tick(kit.state.enrol_sent_at + 5_000), effects.SendEnrolment)
    assert again.payout == kit.state.payout


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refused_enrolment_ends_it_unless_it_may_be_asked_again(code: RefusalCode) -> None:
    kit = owner_at(JobPhase.ENROLMENT_SENT)
    wanted = kit.hear(REQUESTER, Refuse(code, "no"), 0, 0)
    passing = code in (RefusalCode.BUSY, RefusalCode.UNKNOWN)
    assert kit.state.phase is (JobPhase.ENROLMENT_SENT if passing else JobPhase.DECLINED)
    assert ("ForgetSealingKey" in kinds(wanted)) is not passing


def test_only_the_requester_enrols() -> None:
    kit = owner_at(JobPhase.ENROLMENT_SENT)
    reason = kit.deaf(kit.job.people[1], Enrolled(bytes(32)), 0, 0)
    assert "not the job's requester" in reason


def test_topics_follow_the_job() -> None:
    kit = owner_at(JobPhase.SEEN)
    assert owner.topics(kit.context, kit.state) == (JOBS_TOPIC,)
    kit = owner_at(Phase.READY)
    block = kit.job.blocks[kit.member]
    assert set(owner.topics(kit.context, kit.state)) == {
        JOBS_TOPIC,
        job_topic(kit.job.id),
        block_topic(kit.job.id, block),
    }


def test_topics_follow_a_shuffled_block() -> None:
    job = make_job(10, shuffle=True, rounds=20)
    member, other = next(
        (m, r) for m in range(10) for r in range(1, 9) if job.blocks_in(r)[m] != job.blocks[m]
    )
    kit = owner_at(Phase.READY, job, member)
    assert block_topic(job.id, job.blocks[member]) in owner.topics(kit.context, kit.state)
    kit = owner_at(Phase.READY, job, member, other)
    assert block_topic(job.id, job.blocks_in(other)[member]) in owner.topics(kit.context, kit.state)
    assert kit.round.block == job.blocks_in(other)[member]


# --- roots


def later_job() -> Job:
    """Ten owners, and five that came later."""
    return make_job(10, later=(5,))


def test_a_root_comes_after_the_one_before() -> None:
    kit = owner_at(JobPhase.TRAINING, later_job())
    late = inputs.ChainEnrolled(kit.now, kit.state.head + 1, 2, b"\x02" * 32, 5)
    assert "comes before root 1" in kit.refused(late)
    other = inputs.ChainEnrolled(kit.now, kit.state.head + 1, 0, b"\x02" * 32, 5)
    assert "another one already" in kit.refused(other)


def test_a_later_root_changes_no_block_of_the_first() -> None:
    """A requester could else draw new blocks with this owner alone among puppets."""
    job = later_job()
    alone, beside = make_job(10), owner_at(Phase.OPEN, job)
    assert len(beside.state.roots) == 2
    beside.cohort_examined()
    assert draw(beside)[:10] == draw_alone(job, alone)
    assert set(draw(beside)[10:]) == {2}


def draw(kit: OwnerKit) -> tuple[int, ...]:
    return blocks_in(kit.context, kit.state, 0)


def draw_alone(job: Job, alone: Job) -> tuple[int, ...]:
    assert len(alone.people) == 10
    return draw_blocks(job.cohort.first(1), job.spec.cohort, job.seeds[:1], 0)


def test_a_late_owner_waits_for_a_root_of_its_own_and_follows() -> None:
    """The first root is there when its enrolment is listed."""
    job = later_job()
    kit = OwnerKit(job, 12)
    kit.terms()
    kit.rooted(0)
    kit.state = owner_at(JobPhase.CONSIDERING, job, 12).state
    kit.consent()
    kit.rooted(0)
    assert kit.state.phase is JobPhase.TRAINING
    kit.seeded(0)
    kit.open(0)
    first = job.cohort.first(1)
    kit.cohort_examined(mine=b"", roots=first.roots, count=10)
    assert kit.state.phase is JobPhase.TRAINING
    assert kinds(kit.model_here()) == [], "it has no block"
    again = kit.tick(kit.state.enrol_sent_at + 30_000)
    assert "SendEnrolment" in kinds(again), "should the first one not have been heard"
    kit.rooted(1)
    kit.seeded(1)
    kit.open(1, cohort_digest=digest_of("longer list"))
    kit.step(on_chain_before(kit))
    kit.cohort_examined()
    assert kinds(kit.model_here()) == ["MakeSecrets"]
    assert kit.round.block == 2


def on_chain_before(kit: OwnerKit) -> inputs.ChainCommitted:
    """The commitment of the round before."""
    root, model = digest_of("root", 0), digest_of("model", 0)
    return inputs.ChainCommitted(kit.now, kit.state.head + 1, 0, root, 10, model)


@pytest.mark.parametrize("code", [RefusalCode.FULL, RefusalCode.NOT_ADMITTED])
def test_a_late_owner_that_is_not_taken_leaves(code: RefusalCode) -> None:
    kit = owner_at(Phase.OPEN, later_job(), 12)
    kit.cohort_examined(mine=b"", roots=kit.job.cohort.roots[:1], count=10)
    kit.hear(REQUESTER, Refuse(code, "no"), 0, 0)
    assert kit.state.phase is JobPhase.DECLINED


def test_a_full_list_without_this_owner_ends_the_job_for_it() -> None:
    kit = owner_at(Phase.OPEN)
    wanted = kit.cohort_examined(mine=b"")
    assert kit.state.phase is JobPhase.DECLINED
    assert "ForgetSealingKey" in kinds(wanted)


def test_a_list_under_another_root_breaks_the_job() -> None:
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined(roots=(b"\x09" * 32,))
    assert kit.state.phase is JobPhase.FAILED
    assert "chain's root" in kit.state.reason


def test_a_list_is_compared_once_its_roots_are_final() -> None:
    kit = owner_at(JobPhase.TRAINING)
    kit.open()
    kit.cohort_examined(roots=(b"\x09" * 32,))
    assert kit.state.phase is JobPhase.TRAINING
    kit.seeded()
    assert kit.state.phase is JobPhase.FAILED


def test_a_list_that_does_not_hold_breaks_the_job() -> None:
    kit = owner_at(Phase.OPEN)
    why = "a peer is enrolled twice"
    kit.step(inputs.RejectedCohort(kit.now, kit.state.cohort_digest, why))
    assert kit.state.phase is JobPhase.FAILED


@pytest.mark.parametrize("over", [0, 1])
def test_a_reorganisation_under_a_seed_breaks_the_job(over: int) -> None:
    """The seed is of the block after the root's: deeper than the finality is either."""
    kit = owner_at(Phase.READY)
    block = kit.state.roots[0].block
    kit.step(inputs.ChainReorg(kit.now, block + 1))
    assert kit.state.phase is JobPhase.TRAINING
    wanted = kit.step(inputs.ChainReorg(kit.now, block - over))
    assert kit.state.phase is JobPhase.FAILED
    assert kinds(wanted) == ["ForgetSecrets", "ForgetSealingKey"]


def test_a_root_that_is_not_final_may_go_and_come_again() -> None:
    kit = owner_at(JobPhase.TRAINING)
    block = kit.state.roots[0].block
    kit.step(inputs.ChainReorg(kit.now, block - 1))
    assert kit.state.roots == ()
    kit.rooted(0)
    kit.step(inputs.ChainHead(kit.now, block + DEPTH, 0))
    assert not kit.state.roots[0].asked
    wanted = kit.step(inputs.ChainHead(kit.now, block + 1 + DEPTH, 0))
    assert only(wanted, effects.ReadBlockHash).number == block + 1


def test_a_lost_list_is_fetched_at_the_next_opening() -> None:
    kit = owner_at(Phase.OPEN)
    kit.step(inputs.BlobMissing(kit.now, kit.state.cohort_digest, "gone"))
    assert kinds(kit.open(0, 1)) == ["Fetch", "Fetch"]


# --- silence, and the end


def test_whoever_hears_nothing_asks() -> None:
    """It says what it has, so that nobody repeats it, and asks less often when nothing is new."""
    kit = owner_at(Phase.COMMIT)
    at = max(kit.state.heard_at, kit.state.asked_at)
    for wait in (4_000, 8_000, 8_000):
        assert asked(kit.tick(at + wait - 1)) == []
        (ask,) = asked(kit.tick(at + wait))
        at += wait
    heard = dict(kit.state.heard)
    assert {"Open", "Freeze"} <= set(heard)
    assert set(ask.held) == {digest[:8] for digest in heard.values()}


def test_what_could_not_be_fetched_is_asked_for_again() -> None:
    kit = owner_at(Phase.COMMIT)
    kit.step(inputs.BlobMissing(kit.now, digest_of("gone"), "nobody has it"))
    (ask,) = asked(kit.tick(max(kit.state.heard_at, kit.state.asked_at) + 4_000))
    assert ask.held == ()


def asked(wanted: Effects) -> list[Ask]:
    return [body for body in sent(wanted) if isinstance(body, Ask)]


def finished(kit: OwnerKit, evidence: bytes, over: int = 0) -> Effects:
    size = model_bytes(kit.job.spec.parameter_count) + over
    return kit.hear(REQUESTER, Finished(digest_of("last"), size, evidence, 200), 0, 0)


def finishing(rounds: int = 1) -> OwnerKit:
    """Rounds were earned, and the books are closed on the chain."""
    kit = owner_at(Phase.DONE, round_=rounds - 1)
    head = kit.state.head
    kit.step(inputs.ChainFinished(kit.now, head, digest_of("last"), digest_of("evidence"), 7200))
    assert kit.state.phase is JobPhase.FINISHING
    return kit


def test_evidence_is_fetched_once() -> None:
    right = digest_of("evidence")
    assert kinds(finished(finishing(), b"\x09" * 32)) == [], "it is not the one on the chain"
    assert kinds(finished(finishing(), right, over=8)) == ["Fetch"], "no model of this job's"
    kit = finishing()
    assert kinds(finished(kit, right)) == ["Fetch", "Fetch"]
    with pytest.raises(StateError, match="no evidence is awaited"):
        finished(kit, right)


def claimed(kit: OwnerKit, amount: int, block: int) -> inputs.ChainClaimed:
    return inputs.ChainClaimed(kit.now, block, kit.state.payout, amount)


def test_the_job_closes_when_every_round_is_paid_and_its_sealing_key_goes() -> None:
    kit = finishing(rounds=2)
    rate, head = kit.job.spec.payment.rate, kit.state.head
    assert [e.block > 0 for e in kit.state.earned] == [True, True]
    kit.step(claimed(kit, rate, head + 1))
    assert kit.state.phase is JobPhase.FINISHING
    kit.step(dataclasses.replace(claimed(kit, 10**9, head + 2), account=b"\x09" * 20))
    assert kit.state.paid == rate, "another account's claim is not this owner's pay"
    wanted = kit.step(claimed(kit, rate + 7, head + 2))
    assert kit.state.phase is JobPhase.CLOSED
    assert kit.state.paid == 2 * rate + 7
    assert kinds(wanted) == ["ForgetSealingKey"]


def test_a_claim_that_is_reorganised_away_counts_once() -> None:
    kit = finishing()
    head = kit.state.head
    kit.step(claimed(kit, 3, head + 1))
    kit.step(inputs.ChainReorg(kit.now, head))
    assert kit.state.paid == 0
    kit.step(claimed(kit, 3, head + 2))
    assert kit.state.paid == 3


def test_an_owner_that_never_contributed_is_through_at_once() -> None:
    kit = owner_at(Phase.READY)
    told = inputs.ChainFinished(kit.now, kit.state.head, b"\x0c" * 32, b"\x0d" * 32, 7200)
    assert kinds(kit.step(told)) == ["ForgetSecrets", "ForgetSealingKey"]
    assert kit.state.phase is JobPhase.CLOSED


@pytest.mark.parametrize(
    "end",
    [
        inputs.ChainCancelled(1, 99, 1),
        inputs.Tick(1000 * 1_900_000_000),
    ],
    ids=["cancelled", "expired"],
)
def test_a_job_that_ends_destroys_every_secret(end: inputs.Input) -> None:
    kit = owner_at(Phase.CONTRIBUTE)
    place = kit.round.number, kit.round.attempt
    wanted = kit.step(end)
    assert every(wanted, effects.ForgetSecrets) == [effects.ForgetSecrets(*place)]
    assert every(wanted, effects.ForgetSealingKey) == [effects.ForgetSealingKey()]
    assert kit.state.phase.value in notes(wanted)
