"""A round as its requester runs it, from its opening to its last contribution.

Who is ready decides which blocks are frozen, and who has contributed which of those are committed
(protocol.requester.commit). Without noise that takes every member of a block.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from protocol.errors import FatalError, StateError
from protocol.machines import inputs
from protocol.machines.effects import Assemble, Blame, BlobKind, ComputeCheck, Fetch
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext, kind_of, message_context, one_line
from protocol.machines.round import Event, Phase, Role, advance
from protocol.requester.commit import commit, listed, sign_again_when_late
from protocol.requester.state import (
    ContributionRecord,
    ReadyRecord,
    RequesterRound,
    RequesterState,
    RosterRecord,
)
from protocol.requester.turn import (
    RequesterTurn,
    abandon,
    advance_round,
    blame,
    blocks_of,
    enough_of,
    present,
    present_of,
    publish,
    set_round,
)
from protocol.requester.unmask import released, summed, unmask_when_late
from protocol.wire.envelope import opening_digest
from protocol.wire.identity import of_low_order
from protocol.wire.messages import Contribution, Freeze, Open, Ready, Release, Roster
from protocol.wire.topics import block_topic


def block_topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """One topic a block, while the job trains."""
    if state.phase is not JobPhase.TRAINING:
        return ()
    number = state.round.number if state.round is not None else 0
    blocks = sorted(set(blocks_of(context, state, number)))
    return tuple(block_topic(context.job, block) for block in blocks)


def open_attempt(turn: RequesterTurn, at: int, number: int, attempt: int) -> None:
    """Publish an attempt's opening and wait for members."""
    state, timing = turn.state, turn.context.spec.timing
    ready_until = at + 1000 * timing.ready_seconds
    opening = Open(
        state.cohort_digest,
        state.cohort_size,
        state.model_digest,
        state.model_size,
        ready_until,
        ready_until + 1000 * timing.contribute_seconds,
    )
    digest = opening_digest(message_context(turn.context, number, attempt), opening)
    phase = advance(Role.REQUESTER, Phase.OPEN, Event.OPENED)
    turn.change(round=RequesterRound(number, attempt, phase, opening, digest, 0))
    publish(turn, opening)
    turn.notify("round-opened", f"round {number}, attempt {attempt}", number, attempt)


