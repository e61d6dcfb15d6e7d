"""The owner's machine: a job from its announcement to the last payment.

Rounds are protocol.owner_round's. `step` never mutates: it raises StateError for an input that the
state does not know, and the caller keeps the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import inputs, owner_pay, owner_round, params
from protocol.effects import (
    BlobKind,
    Consider,
    Effect,
    ReadBlockHash,
    ReadJob,
    Send,
    SendEnrolment,
)
from protocol.errors import StateError
from protocol.job import OVER, JobEvent, JobPhase
from protocol.machine import JOBS_TOPIC, JobContext, check_place, job_topic, kind_of
from protocol.messages import (
    Announce,
    Ask,
    Committed,
    Enrolled,
    Finished,
    Freeze,
    Open,
    RefusalCode,
    Refuse,
    Result,
)
from protocol.owner_state import OwnerState
from protocol.owner_turn import OwnerTurn, go

#: How often an unanswered enrolment is sent again, and the chain read again, milliseconds.
_AGAIN_MS = 5_000


def step(
    context: JobContext, state: OwnerState, input_: inputs.Input
) -> tuple[OwnerState, tuple[Effect, ...]]:
    """One input: the next state and what should happen. Raises StateError; then nothing changed."""
    handler = _HANDLERS.get(type(input_))
    if handler is None:
        raise StateError(f"an owner's job knows no {type(input_).__name__}")
    turn = OwnerTurn(context, state)
    handler(turn, input_)
    return turn.result()


def topics(context: JobContext, state: OwnerState) -> tuple[str, ...]:
    """The gossip topics that this job needs now."""
    if owner_pay.awaits_evidence(state):
        return (job_topic(context.job),)
    if state.phase in OVER:
        return ()
    if state.phase in (JobPhase.SEEN, JobPhase.CONSIDERING, JobPhase.WAITING):
        return (JOBS_TOPIC,)
    return (JOBS_TOPIC, job_topic(context.job), *owner_round.block_topics(context, state))


# --- from announcement to enrolment


def _chain_job(turn: OwnerTurn, input_: inputs.ChainJob) -> None:
    """The terms on the chain must be the spec's, to the last field."""
    if turn.state.phase is not JobPhase.SEEN:
        raise StateError("the job's terms were compared already")
    if not input_.known:
        # It may have been announced a block early; the next tick reads again.
        turn.change(asked_at=input_.at)
        return
    spec = turn.context.spec
    told = {
        "requester": spec.requester.account,
        "spec digest": turn.context.spec_digest,
        "token": spec.payment.token,
        "rounds": spec.training.rounds,
        "cohort": spec.cohort.max_owners,
        "rate": spec.payment.rate,
        "merit": spec.payment.merit,
        "expiry": spec.expires_at,
    }
    held = {
        "requester": input_.requester,
        "spec digest": input_.spec_digest,
        "token": input_.token,
        "rounds": input_.rounds,
        "cohort": input_.cohort,
        "rate": input_.rate,
        "merit": input_.merit,
        "expiry": input_.expiry,
    }
    wrong = next((name for name in told if told[name] != held[name]), None)
    if wrong is not None:
        go(turn, JobEvent.DECLINED, f"its {wrong} on the chain is not the announced spec's")
        return
    go(turn, JobEvent.TERMS_HOLD)
    turn.emit(Consider())


def _consent(turn: OwnerTurn, input_: inputs.ActionConsent) -> None:
    turn.change(dataset=input_.dataset, payout=input_.payout, rows=input_.rows)
    go(turn, JobEvent.CONSENTED, f"with data set {input_.dataset}")
    _send_enrolment(turn, input_.at)


def _send_enrolment(turn: OwnerTurn, at: int) -> None:
    turn.change(enrol_sent_at=at)
    turn.emit(
        SendEnrolment(turn.context.requester, turn.state.payout, turn.state.rows, at + _AGAIN_MS)
    )


