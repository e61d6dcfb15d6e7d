"""A round as an owner follows it, from its opening to its contribution.

An owner is ready for an opening only when it holds the cohort's list under the chain's roots, knows
its own block, and has the very model that the opening names. It contributes to a model in one round
and to one model in a round only, to a round only when the chain holds the one before, and to a
roster only that holds its own word and every member's, signed. What follows its contribution is
protocol.owner.release's.
"""

from __future__ import annotations

from protocol import params
from protocol.books.enrolment import block_members
from protocol.books.lists import ready_digest
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import (
    BlobKind,
    ComputeContribution,
    Examine,
    ForgetSecrets,
    MakeSecrets,
    Publish,
)
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Event, Phase
from protocol.owner import release
from protocol.owner.state import OwnerRound, OwnerState
from protocol.owner.turn import (
    OwnerTurn,
    abandon,
    advance_round,
    blocks_in,
    fetch,
    fetch_near,
    forget_secrets,
    my_place,
    present,
    present_of,
    refuse,
    send,
    set_round,
)
from protocol.wire.envelope import opening_digest
from protocol.wire.messages import Committed, Contribution, Freeze, Open, RefusalCode, Result
from protocol.wire.topics import block_topic

#: A header that no commitment has answered is gossiped as well, milliseconds: the requester may be
#: out of this owner's reach. Gossip alone would bring it, batch and all, to everybody in the block,
#: and to the requester several times (docs/adr/0013).
_GOSSIP_AFTER_MS = 10_000

#: How far a requester's clock may be ahead, milliseconds.
_SKEW_MS = 600_000

_OVER = (Phase.DONE, Phase.FAILED)


def block_topics(context: JobContext, state: OwnerState) -> tuple[str, ...]:
    """The topic of this owner's block, once it is drawn."""
    if state.phase is not JobPhase.TRAINING or not state.seeds:
        return ()
    number = state.round.number if state.round is not None else 0
    return (block_topic(context.job, my_place(context, state, number)[1]),)


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
        release.committed(turn, input_, body)
    elif isinstance(body, Result):
        release.result(turn, input_, body)


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
    _check_opening(turn, at, place.round, place.attempt, body)
    if body.model_size != turn.context.spec.model_bytes:
        # Room is kept for what is fetched before its first byte comes.
        why = "the model has another size than the spec says"
        refuse(turn, at, RefusalCode.INVALID, why, (place.round, place.attempt))
        return
    if any((m == body.model_digest) != (r == place.round) for m, r in state.contributed):
        # One model a round, one round a model: each further pair would be another gradient.
        why = "this round, or this model, was contributed to with another"
        refuse(turn, at, RefusalCode.CONFLICT, why, (place.round, place.attempt))
        return
    # One of an earlier round may still be paid; an attempt that another one follows will not be.
    pending = sum(1 for r in release.awaited(turn) if r.number < place.round)
    unpaid = state.unpaid - pending
    if unpaid > state.max_unpaid:
        why = f"{unpaid} attempts that it contributed to went unpaid, beyond its owner's limit"
        refuse(turn, at, RefusalCode.CLOSED, why, (place.round, place.attempt))
        return
    _leave(turn, place.round)
    turn.change(round=OwnerRound(place.round, place.attempt, Phase.OPEN, body, digest))
    if body.cohort_digest != state.cohort_digest:
        turn.change(
            cohort_digest=body.cohort_digest, cohort_roots=(), cohort_mine=False, cohort_here=False
        )
        fetch(turn, body.cohort_digest, body.cohort_size, at, at + 1000 * _ready_seconds(turn))
    fetch(turn, body.model_digest, body.model_size, at, body.ready_until)


def _ready_seconds(turn: OwnerTurn) -> int:
    return turn.context.spec.timing.ready_seconds


def _check_opening(turn: OwnerTurn, at: int, number: int, attempt: int, body: Open) -> None:
    """Raise StateError for an opening that is late, or of a round or time that the job has not."""
    timing = turn.context.spec.timing
    if at >= body.ready_until:
        raise StateError("an opening whose time is over")
    latest = at + 1000 * timing.ready_seconds + _SKEW_MS
    if (
        body.ready_until > latest
        or body.contribute_until > latest + 1000 * timing.contribute_seconds
    ):
        raise StateError("an opening with later deadlines than the spec's")
    if number >= turn.context.spec.training.rounds or attempt >= params.MAX_ATTEMPTS:
        raise StateError(f"the job has no round {number}.{attempt}")


