"""A round as an owner follows it, from its opening to its contribution.

An owner says that it is ready once it holds the cohort's list under the chain's roots, knows its
own block, and has the model that the opening names. Four rules limit what it contributes. A model
gets a contribution in one round. A round gets a contribution to one model. A round is begun only
after the chain holds the round before. A roster must contain the owner's own Ready and the signed
Ready of every other member. release.py does what follows a contribution.
"""

from __future__ import annotations

import dataclasses

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
from protocol.machines.job import JobEvent, JobPhase
from protocol.machines.machine import JobContext, body_of
from protocol.machines.round import Phase
from protocol.owner.state import OwnerRound, OwnerState
from protocol.owner.turn import (
    OwnerTurn,
    abandon,
    ask,
    awaited,
    blocks_in,
    fetch,
    fetch_near,
    forget_secrets,
    go,
    my_place,
    present,
    refuse,
    send,
    set_round,
    too_few_known,
)
from protocol.wire.envelope import opening_digest
from protocol.wire.messages import Contribution, Freeze, Open, RefusalCode, Roster
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


def open_first(turn: OwnerTurn, _: None, input_: inputs.ReceiveMessage) -> None:
    """The first opening that this owner follows."""
    _open(turn, input_)


def open_next(turn: OwnerTurn, known: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """Another opening: a newer attempt is followed instead of the present one."""
    place = input_.envelope.context
    if (place.round, place.attempt) < (known.number, known.attempt):
        raise StateError(f"round {place.round}.{place.attempt} is over")
    if (place.round, place.attempt) > (known.number, known.attempt):
        _open(turn, input_)
    elif opening_digest(place, body_of(input_, Open)) != known.opening_digest:
        refuse(turn, input_.at, RefusalCode.CONFLICT, "two openings of one attempt")


def _open(turn: OwnerTurn, input_: inputs.ReceiveMessage) -> None:
    state, place, at, body = turn.state, input_.envelope.context, input_.at, body_of(input_, Open)
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
    pending = sum(1 for r in awaited(turn.state) if r.number < place.round)
    unpaid = state.unpaid - pending
    if unpaid > state.max_unpaid:
        why = f"{unpaid} attempts that it contributed to went unpaid, beyond its owner's limit"
        refuse(turn, at, RefusalCode.CLOSED, why, (place.round, place.attempt))
        return
    _leave(turn, place.round, at)
    digest = opening_digest(place, body)
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
    """Raise StateError for an opening that is late, or outside the job's rounds or deadlines."""
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


def _leave(turn: OwnerTurn, number: int, at: int) -> None:
    """End the present attempt. One that waits for its commitment stays due until that is final."""
    known = turn.state.round
    if known is None or known.phase in _OVER:
        return
    forget_secrets(turn)
    if known.phase is Phase.COMMIT and number > known.number:
        turn.change(due=dataclasses.replace(known, phase=Phase.DUE))
        if not known.commitment_root:
            # It was missed (this node was away): the job may end before a silence is noticed.
            ask(turn, at)
    else:
        turn.notify("attempt-over", "the requester opened another", known.number, known.attempt)


def model_arrived(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobArrived) -> None:
    """Perhaps it is the model that is to be trained."""
    if input_.digest == round_.opening.model_digest:
        set_round(turn, model_here=True)
        look_whether_ready(turn, round_, input_)


def roster_arrived(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobArrived) -> None:
    """Perhaps it is the block's roster, which is now to be examined."""
    if input_.digest == round_.roster_digest:
        place, binding = (round_.number, round_.attempt), round_.opening_digest
        turn.emit(Examine(BlobKind.ROSTER, *place, input_.digest, binding, round_.block))


def look_whether_ready(turn: OwnerTurn, _: OwnerRound, input_: inputs.Input) -> None:
    """Draw the attempt's secrets once list, seeds, model and the round before are here."""
    state, round_, at = turn.state, present(turn), input_.at
    if round_.secrets_asked or not (round_.model_here and state.cohort_here):
        return
    if round_.number and all(c.round < round_.number - 1 for c in state.commitments):
        return  # the chain's word on the round before is still on its way here
    if at >= round_.opening.ready_until:
        return
    block = my_place(turn.context, state, round_.number)[1]
    mates = block_members(blocks_in(turn.context, state, round_.number), block)
    lacking = too_few_known(turn, mates, "block")
    if lacking:
        refuse(turn, at, RefusalCode.CONFLICT, lacking)
        abandon(turn, lacking)
        return
    set_round(turn, block=block, secrets_asked=True)
    turn.emit(MakeSecrets(round_.number, round_.attempt, block, round_.opening_digest))


def secrets_made(turn: OwnerTurn, round_: OwnerRound, input_: inputs.SecretsMade) -> None:
    """The secrets are sealed here, so their public side may leave in Ready."""
    if not round_.secrets_asked:
        raise StateError(f"no secrets are awaited in phase {round_.phase.value}")
    if input_.at >= round_.opening.ready_until:
        abandon(turn, "its secrets were ready too late")
        return
    set_round(turn, phase=Phase.READY, ready_digest=ready_digest(input_.ready))
    send(turn, input_.ready, round_.opening.ready_until)


def forget_late_secrets(turn: OwnerTurn, _: OwnerRound | None, input_: inputs.SecretsMade) -> None:
    """Destroy secrets of an attempt that ended while they were drawn. Nothing of them has left."""
    turn.emit(ForgetSecrets(input_.round, input_.attempt))


def freeze(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The requester froze the rosters: fetch this block's."""
    mine = _own_roster(round_, input_)
    if mine is None:
        abandon(turn, "too few members of this owner's block were ready")
        return
    set_round(turn, phase=Phase.FREEZE, roster_digest=mine.digest, roster_size=mine.size)
    at, until = input_.at, round_.opening.contribute_until
    fetch_near(turn, mine.digest, mine.size, at, until, _first_mate(turn), _PATIENCE)


def freeze_again(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The rosters once more: they must be the same."""
    mine = _own_roster(round_, input_)
    if not round_.roster_digest:
        raise StateError(f"a frozen roster in phase {round_.phase.value}")
    if mine is None or round_.roster_digest != mine.digest:
        refuse(turn, input_.at, RefusalCode.CONFLICT, "two frozen rosters of one attempt")


def _own_roster(round_: OwnerRound, input_: inputs.ReceiveMessage) -> Roster | None:
    body = body_of(input_, Freeze)
    if body.opening != round_.opening_digest:
        raise StateError("a frozen roster of another opening")
    return body.of(round_.block)


_PATIENCE = params.ROSTER_PATIENCE_MS


def _first_mate(turn: OwnerTurn) -> bytes | None:
    """The member that hands on the block's roster; in small cohorts None: all ask the requester."""
    cohort, round_ = turn.context.require_cohort(), present(turn)
    if len(cohort.members) <= params.DIRECT_FETCHERS:
        return None
    blocks = blocks_in(turn.context, turn.state, round_.number)
    return cohort.members[block_members(blocks, round_.block)[0]].peer


def roster_holds(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ExaminedRoster) -> None:
    """This owner's frozen roster holds, every signature and every share for it."""
    if input_.digest != round_.roster_digest:
        raise StateError("no such roster is awaited")
    if input_.mine != round_.ready_digest:
        what = "a roster without this owner" if not input_.mine else "another Ready of this owner"
        refuse(turn, input_.at, RefusalCode.CONFLICT, what)
        abandon(turn, what)
        if input_.mine:
            # This node says one Ready an attempt, whatever crashes: the signature is of a copy of
            # its home. What the copy has charged and drawn is not known here, so that noise could
            # be drawn twice; only one of the two goes on.
            go(turn, JobEvent.BROKEN, "a copy of this home takes part as well; this one leaves")
        return
    # The block has enough of them, or there were no secrets; a requester may list them away.
    lacking = too_few_known(turn, input_.members, "roster")
    if lacking:
        refuse(turn, input_.at, RefusalCode.CONFLICT, lacking)
        abandon(turn, lacking)
        return
    set_round(turn, phase=Phase.CONTRIBUTE, roster=input_.members)
    model = round_.opening.model_digest
    if all(m != model for m, _ in turn.state.contributed):
        # Recorded in the same transaction that orders the training, before anything leaves.
        turn.change(contributed=(*turn.state.contributed, (model, round_.number)))
    turn.emit(
        ComputeContribution(
            round_.number, round_.attempt, model, round_.block, round_.roster_digest
        )
    )


def roster_fails(turn: OwnerTurn, _: OwnerRound, input_: inputs.RejectedRoster) -> None:
    """A roster that does not hold: say so, and stay out of this attempt."""
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    abandon(turn, input_.reason)


def contribute(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ContributionMade) -> None:
    """The contribution is stored byte for byte, so its header may leave.

    The secrets that masked it are destroyed. So it is never computed again under the same masks. A
    batch that is lost is an absence.
    """
    if input_.at >= round_.opening.contribute_until:
        abandon(turn, "the contribution came after its deadline")
        return
    turn.emit(ForgetSecrets(round_.number, round_.attempt))
    turn.change(unpaid=turn.state.unpaid + 1)
    set_round(
        turn,
        phase=Phase.VERIFY if turn.context.spec.proves else Phase.COMMIT,
        batch_digest=input_.digest,
        batch_size=input_.size,
        said_at=input_.at,
    )
    header, attachment = _header(turn)
    send(turn, header, round_.opening.contribute_until, attachment)
    turn.notify("contributed", f"{input_.size} bytes", round_.number, round_.attempt, input_.facts)


def could_not_train(
    turn: OwnerTurn, round_: OwnerRound, input_: inputs.SecretsFailed | inputs.ContributionFailed
) -> None:
    """The data set does not fit, its budget is spent, or its owner begins no attempt: say so. The
    round may go on without it."""
    failed_before(turn, round_, input_)
    told = input_.told if isinstance(input_, inputs.SecretsFailed) else ""
    code = RefusalCode.CLOSED if told else RefusalCode.INVALID
    refuse(turn, input_.at, code, told or "this owner could not train")
    abandon(turn, input_.reason)


def failed_before(
    turn: OwnerTurn, _: OwnerRound, input_: inputs.SecretsFailed | inputs.ContributionFailed
) -> None:
    """Tell the local user the reason, even if the attempt is over."""
    turn.notify("training-failed", input_.reason, input_.round, input_.attempt)


_TOO_LATE = {
    Phase.OPEN: "not ready in time",
    Phase.READY: "no roster was frozen in time",
    Phase.FREEZE: "no roster was frozen in time",
    Phase.CONTRIBUTE: "the contribution was not ready in time",
}


def give_up_when_late(turn: OwnerTurn, round_: OwnerRound, input_: inputs.Tick) -> None:
    """The deadline of what is awaited has passed."""
    opening = round_.opening
    until = opening.ready_until if round_.phase is Phase.OPEN else opening.contribute_until
    if input_.at >= until:
        abandon(turn, _TOO_LATE[round_.phase])


def gossip_when_unanswered(turn: OwnerTurn, round_: OwnerRound, input_: inputs.Tick) -> None:
    """Another way for a header that may not have arrived."""
    until = round_.opening.contribute_until
    late = round_.said_at + _GOSSIP_AFTER_MS <= input_.at < until
    if late and not round_.commitment_root and not round_.gossiped:
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
