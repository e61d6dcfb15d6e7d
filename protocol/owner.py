"""The owner's machine: a job from its announcement to the last payment.

Rounds are protocol.owner_round's. `step` never mutates: it raises StateError for an input that the
state does not know, and the caller keeps the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import inputs, owner_round, params
from protocol.effects import (
    BlobKind,
    Consider,
    Effect,
    Fetch,
    ReadBlockHash,
    ReadJob,
    Send,
    SendEnrolment,
)
from protocol.errors import StateError
from protocol.job import OVER, JobEvent, JobPhase, advance
from protocol.machine import JOBS_TOPIC, JobContext, Turn, job_topic, kind_of, one_line
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
from protocol.owner_state import ChainCommitment, OwnerState
from protocol.round import Role

OwnerTurn = Turn[OwnerState]

#: How often an unanswered enrolment is sent again, and the chain read again, milliseconds.
_AGAIN_MS = 5_000

#: How long a lost evidence blob is looked for before asking again, milliseconds.
_FETCH_MS = 60_000


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
    if state.phase in OVER:
        return ()
    if state.phase in (JobPhase.SEEN, JobPhase.CONSIDERING, JobPhase.WAITING):
        return (JOBS_TOPIC,)
    return (JOBS_TOPIC, job_topic(context.job), *owner_round.block_topics(context, state))


def _go(turn: OwnerTurn, event: JobEvent, reason: str = "") -> None:
    phase = advance(Role.OWNER, turn.state.phase, event)
    turn.change(phase=phase, reason=one_line(reason) if reason else turn.state.reason)
    turn.notify(phase.value, reason or event.value)


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
        _go(turn, JobEvent.DECLINED, f"its {wrong} on the chain is not the announced spec's")
        return
    _go(turn, JobEvent.TERMS_HOLD)
    turn.emit(Consider())


def _consent(turn: OwnerTurn, input_: inputs.ActionConsent) -> None:
    turn.change(dataset=input_.dataset, payout=input_.payout, rows=input_.rows)
    _go(turn, JobEvent.CONSENTED, f"with data set {input_.dataset}")
    _send_enrolment(turn, input_.at)


def _send_enrolment(turn: OwnerTurn, at: int) -> None:
    turn.change(enrol_sent_at=at)
    turn.emit(
        SendEnrolment(turn.context.requester, turn.state.payout, turn.state.rows, at + _AGAIN_MS)
    )


def _withhold(turn: OwnerTurn, input_: inputs.ActionWithhold) -> None:
    event = JobEvent.DECLINED if input_.final else JobEvent.POLICY_WAITS
    _go(turn, event, input_.reason)


def _reconsider(turn: OwnerTurn, input_: inputs.ActionReconsider) -> None:
    _go(turn, JobEvent.RECONSIDERED)
    turn.emit(Consider())


# --- messages


def _receive(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    if input_.envelope.sender != turn.context.requester:
        raise StateError(f"{kind_of(body)} from a peer that is not the job's requester")
    turn.change(heard_at=input_.at)
    if isinstance(body, Enrolled):
        if turn.state.phase is JobPhase.ENROLMENT_SENT:
            _go(turn, JobEvent.ACCEPTED)
    elif isinstance(body, Refuse):
        _refused(turn, body)
    elif isinstance(body, Finished):
        _finished(turn, input_, body)
    elif isinstance(body, Open | Freeze | Committed | Result):
        owner_round.receive(turn, input_)
    elif not isinstance(body, Announce):
        raise StateError(f"an owner does not receive {kind_of(body)}")


def _refused(turn: OwnerTurn, body: Refuse) -> None:
    if turn.state.phase is JobPhase.ENROLMENT_SENT and body.code is not RefusalCode.BUSY:
        _go(turn, JobEvent.LEFT_OUT, f"{body.code.value}: {body.reason}")


def _finished(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Finished) -> None:
    """The evidence is fetched, so that this owner can claim without anybody's help."""
    if turn.state.evidence_digest or turn.state.phase not in (
        JobPhase.TRAINING,
        JobPhase.FINISHING,
        JobPhase.CANCELLED,
    ):
        raise StateError("no evidence is awaited")
    turn.change(evidence_digest=body.evidence_digest, evidence_size=body.evidence_size)
    until = input_.at + _FETCH_MS
    peers = (turn.context.requester,)
    turn.emit(
        Fetch(body.evidence_digest, body.evidence_size, peers, until),
        Fetch(body.model_digest, body.model_size, peers, until),
    )
    turn.change(model_digest=body.model_digest, model_size=body.model_size)


# --- blobs and lists


def _examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    if input_.kind is not BlobKind.COHORT:
        owner_round.examined(turn, input_)
        return
    state = turn.state
    if input_.digest != state.cohort_digest or state.cohort_here:
        raise StateError("no such cohort is awaited")
    if not input_.mine:
        _go(turn, JobEvent.LEFT_OUT, "the enrolled list leaves this owner out")
        return
    turn.change(cohort_here=True)
    owner_round.proceed(turn, input_.at)