def _leave(turn: OwnerTurn, number: int) -> None:
    """End the attempt that was followed until now; a committed one stays due until it is final."""
    known = turn.state.round
    if known is None or known.phase in _OVER:
        return
    forget_secrets(turn)
    if known.phase is Phase.COMMIT and number > known.number:
        turn.change(due=known)
    else:
        turn.notify("attempt-over", "the requester opened another", known.number, known.attempt)


def blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    """A model, or a list that is now to be examined."""
    state, round_ = turn.state, turn.state.round
    release.blob_arrived(turn, input_)
    if round_ is None:
        return
    place = round_.number, round_.attempt
    if input_.digest == state.cohort_digest and not state.cohort_roots:
        turn.emit(Examine(BlobKind.COHORT, *place, input_.digest))
    if input_.digest == round_.opening.model_digest and round_.phase is Phase.OPEN:
        set_round(turn, model_here=True)
        proceed(turn, input_.at)
    if input_.digest == round_.roster_digest and round_.phase is Phase.FREEZE:
        binding = round_.opening_digest
        turn.emit(Examine(BlobKind.ROSTER, *place, input_.digest, binding, round_.block))


def proceed(turn: OwnerTurn, at: int) -> None:
    """Draw the attempt's secrets once everything that Ready stands for is here."""
    state, round_ = turn.state, turn.state.round
    if round_ is None or round_.phase is not Phase.OPEN or round_.secrets_asked:
        return
    if not (round_.model_here and state.cohort_here):
        return
    if round_.number and all(c.round < round_.number - 1 for c in state.commitments):
        return  # the chain's word on the round before is still on its way here
    if at >= round_.opening.ready_until:
        return
    block = my_place(turn.context, state, round_.number)[1]
    lacking = _too_few_known(turn, round_.number, block)
    if lacking:
        refuse(turn, at, RefusalCode.CONFLICT, lacking)
        abandon(turn, lacking)
        return
    set_round(turn, block=block, secrets_asked=True)
    turn.emit(MakeSecrets(round_.number, round_.attempt, block, round_.opening_digest))


def _too_few_known(turn: OwnerTurn, number: int, block: int) -> str:
    """What the owner's policy misses in its block: it may ask for members that it knows."""
    state, cohort = turn.state, turn.context.require_cohort()
    if not state.known_least:
        return ""
    mates = block_members(blocks_in(turn.context, state, number), block)
    known = sum(cohort.members[m].account in state.known for m in mates)
    if known >= state.known_least:
        return ""
    return f"{known} members of its block are known to its owner, who asks for {state.known_least}"


def secrets_made(turn: OwnerTurn, input_: inputs.SecretsMade) -> None:
    """The secrets are sealed here: now their public side may be said."""
    known = turn.state.round
    place = input_.round, input_.attempt
    if (
        turn.state.phase is not JobPhase.TRAINING
        or known is None
        or (known.number, known.attempt) != place
        or known.phase is Phase.FAILED
    ):
        # The attempt ended while they were drawn; nothing of them was said.
        turn.emit(ForgetSecrets(*place))
        return
    round_ = known
    if round_.phase is not Phase.OPEN or not round_.secrets_asked:
        raise StateError(f"no secrets are awaited in phase {round_.phase.value}")
    if input_.at >= round_.opening.ready_until:
        abandon(turn, "its secrets were ready too late")
        return
    advance_round(turn, Event.OPENED, ready_digest=ready_digest(input_.ready))
    send(turn, input_.ready, round_.opening.ready_until)


def _freeze(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Freeze) -> None:
    place, at = input_.envelope.context, input_.at
    round_ = present_of(turn, place.round, place.attempt)
    if body.opening != round_.opening_digest:
        raise StateError("a frozen roster of another opening")
    mine = body.of(round_.block)
    if round_.roster_digest:
        if mine is None or round_.roster_digest != mine.digest:
            refuse(turn, at, RefusalCode.CONFLICT, "two frozen rosters of one attempt")
        return
    if round_.phase is not Phase.READY:
        raise StateError(f"a frozen roster in phase {round_.phase.value}")
    if mine is None:
        abandon(turn, "too few members of this owner's block were ready")
        return
    advance_round(turn, Event.MEMBERS_READY, roster_digest=mine.digest, roster_size=mine.size)
    until = round_.opening.contribute_until
    fetch_near(turn, mine.digest, mine.size, at, until, _first_mate(turn), _PATIENCE)


