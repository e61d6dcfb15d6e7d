"""The requester's machine, stepped by hand from moments of real jobs."""

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
from protocol.envelope import Envelope, envelope_digest, seal
from protocol.errors import FatalError, StateError
from protocol.job import JobPhase
from protocol.messages import (
    Ask,
    Body,
    Contribution,
    Enrolled,
    Open,
    Ready,
    RefusalCode,
    Refuse,
)
from protocol.requester_state import RequesterState
from protocol.round import Phase

INPUTS: tuple[type[Any], ...] = typing.get_args(inputs.Input)
BODIES: tuple[type[Any], ...] = typing.get_args(Body)
EFFECTS: tuple[type[Any], ...] = typing.get_args(effects.Effect)

PHASES = [
    JobPhase.ENROLLING,
    JobPhase.ROOTING,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.APPLY,
    JobPhase.FINISHING,
    JobPhase.PAYING,
    JobPhase.CLOSED,
]


@pytest.fixture(scope="module", params=PHASES, ids=lambda p: p.value)
def anywhere(request: pytest.FixtureRequest) -> Stage:
    return stage("r", request.param)


#: Outcomes of this node's own effects: what made them checked them.
OWN = (inputs.Assembled, inputs.ComputeDone, inputs.Settled, inputs.CommitmentSigned)


@settings(max_examples=120, deadline=None)
@given(input_=st.one_of([wire(kind) for kind in INPUTS if kind not in OWN]))
def test_no_input_breaks_it(anywhere: Stage, input_: inputs.Input) -> None:
    """Any input in any phase: a new state and effects that can be stored, or StateError."""
    try:
        state, wanted = anywhere.peek(input_)
    except StateError:
        return
    except FatalError:
        # A sum of checked batches cannot fail: if it did, the job stops.
        assert isinstance(input_, inputs.ComputeFailed)
        return
    assert_storable(state, wanted)


@settings(max_examples=120, deadline=None)
@given(body=st.one_of([wire(kind) for kind in BODIES]), who=st.integers(0, 5), at=st.booleans())
def test_no_message_breaks_it(anywhere: Stage, body: Any, who: int, at: bool) -> None:
    """Whatever a member or a stranger signs, about the present attempt or about none."""
    round_ = anywhere.state.round
    place = (round_.number, round_.attempt) if at and round_ is not None else (0, 0)
    sender = (*anywhere.world.owners, anywhere.node)[who]
    envelope = anywhere.said(sender, body, *place)
    try:
        state, wanted = anywhere.peek(
            inputs.ReceiveMessage(anywhere.now, envelope, envelope_digest(envelope))
        )
    except StateError:
        return
    assert_storable(state, wanted)


def assert_storable(state: Any, wanted: tuple[effects.Effect, ...]) -> None:
    assert decode(RequesterState, encode(state), 1 << 20) == state
    for effect in wanted:
        assert decode_tagged(EFFECTS, encode_tagged(effect), 1 << 20) == effect


def state_of(at: Stage) -> RequesterState:
    assert isinstance(at.state, RequesterState)
    return at.state


def replies(wanted: tuple[effects.Effect, ...]) -> list[Any]:
    return [e.body for e in wanted if isinstance(e, effects.Send)]


# --- enrolment


@pytest.fixture
def enrolling() -> Stage:
    return stage("r", JobPhase.ENROLLING, Settings(seed=78, owners=6, min_owners=5))


def enrolment(at: Stage, index: int, **changes: object) -> Envelope:
    owner = at.world.owners[index]
    body = owner.executor.enrolment(at.world.job, owner.payout, 40)
    return owner.sealed(at.world.job, 0, 0, dataclasses.replace(body, **changes))


def test_an_enrolment_is_listed_and_answered(enrolling: Stage) -> None:
    envelope = enrolment(enrolling, 0)
    assert replies(enrolling.hear(envelope)) == [Enrolled(envelope_digest(envelope))]
    assert [r.peer for r in state_of(enrolling).enrolments] == [enrolling.world.owners[0].peer]


def test_the_same_enrolment_again_is_answered_again(enrolling: Stage) -> None:
    envelope = enrolment(enrolling, 0)
    first, before = replies(enrolling.hear(envelope)), enrolling.state
    assert replies(enrolling.hear(envelope)) == first
    assert enrolling.state == before


def test_a_forged_enrolment_is_refused_and_blamed(enrolling: Stage) -> None:
    before = enrolling.state
    wanted = enrolling.hear(enrolment(enrolling, 0, payout=b"\x09" * 20))
    assert kinds(wanted) == ["Blame", "Send"]
    assert [reply.code for reply in replies(wanted)] == [RefusalCode.INVALID]
    assert enrolling.state == before


