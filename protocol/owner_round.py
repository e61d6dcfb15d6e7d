"""A round as an owner follows it. What it checks before it says or releases anything stands here.

An owner is ready for an opening only when it holds the cohort's list under the chain's root, knows
its own block, and has the very model that the opening names. It contributes to a model in one round
only. It counts a commitment only when the whole list rebuilds to the chain's root, at the depth
that the spec asks for, and its own contribution is in it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol import inputs
from protocol.effects import BlobKind, ComputeContribution, Examine, Fetch, Publish, Send
from protocol.enrolment import draw_blocks
from protocol.envelope import opening_digest
from protocol.errors import StateError
from protocol.job import JobPhase
from protocol.machine import JobContext, Turn, block_topic, one_line
from protocol.messages import (
    Committed,
    Contribution,
    Freeze,
    Open,
    Ready,
    RefusalCode,
    Refuse,
    Result,
)
from protocol.owner_state import EarnedRound, OwnerRound, OwnerState
from protocol.params import MAX_INLINE_BATCH_BYTES
from protocol.requester_round import message_context
from protocol.round import Event, Phase, Role, advance

OwnerTurn = Turn[OwnerState]

#: A header that no commitment answered is pushed to the requester directly, milliseconds.
_PUSH_AFTER_MS = 2_000

#: How long the lists and the next model are looked for, milliseconds.
_FETCH_MS = 60_000

_OVER = (Phase.DONE, Phase.FAILED)


def block_topics(context: JobContext, state: OwnerState) -> tuple[str, ...]:
    """The topic of this owner's block, once it is drawn."""
    if not (state.seed and state.cohort_here and state.phase is JobPhase.TRAINING):
        return ()
    return (block_topic(context.job, _my_block(context, state)),)