_PATIENCE = params.ROSTER_PATIENCE_MS


def _first_mate(turn: OwnerTurn) -> bytes | None:
    """Who hands on the block's roster; in a small cohort everybody asks the requester."""
    cohort, round_ = turn.context.require_cohort(), present(turn)
    if len(cohort.members) <= params.DIRECT_FETCHERS:
        return None
    blocks = blocks_in(turn.context, turn.state, round_.number)
    return cohort.members[block_members(blocks, round_.block)[0]].peer


def examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    """This owner's frozen roster holds, every signature and every share for it."""
    if input_.kind is BlobKind.CONTRIBUTIONS:
        release.examined(turn, input_)
        return
    round_ = present_of(turn, input_.round, input_.attempt)
    if round_.phase is not Phase.FREEZE or input_.digest != round_.roster_digest:
        raise StateError(f"no roster is awaited in phase {round_.phase.value}")
    if input_.mine != round_.ready_digest:
        what = "a roster without this owner" if not input_.mine else "another Ready of this owner"
        refuse(turn, input_.at, RefusalCode.CONFLICT, what)
        abandon(turn, what)
        return
    advance_round(turn, Event.FROZEN, roster=input_.members)
    model = round_.opening.model_digest
    if all(m != model for m, _ in turn.state.contributed):
        # Recorded in the same transaction that orders the training, before anything leaves.
        turn.change(contributed=(*turn.state.contributed, (model, round_.number)))
    turn.emit(
        ComputeContribution(
            round_.number, round_.attempt, model, round_.block, round_.roster_digest
        )
    )


def rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    """A list that does not hold: say so, and stay out of this attempt."""
    if input_.kind is BlobKind.CONTRIBUTIONS:
        release.rejected(turn, input_)
        return
    present_of(turn, input_.round, input_.attempt)
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    abandon(turn, input_.reason)


def computed(turn: OwnerTurn, input_: inputs.ComputeDone) -> None:
    """The contribution is stored, byte for byte: now its header may leave.

    What masked it is destroyed: it is never computed again under the same masks, and a batch that
    is lost is an absence.
    """
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind != "contribution" or round_.phase is not Phase.CONTRIBUTE:
        raise StateError(f"no {input_.kind} is awaited in phase {round_.phase.value}")
    if input_.at >= round_.opening.contribute_until:
        abandon(turn, "the contribution came after its deadline")
        return
    turn.emit(ForgetSecrets(round_.number, round_.attempt))
    turn.change(unpaid=turn.state.unpaid + 1)
    advance_round(
        turn,
        Event.CONTRIBUTED,
        batch_digest=input_.digest,
        batch_size=input_.size,
        said_at=input_.at,
    )
    header, attachment = _header(turn)
    send(turn, header, round_.opening.contribute_until, attachment)
    turn.notify("contributed", f"{input_.size} bytes", round_.number, round_.attempt, input_.facts)


def compute_failed(turn: OwnerTurn, input_: inputs.ComputeFailed) -> None:
    """The data set does not fit, or its budget is spent: say so; the round may go on without."""
    turn.notify("training-failed", input_.reason, input_.round, input_.attempt)
    if present_of(turn, input_.round, input_.attempt).phase in (Phase.OPEN, Phase.CONTRIBUTE):
        refuse(turn, input_.at, RefusalCode.INVALID, "this owner could not train")
        abandon(turn, input_.reason)


def tick(turn: OwnerTurn, at: int) -> None:
    """Deadlines, and another way for a header that may not have arrived."""
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
        late = round_.said_at + _GOSSIP_AFTER_MS <= at < until
        if late and not round_.gossiped:
            header, attachment = _header(turn)
            set_round(turn, gossiped=True)
            topic = block_topic(turn.context.job, header.block)
            turn.emit(Publish(topic, round_.number, round_.attempt, header, attachment))


def _header(turn: OwnerTurn) -> tuple[Contribution, bytes]:
    """The contribution's header, and what rides along with it."""
    round_ = present(turn)
    member, block = my_place(turn.context, turn.state, round_.number)
    header = Contribution(
        block, member, round_.roster_digest, round_.batch_digest, round_.batch_size
    )
    small = round_.batch_size <= params.MAX_INLINE_BATCH_BYTES
    return header, round_.batch_digest if small else b""
