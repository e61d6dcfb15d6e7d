"""A round as an owner follows it. What it checks before it says or releases anything stands here.

An owner is ready for an opening only when it holds the cohort's list under the chain's root, knows
its own block, and has the very model that the opening names. It contributes to a model in one round
and to one model in a round only, and to a round only when the chain holds the one before.
It counts a commitment only when the requester's account signed it, the whole list rebuilds to the
chain's root, at the depth that the spec asks for, and its own contribution is in it.
"""

from __future__ import annotations

import dataclasses

from protocol import inputs
from protocol.effects import BlobKind, ComputeContribution, Examine, Fetch, Publish
from protocol.enrolment import spec_domain
from protocol.envelope import opening_digest
from protocol.errors import Malformed, StateError
from protocol.job import JobPhase
from protocol.machine import JobContext, block_topic
from protocol.messages import (
    Committed,
    Contribution,
    Freeze,
    Open,
    Ready,
    RefusalCode,
    Result,
)
from protocol.owner_state import ChainCommitment, EarnedRound, OwnerRound, OwnerState
from protocol.owner_turn import (
    FETCH_MS,
    OwnerTurn,
    abandon,
    advance_round,
    my_place,
    present,
    present_of,
    refuse,
    send,
    set_round,
)
from protocol.packing import model_bytes
from protocol.params import MAX_ATTEMPTS, MAX_INLINE_BATCH_BYTES
from protocol.round import Event, Phase
from protocol.typed_data import Commitment, commitment_digest, recover

#: A header that no commitment answered is pushed to the requester directly, milliseconds.
_PUSH_AFTER_MS = 2_000

#: How far a requester's clock may be ahead, milliseconds.
_SKEW_MS = 600_000

_OVER = (Phase.DONE, Phase.FAILED)


def block_topics(context: JobContext, state: OwnerState) -> tuple[str, ...]:
    """The topic of this owner's block, once it is drawn."""
    if not (state.seed and state.cohort_here and state.phase is JobPhase.TRAINING):
        return ()
    return (block_topic(context.job, my_place(context, state)[1]),)


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
                refuse(turn, at, RefusalCode.CONFLICT, "two openings of one attempt")
            return
    if at >= body.ready_until:
        raise StateError("an opening whose time is over")
    timing = turn.context.spec.timing
    latest = at + 1000 * timing.ready_seconds + _SKEW_MS
    if (
        body.ready_until > latest
        or body.contribute_until > latest + 1000 * timing.contribute_seconds
    ):
        raise StateError("an opening with later deadlines than the spec's")
    if place.round >= turn.context.spec.training.rounds or place.attempt >= MAX_ATTEMPTS:
        raise StateError(f"the job has no round {place.round}.{place.attempt}")
    if body.model_size != model_bytes(turn.context.spec.parameter_count):
        # Room is kept for what is fetched before its first byte comes.
        refuse(turn, at, RefusalCode.INVALID, "the model has another size than the spec says")
        return
    if any((m == body.model_digest) != (r == place.round) for m, r in state.contributed):
        # One model a round, one round a model: each further pair would be another gradient.
        why = "this round, or this model, was contributed to with another"
        refuse(turn, at, RefusalCode.CONFLICT, why)
        return
    if state.cohort_root and body.cohort_digest != state.cohort_digest:
        refuse(turn, at, RefusalCode.CONFLICT, "the opening names another cohort")
        return
    if known is not None and known.phase not in _OVER:
        turn.notify("attempt-over", "the requester opened another", known.number, known.attempt)
    turn.change(round=OwnerRound(place.round, place.attempt, Phase.OPEN, body, digest))
    peers = (turn.context.requester,)
    if not state.cohort_root and state.cohort_digest != body.cohort_digest:
        turn.change(cohort_digest=body.cohort_digest)
        turn.emit(Fetch(body.cohort_digest, body.cohort_size, peers, at + FETCH_MS))
    turn.emit(Fetch(body.model_digest, body.model_size, peers, body.ready_until))


def blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    """A model, or a list that is now to be examined."""
    state, round_ = turn.state, turn.state.round
    if round_ is None:
        return
    place = round_.number, round_.attempt
    if input_.digest == state.cohort_digest and not state.cohort_root:
        turn.emit(Examine(BlobKind.COHORT, *place, input_.digest, state.enrol_root))
    if input_.digest == round_.opening.model_digest and round_.phase is Phase.OPEN:
        set_round(turn, model_here=True)
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
    if not (round_.model_here and state.cohort_here):
        return
    if round_.number and (state.commitment is None or state.commitment.round < round_.number - 1):
        return  # the chain's word on the round before is still on its way here
    if at >= round_.opening.ready_until:
        return
    advance_round(turn, Event.OPENED)
    send(turn, Ready(round_.opening_digest), round_.opening.ready_until)