def test_a_payout_enrols_once(enrolling: Stage) -> None:
    enrolling.hear(enrolment(enrolling, 0))
    owner = enrolling.world.owners[1]
    body = owner.executor.enrolment(enrolling.world.job, enrolling.world.owners[0].payout, 40)
    wanted = enrolling.hear(owner.sealed(enrolling.world.job, 0, 0, body))
    assert [reply.code for reply in replies(wanted)] == [RefusalCode.CONFLICT]
    assert len(state_of(enrolling).enrolments) == 1


def test_a_peer_enrols_with_one_account(enrolling: Stage) -> None:
    enrolling.hear(enrolment(enrolling, 0))
    owner = enrolling.world.owners[0]
    body = owner.executor.enrolment(enrolling.world.job, b"\x09" * 20, 40)
    wanted = enrolling.hear(owner.sealed(enrolling.world.job, 0, 0, body))
    assert [reply.code for reply in replies(wanted)] == [RefusalCode.CONFLICT]


def test_enrolment_closes_when_it_is_full(enrolling: Stage) -> None:
    for index in range(5):
        enrolling.hear(enrolment(enrolling, index))
    wanted = enrolling.hear(enrolment(enrolling, 5))
    assert kinds(wanted) == ["Send", "Assemble", "ComputeInitialModel"]
    assert state_of(enrolling).phase is JobPhase.ROOTING


def test_enrolment_closes_at_its_time_if_enough_are_in(enrolling: Stage) -> None:
    until = state_of(enrolling).enrol_until
    for index in range(4):
        enrolling.hear(enrolment(enrolling, index))
    assert kinds(enrolling.step(inputs.Tick(until))) == ["Publish"], "it goes on announcing"
    enrolling.hear(enrolment(enrolling, 4))
    wanted = enrolling.step(inputs.Tick(until + 1))
    assert kinds(wanted) == ["Assemble", "ComputeInitialModel"]


def test_whoever_comes_after_that_is_told(enrolling: Stage) -> None:
    for index in range(5):
        enrolling.hear(enrolment(enrolling, index))
    enrolling.step(inputs.Tick(state_of(enrolling).enrol_until))
    wanted = enrolling.hear(enrolment(enrolling, 5))
    assert [reply.code for reply in replies(wanted)] == [RefusalCode.CLOSED]


def test_what_is_said_elsewhere_does_not_enrol(enrolling: Stage) -> None:
    owner = enrolling.world.owners[0]
    body = owner.executor.enrolment(enrolling.world.job, owner.payout, 40)
    for change in ({"chain_id": 1}, {"contract": b"\x09" * 20}, {"job": b"\x09" * 32}):
        place = dataclasses.replace(owner.place(enrolling.world.job), **change)
        with pytest.raises(StateError, match="another chain, contract or job"):
            enrolling.hear(seal(place, owner.peer, body, owner.peer_key.sign))


# --- a round


def member(at: Stage, index: int) -> Any:
    """The owner at this index of the cohort."""
    peer = at.context.require_cohort().members[index].peer
    return next(o for o in at.world.owners if o.peer == peer)


def round_of(at: Stage) -> Any:
    round_ = state_of(at).round
    assert round_ is not None
    return round_


@pytest.fixture
def opened() -> Stage:
    return stage("r", Phase.READY)


def ready(at: Stage, index: int) -> Envelope:
    return at.said(member(at, index), Ready(round_of(at).opening_digest))


def test_all_ready_freezes_the_roster(opened: Stage) -> None:
    for index in (4, 0, 3, 1):
        assert kinds(opened.hear(ready(opened, index))) == []
    wanted = opened.hear(ready(opened, 2))
    assemble = only(wanted, effects.Assemble)
    assert isinstance(assemble, effects.Assemble)
    assert assemble.kind is BlobKind.FROZEN
    assert assemble.messages == tuple(envelope_digest(ready(opened, i)) for i in range(5))
    assert round_of(opened).phase is Phase.FREEZE


def test_ready_counts_once_and_for_this_opening_only(opened: Stage) -> None:
    opened.hear(ready(opened, 0))
    with pytest.raises(StateError, match="ready already"):
        opened.hear(ready(opened, 0))
    with pytest.raises(StateError, match="another opening"):
        opened.hear(opened.said(member(opened, 1), Ready(b"\x09" * 32)))
    with pytest.raises(StateError, match="not awaited"):
        opened.hear(opened.said(member(opened, 1), Ready(round_of(opened).opening_digest), 0, 1))
    with pytest.raises(StateError, match="not enrolled"):
        opened.hear(opened.said(opened.node, Ready(round_of(opened).opening_digest)))