def _withhold(turn: OwnerTurn, input_: inputs.ActionWithhold) -> None:
    event = JobEvent.DECLINED if input_.final else JobEvent.POLICY_WAITS
    go(turn, event, input_.reason)


def _reconsider(turn: OwnerTurn, input_: inputs.ActionReconsider) -> None:
    go(turn, JobEvent.RECONSIDERED)
    turn.emit(Consider())


# --- messages


def _receive(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    if input_.envelope.sender != turn.context.requester:
        raise StateError(f"{kind_of(body)} from a peer that is not the job's requester")
    check_place(turn.context, input_.envelope)
    turn.change(heard_at=input_.at)
    if isinstance(body, Enrolled):
        if turn.state.phase is JobPhase.ENROLMENT_SENT:
            go(turn, JobEvent.ACCEPTED)
    elif isinstance(body, Refuse):
        _refused(turn, body)
    elif isinstance(body, Finished):
        owner_pay.finished(turn, input_, body)
    elif isinstance(body, Open | Freeze | Committed | Result):
        owner_round.receive(turn, input_)
    elif not isinstance(body, Announce):
        raise StateError(f"an owner does not receive {kind_of(body)}")


def _refused(turn: OwnerTurn, body: Refuse) -> None:
    # A requester that is starting may not know its own job yet: these two are asked again.
    passing = body.code in (RefusalCode.BUSY, RefusalCode.UNKNOWN)
    if turn.state.phase is JobPhase.ENROLMENT_SENT and not passing:
        go(turn, JobEvent.LEFT_OUT, f"{body.code.value}: {body.reason}")


# --- blobs and lists


def _examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    if input_.kind is not BlobKind.COHORT:
        owner_round.examined(turn, input_)
        return
    state = turn.state
    if input_.digest != state.cohort_digest or state.cohort_root:
        raise StateError("no such cohort is awaited")
    if not input_.mine:
        go(turn, JobEvent.LEFT_OUT, "the enrolled list leaves this owner out")
        return
    turn.change(cohort_root=input_.root)
    _compare_roots(turn, input_.at)


def _compare_roots(turn: OwnerTurn, at: int) -> None:
    """The list of the opening must be the one under the chain's root.

    Both sides are compared once the root is final (the seed is read then): an opening may come
    before, or while a reorganisation has the root off the chain. A list under another root comes
    from a requester that broke its word, not from a race: BROKEN.
    """
    state = turn.state
    if not (state.seed and state.cohort_root) or state.cohort_here:
        return
    if state.cohort_root != state.enrol_root:
        go(turn, JobEvent.BROKEN, "the enrolled list is not the one under the chain's root")
        return
    turn.change(cohort_here=True)
    owner_round.proceed(turn, at)


def _rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    if input_.kind is BlobKind.COHORT and input_.digest == turn.state.cohort_digest:
        go(turn, JobEvent.BROKEN, f"the enrolled list does not hold: {input_.reason}")
    else:
        owner_round.rejected(turn, input_)


def _blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    owner_round.blob_arrived(turn, input_)


def _blob_missing(turn: OwnerTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("blob-missing", input_.reason)
    if input_.digest == turn.state.evidence_digest:
        turn.change(evidence_digest=b"")  # the next Finished fetches it again
    elif input_.digest == turn.state.cohort_digest and not turn.state.cohort_root:
        turn.change(cohort_digest=b"")  # the next opening fetches it again
    else:
        owner_round.blob_missing(turn, input_)


# --- the chain


def _enrolled_on_chain(turn: OwnerTurn, input_: inputs.ChainEnrolled) -> None:
    """The root stands. Whether this owner is under it, the list in the first opening shows."""
    state = turn.state
    if state.enrol_root and input_.root != state.enrol_root:
        raise StateError("a later enrolment root: it makes blocks without this owner")
    if state.phase in (JobPhase.ENROLMENT_SENT, JobPhase.ENROLLED):
        go(turn, JobEvent.ROOTED)
    elif state.phase is not JobPhase.TRAINING:
        raise StateError("not enrolled in this job")
    turn.change(enrol_root=input_.root, enrol_count=input_.count, enrolled_block=input_.block)
    _look_at_chain(turn, input_.at)


def _block_hash(turn: OwnerTurn, input_: inputs.ChainBlockHash) -> None:
    if turn.state.seed or input_.number != turn.state.enrolled_block + 1:
        raise StateError("no such block's hash is awaited")
    turn.change(seed=input_.hash)
    _compare_roots(turn, input_.at)


def _head(turn: OwnerTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    _look_at_chain(turn, input_.at)


def _look_at_chain(turn: OwnerTurn, at: int) -> None:
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    asked = state.seed_asked or not state.enrolled_block
    if not asked and state.head >= state.enrolled_block + 1 + depth:
        turn.change(seed_asked=True)
        turn.emit(ReadBlockHash(state.enrolled_block + 1))
    owner_round.look_at_chain(turn, at)


def _reorg(turn: OwnerTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.enrolled_block > number:
        if state.seed_asked:
            go(turn, JobEvent.BROKEN, "the chain reorganised deeper than the job's finality")
            return
        turn.change(enrolled_block=0, enrol_root=b"", enrol_count=0)
    owner_round.reorg(turn, number)
    owner_pay.reorg(turn, number)


def _chain_cancelled(turn: OwnerTurn, input_: inputs.ChainCancelled) -> None:
    go(turn, JobEvent.CANCELLED)


# --- time


def _tick(turn: OwnerTurn, input_: inputs.Tick) -> None:
    state, at = turn.state, input_.at
    if state.phase in OVER:
        return
    if at >= 1000 * turn.context.spec.expires_at:
        owner_pay.expired(turn)
        return
    if state.phase is JobPhase.SEEN:
        if at >= state.asked_at + _AGAIN_MS:
            turn.change(asked_at=at)
            turn.emit(ReadJob())
        return
    if state.phase is JobPhase.ENROLMENT_SENT and at >= state.enrol_sent_at + _AGAIN_MS:
        _send_enrolment(turn, at)
    if state.phase in (JobPhase.ENROLLED, JobPhase.TRAINING, JobPhase.FINISHING):
        _ask_when_silent(turn, at)
    if turn.state.phase is JobPhase.TRAINING:
        owner_round.tick(turn, at)


def _ask_when_silent(turn: OwnerTurn, at: int) -> None:
    """Gossip is lossy: what was missed is asked for. The answers come as ReceiveMessage."""
    state = turn.state
    if state.phase is JobPhase.FINISHING and state.evidence_digest:
        return
    if at >= max(state.heard_at, state.asked_at) + params.ASK_AFTER_MS:
        turn.change(asked_at=at)
        until = at + params.ASK_AFTER_MS
        turn.emit(Send(turn.context.requester, 0, 0, Ask(), b"", until))


_HANDLERS: dict[type, Callable[[OwnerTurn, Any], None]] = {
    inputs.ActionConsent: _consent,
    inputs.ActionWithhold: _withhold,
    inputs.ActionReconsider: _reconsider,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: _blob_arrived,
    inputs.BlobMissing: _blob_missing,
    inputs.Examined: _examined,
    inputs.Rejected: _rejected,
    inputs.ComputeDone: owner_round.computed,
    inputs.ComputeFailed: owner_round.compute_failed,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainJob: _chain_job,
    inputs.ChainBlockHash: _block_hash,
    inputs.ChainPosted: lambda turn, input_: None,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.ChainCommitted: owner_round.chain_committed,
    inputs.ChainFinished: owner_pay.chain_finished,
    inputs.ChainCancelled: _chain_cancelled,
    inputs.ChainClaimed: owner_pay.chain_claimed,
    inputs.ChainWithdrawn: owner_pay.chain_withdrawn,
    inputs.Tick: _tick,
}