def _freeze(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Freeze) -> None:
    round_ = _followed(turn, input_)
    if body.opening != round_.opening_digest:
        raise StateError("a frozen roster of another opening")
    if round_.frozen_digest:
        if round_.frozen_digest != body.frozen_digest:
            refuse(turn, input_.at, RefusalCode.CONFLICT, "two frozen rosters of one attempt")
        return
    if round_.phase is not Phase.READY:
        raise StateError(f"a frozen roster in phase {round_.phase.value}")
    advance_round(turn, Event.MEMBERS_READY, frozen_digest=body.frozen_digest)
    until = round_.opening.contribute_until
    turn.emit(Fetch(body.frozen_digest, body.frozen_size, (turn.context.requester,), until))


def examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    """A frozen roster or a contribution list holds."""
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind is BlobKind.FROZEN and round_.phase is Phase.FREEZE:
        _frozen(turn, round_, input_)
    elif input_.kind is BlobKind.CONTRIBUTIONS and round_.phase is Phase.COMMIT:
        _listed(turn, round_, input_)
    else:
        raise StateError(f"no {input_.kind.value} list is awaited in phase {round_.phase.value}")


def _frozen(turn: OwnerTurn, round_: OwnerRound, input_: inputs.Examined) -> None:
    if not input_.mine:
        # A list with a part of a block does not hold: so somebody of this block was not ready.
        abandon(turn, "this owner's block was not ready as a whole")
        return
    advance_round(turn, Event.FROZEN)
    model = round_.opening.model_digest
    if all(m != model for m, _ in turn.state.contributed):
        # Recorded in the same transaction that orders the training, before anything leaves.
        turn.change(contributed=(*turn.state.contributed, (model, round_.number)))
    turn.emit(ComputeContribution(round_.number, round_.attempt, model))


def _listed(turn: OwnerTurn, round_: OwnerRound, input_: inputs.Examined) -> None:
    if input_.root != round_.commitment_root:
        refuse(turn, input_.at, RefusalCode.INVALID, "the list is not the commitment's")
        abandon(turn, "the list is not the commitment's")
    elif not input_.mine:
        abandon(turn, "this owner's block did not contribute as a whole")
    elif input_.mine != round_.batch_digest:
        refuse(turn, input_.at, RefusalCode.INVALID, "the commitment lists another batch of mine")
        abandon(turn, "the commitment lists another batch than this owner's")
    else:
        set_round(turn, listed=len(input_.members))
        earned = EarnedRound(
            round_.number, round_.commitment_root, round_.list_digest, round_.list_size, 0
        )
        others = (e for e in turn.state.earned if e.round != round_.number)
        turn.change(earned=(*others, earned))
        _match_earned(turn)
        look_at_chain(turn, input_.at)


def rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    """A list that does not hold: say so, and stay out of this attempt."""
    present_of(turn, input_.round, input_.attempt)
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    abandon(turn, input_.reason)


