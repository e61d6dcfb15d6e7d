"""The owner's machine, stepped by hand from moments of real jobs."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator.stage import Stage, kinds, only, stage
from simulator.strategies import wire
from simulator.world import Settings

from protocol import effects, inputs
from protocol.codec import decode, decode_tagged, encode, encode_tagged
from protocol.effects import BlobKind
from protocol.envelope import Envelope, envelope_digest
from protocol.errors import StateError
from protocol.job import JobPhase
from protocol.messages import (
    Ask,
    Body,
    Committed,
    Contribution,
    Enrolled,
    Finished,
    Freeze,
    Open,
    Ready,
    RefusalCode,
    Refuse,
    Result,
)
from protocol.owner_state import OwnerState
from protocol.packing import model_bytes
from protocol.params import MAX_BLOB_BYTES
from protocol.round import Phase
from protocol.typed_data import Commitment, commitment_digest

INPUTS: tuple[type[Any], ...] = typing.get_args(inputs.Input)
BODIES: tuple[type[Any], ...] = typing.get_args(Body)
EFFECTS: tuple[type[Any], ...] = typing.get_args(effects.Effect)

PHASES = [
    JobPhase.SEEN,
    JobPhase.CONSIDERING,
    JobPhase.ENROLMENT_SENT,
    JobPhase.ENROLLED,
    Phase.OPEN,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.APPLY,
    Phase.DONE,
    JobPhase.FINISHING,
    JobPhase.CLOSED,
]

#: Outcomes of this node's own effects: what made them checked them.
OWN = (inputs.Assembled, inputs.ComputeDone, inputs.Examined)


@pytest.fixture(scope="module", params=PHASES, ids=lambda p: p.value)
def anywhere(request: pytest.FixtureRequest) -> Stage:
    return stage("o1", request.param)


@settings(max_examples=120, deadline=None)
@given(input_=st.one_of([wire(kind) for kind in INPUTS if kind not in OWN]))
def test_no_input_breaks_it(anywhere: Stage, input_: inputs.Input) -> None:
    """Any input in any phase: a new state and effects that can be stored, or StateError."""
    try:
        state, wanted = anywhere.peek(input_)
    except StateError:
        return
    assert_storable(state, wanted)


@settings(max_examples=120, deadline=None)
@given(body=st.one_of([wire(kind) for kind in BODIES]), own=st.booleans(), at=st.booleans())
def test_no_message_breaks_it(anywhere: Stage, body: Any, own: bool, at: bool) -> None:
    """Whatever the requester or a stranger signs, about the present attempt or about none."""
    round_ = anywhere.state.round
    place = (round_.number, round_.attempt) if at and round_ is not None else (0, 0)
    sender = anywhere.world.requester if own else anywhere.world.owners[0]
    envelope = anywhere.said(sender, body, *place)
    try:
        state, wanted = anywhere.peek(
            inputs.ReceiveMessage(anywhere.now, envelope, envelope_digest(envelope))
        )
    except StateError:
        return
    assert own, "an owner takes a job's messages from its requester only"
    assert_storable(state, wanted)


def assert_storable(state: Any, wanted: tuple[effects.Effect, ...]) -> None:
    assert decode(OwnerState, encode(state), 1 << 20) == state
    for effect in wanted:
        assert decode_tagged(EFFECTS, encode_tagged(effect), 1 << 20) == effect


def state_of(at: Stage) -> OwnerState:
    assert isinstance(at.state, OwnerState)
    return at.state


def round_of(at: Stage) -> Any:
    round_ = state_of(at).round
    assert round_ is not None
    return round_


def from_requester(at: Stage, body: Body, round_: int = -1, attempt: int = -1) -> Envelope:
    return at.said(at.world.requester, body, round_, attempt)


def refusals(wanted: tuple[effects.Effect, ...]) -> list[RefusalCode]:
    sent = [e.body for e in wanted if isinstance(e, effects.Send)]
    return [body.code for body in sent if isinstance(body, Refuse)]


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
    at = stage("o1", JobPhase.SEEN)
    at.step(dataclasses.replace(terms(at), **changes))
    assert state_of(at).phase is JobPhase.DECLINED
    assert "on the chain is not the announced spec's" in state_of(at).reason


def terms(at: Stage) -> inputs.ChainJob:
    spec = at.context.spec
    who, token = spec.requester.account, spec.payment.token
    numbers = spec.training.rounds, spec.cohort.max_owners, spec.payment.rate, spec.payment.merit
    digest = at.context.spec_digest
    return inputs.ChainJob(at.now, True, who, digest, token, *numbers, spec.expires_at)


def test_terms_that_hold_are_considered() -> None:
    at = stage("o1", JobPhase.SEEN)
    assert kinds(at.step(terms(at))) == ["Consider"]


def test_a_job_that_the_chain_does_not_know_yet_is_looked_for_again() -> None:
    at = stage("o1", JobPhase.SEEN)
    at.step(dataclasses.replace(terms(at), known=False))
    assert at.step(inputs.Tick(at.now + 4_999)) == ()
    assert kinds(at.step(inputs.Tick(at.now + 5_000))) == ["ReadJob"]


def test_an_unanswered_enrolment_is_sent_again_the_same() -> None:
    at = stage("o1", JobPhase.ENROLMENT_SENT)
    assert at.step(inputs.Tick(state_of(at).enrol_sent_at + 4_999)) == ()
    again = only(at.step(inputs.Tick(state_of(at).enrol_sent_at + 5_000)), effects.SendEnrolment)
    assert isinstance(again, effects.SendEnrolment)
    assert again.payout == state_of(at).payout


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refused_enrolment_ends_it_unless_it_may_be_asked_again(code: RefusalCode) -> None:
    at = stage("o1", JobPhase.ENROLMENT_SENT)
    at.hear(from_requester(at, Refuse(code, "no"), 0, 0))
    passing = code in (RefusalCode.BUSY, RefusalCode.UNKNOWN)
    assert state_of(at).phase is (JobPhase.ENROLMENT_SENT if passing else JobPhase.DECLINED)


def test_only_the_requester_enrols() -> None:
    at = stage("o1", JobPhase.ENROLMENT_SENT)
    with pytest.raises(StateError, match="not the job's requester"):
        at.hear(at.said(at.world.owners[0], Enrolled(bytes(32)), 0, 0))


# --- the cohort


def awaiting_cohort() -> Stage:
    """Opened, its root final, its list on the way."""
    at = stage("o1", Phase.OPEN)
    assert not state_of(at).cohort_root
    return at


def examined_cohort(at: Stage, **changes: Any) -> inputs.Examined:
    told = inputs.Examined(
        at.now,
        BlobKind.COHORT,
        0,
        0,
        state_of(at).cohort_digest,
        state_of(at).enrol_root,
        tuple(range(5)),
        b"\x01" * 32,
    )
    return dataclasses.replace(told, **changes)


def with_seed(at: Stage) -> None:
    if not state_of(at).seed:
        number = state_of(at).enrolled_block + 1
        at.step(inputs.ChainBlockHash(at.now, number, b"\x02" * 32))


def test_a_list_that_leaves_this_owner_out_ends_the_job() -> None:
    at = awaiting_cohort()
    at.step(examined_cohort(at, mine=b""))
    assert state_of(at).phase is JobPhase.DECLINED


def test_a_list_under_another_root_breaks_the_job() -> None:
    at = awaiting_cohort()
    with_seed(at)
    at.step(examined_cohort(at, root=b"\x09" * 32))
    assert state_of(at).phase is JobPhase.FAILED
    assert "chain's root" in state_of(at).reason


@pytest.mark.parametrize("at", [JobPhase.ENROLLED, JobPhase.TRAINING], ids=lambda p: p.value)
def test_a_later_root_changes_nothing_for_who_stands_under_the_first(at: JobPhase) -> None:
    """A requester could else draw new blocks with this owner alone among puppets."""
    owner = stage("o1", at)
    now, head = owner.now, state_of(owner).head
    if not state_of(owner).enrol_root:
        owner.step(inputs.ChainEnrolled(now, head, 0, b"\x01" * 32, 5))
    before = state_of(owner)
    with pytest.raises(StateError, match="a later enrolment root"):
        owner.step(inputs.ChainEnrolled(now, head + 1, 1, b"\x02" * 32, 5))
    assert state_of(owner) == before


def test_a_list_is_compared_once_the_root_is_final() -> None:
    at = awaiting_cohort()
    at.state = dataclasses.replace(state_of(at), seed=b"")
    at.step(examined_cohort(at, root=b"\x09" * 32))
    assert state_of(at).phase is JobPhase.TRAINING
    with_seed(at)
    assert state_of(at).phase is JobPhase.FAILED


def test_ready_is_said_once_list_and_model_are_here() -> None:
    at = awaiting_cohort()
    with_seed(at)
    assert kinds(at.step(examined_cohort(at))) == []
    assert state_of(at).cohort_here
    wanted = at.step(inputs.BlobArrived(at.now, round_of(at).opening.model_digest))
    assert kinds(wanted) == ["Send"]
    assert round_of(at).phase is Phase.READY


def test_a_lost_list_is_fetched_at_the_next_opening() -> None:
    at = awaiting_cohort()
    at.step(inputs.BlobMissing(at.now, state_of(at).cohort_digest, "gone"))
    opening = round_of(at).opening
    later = dataclasses.replace(opening, ready_until=at.now + 9_000)
    wanted = at.hear(from_requester(at, later, 0, 1))
    assert kinds(wanted) == ["Fetch", "Fetch"]


# --- openings


def reopened(at: Stage, number: int, attempt: int, **changes: Any) -> tuple[effects.Effect, ...]:
    opening = dataclasses.replace(
        round_of(at).opening,
        **{
            "model_digest": b"\x0a" * 32,
            "ready_until": at.now + 9_000,
            "contribute_until": at.now + 20_000,
            **changes,
        },
    )
    return at.hear(from_requester(at, opening, number, attempt))


def test_a_second_opening_of_one_attempt_is_refused() -> None:
    at = stage("o1", Phase.READY)
    before = round_of(at)
    assert refusals(reopened(at, 0, 0)) == [RefusalCode.CONFLICT]
    assert round_of(at) == before
    assert kinds(at.hear(from_requester(at, before.opening))) == [], "the same again is no other"


@pytest.mark.parametrize("place", [(2, 0), (0, 16)])
def test_an_opening_that_the_job_does_not_have_is_refused(place: tuple[int, int]) -> None:
    at = stage("o1", Phase.READY)
    with pytest.raises(StateError, match="the job has no round"):
        reopened(at, *place)


def test_an_opening_of_the_past_is_refused() -> None:
    at = stage("o1", Phase.READY, round_=1)
    with pytest.raises(StateError, match="is over"):
        reopened(at, 0, 3)
    with pytest.raises(StateError, match="time is over"):
        reopened(at, 1, 1, ready_until=at.now)


def test_a_model_is_contributed_to_in_one_round_only() -> None:
    at = stage("o1", Phase.APPLY)
    used = round_of(at).opening.model_digest
    assert refusals(reopened(at, 1, 0, model_digest=used)) == [RefusalCode.CONFLICT]
    assert round_of(at).number == 0


@pytest.mark.parametrize("size", [0, 8, MAX_BLOB_BYTES])
def test_no_room_is_kept_for_a_model_that_is_not_the_jobs(size: int) -> None:
    """Its size is known from the spec: a requester must not fill an owner's disk by names alone."""
    at = stage("o1", Phase.READY)
    wanted = reopened(at, 0, 1, model_size=size)
    assert refusals(wanted) == [RefusalCode.INVALID]
    assert "Fetch" not in kinds(wanted)
    assert round_of(at).attempt == 0


