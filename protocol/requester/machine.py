"""The requester's machine: a job from its post to its last payment.

Rounds are protocol.requester.attempt's and protocol.requester.commit's, the end is
protocol.requester.pay's; this file is what stands around them. `step` never mutates:
it raises StateError for an input that the state does not know, and the caller keeps the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import params
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import BlobKind, Effect, Publish, TransactPost
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.machine import JobContext, check_place
from protocol.machines.round import Phase
from protocol.requester import attempt as requester_round
from protocol.requester import commit, pay, unmask
from protocol.requester import enrol as requester_enrol
from protocol.requester.state import RequesterState
from protocol.requester.turn import RequesterTurn, fail, go
from protocol.wire.messages import Announce, Enrol, Refuse
from protocol.wire.topics import JOBS_TOPIC, job_topic

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
    late = turn.state.phase in pay.WINDING_UP and not turn.state.posted_block
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
        requester_enrol.enrol(turn, input_, body)
    elif isinstance(body, Refuse):
        _refused(turn, input_, body)
    else:
        requester_round.receive(turn, input_)


def _refused(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Refuse) -> None:
    """An owner says why it stays out: it alone, and nobody waits for it any longer."""
    if all(r.peer != input_.envelope.sender for r in turn.state.enrolments):
        raise StateError("Refuse from a peer that is not enrolled")
    place = input_.envelope.context
    turn.notify("refusal", f"{body.code.value}: {body.reason}", place.round, place.attempt)
    if turn.state.phase is JobPhase.TRAINING:
        requester_round.refused(turn, input_)


def _assembled(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    if input_.kind is BlobKind.COHORT:
        requester_enrol.assembled(turn, input_)
    else:
        requester_round.assembled(turn, input_)


def _block_hash(turn: RequesterTurn, input_: inputs.ChainBlockHash) -> None:
    requester_enrol.block_hash(turn, input_)
    if turn.state.phase is JobPhase.ROOTING:
        _start_training(turn, input_.at)


def _start_training(turn: RequesterTurn, at: int) -> None:
    first = turn.state.groups[0] if turn.state.groups else None
    if first is not None and first.seed and turn.state.model_digest:
        go(turn, JobEvent.BLOCKS_DRAWN)
        _open_round(turn, at, 0)


def _open_round(turn: RequesterTurn, at: int, number: int) -> None:
    """Open a round for everybody whose root is final by now."""
    requester_enrol.adopt(turn)
    requester_round.open_attempt(turn, at, number, 0)


def _enrolled_on_chain(turn: RequesterTurn, input_: inputs.ChainEnrolled) -> None:
    requester_enrol.on_chain(turn, input_)
    _look_at_chain(turn, input_.at)


def _head(turn: RequesterTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    if turn.state.phase in pay.WINDING_UP:
        pay.wind_up(turn, input_)
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
    elif state.phase is JobPhase.ROOTING:
        requester_enrol.look_at_chain(turn)
    elif state.phase is JobPhase.TRAINING:
        requester_enrol.look_at_chain(turn)
        commit.look_at_chain(turn, at)


def _committed(turn: RequesterTurn, input_: inputs.ChainCommitted) -> None:
    fault = commit.committed(turn, input_)
    if fault and turn.state.phase is JobPhase.TRAINING:
        fail(turn, fault)


def _reorg(turn: RequesterTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.closed_block > number:
        turn.change(closed_block=0)
    if state.phase is JobPhase.POSTING and state.posted_block > number:
        turn.change(posted_block=0)
    if requester_enrol.reorg(turn, number):
        commit.reorg(turn, number)


def _computed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    if input_.kind == "initial":
        if turn.state.phase is not JobPhase.ROOTING:
            raise StateError("the job has its first model already")
        turn.change(model_digest=input_.digest, model_size=input_.size)
        _start_training(turn, input_.at)
        return
    if input_.kind == "apply":
        commit.applied(turn, input_)
        _after_round(turn, input_.at)
    else:
        requester_round.computed(turn, input_)


def _after_round(turn: RequesterTurn, at: int) -> None:
    """Open the next round, or finish after the last, once nobody's shares can be waited for."""
    state, rounds = turn.state, turn.context.spec.training.rounds
    if state.lost_rounds >= params.MAX_LOST_ROUNDS:
        why = f"{state.lost_rounds} rounds in a row moved nothing: no block's sum could be opened"
        pay.give_up(turn, why)
    elif len(state.records) < rounds:
        _open_round(turn, at, len(state.records))
    else:
        _finish_when_given(turn, at)


