"""What the parts of a requester's machine share: the present attempt, read and moved on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from protocol.books.enrolment import draw_blocks
from protocol.errors import StateError
from protocol.machines.effects import Blame, Publish
from protocol.machines.job import JobEvent, JobPhase
from protocol.machines.job import advance as advance_job
from protocol.machines.machine import JobContext, Turn, one_line
from protocol.machines.round import Event, Phase, Role, advance
from protocol.requester.state import RequesterRound, RequesterState
from protocol.wire.messages import Committed, Freeze, Open, Result
from protocol.wire.topics import job_topic

RequesterTurn = Turn[RequesterState]

#: How long the first failed attempt of a round rests before the next, and the longest that a later
#: one does, each twice as long as the one before: whoever vanished may be coming back.
_REST_MS, _LONGEST_REST_MS = 2_000, 60_000


def go(turn: RequesterTurn, event: JobEvent) -> None:
    """Move the job on by its table."""
    phase = advance_job(Role.REQUESTER, turn.state.phase, event)
    turn.change(phase=phase)
    turn.notify(phase.value, event.value)


def fail(turn: RequesterTurn, reason: str) -> None:
    """An invariant broke: the job ends here; what it holds is settled once it has expired."""
    turn.change(reason=one_line(reason), cancel_effective=turn.context.spec.expires_at)
    go(turn, JobEvent.BROKEN)
    turn.notify("failed", reason)


def present(turn: RequesterTurn, phase: Phase | None = None) -> RequesterRound:
    """The present attempt, in `phase` if one is named. Raises StateError."""
    round_ = turn.state.round
    if round_ is None or turn.state.phase is not JobPhase.TRAINING:
        raise StateError(f"no round runs while the job is {turn.state.phase.value}")
    if phase is not None and round_.phase is not phase:
        raise StateError(f"the round is in phase {round_.phase.value}, not {phase.value}")
    return round_


def present_of(turn: RequesterTurn, number: int, attempt: int) -> RequesterRound:
    """The present attempt, which must be this one. Raises StateError."""
    round_ = present(turn)
    if (round_.number, round_.attempt) != (number, attempt):
        raise StateError(f"round {number}.{attempt} is over")
    return round_


def set_round(turn: RequesterTurn, **changes: Any) -> None:
    turn.change(round=dataclasses.replace(present(turn), **changes))


def set_block(turn: RequesterTurn, block: int, **changes: Any) -> None:
    """Change one committed block of the present attempt."""
    blocks = tuple(
        dataclasses.replace(b, **changes) if b.block == block else b for b in present(turn).blocks
    )
    set_round(turn, blocks=blocks)


def advance_round(turn: RequesterTurn, event: Event, **changes: Any) -> None:
    set_round(turn, phase=advance(Role.REQUESTER, present(turn).phase, event), **changes)


def abandon(turn: RequesterTurn, at: int, reason: str) -> None:
    """Give up the attempt: it leaves nothing behind but its number."""
    round_ = present(turn)
    rest = min(_REST_MS << round_.attempt, _LONGEST_REST_MS)
    advance_round(turn, Event.ABANDONED, retry_at=at + rest)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def publish(turn: RequesterTurn, body: Open | Freeze | Committed | Result) -> None:
    """Say it on the job's topic, about the present attempt."""
    round_ = present(turn)
    turn.emit(Publish(job_topic(turn.context.job), round_.number, round_.attempt, body, b""))


def blame(turn: RequesterTurn, member: int, reason: str) -> None:
    """Name a member that did what no honest one does."""
    peer = turn.context.require_cohort().members[member].peer
    turn.emit(Blame(peer, one_line(f"member {member}: {reason}")))


def blocks_of(context: JobContext, state: RequesterState, round_: int) -> tuple[int, ...]:
    """Each member's block in a round, by index."""
    return draw_blocks(context.require_cohort(), context.spec.cohort, state.seeds, round_)


def enough_of(turn: RequesterTurn, there: set[int]) -> dict[int, tuple[int, ...]]:
    """The blocks that may go on, each with those of its members that are in `there`, ascending.

    Without noise a block counts whole or not at all; with it, all but the dropouts that the spec
    allows suffice (design, section 5).
    """
    blocks = blocks_of(turn.context, turn.state, present(turn).number)
    found: dict[int, list[int]] = {}
    for member in sorted(there):
        if member < len(blocks):
            found.setdefault(blocks[member], []).append(member)
    spec, whole = turn.context.spec, Counter(blocks)
    return {
        block: tuple(found[block])
        for block in sorted(found)
        if len(found[block]) >= spec.quorum(whole[block])
    }