def receive(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    """A word of the requester on a round."""
    if turn.state.phase is not JobPhase.TRAINING:
        raise StateError(f"no round is followed while the job is {turn.state.phase.value}")
    body = input_.envelope.body
    if isinstance(body, Open):
        _open(turn, input_, body)
    elif isinstance(body, Freeze):
        _freeze(turn, input_, body)
    elif isinstance(body, Committed):
        _committed(turn, input_, body)
    elif isinstance(body, Result):
        _result(turn, input_, body)


def _open(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Open) -> None:
    state, place, at = turn.state, input_.envelope.context, input_.at
    known = state.round
    digest = opening_digest(place, body)
    if known is not None:
        if (place.round, place.attempt) < (known.number, known.attempt):
            raise StateError(f"round {place.round}.{place.attempt} is over")
        if (place.round, place.attempt) == (known.number, known.attempt):
            if digest != known.opening_digest:
                _refuse(turn, at, RefusalCode.CONFLICT, "two openings of one attempt")
            return
    if at >= body.ready_until:
        raise StateError("an opening whose time is over")
    if any(m == body.model_digest and r != place.round for m, r in state.contributed):
        _refuse(turn, at, RefusalCode.CONFLICT, "this model was contributed to in another round")
        return
    if state.cohort_digest and state.cohort_here and body.cohort_digest != state.cohort_digest:
        _refuse(turn, at, RefusalCode.CONFLICT, "the opening names another cohort")
        return
    if known is not None and known.phase not in _OVER:
        turn.notify("attempt-over", "the requester opened another", known.number, known.attempt)
    turn.change(round=OwnerRound(place.round, place.attempt, Phase.OPEN, body, digest))
    peers = (turn.context.requester,)
    if not state.cohort_here and state.cohort_digest != body.cohort_digest:
        turn.change(cohort_digest=body.cohort_digest)
        turn.emit(Fetch(body.cohort_digest, body.cohort_size, peers, at + _FETCH_MS))
    turn.emit(Fetch(body.model_digest, body.model_size, peers, body.ready_until))


def blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    """A model, or a list that is now to be examined."""
    state, round_ = turn.state, turn.state.round
    if round_ is None:
        return
    place = round_.number, round_.attempt
    if input_.digest == state.cohort_digest and not state.cohort_here:
        turn.emit(Examine(BlobKind.COHORT, *place, input_.digest, state.enrol_root))
    if input_.digest == round_.opening.model_digest and round_.phase is Phase.OPEN:
        _set(turn, model_here=True)
        proceed(turn, input_.at)
    if input_.digest == round_.frozen_digest and round_.phase is Phase.FREEZE:
        binding = round_.opening_digest
        turn.emit(Examine(BlobKind.FROZEN, *place, input_.digest, binding))
    if input_.digest == round_.list_digest and round_.phase is Phase.COMMIT:
        binding = round_.frozen_digest
        turn.emit(Examine(BlobKind.CONTRIBUTIONS, *place, input_.digest, binding))


def proceed(turn: OwnerTurn, at: int) -> None:
    """Say Ready once everything that it stands for is here."""
    state, round_ = turn.state, turn.state.round
    if round_ is None or round_.phase is not Phase.OPEN:
        return
    if not (round_.model_here and state.cohort_here and state.seed):
        return
    if at >= round_.opening.ready_until:
        return
    _advance(turn, Event.OPENED)
    _send(turn, Ready(round_.opening_digest), round_.opening.ready_until)


def _freeze(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Freeze) -> None:
    round_ = _round_of(turn, input_)
    if body.opening != round_.opening_digest:
        raise StateError("a frozen roster of another opening")
    if round_.frozen_digest:
        if round_.frozen_digest != body.frozen_digest:
            _refuse(turn, input_.at, RefusalCode.CONFLICT, "two frozen rosters of one attempt")
        return
    if round_.phase is not Phase.READY:
        raise StateError(f"a frozen roster in phase {round_.phase.value}")
    _advance(turn, Event.MEMBERS_READY, frozen_digest=body.frozen_digest)
    until = round_.opening.contribute_until
    turn.emit(Fetch(body.frozen_digest, body.frozen_size, (turn.context.requester,), until))


def examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    """A frozen roster or a contribution list holds."""
    round_ = turn.state.round
    if round_ is None or (round_.number, round_.attempt) != (input_.round, input_.attempt):
        raise StateError(f"round {input_.round}.{input_.attempt} is over")
    if input_.kind is BlobKind.FROZEN and round_.phase is Phase.FREEZE:
        if not input_.mine:
            _refuse(turn, input_.at, RefusalCode.INVALID, "the frozen roster leaves me out")
            _abandon(turn, "the frozen roster leaves this owner out")
            return
        _advance(turn, Event.FROZEN)
        model = round_.opening.model_digest
        if all(m != model for m, _ in turn.state.contributed):
            # Recorded in the same transaction that orders the training, before anything leaves.
            turn.change(contributed=(*turn.state.contributed, (model, round_.number)))
        turn.emit(ComputeContribution(round_.number, round_.attempt, model))
    elif input_.kind is BlobKind.CONTRIBUTIONS and round_.phase is Phase.COMMIT:
        if input_.root != round_.commitment_root:
            _refuse(turn, input_.at, RefusalCode.INVALID, "the list is not the commitment's")
        elif input_.mine != round_.batch_digest:
            _refuse(turn, input_.at, RefusalCode.INVALID, "the commitment leaves me out")
        else:
            _set(turn, list_holds=True)
            look_at_chain(turn, input_.at)
    else:
        raise StateError(f"no {input_.kind.value} list is awaited in phase {round_.phase.value}")


def rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    """A list that does not hold: say so, and stay out of this attempt."""
    round_ = turn.state.round
    if round_ is None or (round_.number, round_.attempt) != (input_.round, input_.attempt):
        raise StateError(f"round {input_.round}.{input_.attempt} is over")
    _refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    _abandon(turn, input_.reason)


def computed(turn: OwnerTurn, input_: inputs.ComputeDone) -> None:
    """The contribution is stored, byte for byte: now its header may leave."""
    round_ = turn.state.round
    if round_ is None or (round_.number, round_.attempt) != (input_.round, input_.attempt):
        raise StateError(f"round {input_.round}.{input_.attempt} is over")
    if input_.kind != "contribution" or round_.phase is not Phase.CONTRIBUTE:
        raise StateError(f"no {input_.kind} is awaited in phase {round_.phase.value}")
    if input_.at >= round_.opening.contribute_until:
        _abandon(turn, "the contribution came after its deadline")
        return
    _advance(
        turn,
        Event.CONTRIBUTED,
        batch_digest=input_.digest,
        batch_size=input_.size,
        pushed_at=input_.at,
    )
    header, attachment = _header(turn)
    topic = block_topic(turn.context.job, header.block)
    turn.emit(Publish(topic, round_.number, round_.attempt, header, attachment))
    turn.notify("contributed", f"{input_.size} bytes", round_.number, round_.attempt, input_.facts)


def compute_failed(turn: OwnerTurn, input_: inputs.ComputeFailed) -> None:
    """The data set does not fit the job: say why; the owner mends it, or the round goes on."""
    turn.notify("training-failed", input_.reason, input_.round, input_.attempt)
    round_ = turn.state.round
    if round_ is not None and round_.phase is Phase.CONTRIBUTE:
        _refuse(turn, input_.at, RefusalCode.INVALID, "this owner could not train")
        _abandon(turn, input_.reason)


def _committed(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Committed) -> None:
    round_ = _round_of(turn, input_)
    if round_.phase is not Phase.COMMIT:
        raise StateError(f"a commitment in phase {round_.phase.value}")
    if body.model_digest != round_.opening.model_digest:
        _refuse(turn, input_.at, RefusalCode.CONFLICT, "the commitment names another model")
        return
    if round_.commitment_root:
        if round_.commitment_root != body.root:
            _refuse(turn, input_.at, RefusalCode.CONFLICT, "two commitments of one round")
        return
    _set(turn, commitment_root=body.root, list_digest=body.list_digest)
    peers = (turn.context.requester,)
    turn.emit(Fetch(body.list_digest, body.list_size, peers, input_.at + _FETCH_MS))
    turn.change(
        earned=tuple(e for e in turn.state.earned if e.round != round_.number)
        + (EarnedRound(round_.number, body.root, body.list_digest, body.list_size),)
    )


def look_at_chain(turn: OwnerTurn, at: int) -> None:
    """A commitment counts once it is final and its whole list rebuilt to the chain's root."""
    round_, commitment = turn.state.round, turn.state.commitment
    if round_ is None or round_.phase is not Phase.COMMIT or commitment is None:
        return
    if commitment.round != round_.number or not round_.list_holds:
        return
    if turn.state.head < commitment.block + turn.context.spec.timing.finality_blocks:
        return
    if commitment.root != round_.commitment_root:
        _refuse(turn, at, RefusalCode.CONFLICT, "the chain holds another commitment")
        _abandon(turn, "the chain holds another commitment than the requester showed")
        return
    _advance(turn, Event.COMMITTED)
    # Nothing is released in this version: contributions carry no masks (docs/threat-model.md).
    _advance(turn, Event.UNMASKED)
    turn.notify("commitment-final", "pay for it is certain", round_.number, round_.attempt)


def _result(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Result) -> None:
    turn.change(model_digest=body.model_digest, model_size=body.model_size)
    round_ = _round_of(turn, input_)
    if round_.phase is Phase.APPLY:
        _advance(turn, Event.APPLIED)


def tick(turn: OwnerTurn, at: int) -> None:
    """Deadlines, and the push of a header that gossip may have lost."""
    round_ = turn.state.round
    if round_ is None:
        return
    if round_.phase is Phase.OPEN and at >= round_.opening.ready_until:
        _abandon(turn, "not ready in time")
    elif round_.phase in (Phase.READY, Phase.FREEZE) and at >= round_.opening.contribute_until:
        _abandon(turn, "no roster was frozen in time")
    elif round_.phase is Phase.COMMIT and not round_.commitment_root:
        until = round_.opening.contribute_until
        if round_.pushed_at + _PUSH_AFTER_MS <= at < until:
            header, attachment = _header(turn)
            # The push ends when the requester acknowledges it: one is enough.
            _set(turn, pushed_at=until)
            _send(turn, header, until, attachment)


def _header(turn: OwnerTurn) -> tuple[Contribution, bytes]:
    """The contribution's header, and what rides along with it."""
    round_ = _round(turn)
    member = turn.context.require_cohort().index_of(turn.context.me)
    if member is None:
        raise StateError("this owner is not in the cohort")
    block = _my_block(turn.context, turn.state)
    header = Contribution(
        block, member, round_.frozen_digest, round_.batch_digest, round_.batch_size
    )
    small = round_.batch_size <= MAX_INLINE_BATCH_BYTES
    return header, round_.batch_digest if small else b""


def _my_block(context: JobContext, state: OwnerState) -> int:
    cohort = context.require_cohort()
    member = cohort.index_of(context.me)
    if member is None:
        raise StateError("this owner is not in the cohort")
    return draw_blocks(cohort, context.spec.cohort, state.seed)[member]


def _refuse(turn: OwnerTurn, at: int, code: RefusalCode, reason: str) -> None:
    """Say why this owner does not go along; the first word that it heard stands."""
    turn.notify("fault", reason)
    _send(turn, Refuse(code, one_line(reason)), at + _FETCH_MS)


def _send(turn: OwnerTurn, body: Any, until: int, attachment: bytes = b"") -> None:
    round_ = turn.state.round
    place = (round_.number, round_.attempt) if round_ is not None else (0, 0)
    turn.emit(Send(turn.context.requester, *place, body, attachment, until))


def _round(turn: OwnerTurn) -> OwnerRound:
    if turn.state.round is None:
        raise StateError("no round was opened")
    return turn.state.round


def _round_of(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> OwnerRound:
    round_, place = _round(turn), input_.envelope.context
    if (place.round, place.attempt) != (round_.number, round_.attempt):
        raise StateError(f"round {place.round}.{place.attempt} is not the present one")
    if message_context(turn.context, round_.number, round_.attempt) != place:
        raise StateError("a message of another chain or contract")
    return round_


def _abandon(turn: OwnerTurn, reason: str) -> None:
    round_ = _round(turn)
    _advance(turn, Event.ABANDONED)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def _set(turn: OwnerTurn, **changes: Any) -> None:
    turn.change(round=dataclasses.replace(_round(turn), **changes))


def _advance(turn: OwnerTurn, event: Event, **changes: Any) -> None:
    _set(turn, phase=advance(Role.OWNER, _round(turn).phase, event), **changes)