def test_another_cohort_is_refused() -> None:
    at = stage("o1", Phase.READY)
    assert refusals(reopened(at, 0, 1, cohort_digest=b"\x09" * 32)) == [RefusalCode.CONFLICT]


def test_a_round_is_taken_up_only_when_the_one_before_is_on_the_chain() -> None:
    at = stage("o1", Phase.OPEN, round_=1)
    commitment = state_of(at).commitment
    assert commitment is not None
    at.state = dataclasses.replace(state_of(at), commitment=None)
    arrived = inputs.BlobArrived(at.now, round_of(at).opening.model_digest)
    assert kinds(at.step(arrived)) == []
    assert round_of(at).phase is Phase.OPEN
    told = inputs.ChainCommitted(
        at.now, commitment.block, 0, commitment.root, 5, commitment.model_digest
    )
    assert kinds(at.step(told)) == ["Send"]
    assert round_of(at).phase is Phase.READY


# --- freeze, contribute


def test_a_second_frozen_roster_is_refused() -> None:
    at = stage("o1", Phase.FREEZE)
    other = Freeze(round_of(at).opening_digest, b"\x09" * 32, 100)
    assert refusals(at.hear(from_requester(at, other))) == [RefusalCode.CONFLICT]
    with pytest.raises(StateError, match="another opening"):
        at.hear(from_requester(at, Freeze(b"\x09" * 32, b"\x09" * 32, 100)))