def receive(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    """A message of the present attempt; anything else raises StateError."""
    body, place = input_.envelope.body, input_.envelope.context
    cohort = turn.context.cohort  # none yet while owners enrol, and anybody may say anything
    member = None if cohort is None else cohort.index_of(input_.envelope.sender)
    if member is None:
        raise StateError(f"{kind_of(body)} from a peer that is not enrolled")
    if isinstance(body, Release):
        released(turn, input_, body, member)
        return
    round_ = present(turn)
    if (place.round, place.attempt) != (round_.number, round_.attempt):
        raise StateError(f"{kind_of(body)} of round {place.round}.{place.attempt} is not awaited")
    if isinstance(body, Ready):
        _ready(turn, input_, body, member)
    elif isinstance(body, Contribution):
        _contribution(turn, input_, body, member)
    else:
        raise StateError(f"a requester does not receive {kind_of(body)}")


def _ready(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Ready, member: int) -> None:
    round_ = present(turn, Phase.READY)
    if body.opening != round_.opening_digest:
        raise StateError("Ready for another opening")
    if any(r.member == member for r in round_.ready):
        raise StateError(f"member {member} is ready already")
    blocks = blocks_of(turn.context, turn.state, round_.number)
    if member >= len(blocks):
        raise StateError(f"member {member} has no block yet")
    # A roster with a Ready that does not hold would take its whole block out.
    if len(body.boxes) != Counter(blocks)[blocks[member]]:
        blame(turn, member, f"shares among {len(body.boxes)}, its block has another number")
        return
    if of_low_order(body.mask_key) or of_low_order(body.share_key):
        blame(turn, member, "its mask key or share key is of low order")
        return
    if any(r.mask_key == body.mask_key for r in round_.ready):
        blame(turn, member, "its mask key is another member's")
        return
    ready = (*round_.ready, ReadyRecord(member, input_.digest, body.mask_key))
    set_round(turn, ready=ready)
    _freeze_when_complete(turn, input_.at)


def refused(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    """A member stays out of the present attempt: do not wait for it until the deadline."""
    place, round_ = input_.envelope.context, present(turn)
    member = turn.context.require_cohort().index_of(input_.envelope.sender)
    if member is None or member in round_.refused:
        return
    if (place.round, place.attempt) != (round_.number, round_.attempt):
        return
    set_round(turn, refused=(*round_.refused, member))
    if round_.phase is Phase.READY:
        _freeze_when_complete(turn, input_.at)
    elif round_.phase is Phase.CONTRIBUTE:
        _commit_when_complete(turn, input_.at)


def _freeze_when_complete(turn: RequesterTurn, at: int) -> None:
    """Every member of the cohort is ready, or will not be."""
    round_ = present(turn)
    heard = {r.member for r in round_.ready} | set(round_.refused)
    if len(heard) >= len(blocks_of(turn.context, turn.state, round_.number)):
        _freeze(turn, at)


def _freeze(turn: RequesterTurn, at: int) -> None:
    round_ = present(turn)
    messages = {r.member: r.message for r in round_.ready}
    going = enough_of(turn, set(messages))
    for block, members in enough_of(turn, set(messages) - turn.state.withholding).items():
        going[block] = members  # who kept shares back stays out where the block can do without
    if not going:
        abandon(turn, at, f"{len(messages)} members are ready, which is no block")
        return
    rosters = tuple(RosterRecord(block, members) for block, members in going.items())
    advance_round(turn, Event.MEMBERS_READY, rosters=rosters)
    for block, members in going.items():
        listed_ = tuple(messages[member] for member in members)
        turn.emit(Assemble(BlobKind.ROSTER, round_.number, round_.attempt, listed_, block))


def assembled(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    """A roster or a contribution list is stored; once all rosters are, say so."""
    if input_.kind is BlobKind.CONTRIBUTIONS:
        listed(turn, input_)
        return
    round_ = present_of(turn, input_.round, input_.attempt)
    if round_.phase is not Phase.FREEZE:
        raise StateError(f"no roster is awaited in phase {round_.phase.value}")
    rosters = tuple(
        dataclasses.replace(r, digest=input_.digest, size=input_.size)
        if r.block == input_.block
        else r
        for r in round_.rosters
    )
    set_round(turn, rosters=rosters)
    if all(roster.digest for roster in rosters):
        advance_round(turn, Event.FROZEN)
        told = tuple(Roster(r.block, r.digest, r.size) for r in rosters)
        publish(turn, Freeze(round_.opening_digest, told))
        _commit_when_complete(turn, input_.at)  # whoever is left may have refused already


def _contribution(
    turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Contribution, member: int
) -> None:
    round_, peer = present(turn, Phase.CONTRIBUTE), input_.envelope.sender
    wrong = fault(turn.context, turn.state, round_, body, member)
    if wrong:
        turn.emit(Blame(peer, one_line(f"contribution: {wrong}")))
        return
    known = next((c for c in round_.contributions if c.member == member), None)
    if known is not None:
        if known.batch != body.batch_digest:
            turn.emit(Blame(peer, "a second contribution that differs from the first"))
        return
    record = ContributionRecord(member, input_.digest, body.batch_digest, body.batch_size)
    set_round(turn, contributions=(*round_.contributions, record))
    until = round_.opening.contribute_until
    turn.emit(Fetch(body.batch_digest, body.batch_size, (peer,), until))


def fault(
    context: JobContext,
    state: RequesterState,
    round_: RequesterRound,
    body: Contribution,
    member: int,
) -> str:
    """What no honest member says of the present attempt; empty if nothing."""
    spec = context.spec
    blocks = blocks_of(context, state, round_.number)
    if member >= len(blocks) or (body.member, body.block) != (member, blocks[member]):
        return "it names another member or block than its sender's"
    roster = round_.roster(body.block)
    if roster is None or member not in roster.members:
        return "its sender is in no frozen roster"
    if body.roster_digest != roster.digest:
        return "it names another frozen roster"
    size = spec.packing.batch_bytes(spec.parameter_count)
    if body.batch_size != size:
        return f"its batch has {body.batch_size} bytes, not {size}"
    return ""


def blob_arrived(turn: RequesterTurn, input_: inputs.BlobArrived) -> None:
    """A batch is here: have it checked before it can count.

    Whose it is stands in the batch itself, so that a member who announced another's finds out here.
    """
    round_ = present(turn, Phase.CONTRIBUTE)
    waiting = [c for c in round_.contributions if c.batch == input_.digest]
    if all(c.sound or c.bad for c in waiting):
        raise StateError("no contribution awaits this blob")
    for each in waiting:
        if not (each.sound or each.bad):
            turn.emit(ComputeCheck(round_.number, round_.attempt, each.member, each.batch))


def blob_missing(turn: RequesterTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("batch-missing", input_.reason)


def computed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    """A check or a sum is done."""
    if input_.kind == "sum":
        summed(turn, input_)
        return
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind != "check" or round_.phase is not Phase.CONTRIBUTE:
        raise StateError(f"no {input_.kind} is awaited in phase {round_.phase.value}")
    _judged(turn, int.from_bytes(input_.subject, "big"), sound=True)
    _commit_when_complete(turn, input_.at)


def compute_failed(turn: RequesterTurn, input_: inputs.ComputeFailed) -> None:
    """A batch that does not hold: it never counts, and its sender is blamed."""
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind != "check":
        raise FatalError(f"{input_.kind} failed on checked batches: {input_.reason}")
    member = int.from_bytes(input_.subject, "big")
    if round_.phase is not Phase.CONTRIBUTE:
        raise StateError(f"no check is awaited in phase {round_.phase.value}")
    _judged(turn, member, bad=True)
    blame(turn, member, f"batch: {input_.reason}")
    turn.notify("batch-refused", input_.reason, round_.number, round_.attempt)
    _commit_when_complete(turn, input_.at)


def _judged(turn: RequesterTurn, member: int, *, sound: bool = False, bad: bool = False) -> None:
    contributions = present(turn).contributions
    if all(c.member != member for c in contributions):
        raise StateError("no contribution of this member is here")
    set_round(
        turn,
        contributions=tuple(
            dataclasses.replace(c, sound=sound, bad=bad) if c.member == member else c
            for c in contributions
        ),
    )


def _commit_when_complete(turn: RequesterTurn, at: int) -> None:
    """Every roster member's batch is here and judged, or will not come."""
    round_ = present(turn)
    heard = {c.member for c in round_.contributions if c.sound or c.bad} | set(round_.refused)
    if all(member in heard for roster in round_.rosters for member in roster.members):
        commit(turn, at)


def tick(turn: RequesterTurn, at: int) -> None:
    """Deadlines of the present attempt."""
    round_ = present(turn)
    if round_.phase is Phase.READY and at >= round_.opening.ready_until:
        _freeze(turn, at)
    elif round_.phase is Phase.CONTRIBUTE and at >= round_.opening.contribute_until:
        commit(turn, at)
    else:
        sign_again_when_late(turn, at)
        unmask_when_late(turn, at)
