"""What the parts of an owner's machine share: the present attempt, read and moved on."""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.effects import Send
from protocol.enrolment import draw_blocks
from protocol.errors import StateError
from protocol.job import JobEvent
from protocol.job import advance as advance_job
from protocol.machine import JobContext, Turn, one_line
from protocol.messages import Contribution, Ready, RefusalCode, Refuse
from protocol.owner_state import OwnerRound, OwnerState
from protocol.round import Event, Role, advance

OwnerTurn = Turn[OwnerState]

#: How long the lists, the next model and the evidence are looked for, milliseconds.
FETCH_MS = 60_000


def go(turn: OwnerTurn, event: JobEvent, reason: str = "") -> None:
    """Move the job on by its table."""
    phase = advance_job(Role.OWNER, turn.state.phase, event)
    turn.change(phase=phase, reason=one_line(reason) if reason else turn.state.reason)
    turn.notify(phase.value, reason or event.value)


def present(turn: OwnerTurn) -> OwnerRound:
    """The attempt that is followed. Raises StateError where there is none."""
    if turn.state.round is None:
        raise StateError("no round was opened")
    return turn.state.round


def present_of(turn: OwnerTurn, number: int, attempt: int) -> OwnerRound:
    """The attempt that is followed, which must be this one. Raises StateError."""
    round_ = present(turn)
    if (round_.number, round_.attempt) != (number, attempt):
        raise StateError(f"round {number}.{attempt} is not the present one")
    return round_


def set_round(turn: OwnerTurn, **changes: Any) -> None:
    turn.change(round=dataclasses.replace(present(turn), **changes))


def advance_round(turn: OwnerTurn, event: Event, **changes: Any) -> None:
    set_round(turn, phase=advance(Role.OWNER, present(turn).phase, event), **changes)


def abandon(turn: OwnerTurn, reason: str) -> None:
    """Stay out of the rest of this attempt; the next opening is followed again."""
    round_ = present(turn)
    advance_round(turn, Event.ABANDONED)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def refuse(turn: OwnerTurn, at: int, code: RefusalCode, reason: str) -> None:
    """Say why this owner does not go along; the first word that it heard stands."""
    turn.notify("fault", reason)
    send(turn, Refuse(code, one_line(reason)), at + FETCH_MS)


def send(
    turn: OwnerTurn, body: Ready | Contribution | Refuse, until: int, attachment: bytes = b""
) -> None:
    """Deliver to the requester, about the present attempt."""
    round_ = turn.state.round
    place = (round_.number, round_.attempt) if round_ is not None else (0, 0)
    turn.emit(Send(turn.context.requester, *place, body, attachment, until))


def my_place(context: JobContext, state: OwnerState) -> tuple[int, int]:
    """This owner's member index and block. Raises StateError where it is not in the cohort."""
    cohort = context.require_cohort()
    member = cohort.index_of(context.me)
    if member is None:
        raise StateError("this owner is not in the cohort")
    return member, draw_blocks(cohort, context.spec.cohort, state.seed)[member]