def examined_roster(at: Stage, mine: bytes) -> inputs.Examined:
    round_ = round_of(at)
    place = BlobKind.FROZEN, round_.number, round_.attempt
    return inputs.Examined(at.now, *place, round_.frozen_digest, b"", tuple(range(5)), mine)


def test_the_model_is_recorded_with_the_order_to_train() -> None:
    at = stage("o1", Phase.FREEZE)
    assert kinds(at.step(examined_roster(at, b"\x01" * 32))) == ["ComputeContribution"]
    assert state_of(at).contributed == ((round_of(at).opening.model_digest, 0),)


def test_a_roster_of_other_blocks_is_no_fault() -> None:
    at = stage("o1", Phase.FREEZE)
    wanted = at.step(examined_roster(at, b""))
    assert refusals(wanted) == []
    assert round_of(at).phase is Phase.FAILED
    assert state_of(at).contributed == ()


def test_a_roster_that_does_not_hold_is_refused() -> None:
    at = stage("o1", Phase.FREEZE)
    round_ = round_of(at)
    place = BlobKind.FROZEN, round_.number, round_.attempt
    bad = inputs.Rejected(at.now, *place, round_.frozen_digest, "block 0 without member 3")
    assert refusals(at.step(bad)) == [RefusalCode.INVALID]
    assert round_of(at).phase is Phase.FAILED