def _rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    if input_.kind is BlobKind.COHORT and input_.digest == turn.state.cohort_digest:
        _go(turn, JobEvent.BROKEN, f"the enrolled list does not hold: {input_.reason}")
    else:
        owner_round.rejected(turn, input_)


def _blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    if input_.digest in (turn.state.evidence_digest, turn.state.model_digest):
        _check_evidence(turn)
    owner_round.blob_arrived(turn, input_)


def _blob_missing(turn: OwnerTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("blob-missing", input_.reason)
    if input_.digest == turn.state.evidence_digest:
        turn.change(evidence_digest=b"")  # the next Finished fetches it again
    elif input_.digest == turn.state.cohort_digest and not turn.state.cohort_here:
        turn.change(cohort_digest=b"")  # the next opening fetches it again


# --- the chain


def _enrolled_on_chain(turn: OwnerTurn, input_: inputs.ChainEnrolled) -> None:
    """The root stands. Whether this owner is under it, the list in the first opening shows."""
    state = turn.state
    if state.enrol_root and input_.root != state.enrol_root:
        raise StateError("a later enrolment root: it makes blocks without this owner")
    if state.phase in (JobPhase.ENROLMENT_SENT, JobPhase.ENROLLED):
        _go(turn, JobEvent.ROOTED)
    elif state.phase is not JobPhase.TRAINING:
        raise StateError("not enrolled in this job")
    turn.change(enrol_root=input_.root, enrol_count=input_.count, enrolled_block=input_.block)
    _look_at_chain(turn, input_.at)


def _block_hash(turn: OwnerTurn, input_: inputs.ChainBlockHash) -> None:
    if turn.state.seed or input_.number != turn.state.enrolled_block + 1:
        raise StateError("no such block's hash is awaited")
    turn.change(seed=input_.hash)
    owner_round.proceed(turn, input_.at)


def _head(turn: OwnerTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    _look_at_chain(turn, input_.at)


def _look_at_chain(turn: OwnerTurn, at: int) -> None:
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    if state.enrolled_block and not state.seed_asked:
        if state.head >= state.enrolled_block + 1 + depth:
            turn.change(seed_asked=True)
            turn.emit(ReadBlockHash(state.enrolled_block + 1))
    owner_round.look_at_chain(turn, at)


def _reorg(turn: OwnerTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.enrolled_block > number:
        if state.seed_asked:
            _go(turn, JobEvent.BROKEN, "the chain reorganised deeper than the job's finality")
            return
        turn.change(enrolled_block=0, enrol_root=b"", enrol_count=0)
    if state.commitment is not None and state.commitment.block > number:
        turn.change(commitment=None)


def _chain_committed(turn: OwnerTurn, input_: inputs.ChainCommitted) -> None:
    turn.change(commitment=ChainCommitment(input_.round, input_.root, input_.block))
    owner_round.look_at_chain(turn, input_.at)


def _chain_finished(turn: OwnerTurn, input_: inputs.ChainFinished) -> None:
    turn.change(evidence_on_chain=input_.evidence_digest)
    _go(turn, JobEvent.FINISHED)
    _check_evidence(turn)


def _check_evidence(turn: OwnerTurn) -> None:
    told, held = turn.state.evidence_digest, turn.state.evidence_on_chain
    if told and held and told != held:
        turn.change(evidence_digest=b"")
        turn.notify("fault", "the requester's evidence is not the one on the chain")


def _chain_cancelled(turn: OwnerTurn, input_: inputs.ChainCancelled) -> None:
    _go(turn, JobEvent.CANCELLED)


def _chain_claimed(turn: OwnerTurn, input_: inputs.ChainClaimed) -> None:
    if input_.account != turn.state.payout:
        return
    turn.change(paid=turn.state.paid + input_.amount)
    turn.notify("paid", f"{input_.amount} wei to 0x{input_.account.hex()}")
    if turn.state.phase is JobPhase.FINISHING:
        _go(turn, JobEvent.SETTLED)


# --- time


def _tick(turn: OwnerTurn, input_: inputs.Tick) -> None:
    state, at = turn.state, input_.at
    if state.phase in OVER:
        return
    if at >= 1000 * turn.context.spec.expires_at and state.phase is not JobPhase.FINISHING:
        _go(turn, JobEvent.EXPIRED)
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
    inputs.ChainCommitted: _chain_committed,
    inputs.ChainFinished: _chain_finished,
    inputs.ChainCancelled: _chain_cancelled,
    inputs.ChainClaimed: _chain_claimed,
    inputs.ChainWithdrawn: lambda turn, input_: None,
    inputs.Tick: _tick,
}
