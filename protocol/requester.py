"""The requester's machine: a job from its post to its last payment.

Rounds are protocol.requester_round's and protocol.requester_commit's, the end is
protocol.requester_pay's; this file is what stands around them. `step` never mutates:
it raises StateError for an input that the state does not know, and the caller keeps the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import inputs, params, requester_commit, requester_pay, requester_round
from protocol.effects import (
    Assemble,
    Blame,
    BlobKind,
    ComputeInitialModel,
    Effect,
    Publish,
    ReadBlockHash,
    Send,
    TransactEnrol,
    TransactPost,
)
from protocol.enrolment import read_enrolment
from protocol.errors import Malformed, StateError
from protocol.job import OVER, JobEvent, JobPhase
from protocol.machine import JOBS_TOPIC, JobContext, check_place, job_topic, one_line
from protocol.messages import Announce, Enrol, Enrolled, RefusalCode, Refuse
from protocol.requester_state import EnrolmentRecord, RequesterState
from protocol.requester_turn import RequesterTurn, fail, go
from protocol.round import Phase

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


def _post(turn: RequesterTurn, input_: inputs.ActionPost) -> None:
    if turn.state.phase is not JobPhase.POSTING or turn.state.posted_block:
        raise StateError("the job is posted already")
    turn.emit(TransactPost())


def _posted(turn: RequesterTurn, input_: inputs.ChainPosted) -> None:
    # A post that is mined just before the job expires may be seen after: its money comes back.
    late = turn.state.phase in requester_pay.WINDING_UP and not turn.state.posted_block
    if turn.state.phase is not JobPhase.POSTING and not late:
        raise StateError("the job is posted already")
    turn.change(posted_block=input_.block)
    _look_at_chain(turn, input_.at)


def _announce(turn: RequesterTurn, at: int) -> None:
    turn.change(announced_at=at)
    body = Announce(turn.context.spec_digest, turn.context.spec_bytes)
    turn.emit(Publish(JOBS_TOPIC, 0, 0, body, turn.context.spec_digest))


def _receive(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    check_place(turn.context, input_.envelope)
    if isinstance(body, Enrol):
        _enrol(turn, input_, body)
    elif isinstance(body, Refuse):
        _refused(turn, input_, body)
    else:
        requester_round.receive(turn, input_)


def _refused(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Refuse) -> None:
    """An owner says why it stays out. It decides nothing: deadlines do."""
    if all(r.peer != input_.envelope.sender for r in turn.state.enrolments):
        raise StateError("Refuse from a peer that is not enrolled")
    place = input_.envelope.context
    turn.notify("refusal", f"{body.code.value}: {body.reason}", place.round, place.attempt)


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
    go(turn, JobEvent.COHORT_COMPLETE)
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
        go(turn, JobEvent.BLOCKS_DRAWN)
        requester_round.open_attempt(turn, at, 0, 0)


def _head(turn: RequesterTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    if turn.state.phase in requester_pay.WINDING_UP:
        requester_pay.wind_up(turn, input_)
    else:
        _look_at_chain(turn, input_.at)


def _look_at_chain(turn: RequesterTurn, at: int) -> None:
    """Act on whatever has become final."""
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    if state.phase is JobPhase.POSTING and state.posted_block:
        if state.head >= state.posted_block + depth:
            go(turn, JobEvent.POSTED)
            turn.change(enrol_until=at + 1000 * turn.context.spec.timing.enrol_seconds)
            _announce(turn, at)
    elif state.phase is JobPhase.ROOTING and state.enrolled_block and not state.seed_asked:
        # The seed's block must be as final as the root is, and be mined after it.
        if state.head >= state.enrolled_block + 1 + depth:
            turn.change(seed_asked=True)
            turn.emit(ReadBlockHash(state.enrolled_block + 1))
    elif state.phase is JobPhase.TRAINING:
        requester_commit.look_at_chain(turn)


def _committed(turn: RequesterTurn, input_: inputs.ChainCommitted) -> None:
    fault = requester_commit.committed(turn, input_)
    if fault and turn.state.phase is JobPhase.TRAINING:
        fail(turn, fault)


def _reorg(turn: RequesterTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.closed_block > number:
        turn.change(closed_block=0)
    if state.phase is JobPhase.POSTING and state.posted_block > number:
        turn.change(posted_block=0)
    if state.phase in (JobPhase.ROOTING, JobPhase.TRAINING) and state.enrolled_block > number:
        if state.seed_asked:
            fail(turn, "the chain reorganised deeper than the job's finality")
            return
        turn.change(enrolled_block=0)
    requester_commit.reorg(turn, number)


def _computed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    if input_.kind == "initial":
        if turn.state.phase is not JobPhase.ROOTING:
            raise StateError("the job has its first model already")
        turn.change(model_digest=input_.digest, model_size=input_.size)
        _start_training(turn, input_.at)
        return
    if input_.kind == "apply":
        before = turn.state.model_digest
        requester_commit.applied(turn, input_)
        _after_round(turn, input_.at, before)
    else:
        requester_round.computed(turn, input_)


def _after_round(turn: RequesterTurn, at: int, before: bytes) -> None:
    """Open the next round, or finish after the last."""
    state = turn.state
    if len(state.records) == turn.context.spec.training.rounds:
        requester_pay.finish(turn, JobEvent.LAST_ROUND)
    elif state.model_digest == before:
        # No honest owner contributes to one model in two rounds.
        requester_pay.give_up(turn, "every block's sum was out of range: the model did not move")
    else:
        requester_round.open_attempt(turn, at, len(state.records), 0)


def _compute_failed(turn: RequesterTurn, input_: inputs.ComputeFailed) -> None:
    if input_.kind == "initial":
        if turn.state.phase is not JobPhase.ROOTING:
            raise StateError("no first model is awaited")
        fail(turn, input_.reason)
    elif input_.kind == "apply":
        round_ = turn.state.round
        if round_ is None or (round_.number, round_.phase) != (input_.round, Phase.APPLY):
            raise StateError(f"round {input_.round} is not being applied")
        reason = f"round {input_.round} could not be applied: {input_.reason}"
        requester_pay.give_up(turn, reason)
    else:
        requester_round.compute_failed(turn, input_)


def _tick(turn: RequesterTurn, input_: inputs.Tick) -> None:
    state, spec, at = turn.state, turn.context.spec, input_.at
    if state.phase in OVER or state.phase in (JobPhase.FINISHING, JobPhase.PAYING):
        return  # these wait for the chain alone
    if at >= 1000 * spec.expires_at:
        requester_pay.expired(turn)
    elif state.phase is JobPhase.ENROLLING:
        if at >= state.enrol_until and len(state.enrolments) >= spec.cohort.min_owners:
            _close_enrolment(turn)
        elif at >= state.announced_at + params.ANNOUNCE_EVERY_MS:
            _announce(turn, at)
    elif state.phase is JobPhase.TRAINING:
        requester_round.tick(turn, at)
        _retry(turn, at)


def _retry(turn: RequesterTurn, at: int) -> None:
    """Follow a failed attempt by the next."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.FAILED or at < round_.retry_at:
        return
    if round_.attempt + 1 >= params.MAX_ATTEMPTS:
        reason = f"round {round_.number} failed {params.MAX_ATTEMPTS} attempts"
        requester_pay.give_up(turn, reason)
    else:
        requester_round.open_attempt(turn, at, round_.number, round_.attempt + 1)


_HANDLERS: dict[type, Callable[[RequesterTurn, Any], None]] = {
    inputs.ActionPost: _post,
    inputs.ActionCancel: requester_pay.cancel,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: requester_round.blob_arrived,
    inputs.BlobMissing: requester_round.blob_missing,
    inputs.Assembled: _assembled,
    inputs.CommitmentSigned: requester_commit.signed,
    inputs.ComputeDone: _computed,
    inputs.ComputeFailed: _compute_failed,
    inputs.Settled: requester_pay.settled,
    inputs.TransactionFailed: requester_pay.transaction_failed,
    inputs.TransactionFinal: requester_pay.transaction_final,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainBlockHash: _block_hash,
    inputs.ChainPosted: _posted,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.ChainCommitted: _committed,
    inputs.ChainFinished: lambda turn, input_: None,
    inputs.ChainCancelled: requester_pay.cancelled,
    inputs.ChainClaimed: lambda turn, input_: None,
    inputs.ChainWithdrawn: lambda turn, input_: None,
    inputs.Tick: _tick,
}
