"""The requester's machine: a job from its post to its last payment.

This file is what stands around the rounds, which the table of machines/round.py moves. `step` never
mutates: it raises StateError for an input that the state does not know, and the caller keeps the
old state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import params
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Effect, Publish, TransactPost
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.machine import JobContext, check_place, kind_of, step_by
from protocol.requester import attempt, commit, course, enrol, pay, unmask, verify
from protocol.requester.state import RequesterState
from protocol.requester.turn import RequesterTurn, concerned, fail, go
from protocol.wire.messages import (
    Announce,
    Contribution,
    Declined,
    Enrol,
    Ready,
    Refuse,
    Release,
    Words,
)
from protocol.wire.topics import JOBS_TOPIC, job_topic


def step(
    context: JobContext, state: RequesterState, input_: inputs.Input
) -> tuple[RequesterState, tuple[Effect, ...]]:
    """One input: the next state and what should happen. Raises StateError; then nothing changed."""
    turn = RequesterTurn(context, state)
    step_by(turn, input_, _HANDLERS, concerned, _ROOMS)
    return turn.result()


def topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """The gossip topics that this job needs now."""
    if state.phase in OVER:
        return ()
    return (JOBS_TOPIC, job_topic(context.job), *attempt.block_topics(context, state))


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
    _look_at_post(turn, input_.at)


def _announce(turn: RequesterTurn, at: int) -> None:
    turn.change(announced_at=at)
    body = Announce(turn.context.spec_digest, turn.context.spec_bytes)
    turn.emit(Publish(JOBS_TOPIC, 0, 0, body, turn.context.spec_digest))


def _receive(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    check_place(turn.context, input_.envelope)
    if isinstance(body, Enrol):
        enrol.enrol(turn, input_, body)
    elif isinstance(body, Refuse):
        _refused(turn, input_, body)
    elif isinstance(body, Declined):
        enrol.declined(turn, input_, body)
    elif not isinstance(body, Ready | Contribution | Words | Release):
        raise StateError(f"a requester does not receive {kind_of(body)}")


def _refused(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Refuse) -> None:
    """An owner says why it stays out: it alone, and nobody waits for it any longer."""
    if turn.state.enrolments.place_of("peer", input_.envelope.sender) is None:
        raise StateError("Refuse from a peer that is not enrolled")
    place = input_.envelope.context
    turn.notify("refusal", f"{body.code.value}: {body.reason}", place.round, place.attempt)


def _first_model(turn: RequesterTurn, input_: inputs.InitialModelMade) -> None:
    if turn.state.phase is not JobPhase.ROOTING:
        raise StateError("the job has its first model already")
    turn.change(model_digest=input_.digest, model_size=input_.size)


def _no_first_model(turn: RequesterTurn, input_: inputs.InitialModelFailed) -> None:
    if turn.state.phase is not JobPhase.ROOTING:
        raise StateError("no first model is awaited")
    fail(turn, input_.reason)


def _enrolled_on_chain(turn: RequesterTurn, input_: inputs.ChainEnrolled) -> None:
    enrol.on_chain(turn, input_)
    enrol.look_at_chain(turn)


def _head(turn: RequesterTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    if turn.state.phase in pay.WINDING_UP:
        pay.wind_up(turn, input_)
    elif turn.state.phase in pay.PAID:
        pay.return_rest(turn, input_)
    elif turn.state.phase is JobPhase.POSTING:
        _look_at_post(turn, input_.at)
    elif turn.state.phase in (JobPhase.ROOTING, JobPhase.TRAINING):
        enrol.look_at_chain(turn)


def _look_at_post(turn: RequesterTurn, at: int) -> None:
    """Announce the job once its post is final."""
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    final = bool(state.posted_block) and state.head >= state.posted_block + depth
    if state.phase is JobPhase.POSTING and final:
        go(turn, JobEvent.POSTED)
        turn.change(enrol_until=at + 1000 * turn.context.spec.timing.enrol_seconds)
        _announce(turn, at)


def _reorg(turn: RequesterTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    if state.closed_block > number:
        turn.change(closed_block=0)
    if state.phase is JobPhase.POSTING and state.posted_block > number:
        turn.change(posted_block=0)
    if enrol.reorg(turn, number):
        commit.reorg(turn, number)


def _blob_missing(turn: RequesterTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("batch-missing", input_.reason)


def _tick(turn: RequesterTurn, input_: inputs.Tick) -> None:
    state, spec, at = turn.state, turn.context.spec, input_.at
    if state.phase in OVER or state.phase in (JobPhase.FINISHING, JobPhase.PAYING):
        return  # these wait for the chain alone
    if at >= 1000 * spec.expires_at:
        pay.expired(turn)
    elif state.phase is JobPhase.ENROLLING:
        if at >= state.enrol_until and len(state.enrolments) >= spec.cohort.min_owners:
            enrol.close(turn)
        elif at >= state.announced_at + params.ANNOUNCE_EVERY_MS:
            _announce(turn, at)
    elif state.phase is JobPhase.TRAINING:
        enrol.gather(turn)


_HANDLERS: dict[type, Callable[[RequesterTurn, Any], None]] = {
    inputs.ActionPost: _post,
    inputs.ActionCancel: pay.cancel,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: unmask.owed_sum_arrived,
    inputs.BlobMissing: _blob_missing,
    inputs.AssembledCohort: enrol.assembled,
    inputs.InitialModelMade: _first_model,
    inputs.InitialModelFailed: _no_first_model,
    inputs.Settled: pay.settled,
    inputs.TransactionFailed: pay.transaction_failed,
    inputs.TransactionFinal: pay.transaction_final,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainBlockHash: enrol.block_hash,
    inputs.ChainPosted: _posted,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.ChainFinished: pay.chain_finished,
    inputs.ChainCancelled: pay.cancelled,
    inputs.ChainClaimed: lambda turn, input_: None,
    inputs.ChainWithdrawn: pay.withdrawn,
    inputs.Tick: _tick,
}

#: Where the table's handlers are.
_ROOMS = {
    "attempt": attempt,
    "commit": commit,
    "course": course,
    "unmask": unmask,
    "verify": verify,
}