def computed(turn: OwnerTurn, input_: inputs.ComputeDone) -> None:
    """The contribution is stored, byte for byte: now its header may leave."""
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind != "contribution" or round_.phase is not Phase.CONTRIBUTE:
        raise StateError(f"no {input_.kind} is awaited in phase {round_.phase.value}")
    if input_.at >= round_.opening.contribute_until:
        abandon(turn, "the contribution came after its deadline")
        return
    advance_round(
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
    if present_of(turn, input_.round, input_.attempt).phase is Phase.CONTRIBUTE:
        refuse(turn, input_.at, RefusalCode.INVALID, "this owner could not train")
        abandon(turn, input_.reason)


def _committed(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Committed) -> None:
    round_ = _followed(turn, input_)
    if round_.phase is not Phase.COMMIT:
        raise StateError(f"a commitment in phase {round_.phase.value}")
    if body.model_digest != round_.opening.model_digest:
        refuse(turn, input_.at, RefusalCode.CONFLICT, "the commitment names another model")
        return
    if not _signed_by_requester(turn.context, round_.number, body):
        refuse(turn, input_.at, RefusalCode.INVALID, "the commitment is not signed by the account")
        return
    if round_.commitment_root:
        if round_.commitment_root != body.root:
            refuse(turn, input_.at, RefusalCode.CONFLICT, "two commitments of one round")
        elif not round_.list_digest:
            _fetch_list(turn, input_.at, body)
        return
    set_round(turn, commitment_root=body.root)
    _fetch_list(turn, input_.at, body)


def _fetch_list(turn: OwnerTurn, at: int, body: Committed) -> None:
    set_round(turn, list_digest=body.list_digest, list_size=body.list_size)
    peers = (turn.context.requester,)
    turn.emit(Fetch(body.list_digest, body.list_size, peers, at + FETCH_MS))


def _signed_by_requester(context: JobContext, number: int, body: Committed) -> bool:
    """Whether the contract would take it: only then can it bind anybody to pay."""
    terms = (number, body.root, body.count, body.model_digest, body.valid_until)
    digest = commitment_digest(spec_domain(context.spec), Commitment(context.job, *terms))
    try:
        return recover(digest, body.signature) == context.spec.requester.account
    except Malformed:
        return False


def blob_missing(turn: OwnerTurn, input_: inputs.BlobMissing) -> None:
    """A list that was not found is looked for again when its commitment is heard again."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.COMMIT or round_.listed:
        return
    if input_.digest == round_.list_digest:
        set_round(turn, list_digest=b"", list_size=0)


def chain_committed(turn: OwnerTurn, input_: inputs.ChainCommitted) -> None:
    """The chain holds a round's root: what is owed, whoever says what."""
    turn.change(
        commitment=ChainCommitment(
            input_.round, input_.root, input_.count, input_.model_digest, input_.block
        )
    )
    _match_earned(turn)
    look_at_chain(turn, input_.at)
    proceed(turn, input_.at)


def _match_earned(turn: OwnerTurn) -> None:
    """A round is earned where the chain's root is the verified list's, and not otherwise."""
    commitment = turn.state.commitment
    if commitment is None:
        return
    earned = []
    for each in turn.state.earned:
        if each.round != commitment.round:
            earned.append(each)
        elif each.root == commitment.root:
            earned.append(dataclasses.replace(each, block=commitment.block))
    turn.change(earned=tuple(earned))


def reorg(turn: OwnerTurn, number: int) -> None:
    """A commitment that is no longer on the chain is awaited again."""
    commitment = turn.state.commitment
    if commitment is not None and commitment.block > number:
        turn.change(commitment=None)


def look_at_chain(turn: OwnerTurn, at: int) -> None:
    """A commitment counts once it is final and its whole list rebuilt to the chain's root."""
    round_, held = turn.state.round, turn.state.commitment
    if round_ is None or round_.phase is not Phase.COMMIT or held is None:
        return
    if held.round != round_.number or not round_.listed:
        return
    if turn.state.head < held.block + turn.context.spec.timing.finality_blocks:
        return
    told = (round_.commitment_root, round_.listed, round_.opening.model_digest)
    if (held.root, held.count, held.model_digest) != told:
        refuse(turn, at, RefusalCode.CONFLICT, "the chain holds another commitment")
        abandon(turn, "the chain holds another commitment than the requester showed")
        return
    advance_round(turn, Event.COMMITTED)
    # Nothing is released in this version: contributions carry no masks (docs/threat-model.md).
    advance_round(turn, Event.UNMASKED)
    turn.notify("commitment-final", "pay for it is certain", round_.number, round_.attempt)


def _result(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Result) -> None:
    turn.change(model_digest=body.model_digest, model_size=body.model_size)
    round_ = _followed(turn, input_)
    if round_.phase is Phase.APPLY:
        advance_round(turn, Event.APPLIED)


def tick(turn: OwnerTurn, at: int) -> None:
    """Deadlines, and the push of a header that gossip may have lost."""
    round_ = turn.state.round
    if round_ is None:
        return
    if round_.phase is Phase.OPEN and at >= round_.opening.ready_until:
        abandon(turn, "not ready in time")
    elif round_.phase in (Phase.READY, Phase.FREEZE) and at >= round_.opening.contribute_until:
        abandon(turn, "no roster was frozen in time")
    elif round_.phase is Phase.CONTRIBUTE and at >= round_.opening.contribute_until:
        abandon(turn, "the contribution was not ready in time")
    elif round_.phase is Phase.COMMIT and not round_.commitment_root:
        until = round_.opening.contribute_until
        if round_.pushed_at + _PUSH_AFTER_MS <= at < until:
            header, attachment = _header(turn)
            # The push ends when the requester acknowledges it: one is enough.
            set_round(turn, pushed_at=until)
            send(turn, header, until, attachment)


def _header(turn: OwnerTurn) -> tuple[Contribution, bytes]:
    """The contribution's header, and what rides along with it."""
    round_ = present(turn)
    member, block = my_place(turn.context, turn.state)
    header = Contribution(
        block, member, round_.frozen_digest, round_.batch_digest, round_.batch_size
    )
    small = round_.batch_size <= MAX_INLINE_BATCH_BYTES
    return header, round_.batch_digest if small else b""


def _followed(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> OwnerRound:
    """The attempt that a message is about, which must be the present one. Raises StateError."""
    place = input_.envelope.context
    return present_of(turn, place.round, place.attempt)
