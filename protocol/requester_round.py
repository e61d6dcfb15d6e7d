"""A round as its requester runs it, from its opening to its last contribution.

Without noise a block counts whole or not at all (design, section 5): who is ready decides which
blocks are frozen, and who has contributed which of those are committed (protocol.requester_commit).
"""

from __future__ import annotations

import dataclasses

from protocol import inputs
from protocol.effects import Assemble, Blame, BlobKind, ComputeCheck, Fetch
from protocol.envelope import opening_digest
from protocol.errors import FatalError, StateError
from protocol.job import JobPhase
from protocol.machine import JobContext, block_topic, kind_of, message_context, one_line
from protocol.messages import Contribution, Freeze, Open, Ready
from protocol.requester_commit import commit, listed, sign_again_when_late, summed
from protocol.requester_state import (
    ContributionRecord,
    ReadyRecord,
    RequesterRound,
    RequesterState,
)
from protocol.requester_turn import (
    RequesterTurn,
    abandon,
    advance_round,
    blocks_of,
    present,
    present_of,
    publish,
    set_round,
    whole_blocks,
)
from protocol.round import Event, Phase, Role, advance


def block_topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """One topic a block, while the job trains."""
    if state.phase is not JobPhase.TRAINING:
        return ()
    return tuple(block_topic(context.job, b) for b in sorted(set(blocks_of(context, state))))


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
    round_ = present(turn)
    if (place.round, place.attempt) != (round_.number, round_.attempt):
        raise StateError(f"{kind_of(body)} of round {place.round}.{place.attempt} is not awaited")
    member = turn.context.require_cohort().index_of(input_.envelope.sender)
    if member is None:
        raise StateError(f"{kind_of(body)} from a peer that is not enrolled")
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
    ready = (*round_.ready, ReadyRecord(member, input_.digest))
    set_round(turn, ready=ready)
    if len(ready) == len(turn.context.require_cohort().members):
        _freeze(turn, input_.at)


def _freeze(turn: RequesterTurn, at: int) -> None:
    round_ = present(turn)
    whole = whole_blocks(turn, {r.member for r in round_.ready})
    if not whole:
        abandon(turn, at, f"{len(round_.ready)} members are ready, which is no whole block")
        return
    blocks = blocks_of(turn.context, turn.state)
    frozen = sorted((r for r in round_.ready if blocks[r.member] in whole), key=_by_member)
    advance_round(turn, Event.MEMBERS_READY, blocks=whole)
    messages = tuple(r.message for r in frozen)
    turn.emit(Assemble(BlobKind.FROZEN, round_.number, round_.attempt, messages))


def assembled(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    """A frozen roster or a contribution list is stored: say so."""
    if input_.kind is BlobKind.CONTRIBUTIONS:
        listed(turn, input_)
        return
    round_ = present_of(turn, input_.round, input_.attempt)
    if round_.phase is not Phase.FREEZE:
        raise StateError(f"no roster is awaited in phase {round_.phase.value}")
    advance_round(turn, Event.FROZEN, frozen_digest=input_.digest, frozen_size=input_.size)
    publish(turn, Freeze(round_.opening_digest, input_.digest, input_.size))


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
    if any(c.batch == body.batch_digest for c in round_.contributions):
        # One of the two copied it, which one cannot be told: nobody is blamed, the first counts.
        place = round_.number, round_.attempt
        turn.notify("batch-copied", f"member {member} names another member's batch", *place)
        return
    record = ContributionRecord(member, input_.digest, body.batch_digest, body.batch_size, False)
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
    spec, block = context.spec, blocks_of(context, state)[member]
    size = spec.packing.batch_bytes(spec.parameter_count)
    if (body.member, body.block) != (member, block) or block not in round_.blocks:
        return "it names another member or block than its sender's"
    if body.frozen_digest != round_.frozen_digest:
        return "it names another frozen roster"
    if body.batch_size != size:
        return f"its batch has {body.batch_size} bytes, not {size}"
    return ""


def blob_arrived(turn: RequesterTurn, input_: inputs.BlobArrived) -> None:
    """A batch is here: have its ciphertexts checked before it can count."""
    round_ = present(turn, Phase.CONTRIBUTE)
    if not any(c.batch == input_.digest and not c.sound for c in round_.contributions):
        raise StateError("no contribution awaits this blob")
    turn.emit(ComputeCheck(round_.number, round_.attempt, input_.digest))


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
    sound = tuple(
        dataclasses.replace(c, sound=True) if c.batch == input_.subject else c
        for c in round_.contributions
    )
    set_round(turn, contributions=sound)
    expected = sum(b in round_.blocks for b in blocks_of(turn.context, turn.state))
    if sum(c.sound for c in sound) == expected:
        commit(turn, input_.at)


def compute_failed(turn: RequesterTurn, input_: inputs.ComputeFailed) -> None:
    """A batch with unsound ciphertexts: it never counts, and its sender is blamed."""
    round_ = present_of(turn, input_.round, input_.attempt)
    if input_.kind != "check":
        raise FatalError(f"{input_.kind} failed on checked batches: {input_.reason}")
    bad = next((c for c in round_.contributions if c.batch == input_.subject), None)
    if bad is None:
        raise StateError("no contribution names this batch")
    peer = turn.context.require_cohort().members[bad.member].peer
    turn.emit(Blame(peer, one_line(f"batch: {input_.reason}")))
    turn.notify("batch-refused", input_.reason, round_.number, round_.attempt)


def tick(turn: RequesterTurn, at: int) -> None:
    """Deadlines of the present attempt."""
    round_ = present(turn)
    if round_.phase is Phase.READY and at >= round_.opening.ready_until:
        _freeze(turn, at)
    elif round_.phase is Phase.CONTRIBUTE and at >= round_.opening.contribute_until:
        commit(turn, at)
    else:
        sign_again_when_late(turn, at)


def _by_member(record: ReadyRecord) -> int:
    return record.member