def done(at: Stage, attempt: int = 0) -> inputs.ComputeDone:
    return inputs.ComputeDone(at.now, "contribution", 0, attempt, b"", b"\x0b" * 32, 524, b"", ())


def test_a_stored_batch_is_announced_and_pushed_once() -> None:
    at = stage("o1", Phase.CONTRIBUTE)
    publish = only(at.step(done(at)), effects.Publish)
    assert isinstance(publish, effects.Publish)
    assert isinstance(publish.body, Contribution)
    assert (publish.body.batch_digest, publish.attachment) == (b"\x0b" * 32, b"\x0b" * 32)
    assert at.step(inputs.Tick(at.now + 1_999)) == ()
    (push,) = at.step(inputs.Tick(at.now + 2_000))
    assert isinstance(push, effects.Send)
    assert push.body == publish.body
    assert at.step(inputs.Tick(at.now + 3_900)) == ()


def test_a_batch_of_another_attempt_is_not_announced() -> None:
    at = stage("o1", Phase.CONTRIBUTE)
    with pytest.raises(StateError, match="not the present one"):
        at.step(done(at, attempt=1))


@pytest.mark.parametrize(
    "phase", [Phase.OPEN, Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE], ids=lambda p: p.value
)
def test_an_attempt_ends_with_its_deadline(phase: Phase) -> None:
    at = stage("o1", phase)
    opening = round_of(at).opening
    until = opening.ready_until if phase is Phase.OPEN else opening.contribute_until
    at.step(inputs.Tick(until - 1))
    assert round_of(at).phase is phase
    at.step(inputs.Tick(until))
    assert round_of(at).phase is Phase.FAILED


def test_training_that_fails_leaves_the_attempt_only() -> None:
    at = stage("o1", Phase.CONTRIBUTE)
    failed = inputs.ComputeFailed(at.now, "contribution", 0, 0, b"", "rows.csv has no rows")
    assert refusals(at.step(failed)) == [RefusalCode.INVALID]
    assert state_of(at).phase is JobPhase.TRAINING
    with pytest.raises(StateError):
        at.step(dataclasses.replace(failed, attempt=1))


# --- commitments


def commitment(at: Stage, **changes: Any) -> Committed:
    """One that the requester's account signed."""
    terms_ = {
        "root": b"\x06" * 32,
        "count": 5,
        "model_digest": round_of(at).opening.model_digest,
        "valid_until": at.now // 1000 + 30,
        **changes,
    }
    statement = Commitment(
        at.world.job,
        round_of(at).number,
        terms_["root"],
        terms_["count"],
        terms_["model_digest"],
        terms_["valid_until"],
    )
    digest = commitment_digest(at.world.domain, statement)
    raw = at.world.requester.account_key.sign_msg_hash(digest).to_bytes()
    signature = raw[:64] + bytes([raw[64] + 27])
    return Committed(**terms_, signature=signature, list_digest=b"\x05" * 32, list_size=1000)


@pytest.fixture
def said() -> Stage:
    at = stage("o1", Phase.COMMIT)
    assert kinds(at.hear(from_requester(at, commitment(at)))) == ["Fetch"]
    return at