def test_a_block_that_is_not_whole_in_time_fails_the_attempt(opened: Stage) -> None:
    for index in range(4):
        opened.hear(ready(opened, index))
    until = round_of(opened).opening.ready_until
    assert opened.step(inputs.Tick(until - 1)) == ()
    opened.step(inputs.Tick(until))
    assert round_of(opened).phase is Phase.FAILED
    with pytest.raises(StateError):
        opened.hear(ready(opened, 4))
    publish = only(opened.step(inputs.Tick(until + 2_000)), effects.Publish)
    assert isinstance(publish, effects.Publish)
    assert isinstance(publish.body, Open)
    assert (publish.round, publish.attempt) == (0, 1)
    assert round_of(opened).ready == ()


def test_the_sixteenth_failed_attempt_is_the_last(opened: Stage) -> None:
    for attempt in range(16):
        assert round_of(opened).attempt == attempt
        until = round_of(opened).opening.ready_until
        opened.step(inputs.Tick(until))
        wanted = opened.step(inputs.Tick(until + 2_000))
    assert kinds(wanted) == ["Settle"]
    assert state_of(opened).phase is JobPhase.FINISHING
    assert state_of(opened).reason == "round 0 failed 16 attempts"


@pytest.fixture
def frozen() -> Stage:
    return stage("r", Phase.CONTRIBUTE)


def header(at: Stage, index: int, **changes: object) -> Envelope:
    spec = at.context.spec
    size = spec.packing.batch_bytes(spec.parameter_count)
    digest = round_of(at).frozen_digest
    body = Contribution(0, index, digest, bytes([index]) * 32, size)
    return at.said(member(at, index), dataclasses.replace(body, **changes))


def checked(at: Stage, index: int) -> tuple[effects.Effect, ...]:
    round_ = round_of(at)
    batch = bytes([index]) * 32
    done = inputs.ComputeDone(
        at.now, "check", round_.number, round_.attempt, batch, b"", 0, b"", ()
    )
    return at.step(done)


def contribute(at: Stage, index: int) -> None:
    assert kinds(at.hear(header(at, index))) == ["Fetch"]
    assert kinds(at.step(inputs.BlobArrived(at.now, bytes([index]) * 32))) == ["ComputeCheck"]


def test_checked_batches_of_all_members_are_committed(frozen: Stage) -> None:
    for index in (3, 1, 0, 4, 2):
        contribute(frozen, index)
        wanted = checked(frozen, index)
    assert kinds(wanted) == ["Assemble", "ComputeSum"]
    total = only(wanted, effects.ComputeSum)
    assert isinstance(total, effects.ComputeSum)
    assert total.batches == tuple(bytes([i]) * 32 for i in range(5)), "in the list's order"
    assert round_of(frozen).phase is Phase.COMMIT


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"member": 1}, "another member or block"),
        ({"block": 1}, "another member or block"),
        ({"frozen_digest": b"\x09" * 32}, "another frozen roster"),
        ({"batch_size": 523}, "bytes"),
    ],
    ids=["member", "block", "roster", "size"],
)
def test_a_contribution_that_no_honest_member_makes(
    frozen: Stage, changes: dict[str, object], fault: str
) -> None:
    before = frozen.state
    wanted = frozen.hear(header(frozen, 0, **changes))
    blame = only(wanted, effects.Blame)
    assert isinstance(blame, effects.Blame)
    assert blame.peer == member(frozen, 0).peer
    assert fault in blame.reason
    assert frozen.state == before


def test_a_second_contribution_that_differs_is_blamed_and_the_first_counts(frozen: Stage) -> None:
    frozen.hear(header(frozen, 0))
    before = frozen.state
    assert kinds(frozen.hear(header(frozen, 0))) == []
    assert kinds(frozen.hear(header(frozen, 0, batch_digest=b"\x09" * 32))) == ["Blame"]
    assert frozen.state == before


def test_a_copied_batch_counts_once_and_nobody_is_blamed(frozen: Stage) -> None:
    frozen.hear(header(frozen, 0))
    wanted = frozen.hear(header(frozen, 1, batch_digest=b"\0" * 32))
    assert kinds(wanted) == []
    assert [c.member for c in round_of(frozen).contributions] == [0]


