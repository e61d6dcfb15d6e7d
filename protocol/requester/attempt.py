"""A round as its requester runs it, from its opening to its last contribution.

The members that are ready decide which blocks are frozen. The members that have contributed decide
which frozen blocks are committed (commit.py). Without noise each takes every member of a block.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Assemble, Blame, BlobKind, ComputeCheck, Fetch
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext, body_of, message_context, one_line
from protocol.machines.round import Phase
from protocol.requester.state import (
    ContributionRecord,
    ReadyRecord,
    RequesterRound,
    RequesterState,
    RosterRecord,
    Rosters,
)
from protocol.requester.turn import (
    RequesterTurn,
    abandon,
    blame,
    enough_of,
    present,
    publish,
    sender,
    set_round,
)
from protocol.requester.verify import go_on
from protocol.wire.envelope import Envelope, opening_digest
from protocol.wire.identity import of_low_order
from protocol.wire.messages import Contribution, Freeze, Open, Ready, Roster
from protocol.wire.topics import block_topic


def block_topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """One topic a block, while the job trains."""
    if state.phase is not JobPhase.TRAINING:
        return ()
    number = state.round.number if state.round is not None else 0
    return _topics_of(context.job, len(context.drawn(state.seeds, number).members))


@lru_cache(maxsize=64)
def _topics_of(job: bytes, blocks: int) -> tuple[str, ...]:
    """Kept, because they are asked for after every step."""
    return tuple(block_topic(job, block) for block in range(blocks))


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
    turn.change(round=RequesterRound(number, attempt, Phase.READY, opening, digest, 0))
    publish(turn, opening)
    turn.notify("round-opened", f"round {number}, attempt {attempt}", number, attempt)


def ready(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage) -> None:
    """A member is there, with fresh keys and shares of their secrets."""
    body, member = body_of(input_, Ready), sender(turn, input_)
    if body.opening != round_.opening_digest:
        raise StateError("Ready for another opening")
    if round_.ready.at(member) is not None:
        raise StateError(f"member {member} is ready already")
    drawn = turn.context.drawn(turn.state.seeds, round_.number)
    if member >= len(drawn.blocks):
        raise StateError(f"member {member} has no block yet")
    # A roster with a Ready that does not hold would take its whole block out.
    spec = turn.context.spec
    shares = 0 if spec.proves else len(drawn.members[drawn.blocks[member]])
    if len(body.boxes) != shares:
        blame(turn, member, f"shares among {len(body.boxes)}, its block has another number")
        return
    if of_low_order(body.mask_key) or (body.share_key and of_low_order(body.share_key)):
        blame(turn, member, "its mask key or share key is of low order")
        return
    if round_.ready.place_of("mask_key", body.mask_key) is not None:
        blame(turn, member, "its mask key is another member's")
        return
    ready = round_.ready.put(ReadyRecord(member, input_.digest, body.mask_key))
    set_round(turn, ready=ready)
    _freeze_when_complete(turn, input_.at)


def refused_early(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A member stays out of the present attempt: nobody waits for it any longer.

    An owner that is enrolled and not in the list yet may refuse as well; nobody waits for it.
    """
    member = turn.context.require_cohort().index_of(input_.envelope.sender)
    if member is not None and member not in round_.refused:
        set_round(turn, refused=round_.refused.put(member))


def not_ready(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage) -> None:
    """A member will not be ready."""
    refused_early(turn, round_, input_)
    _freeze_when_complete(turn, input_.at)