def examined_list(at: Stage, **changes: Any) -> inputs.Examined:
    round_ = round_of(at)
    told = inputs.Examined(
        at.now,
        BlobKind.CONTRIBUTIONS,
        round_.number,
        round_.attempt,
        b"\x05" * 32,
        b"\x06" * 32,
        tuple(range(5)),
        round_.batch_digest,
    )
    return dataclasses.replace(told, **changes)


def on_chain(at: Stage, **changes: Any) -> inputs.ChainCommitted:
    model, block = round_of(at).opening.model_digest, state_of(at).head + 1
    told = inputs.ChainCommitted(at.now, block, round_of(at).number, b"\x06" * 32, 5, model)
    return dataclasses.replace(told, **changes)


def deep(at: Stage) -> inputs.ChainHead:
    held = state_of(at).commitment
    assert held is not None
    return inputs.ChainHead(at.now, held.block + at.context.spec.timing.finality_blocks, 0)


def test_pay_is_certain_once_the_whole_list_is_final(said: Stage) -> None:
    said.step(on_chain(said))
    said.step(deep(said))
    assert round_of(said).phase is Phase.COMMIT, "the list was not seen yet"
    said.step(examined_list(said))
    assert round_of(said).phase is Phase.APPLY
    (earned,) = state_of(said).earned
    assert (earned.round, earned.root, earned.block > 0) == (0, b"\x06" * 32, True)


def test_a_commitment_that_the_account_did_not_sign_is_refused() -> None:
    at = stage("o1", Phase.COMMIT)
    good = commitment(at)
    for bad in (
        dataclasses.replace(good, count=4),
        dataclasses.replace(good, root=b"\x09" * 32),
        dataclasses.replace(good, signature=bytes(65)),
    ):
        assert refusals(at.hear(from_requester(at, bad))) == [RefusalCode.INVALID]
    assert round_of(at).commitment_root == b""


def test_a_commitment_to_another_model_is_refused() -> None:
    at = stage("o1", Phase.COMMIT)
    other = commitment(at, model_digest=b"\x09" * 32)
    assert refusals(at.hear(from_requester(at, other))) == [RefusalCode.CONFLICT]


def test_a_second_commitment_is_refused(said: Stage) -> None:
    other = commitment(said, root=b"\x09" * 32)
    assert refusals(said.hear(from_requester(said, other))) == [RefusalCode.CONFLICT]
    later = commitment(said, valid_until=said.now // 1000 + 60)
    assert kinds(said.hear(from_requester(said, later))) == [], "the same root, signed again"


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"root": b"\x09" * 32}, [RefusalCode.INVALID]),
        ({"mine": b"\x09" * 32}, [RefusalCode.INVALID]),
        ({"mine": b""}, []),
    ],
    ids=["another root", "another batch of mine", "without my block"],
)
def test_a_list_that_earns_nothing(
    said: Stage, changes: dict[str, Any], codes: list[RefusalCode]
) -> None:
    assert refusals(said.step(examined_list(said, **changes))) == codes
    assert round_of(said).phase is Phase.FAILED
    assert state_of(said).earned == ()


@pytest.mark.parametrize(
    "changes",
    [{"root": b"\x09" * 32}, {"count": 4}, {"model_digest": b"\x09" * 32}],
    ids=["root", "count", "model"],
)
def test_another_commitment_on_the_chain_is_not_what_was_said(
    said: Stage, changes: dict[str, Any]
) -> None:
    said.step(examined_list(said))
    said.step(on_chain(said, **changes))
    assert refusals(said.step(deep(said))) == [RefusalCode.CONFLICT]
    assert round_of(said).phase is Phase.FAILED
    assert not [e for e in state_of(said).earned if "root" in changes]


def test_a_reorganisation_takes_certainty_back(said: Stage) -> None:
    said.step(examined_list(said))
    said.step(on_chain(said))
    held = state_of(said).commitment
    assert held is not None
    said.step(inputs.ChainReorg(said.now, held.block - 1))
    assert state_of(said).commitment is None
    assert [e.block for e in state_of(said).earned] == [0]
    said.step(inputs.ChainHead(said.now, held.block + 9, 0))
    assert round_of(said).phase is Phase.COMMIT


def test_a_lost_list_is_fetched_when_the_commitment_is_heard_again(said: Stage) -> None:
    said.step(inputs.BlobMissing(said.now, b"\x05" * 32, "gone"))
    assert kinds(said.hear(from_requester(said, commitment(said)))) == ["Fetch"]
    assert kinds(said.hear(from_requester(said, commitment(said)))) == []


