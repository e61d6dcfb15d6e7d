"""The requester's machine: a job from its post to its last payment.

Rounds are protocol.requester_round's; this file is what stands around them. `step` never mutates:
it raises StateError for an input that the state does not know, and the caller keeps the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import inputs, params, requester_round
from protocol.effects import (
    Assemble,
    Blame,
    BlobKind,
    ComputeInitialModel,
    Effect,
    Publish,
    ReadBlockHash,
    Send,
    Settle,
    TransactCancel,
    TransactClaim,
    TransactEnrol,
    TransactFinish,
    TransactPost,
    TransactWithdraw,
)
from protocol.enrolment import read_enrolment
from protocol.errors import Malformed, StateError
from protocol.job import OVER, JobEvent, JobPhase, advance
from protocol.machine import JOBS_TOPIC, JobContext, Turn, job_topic, one_line
from protocol.messages import Announce, Enrol, Enrolled, Finished, RefusalCode, Refuse
from protocol.requester_state import EnrolmentRecord, RequesterState
from protocol.round import Phase, Role

RequesterTurn = Turn[RequesterState]

#: How long an answer to an enrolment is worth delivering, milliseconds.
_ANSWER_MS = 30_000


def step(
    context: JobContext, state: RequesterState, input_: inputs.Input
) -> tuple[RequesterState, tuple[Effect, ...]]:
    """One input: the next state and what should happen. Raises StateError; then nothing changed."""
    handler = _HANDLERS.get(type(input_))
    if handler is None:
        raise StateError(f"a requester's job knows no {type(input_).__name__}")
    turn = RequesterTurn(context, state)
    handler(turn, input_)
    return turn.result()


def topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """The gossip topics that this job needs now."""
    if state.phase in OVER:
        return ()
    return (JOBS_TOPIC, job_topic(context.job), *requester_round.block_topics(context, state))


def _go(turn: RequesterTurn, event: JobEvent) -> None:
    phase = advance(Role.REQUESTER, turn.state.phase, event)
    turn.change(phase=phase)
    turn.notify(phase.value, event.value)


def _post(turn: RequesterTurn, input_: inputs.ActionPost) -> None:
    if turn.state.phase is not JobPhase.POSTING or turn.state.posted_block:
        raise StateError("the job is posted already")
    turn.emit(TransactPost())


def _posted(turn: RequesterTurn, input_: inputs.ChainPosted) -> None:
    if turn.state.phase is not JobPhase.POSTING:
        raise StateError("the job is posted already")
    turn.change(posted_block=input_.block)
    _look_at_chain(turn, input_.at)


def _announce(turn: RequesterTurn, at: int) -> None:
    turn.change(announced_at=at)
    body = Announce(turn.context.spec_digest, turn.context.spec_bytes)
    turn.emit(Publish(JOBS_TOPIC, 0, 0, body, turn.context.spec_digest))


def _receive(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    if isinstance(body, Enrol):
        _enrol(turn, input_, body)
    elif isinstance(body, Refuse):
        turn.notify("refusal", f"{body.code.value}: {body.reason}", *_place(input_))
    else:
        requester_round.receive(turn, input_)


def _place(input_: inputs.ReceiveMessage) -> tuple[int, int]:
    return input_.envelope.context.round, input_.envelope.context.attempt


def _enrol(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Enrol) -> None:
    state, limits = turn.state, turn.context.spec.cohort
    peer = input_.envelope.sender

    def answer(reply: Enrolled | Refuse) -> None:
        turn.emit(Send(peer, 0, 0, reply, b"", input_.at + _ANSWER_MS))

    def refuse(code: RefusalCode, reason: str) -> None:
        answer(Refuse(code, reason))

    try:
        member = read_enrolment(turn.context.spec, turn.context.job, input_.envelope)
    except Malformed as e:
        turn.emit(Blame(peer, one_line(str(e))))
        refuse(RefusalCode.INVALID, one_line(str(e)))
        return
    known = next((r for r in state.enrolments if r.peer == peer), None)
    if known is not None:
        same = (known.account, known.payout) == (member.account, member.payout)
        if same:
            answer(Enrolled(known.message))
        else:
            refuse(RefusalCode.CONFLICT, "this peer is enrolled with another account")
    elif state.phase is not JobPhase.ENROLLING:
        refuse(RefusalCode.CLOSED, "enrolment in this job is over")
    elif len(state.enrolments) >= limits.max_owners:
        refuse(RefusalCode.FULL, f"{limits.max_owners} owners are enrolled, which is the most")
    elif limits.admission and member.account not in limits.admission:
        refuse(RefusalCode.NOT_ADMITTED, "the account is not on the job's admission list")
    elif any(member.account == r.account or member.payout == r.payout for r in state.enrolments):
        # The contract pays an account once a round: a second member could never be paid.
        refuse(RefusalCode.CONFLICT, "the account or payout address is enrolled by another peer")
    else:
        record = EnrolmentRecord(peer, member.account, member.payout, input_.digest)
        turn.change(enrolments=(*state.enrolments, record))
        answer(Enrolled(input_.digest))
        turn.notify("enrolled", f"{len(turn.state.enrolments)} of {limits.max_owners} owners")
        if len(turn.state.enrolments) == limits.max_owners:
            _close_enrolment(turn)


def _close_enrolment(turn: RequesterTurn) -> None:
    _go(turn, JobEvent.COHORT_COMPLETE)
    messages = tuple(r.message for r in turn.state.enrolments)
    turn.emit(Assemble(BlobKind.COHORT, 0, 0, messages), ComputeInitialModel())


def _assembled(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    if input_.kind is not BlobKind.COHORT:
        requester_round.assembled(turn, input_)
        return
    if turn.state.phase is not JobPhase.ROOTING or turn.state.cohort_digest:
        raise StateError("no cohort is being assembled")
    turn.change(cohort_digest=input_.digest, cohort_size=input_.size, enrol_root=input_.root)
    turn.emit(TransactEnrol(input_.root, len(turn.state.enrolments)))


def _enrolled_on_chain(turn: RequesterTurn, input_: inputs.ChainEnrolled) -> None:
    if turn.state.phase is not JobPhase.ROOTING or input_.root != turn.state.enrol_root:
        raise StateError("not the enrolment root that is awaited")
    turn.change(enrolled_block=input_.block)
    _look_at_chain(turn, input_.at)


def _block_hash(turn: RequesterTurn, input_: inputs.ChainBlockHash) -> None:
    state = turn.state
    if state.phase is not JobPhase.ROOTING or input_.number != state.enrolled_block + 1:
        raise StateError("no such block's hash is awaited")
    turn.change(seed=input_.hash)
    _start_training(turn, input_.at)


def _start_training(turn: RequesterTurn, at: int) -> None:
    if turn.state.seed and turn.state.model_digest:
        _go(turn, JobEvent.BLOCKS_DRAWN)
        requester_round.open_attempt(turn, at, 0, 0)


def _head(turn: RequesterTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    _look_at_chain(turn, input_.at)


def _look_at_chain(turn: RequesterTurn, at: int) -> None:
    """Act on whatever has become final."""
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    if state.phase is JobPhase.POSTING and state.posted_block:
        if state.head >= state.posted_block + depth:
            _go(turn, JobEvent.POSTED)
            turn.change(enrol_until=at + 1000 * turn.context.spec.timing.enrol_seconds)
            _announce(turn, at)
    elif state.phase is JobPhase.ROOTING and state.enrolled_block and not state.seed_asked:
        # The seed's block must be as final as the root is, and be mined after it.
        if state.head >= state.enrolled_block + 1 + depth:
            turn.change(seed_asked=True)
            turn.emit(ReadBlockHash(state.enrolled_block + 1))
    elif state.phase is JobPhase.TRAINING:
        requester_round.look_at_chain(turn, at)
    if turn.state.phase is JobPhase.TRAINING:
        _after_round(turn, at)


def _reorg(turn: RequesterTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.phase is JobPhase.POSTING and state.posted_block > number:
        turn.change(posted_block=0)
    if state.phase is JobPhase.ROOTING and state.enrolled_block > number:
        if state.seed_asked:
            _break(turn, "the chain reorganised deeper than the job's finality")
            return
        turn.change(enrolled_block=0)
    if state.phase is JobPhase.TRAINING:
        if state.enrolled_block > number:
            _break(turn, "the chain reorganised deeper than the job's finality")
            return
        requester_round.reorg(turn, number)


def _break(turn: RequesterTurn, reason: str) -> None:
    turn.change(reason=one_line(reason))
    _go(turn, JobEvent.BROKEN)
    turn.notify("failed", reason)


def _computed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    if input_.kind == "initial":
        if turn.state.phase is not JobPhase.ROOTING:
            raise StateError("the job has its first model already")
        turn.change(model_digest=input_.digest, model_size=input_.size)
        _start_training(turn, input_.at)
        return
    requester_round.computed(turn, input_)
    _after_round(turn, input_.at)


def _after_round(turn: RequesterTurn, at: int) -> None:
    """Open the next round, or finish after the last."""
    state = turn.state
    if state.phase is not JobPhase.TRAINING or state.round is None:
        return
    if state.round.phase is not Phase.DONE:
        return
    if len(state.records) == turn.context.spec.training.rounds:
        _go(turn, JobEvent.LAST_ROUND)
        turn.emit(Settle(state.model_digest))
    else:
        requester_round.open_attempt(turn, at, state.round.number + 1, 0)


def _give_up(turn: RequesterTurn, reason: str) -> None:
    turn.change(reason=one_line(reason))
    _go(turn, JobEvent.GAVE_UP)
    turn.notify("gave-up", reason)
    turn.emit(Settle(turn.state.model_digest))


def _compute_failed(turn: RequesterTurn, input_: inputs.ComputeFailed) -> None:
    if input_.kind == "initial":
        _break(turn, input_.reason)
    elif input_.kind == "apply":
        _give_up(turn, f"round {input_.round} could not be applied: {input_.reason}")
    else:
        requester_round.compute_failed(turn, input_)


def _settled(turn: RequesterTurn, input_: inputs.Settled) -> None:
    state = turn.state
    if state.evidence_digest or state.phase not in (JobPhase.FINISHING, JobPhase.CANCELLED):
        raise StateError("no settlement is awaited")
    turn.change(evidence_digest=input_.digest, evidence_size=input_.size, unpaid=input_.payouts)
    if state.phase is JobPhase.FINISHING:
        turn.emit(TransactFinish(state.model_digest, input_.digest, input_.merit_root))
    else:
        _pay(turn)


def _pay(turn: RequesterTurn) -> None:
    state = turn.state
    body = Finished(
        state.model_digest, state.model_size, state.evidence_digest, state.evidence_size
    )
    turn.emit(Publish(job_topic(turn.context.job), 0, 0, body, b""))
    turn.emit(*(TransactClaim(account, state.evidence_digest) for account in state.unpaid))
    if not state.unpaid:
        turn.change(withdrawals=1)
        turn.emit(TransactWithdraw(0))


def _transaction_final(turn: RequesterTurn, input_: inputs.TransactionFinal) -> None:
    state = turn.state
    if input_.function == "finish" and state.phase is JobPhase.FINISHING:
        _go(turn, JobEvent.FINISHED)
        _pay(turn)
    elif input_.function == "claim" and input_.account in state.unpaid:
        _claimed(turn, input_.account)
    elif input_.function == "withdraw" and state.withdrawals:
        _closed(turn)


def _claimed(turn: RequesterTurn, account: bytes) -> None:
    unpaid = tuple(a for a in turn.state.unpaid if a != account)
    turn.change(unpaid=unpaid)
    if not unpaid and not turn.state.withdrawals:
        turn.change(withdrawals=1)
        turn.emit(TransactWithdraw(0))


def _closed(turn: RequesterTurn) -> None:
    if turn.state.phase is JobPhase.PAYING:
        _go(turn, JobEvent.SETTLED)


def _transaction_failed(turn: RequesterTurn, input_: inputs.TransactionFailed) -> None:
    turn.notify("transaction-failed", f"{input_.function}: {input_.reason}")
    if input_.function == "post":
        _break(turn, f"the bounty could not be posted: {input_.reason}")
    elif input_.function == "enrol":
        _break(turn, f"the enrolment root could not be posted: {input_.reason}")
    elif input_.function == "finish" and turn.state.phase is JobPhase.FINISHING:
        _break(turn, f"the job could not be finished: {input_.reason}")
    elif input_.function == "claim" and input_.account in turn.state.unpaid:
        # The owner may have claimed itself, or its account refuses money; it harms nobody else.
        _claimed(turn, input_.account)
    elif input_.function == "withdraw":
        _closed(turn)


def _cancel(turn: RequesterTurn, input_: inputs.ActionCancel) -> None:
    if turn.state.phase in OVER or turn.state.phase is JobPhase.PAYING:
        raise StateError(f"a job that is {turn.state.phase.value} cannot be cancelled")
    turn.emit(TransactCancel())


def _cancelled(turn: RequesterTurn, input_: inputs.ChainCancelled) -> None:
    turn.change(cancel_effective=input_.effective)
    _go(turn, JobEvent.CANCELLED)


def _tick(turn: RequesterTurn, input_: inputs.Tick) -> None:
    state, spec, at = turn.state, turn.context.spec, input_.at
    if state.phase is JobPhase.CANCELLED:
        _settle_cancelled(turn, at)
        return
    if state.phase in OVER or state.phase is JobPhase.PAYING:
        return
    if at >= 1000 * spec.expires_at:
        turn.change(cancel_effective=spec.expires_at)
        _go(turn, JobEvent.EXPIRED)
        return
    if state.phase is JobPhase.ENROLLING:
        if at >= state.enrol_until and len(state.enrolments) >= spec.cohort.min_owners:
            _close_enrolment(turn)
        elif at >= state.announced_at + params.ANNOUNCE_EVERY_MS:
            _announce(turn, at)
    elif state.phase is JobPhase.TRAINING:
        requester_round.tick(turn, at)
        round_ = turn.state.round
        if round_ is not None and round_.phase is Phase.FAILED and at >= round_.retry_at:
            if round_.attempt + 1 >= params.MAX_ATTEMPTS:
                _give_up(turn, f"round {round_.number} failed {params.MAX_ATTEMPTS} attempts")
            else:
                requester_round.open_attempt(turn, at, round_.number, round_.attempt + 1)


def _settle_cancelled(turn: RequesterTurn, at: int) -> None:
    """After the notice every committed contribution has its rate and its equal share of merit."""
    state = turn.state
    if state.settling or not state.cancel_effective or at <= 1000 * state.cancel_effective:
        return
    turn.change(settling=True)
    if state.records:
        turn.emit(Settle(state.model_digest))
    elif state.posted_block:
        turn.change(withdrawals=1)
        turn.emit(TransactWithdraw(0))


_HANDLERS: dict[type, Callable[[RequesterTurn, Any], None]] = {
    inputs.ActionPost: _post,
    inputs.ActionCancel: _cancel,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: requester_round.blob_arrived,
    inputs.BlobMissing: requester_round.blob_missing,
    inputs.Assembled: _assembled,
    inputs.CommitmentSigned: requester_round.signed,
    inputs.ComputeDone: _computed,
    inputs.ComputeFailed: _compute_failed,
    inputs.Settled: _settled,
    inputs.TransactionFailed: _transaction_failed,
    inputs.TransactionFinal: _transaction_final,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainBlockHash: _block_hash,
    inputs.ChainPosted: _posted,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.ChainCommitted: requester_round.committed,
    inputs.ChainFinished: lambda turn, input_: None,
    inputs.ChainCancelled: _cancelled,
    inputs.ChainClaimed: lambda turn, input_: None,
    inputs.ChainWithdrawn: lambda turn, input_: None,
    inputs.Tick: _tick,
}
