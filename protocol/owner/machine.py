"""The owner's machine: a job from its announcement to the last payment.

This file is what stands around the rounds, which the table of machines/round.py moves. `step` never
mutates: it raises StateError for an input that the state does not know, and the caller keeps the
old state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from protocol import params
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import (
    BlobKind,
    Consider,
    Effect,
    Examine,
    ReadBlockHash,
    ReadJob,
    SendEnrolment,
)
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.machine import JobContext, check_place, kind_of, step_by
from protocol.owner import attempt, pay, release, verify
from protocol.owner.state import EnrolRoot, OwnerState
from protocol.owner.turn import FETCH_MS, OwnerTurn, ask, awaited, concerned, go, send
from protocol.wire.messages import (
    FROM_REQUESTER,
    Announce,
    Committed,
    Dealt,
    Decided,
    Declined,
    Enrolled,
    Finished,
    Freeze,
    Open,
    RefusalCode,
    Refuse,
    Result,
)
from protocol.wire.topics import JOBS_TOPIC, job_topic

#: How often an unanswered enrolment is sent again, and the chain read again, milliseconds.
_AGAIN_MS = 5_000

#: How often an owner that a root left out says its enrolment again, milliseconds.
_LATE_AGAIN_MS = 30_000


def step(
    context: JobContext, state: OwnerState, input_: inputs.Input
) -> tuple[OwnerState, tuple[Effect, ...]]:
    """One input: the next state and what should happen. Raises StateError; then nothing changed."""
    turn = OwnerTurn(context, state)
    step_by(turn, input_, _HANDLERS, concerned, _ROOMS)
    return turn.result()


def topics(context: JobContext, state: OwnerState) -> tuple[str, ...]:
    """The gossip topics that this job needs now."""
    if pay.awaits_evidence(state):
        return (job_topic(context.job),)
    if state.phase in OVER:
        return ()
    if state.phase in (JobPhase.SEEN, JobPhase.CONSIDERING, JobPhase.WAITING):
        return (JOBS_TOPIC,)
    return (JOBS_TOPIC, job_topic(context.job), *attempt.block_topics(context, state))


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
    turn.change(
        dataset=input_.dataset,
        payout=input_.payout,
        rows=input_.rows,
        known=input_.known,
        known_least=input_.known_least,
        max_unpaid=input_.max_unpaid,
    )
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
    if input_.terms and not turn.state.explained:
        turn.change(explained=True)
        send(turn, Declined(input_.terms), input_.at + FETCH_MS)
        told = ", ".join(term.value for term in input_.terms)
        turn.notify("explained", f"its requester is told what it does not meet: {told}")


def _reconsider(turn: OwnerTurn, input_: inputs.ActionReconsider) -> None:
    go(turn, JobEvent.RECONSIDERED)
    turn.emit(Consider())


# --- messages


def _receive(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    body = input_.envelope.body
    if input_.envelope.sender != turn.context.requester:
        raise StateError(f"{kind_of(body)} from a peer that is not the job's requester")
    check_place(turn.context, input_.envelope)
    _hear(turn, input_)
    if isinstance(body, Enrolled):
        if turn.state.phase is JobPhase.ENROLMENT_SENT:
            go(turn, JobEvent.ACCEPTED)
            if turn.state.roots:
                go(turn, JobEvent.ROOTED)  # late: it waits for a root of its own, and follows
    elif isinstance(body, Refuse):
        _refused(turn, body)
    elif isinstance(body, Finished):
        pay.finished(turn, input_, body)
    elif isinstance(body, Open | Freeze | Dealt | Decided | Committed | Result):
        # A commitment may be heard when the job is finishing: shares that it asks for clear a debt.
        late = isinstance(body, Committed | Decided) and turn.state.phase is JobPhase.FINISHING
        if turn.state.phase is not JobPhase.TRAINING and not late:
            raise StateError(f"no round is followed while the job is {turn.state.phase.value}")
    elif not isinstance(body, Announce):
        raise StateError(f"an owner does not receive {kind_of(body)}")


def _hear(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    """Remember what was heard, so that nobody repeats it when this owner asks."""
    kind, state = kind_of(input_.envelope.body), turn.state
    turn.change(heard_at=input_.at)
    if (
        isinstance(input_.envelope.body, FROM_REQUESTER)
        and (kind, input_.digest) not in state.heard
    ):
        others = (each for each in state.heard if each[0] != kind)
        turn.change(heard=(*others, (kind, input_.digest)), asks=0)


def _refused(turn: OwnerTurn, body: Refuse) -> None:
    # A requester that is starting may not know its own job yet: these two are asked again.
    passing = body.code in (RefusalCode.BUSY, RefusalCode.UNKNOWN)
    waiting = turn.state.phase is JobPhase.TRAINING and not turn.state.cohort_mine
    about = waiting and body.code in (RefusalCode.FULL, RefusalCode.NOT_ADMITTED)
    if (turn.state.phase is JobPhase.ENROLMENT_SENT and not passing) or about:
        go(turn, JobEvent.LEFT_OUT, f"{body.code.value}: {body.reason}")


# --- blobs and lists


def _cohort_holds(turn: OwnerTurn, input_: inputs.ExaminedCohort) -> None:
    state = turn.state
    if input_.digest != state.cohort_digest or state.cohort_roots:
        raise StateError("no such cohort is awaited")
    if not input_.mine and input_.count >= turn.context.spec.cohort.max_owners:
        go(turn, JobEvent.LEFT_OUT, "the enrolled list is full, and leaves this owner out")
        return
    turn.change(cohort_roots=input_.roots, cohort_mine=bool(input_.mine))
    if not input_.mine:
        turn.notify("not-listed", "the enrolled list has no place for this owner yet")
    _compare_roots(turn)


def _compare_roots(turn: OwnerTurn) -> None:
    """The opening's list must be the one under the chain's roots, from the first root on.

    Both sides are compared once the roots are final (their seeds are read then): an opening may
    come before, or while a reorganisation has a root off the chain. A list under another root comes
    from a requester that broke its word, not from a race: BROKEN.
    """
    state = turn.state
    held = state.roots[: len(state.cohort_roots)]
    if state.cohort_here or not state.cohort_roots or len(held) < len(state.cohort_roots):
        return
    if not all(root.seed for root in held):
        return
    if tuple(root.root for root in held) != state.cohort_roots:
        go(turn, JobEvent.BROKEN, "the enrolled list is not the one under the chain's root")
        return
    if state.cohort_mine:
        turn.change(
            cohort_here=True,
            held_cohort=state.cohort_digest,
            held_groups=len(state.cohort_roots),
        )


def _cohort_fails(turn: OwnerTurn, input_: inputs.RejectedCohort) -> None:
    if input_.digest != turn.state.cohort_digest or turn.state.cohort_roots:
        raise StateError("no such cohort is awaited")
    go(turn, JobEvent.BROKEN, f"the enrolled list does not hold: {input_.reason}")


def _blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    state, round_ = turn.state, turn.state.round
    if round_ is not None and input_.digest == state.cohort_digest and not state.cohort_roots:
        turn.emit(Examine(BlobKind.COHORT, round_.number, round_.attempt, input_.digest))


def _blob_missing(turn: OwnerTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("blob-missing", input_.reason)
    turn.change(heard=())  # who names it is to say so again
    if input_.digest == turn.state.evidence_digest:
        turn.change(evidence_digest=b"")  # the next Finished fetches it again
    elif input_.digest == turn.state.cohort_digest and not turn.state.cohort_roots:
        turn.change(cohort_digest=b"")  # the next opening fetches it again


# --- the chain


def _enrolled_on_chain(turn: OwnerTurn, input_: inputs.ChainEnrolled) -> None:
    """A root stands on the chain. The list in an opening shows whether this owner is under it."""
    state = turn.state
    if state.phase in OVER or state.phase is JobPhase.FINISHING:
        raise StateError(f"no enrolment is awaited in a job that is {state.phase.value}")
    if input_.index < len(state.roots):
        if state.roots[input_.index].root != input_.root:
            raise StateError(f"enrolment root {input_.index} is another one already")
    elif input_.index > len(state.roots):
        raise StateError(f"enrolment root {input_.index} comes before root {len(state.roots)}")
    elif input_.index >= params.MAX_GROUPS:
        # The contract takes one more for every owner; nobody can ever be listed under it.
        raise StateError(f"a list of owners has at most {params.MAX_GROUPS} roots")
    else:
        root = EnrolRoot(input_.index, input_.root, input_.count, input_.block)
        turn.change(roots=(*state.roots, root))
    if state.phase in (JobPhase.ENROLMENT_SENT, JobPhase.ENROLLED):
        go(turn, JobEvent.ROOTED)
    _look_at_roots(turn)


def _set_root(turn: OwnerTurn, index: int, **changes: Any) -> None:
    roots = list(turn.state.roots)
    roots[index] = dataclasses.replace(roots[index], **changes)
    turn.change(roots=tuple(roots))


def _block_hash(turn: OwnerTurn, input_: inputs.ChainBlockHash) -> None:
    awaited = [r for r in turn.state.roots if r.block + 1 == input_.number and not r.seed]
    if not awaited:
        raise StateError("no such block's hash is awaited")
    for root in awaited:
        _set_root(turn, root.index, seed=input_.hash)
    _compare_roots(turn)


def _head(turn: OwnerTurn, input_: inputs.ChainHead) -> None:
    turn.change(head=max(turn.state.head, input_.number))
    _look_at_roots(turn)


def _look_at_roots(turn: OwnerTurn) -> None:
    """Read the seed of every root that is final by now."""
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    for root in state.roots:
        if not root.asked and state.head >= root.block + 1 + depth:
            _set_root(turn, root.index, asked=True)
            turn.emit(ReadBlockHash(root.block + 1))


def _reorg(turn: OwnerTurn, input_: inputs.ChainReorg) -> None:
    state, number = turn.state, input_.number
    turn.change(head=min(state.head, number))
    # Blocks are drawn from the block after the root's: that one must stand as well.
    if any(root.asked and root.block + 1 > number for root in state.roots):
        go(turn, JobEvent.BROKEN, "the chain reorganised deeper than the job's finality")
        return
    turn.change(roots=tuple(root for root in state.roots if root.block <= number))
    release.reorg(turn, number)
    pay.reorg(turn, number)


def _chain_cancelled(turn: OwnerTurn, input_: inputs.ChainCancelled) -> None:
    go(turn, JobEvent.CANCELLED)


# --- time


def _tick(turn: OwnerTurn, input_: inputs.Tick) -> None:
    state, at = turn.state, input_.at
    if state.phase in OVER:
        return
    if at >= 1000 * turn.context.spec.expires_at:
        pay.expired(turn)
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
        waiting = bool(state.cohort_roots) and not state.cohort_mine
        if waiting and at >= state.enrol_sent_at + _LATE_AGAIN_MS:
            _send_enrolment(turn, at)  # for the next root, if this enrolment was not heard


def _ask_when_silent(turn: OwnerTurn, at: int) -> None:
    """Ask for what was missed, because gossip is lossy. The answers come as ReceiveMessage."""
    state = turn.state
    if state.phase is JobPhase.FINISHING and state.evidence_digest:
        return
    due = awaited(state)
    if due and all(round_.count for round_ in due):
        return  # the chain's word is waited for, nobody else's
    wait = min(params.ASK_AFTER_MS << state.asks, params.ASK_AT_LEAST_MS)
    # In a lively job one message may be missed unnoticed: that of the commitment is waited for.
    lacking = [round_.said_at for round_ in due if not round_.commitment_root]
    missed = bool(lacking) and at >= max(state.asked_at, *lacking) + 2 * wait
    if missed or at >= max(state.heard_at, state.asked_at) + wait:
        ask(turn, at)


_HANDLERS: dict[type, Callable[[OwnerTurn, Any], None]] = {
    inputs.ActionConsent: _consent,
    inputs.ActionWithhold: _withhold,
    inputs.ActionReconsider: _reconsider,
    inputs.ReceiveMessage: _receive,
    inputs.BlobArrived: _blob_arrived,
    inputs.BlobMissing: _blob_missing,
    inputs.ExaminedCohort: _cohort_holds,
    inputs.RejectedCohort: _cohort_fails,
    inputs.ChainHead: _head,
    inputs.ChainReorg: _reorg,
    inputs.ChainJob: _chain_job,
    inputs.ChainBlockHash: _block_hash,
    inputs.ChainPosted: lambda turn, input_: None,
    inputs.ChainEnrolled: _enrolled_on_chain,
    inputs.ChainCommitted: release.chain_committed,
    inputs.ChainFinished: pay.chain_finished,
    inputs.ChainCancelled: _chain_cancelled,
    inputs.ChainClaimed: pay.chain_claimed,
    inputs.ChainWithdrawn: pay.chain_withdrawn,
    inputs.Tick: _tick,
}

#: Where the table's handlers are.
_ROOMS = {"attempt": attempt, "release": release, "verify": verify}