def test_a_contribution_of_nobody_enrolled_is_refused(frozen: Stage) -> None:
    body = header(frozen, 0).body
    with pytest.raises(StateError, match="not enrolled"):
        frozen.hear(frozen.said(frozen.node, body))


def test_an_unsound_batch_never_counts(frozen: Stage) -> None:
    for index in range(5):
        contribute(frozen, index)
    round_ = round_of(frozen)
    failed = inputs.ComputeFailed(
        frozen.now, "check", round_.number, round_.attempt, b"\0" * 32, "ciphertext 0 is no unit"
    )
    wanted = frozen.step(failed)
    blame = only(wanted, effects.Blame)
    assert isinstance(blame, effects.Blame)
    assert blame.peer == member(frozen, 0).peer
    for index in range(1, 5):
        assert kinds(checked(frozen, index)) == []
    frozen.step(inputs.Tick(round_.opening.contribute_until))
    assert round_of(frozen).phase is Phase.FAILED


# --- commitment, sums


@pytest.fixture
def committing() -> Stage:
    return stage("r", Phase.COMMIT)


def committed(at: Stage, **changes: object) -> inputs.ChainCommitted:
    round_, block = round_of(at), state_of(at).head + 1
    told = inputs.ChainCommitted(
        at.now, block, round_.number, round_.root, 5, round_.opening.model_digest
    )
    return dataclasses.replace(told, **changes)


def list_stored(at: Stage) -> tuple[effects.Effect, ...]:
    round_ = round_of(at)
    place = BlobKind.CONTRIBUTIONS, round_.number, round_.attempt
    return at.step(inputs.Assembled(at.now, *place, b"\x05" * 32, 1000, b"\x06" * 32))


def sign(at: Stage) -> tuple[effects.Effect, ...]:
    round_ = round_of(at)
    said = inputs.CommitmentSigned(
        at.now, round_.number, round_.root, round_.valid_until, b"\x07" * 65
    )
    return at.step(said)


def summed(at: Stage) -> tuple[effects.Effect, ...]:
    round_ = round_of(at)
    place = round_.number, round_.attempt
    done = inputs.ComputeDone(at.now, "sum", *place, bytes(4), b"\x08" * 32, 524, b"", ())
    return at.step(done)


def test_the_root_is_signed_said_and_put_on_the_chain(committing: Stage) -> None:
    assert kinds(list_stored(committing)) == ["SignCommitment"]
    assert kinds(sign(committing)) == ["TransactCommit", "Publish"]
    with pytest.raises(StateError, match="no such signature"):
        sign(committing)


def test_sums_are_opened_only_once_the_commitment_is_final(committing: Stage) -> None:
    list_stored(committing)
    sign(committing)
    assert kinds(summed(committing)) == []
    told = committed(committing)
    committing.step(told)
    depth = committing.context.spec.timing.finality_blocks
    last = inputs.ChainHead(committing.now, told.block + depth - 1, 0)
    assert kinds(committing.step(last)) == []
    final = inputs.ChainHead(committing.now, told.block + depth, 0)
    assert kinds(committing.step(final)) == ["ComputeApply"]
    assert round_of(committing).phase is Phase.APPLY


def test_a_sum_counts_once(committing: Stage) -> None:
    summed(committing)
    with pytest.raises(StateError, match="here already"):
        summed(committing)
    round_ = round_of(committing)
    place = round_.number, round_.attempt
    other = inputs.ComputeDone(
        committing.now, "sum", *place, b"\0\0\0\1", b"\x08" * 32, 524, b"", ()
    )
    with pytest.raises(StateError, match="no sum of block 1"):
        committing.step(other)


def test_another_root_on_the_chain_breaks_the_job(committing: Stage) -> None:
    list_stored(committing)
    sign(committing)
    committing.step(committed(committing, root=b"\x09" * 32))
    assert state_of(committing).phase is JobPhase.FAILED
    assert "signed twice" in state_of(committing).reason


def test_a_reorganisation_takes_a_commitment_back(committing: Stage) -> None:
    list_stored(committing)
    sign(committing)
    told = committed(committing)
    committing.step(told)
    committing.step(inputs.ChainReorg(committing.now, told.block - 1))
    assert round_of(committing).committed_block == 0
    depth = committing.context.spec.timing.finality_blocks
    committing.step(inputs.ChainHead(committing.now, told.block + depth, 0))
    assert round_of(committing).phase is Phase.COMMIT
    committing.step(dataclasses.replace(told, block=told.block + 1))
    committing.step(inputs.ChainHead(committing.now, told.block + 1 + depth, 0))
    assert round_of(committing).phase is Phase.APPLY