def will_not_contribute(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A member will send no contribution."""
    refused_early(turn, round_, input_)
    _commit_when_complete(turn, input_.at)


def _freeze_when_complete(turn: RequesterTurn, at: int) -> None:
    """Every member of the cohort is ready, or will not be."""
    round_ = present(turn)
    ready, refused = round_.ready, round_.refused
    whole = len(turn.context.drawn(turn.state.seeds, round_.number).blocks)
    # Counted first: to look at everybody with every message would cost the square of the cohort.
    if len(ready) + len(refused) + len(turn.state.cheats) < whole:
        return
    # Who was proven to cheat is in no block any more: nobody waits for it.
    gone = {cheat.member for cheat in turn.state.cheats}
    if all(ready.at(m) is not None or m in refused or m in gone for m in range(whole)):
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
    rosters = Rosters.of(RosterRecord(block, members) for block, members in going.items())
    set_round(turn, phase=Phase.FREEZE, rosters=rosters)
    for block, members in going.items():
        listed_ = tuple(messages[member] for member in members)
        turn.emit(Assemble(BlobKind.ROSTER, round_.number, round_.attempt, listed_, block))


def freeze_when_late(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Tick) -> None:
    """Time is over for whoever is not ready."""
    if input_.at >= round_.opening.ready_until:
        _freeze(turn, input_.at)


def roster_stored(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.AssembledRoster
) -> None:
    """A roster is stored; once all of them are, say so."""
    rosters, stored = round_.rosters, round_.rosters.at(input_.block)
    if stored is not None:
        stored = dataclasses.replace(stored, digest=input_.digest, size=input_.size)
        rosters = rosters.put(stored)
    set_round(turn, rosters=rosters)
    if rosters.done == len(rosters):
        set_round(turn, phase=Phase.CONTRIBUTE)
        told = tuple(Roster(r.block, r.digest, r.size) for r in rosters)
        publish(turn, Freeze(round_.opening_digest, told))
        _commit_when_complete(turn, input_.at)  # whoever is left may have refused already


def contribution(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A contribution's header: fetch its batch."""
    body, member, peer = body_of(input_, Contribution), sender(turn, input_), input_.envelope.sender
    wrong = _fault(turn.context, turn.state, round_, body, member)
    if wrong:
        turn.emit(Blame(peer, one_line(f"contribution: {wrong}")))
        return
    known = round_.contributions.at(member)
    if known is not None:
        if known.batch != body.batch_digest:
            turn.emit(Blame(peer, "a second contribution that differs from the first"))
        return
    record = ContributionRecord(member, input_.digest, body.batch_digest, body.batch_size)
    set_round(turn, contributions=round_.contributions.put(record))
    if input_.attached:
        _check(turn, record)
    else:
        until = round_.opening.contribute_until
        turn.emit(Fetch(body.batch_digest, body.batch_size, (peer,), until))


def awaits(context: JobContext, state: RequesterState, envelope: Envelope) -> bool:
    """Whether a message is a member's first contribution to the present attempt, and may count.

    The inbox stores a batch that rides along only then, so that nobody can fill a disk by signing
    headers.
    """
    body, place, round_, cohort = envelope.body, envelope.context, state.round, context.cohort
    if not isinstance(body, Contribution) or cohort is None or round_ is None:
        return False
    member, awaited = cohort.index_of(envelope.sender), (round_.number, round_.attempt)
    if member is None or round_.phase is not Phase.CONTRIBUTE:
        return False
    if (place.round, place.attempt) != awaited or round_.contributions.at(member) is not None:
        return False
    return not _fault(context, state, round_, body, member)


def _fault(
    context: JobContext,
    state: RequesterState,
    round_: RequesterRound,
    body: Contribution,
    member: int,
) -> str:
    """What no honest member says of the present attempt; empty if nothing."""
    spec, drawn = context.spec, context.drawn(state.seeds, round_.number)
    blocks = drawn.blocks
    if member >= len(blocks) or (body.member, body.block) != (member, blocks[member]):
        return "it names another member or block than its sender's"
    roster = round_.roster(body.block)
    if roster is None or member not in roster.members:
        return "its sender is in no frozen roster"
    if body.roster_digest != roster.digest:
        return "it names another frozen roster"
    packing = spec.packing
    if spec.proves:
        packing = spec.packing_for(len(drawn.members[body.block]))
    size = packing.batch_bytes(spec.parameter_count)
    if body.batch_size != size:
        return f"its batch has {body.batch_size} bytes, not {size}"
    return ""


def batch_arrived(turn: RequesterTurn, round_: RequesterRound, input_: inputs.BlobArrived) -> None:
    """A batch is here: have it checked before it can count.

    Whose it is stands in the batch itself, so that a member who announced another's finds out here.
    """
    waiting = [c for c in round_.contributions if c.batch == input_.digest]
    if all(c.sound or c.bad for c in waiting):
        raise StateError("no contribution awaits this blob")
    for each in waiting:
        if not (each.sound or each.bad):
            _check(turn, each)


def _check(turn: RequesterTurn, record: ContributionRecord) -> None:
    round_ = present(turn)
    turn.emit(ComputeCheck(round_.number, round_.attempt, record.member, record.batch))


def batch_sound(turn: RequesterTurn, _: RequesterRound, input_: inputs.BatchSound) -> None:
    """A batch may count."""
    _judged(turn, input_.member, sound=True)
    _commit_when_complete(turn, input_.at)


def batch_unsound(turn: RequesterTurn, round_: RequesterRound, input_: inputs.BatchUnsound) -> None:
    """A batch that does not hold: it never counts, and its sender is blamed."""
    _judged(turn, input_.member, bad=True)
    blame(turn, input_.member, f"batch: {input_.reason}")
    turn.notify("batch-refused", input_.reason, round_.number, round_.attempt)
    _commit_when_complete(turn, input_.at)


def _judged(turn: RequesterTurn, member: int, *, sound: bool = False, bad: bool = False) -> None:
    contributions = present(turn).contributions
    known = contributions.at(member)
    if known is None:
        raise StateError("no contribution of this member is here")
    judged = dataclasses.replace(known, sound=sound, bad=bad)
    set_round(turn, contributions=contributions.put(judged))


def _commit_when_complete(turn: RequesterTurn, at: int) -> None:
    """Every roster member's batch is here and judged, or will not come."""
    round_ = present(turn)
    # Counted first, as in `_freeze_when_complete`.
    if round_.contributions.done + len(round_.refused) < round_.rosters.weight:
        return
    if all(_heard(round_, member) for roster in round_.rosters for member in roster.members):
        go_on(turn, at)


def _heard(round_: RequesterRound, member: int) -> bool:
    """Whether a member's batch was judged, or will not come."""
    known = round_.contributions.at(member)
    return (known is not None and (known.sound or known.bad)) or member in round_.refused


def commit_when_late(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Tick) -> None:
    """Time is over for whoever has not contributed."""
    if input_.at >= round_.opening.contribute_until:
        go_on(turn, input_.at)