# --- silence, and the end


def test_whoever_hears_nothing_asks() -> None:
    at = stage("o1", Phase.COMMIT)
    quiet = max(state_of(at).heard_at, state_of(at).asked_at) + 4_000
    asked = at.step(inputs.Tick(quiet))
    assert Ask() in [e.body for e in asked if isinstance(e, effects.Send)]
    assert Ask() not in [
        e.body for e in at.step(inputs.Tick(quiet + 3_999)) if isinstance(e, effects.Send)
    ]


def test_a_result_ends_the_round() -> None:
    at = stage("o1", Phase.APPLY)
    at.hear(from_requester(at, Result(b"\x0c" * 32, 100)))
    assert round_of(at).phase is Phase.DONE
    assert state_of(at).model_digest == b"\x0c" * 32


def finished(at: Stage, evidence: bytes, over: int = 0) -> tuple[effects.Effect, ...]:
    size = model_bytes(at.context.spec.parameter_count) + over
    return at.hear(from_requester(at, Finished(b"\x0c" * 32, size, evidence, 200), 0, 0))


def test_evidence_is_fetched_once() -> None:
    at = stage("o1", JobPhase.FINISHING)
    at.state = dataclasses.replace(state_of(at), evidence_digest=b"")
    right = state_of(at).evidence_on_chain
    assert kinds(finished(at, b"\x09" * 32)) == [], "it is not the one on the chain"
    larger = stage("o1", JobPhase.FINISHING)
    larger.state = at.state
    assert kinds(finished(larger, right, over=8)) == ["Fetch"], "no model of this job's"
    assert kinds(finished(at, right)) == ["Fetch", "Fetch"]
    with pytest.raises(StateError, match="no evidence is awaited"):
        finished(at, right)


def claimed(at: Stage, amount: int, block: int) -> inputs.ChainClaimed:
    return inputs.ChainClaimed(at.now, block, state_of(at).payout, amount)


def test_the_job_closes_when_every_round_is_paid() -> None:
    at = stage("o1", JobPhase.FINISHING, Settings(seed=77, rounds=2))
    rate, head = at.context.spec.payment.rate, state_of(at).head
    assert [e.block > 0 for e in state_of(at).earned] == [True, True]
    at.step(claimed(at, rate, head + 1))
    assert state_of(at).phase is JobPhase.FINISHING
    at.step(dataclasses.replace(claimed(at, 10**9, head + 2), account=b"\x09" * 20))
    assert state_of(at).paid == rate, "another account's claim is not this owner's pay"
    at.step(claimed(at, rate + 7, head + 2))
    assert state_of(at).phase is JobPhase.CLOSED
    assert state_of(at).paid == 2 * rate + 7


def test_a_claim_that_is_reorganised_away_counts_once() -> None:
    at = stage("o1", JobPhase.FINISHING)
    head = state_of(at).head
    at.step(claimed(at, 5_000, head + 1))
    at.step(inputs.ChainReorg(at.now, head))
    assert state_of(at).paid == 0
    at.step(claimed(at, 5_000, head + 2))
    assert state_of(at).paid == 5_000


def test_an_owner_that_never_contributed_is_through_at_once() -> None:
    at = stage("o1", Phase.READY)
    at.step(inputs.ChainFinished(at.now, state_of(at).head, b"\x0c" * 32, b"\x0d" * 32))
    assert state_of(at).phase is JobPhase.CLOSED


def test_ready_is_for_this_opening() -> None:
    at = stage("o1", Phase.OPEN)
    with_seed(at)
    at.step(examined_cohort(at))
    sent = only(
        at.step(inputs.BlobArrived(at.now, round_of(at).opening.model_digest)), effects.Send
    )
    assert isinstance(sent, effects.Send)
    assert sent.body == Ready(round_of(at).opening_digest)
    assert sent.until == round_of(at).opening.ready_until


def test_an_opening_of_another_chain_is_refused() -> None:
    at = stage("o1", Phase.READY)
    from protocol.envelope import seal

    requester = at.world.requester
    place = dataclasses.replace(requester.place(at.world.job, 0, 1), chain_id=1)
    body: Open = round_of(at).opening
    with pytest.raises(StateError, match="another chain"):
        at.hear(seal(place, requester.peer, body, requester.peer_key.sign))