def test_a_commitment_that_is_late_is_signed_again_with_the_same_root(committing: Stage) -> None:
    list_stored(committing)
    sign(committing)
    late = 1000 * round_of(committing).valid_until
    assert committing.step(inputs.Tick(late)) == ()
    again = only(committing.step(inputs.Tick(late + 1)), effects.SignCommitment)
    assert isinstance(again, effects.SignCommitment)
    assert again.root == round_of(committing).root
    assert again.valid_until > late // 1000


def test_a_commitment_is_never_given_up_by_time(committing: Stage) -> None:
    round_ = round_of(committing)
    committing.step(inputs.Tick(round_.opening.contribute_until + 3_600_000))
    assert round_of(committing).phase is Phase.COMMIT


# --- the end


def test_a_model_that_does_not_move_ends_the_job() -> None:
    at = stage("r", Phase.APPLY)
    round_ = round_of(at)
    same = inputs.ComputeDone(at.now, "apply", 0, 0, b"", round_.opening.model_digest, 100, b"", ())
    assert "Settle" in kinds(at.step(same))
    assert state_of(at).phase is JobPhase.FINISHING
    assert [r.count for r in state_of(at).records] == [5]


def test_a_round_that_cannot_be_applied_is_owed_all_the_same() -> None:
    at = stage("r", Phase.APPLY)
    model = round_of(at).opening.model_digest
    failed = inputs.ComputeFailed(at.now, "apply", 0, 0, b"", "the step leaves float64's range")
    assert kinds(at.step(failed)) == ["Settle"]
    (record,) = state_of(at).records
    assert (record.count, record.model_digest, record.next_model) == (5, model, model)


def test_claims_come_after_finish_and_the_rest_after_the_claims() -> None:
    at = stage("r", JobPhase.PAYING, Settings(seed=79, owners=6, min_owners=5, enrol_seconds=4))
    accounts = state_of(at).unpaid
    for account in accounts[:-1]:
        assert kinds(at.step(inputs.TransactionFinal(at.now, "claim", account))) == []
    failed = inputs.TransactionFailed(at.now, "claim", accounts[-1], "nothing to pay")
    wanted = at.step(failed)
    if len(accounts) == 6:
        assert state_of(at).phase is JobPhase.CLOSED
    else:
        assert kinds(wanted) == ["TransactWithdraw"]
        at.step(inputs.TransactionFinal(at.now, "withdraw", b""))
        assert state_of(at).phase is JobPhase.CLOSED


def test_a_post_that_is_seen_after_it_expired_is_taken_back() -> None:
    at = stage("r", JobPhase.POSTING)
    expiry = at.context.spec.expires_at
    at.step(inputs.Tick(1000 * expiry))
    assert state_of(at).phase is JobPhase.CANCELLED
    at.step(inputs.ChainPosted(1000 * expiry, 9))
    closed = inputs.ChainHead(1000 * expiry, 10, expiry)
    assert kinds(at.step(closed)) == []
    depth = at.context.spec.timing.finality_blocks
    final = inputs.ChainHead(1000 * expiry, 10 + depth, expiry + 9)
    assert kinds(at.step(final)) == ["TransactWithdraw"]


@pytest.mark.parametrize("phase", [JobPhase.FINISHING, JobPhase.PAYING, JobPhase.CLOSED])
def test_a_job_that_ends_cannot_be_cancelled(phase: JobPhase) -> None:
    at = stage("r", phase)
    with pytest.raises(StateError, match="cannot be cancelled"):
        at.step(inputs.ActionCancel(at.now))


def test_a_cancellation_that_comes_while_it_finishes_does_not_stop_it() -> None:
    at = stage("r", JobPhase.FINISHING)
    at.step(inputs.ChainCancelled(at.now, state_of(at).head, at.now // 1000 + 120))
    assert state_of(at).phase is JobPhase.FINISHING


def test_a_refusal_counts_from_members_only(opened: Stage) -> None:
    word = Refuse(RefusalCode.INVALID, "\x1b[2Jno")
    (notice,) = opened.hear(opened.said(member(opened, 0), word))
    assert isinstance(notice, effects.Notify)
    assert notice.text == "invalid: ?[2Jno", "what does not print is not shown"
    with pytest.raises(StateError, match="not enrolled"):
        opened.hear(opened.said(opened.node, word))


def test_a_machine_is_not_asked(opened: Stage) -> None:
    with pytest.raises(StateError, match="does not receive Ask"):
        opened.hear(opened.said(member(opened, 0), Ask()))