def _finish_when_given(turn: RequesterTurn, at: int) -> None:
    """Close the books; whoever is only slow with its last shares still has their time."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.DONE:
        return
    owing = any(owed.round == round_.number for owed in turn.state.owed)
    if not owing or at >= round_.unmask_until:
        pay.finish(turn, JobEvent.LAST_ROUND)


def _unmasked(turn: RequesterTurn, input_: inputs.Unmasked) -> None:
    unmask.unmasked(turn, input_)
    if turn.state.phase is JobPhase.TRAINING:
        _look_whether_over(turn, input_.at)


def _look_whether_over(turn: RequesterTurn, at: int) -> None:
    if len(turn.state.records) == turn.context.spec.training.rounds:
        _finish_when_given(turn, at)


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
        pay.give_up(turn, reason)
    else:
        requester_round.compute_failed(turn, input_)


def _tick(turn: RequesterTurn, input_: inputs.Tick) -> None:
    state, spec, at = turn.state, turn.context.spec, input_.at
    if state.phase in OVER or state.phase in (JobPhase.FINISHING, JobPhase.PAYING):
        return  # these wait for the chain alone
    if at >= 1000 * spec.expires_at:
        pay.expired(turn)
    elif state.phase is JobPhase.ENROLLING:
        if at >= state.enrol_until and len(state.enrolments) >= spec.cohort.min_owners:
            requester_enrol.close(turn)
        elif at >= state.announced_at + params.ANNOUNCE_EVERY_MS:
            _announce(turn, at)
    elif state.phase is JobPhase.TRAINING:
        requester_enrol.gather(turn)
        requester_round.tick(turn, at)
        _retry(turn, at)
        _look_whether_over(turn, at)


def _retry(turn: RequesterTurn, at: int) -> None:
    """Follow a failed attempt by the next."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.FAILED or at < round_.retry_at:
        return
    if round_.attempt + 1 >= params.MAX_ATTEMPTS:
        reason = f"round {round_.number} failed {params.MAX_ATTEMPTS} attempts"
        pay.give_up(turn, reason)
    else:
        requester_round.open_attempt(turn, at, round_.number, round_.attempt + 1)


_HANDLERS: dict[type, Callable[[RequesterTurn, Any], None]] = {
    inputs.ActionPost: _post,
    inputs.ActionCancel: pay.cancel,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: requester_round.blob_arrived,
    inputs.BlobMissing: requester_round.blob_missing,
    inputs.Assembled: _assembled,
    inputs.CommitmentSigned: commit.signed,
    inputs.ComputeDone: _computed,
    inputs.ComputeFailed: _compute_failed,
    inputs.Settled: pay.settled,
    inputs.TransactionFailed: pay.transaction_failed,
    inputs.TransactionFinal: pay.transaction_final,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainBlockHash: _block_hash,
    inputs.ChainPosted: _posted,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.Unmasked: _unmasked,
    inputs.ChainCommitted: _committed,
    inputs.ChainFinished: lambda turn, input_: None,
    inputs.ChainCancelled: pay.cancelled,
    inputs.ChainClaimed: lambda turn, input_: None,
    inputs.ChainWithdrawn: lambda turn, input_: None,
    inputs.Tick: _tick,
}
