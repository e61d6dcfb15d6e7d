"""What the parts of an owner's machine share: the present attempt, read and moved on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from protocol import params
from protocol.errors import StateError
from protocol.machines.effects import Fetch, ForgetSealingKey, ForgetSecrets, Send
from protocol.machines.inputs import Input
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.job import advance as advance_job
from protocol.machines.machine import JobContext, Turn, one_line
from protocol.machines.round import Phase, Role, place_of, type_of
from protocol.owner.state import OwnerRound, OwnerState
from protocol.wire.messages import (
    Ask,
    Contribution,
    Declined,
    Open,
    Ready,
    RefusalCode,
    Refuse,
    Result,
    Words,
)


class OwnerTurn(Turn[OwnerState]):
    """A step of an owner's machine. It holds the present attempt, and a round that is due."""

    role = Role.OWNER

    def phases(self) -> tuple[Phase | None, ...]:
        attempts = self.state.round, self.state.due
        return tuple(None if each is None else each.phase for each in attempts)


#: How long the lists, the next model and the evidence are looked for, milliseconds.
FETCH_MS = 60_000

#: Phases in which an attempt's secrets exist: drawn for Ready, needed until the batch is stored.
_SECRET = (Phase.OPEN, Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE)


def go(turn: OwnerTurn, event: JobEvent, reason: str = "") -> None:
    """Move the job on by its table. A job that is over needs none of its secrets."""
    phase = advance_job(Role.OWNER, turn.state.phase, event)
    turn.change(phase=phase, reason=one_line(reason) if reason else turn.state.reason)
    turn.notify(phase.value, reason or event.value)
    if phase in OVER:
        forget_secrets(turn)
        turn.emit(ForgetSealingKey())


def awaited(state: OwnerState) -> tuple[OwnerRound, ...]:
    """The attempts whose commitment is still awaited: one that is due, and the present one."""
    both = (state.due, state.round)
    return tuple(r for r in both if r is not None and r.phase in (Phase.COMMIT, Phase.DUE))


def _place(round_: OwnerRound | None) -> tuple[int, int] | None:
    return None if round_ is None else (round_.number, round_.attempt)


def concerned(turn: OwnerTurn, input_: Input) -> tuple[OwnerRound | None, ...]:
    """The attempts that an input is about, the one that is due first; None where it is none.

    While a job is finishing, only commitments that are still awaited can matter.
    """
    state = turn.state
    if type_of(input_) is Open:
        return (state.round,)
    if type_of(input_) is Result and place_of(input_) != _place(state.round):
        return (None,)  # a round that is due was overtaken, and so was the model that it gave
    followed: tuple[OwnerRound, ...] = ()
    if state.phase is JobPhase.TRAINING:
        followed = tuple(each for each in (state.due, state.round) if each is not None)
    elif state.phase is JobPhase.FINISHING:
        followed = awaited(state)
    place = place_of(input_)
    if place is not None:
        followed = tuple(r for r in followed if (r.number, r.attempt) == place)
    return followed or (None,)


def present(turn: OwnerTurn) -> OwnerRound:
    """The attempt that is followed. Raises StateError where there is none."""
    if turn.state.round is None:
        raise StateError("no round was opened")
    return turn.state.round


def set_round(turn: OwnerTurn, **changes: Any) -> None:
    """Change the present attempt."""
    turn.change(round=dataclasses.replace(present(turn), **changes))


def forget_secrets(turn: OwnerTurn) -> None:
    """Destroy what the present attempt's masks are made of, unless its batch is stored already."""
    round_ = turn.state.round
    if round_ is not None and round_.secrets_asked and round_.phase in _SECRET:
        turn.emit(ForgetSecrets(round_.number, round_.attempt))


def abandon(turn: OwnerTurn, reason: str) -> None:
    """Stay out of the rest of this attempt; the next opening is followed again."""
    round_ = present(turn)
    forget_secrets(turn)
    set_round(turn, phase=Phase.FAILED)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def refuse(
    turn: OwnerTurn,
    at: int,
    code: RefusalCode,
    reason: str,
    place: tuple[int, int] | None = None,
) -> None:
    """Tell the requester why this owner does not take part. The first message that it heard stands.

    `place` is the round and attempt that it refuses, if not the present one.
    """
    turn.notify("fault", reason)
    body, until = Refuse(code, one_line(reason)), at + FETCH_MS
    if place is None:
        send(turn, body, until)
    else:
        turn.emit(Send(turn.context.requester, *place, body, b"", until))


def send(
    turn: OwnerTurn,
    body: Ready | Contribution | Words | Refuse | Declined,
    until: int,
    attachment: bytes = b"",
) -> None:
    """Deliver to the requester, about the present attempt."""
    round_ = turn.state.round
    place = (round_.number, round_.attempt) if round_ is not None else (0, 0)
    turn.emit(Send(turn.context.requester, *place, body, attachment, until))


def ask(turn: OwnerTurn, at: int) -> None:
    """Ask the requester for its latest words that were not heard."""
    state = turn.state
    turn.change(asked_at=at, asks=min(state.asks + 1, 8))
    held = tuple(digest[: params.HELD_BYTES] for _, digest in state.heard)
    until = at + params.ASK_AFTER_MS
    turn.emit(Send(turn.context.requester, 0, 0, Ask(held), b"", until))


def fetch(turn: OwnerTurn, digest: bytes, size: int, at: int, until: int) -> None:
    """Get what every owner needs, from the owner before this one in a tree over the cohort, and
    from the requester if that owner is slow. The first few ask the requester at once."""
    cohort, direct = turn.context.cohort, params.DIRECT_FETCHERS
    mine = None if cohort is None else cohort.index_of(turn.context.me)
    if cohort is None or mine is None or mine < direct:
        fetch_near(turn, digest, size, at, until, None, 0)
    else:
        before = cohort.members[(mine - direct) // params.FETCH_FANOUT].peer
        fetch_near(turn, digest, size, at, until, before, params.FETCH_PATIENCE_MS)


def fetch_near(
    turn: OwnerTurn,
    digest: bytes,
    size: int,
    at: int,
    until: int,
    near: bytes | None,
    patience_ms: int,
) -> None:
    """Get a blob from `near`, and after some patience, or without one, from the requester."""
    requester = (turn.context.requester,)
    if near is None or near == turn.context.me:
        turn.emit(Fetch(digest, size, requester, until))
    else:
        turn.emit(Fetch(digest, size, requester, until, (near,), min(at + patience_ms, until)))


def too_few_known(turn: OwnerTurn, members: Iterable[int], where: str) -> str:
    """What the owner's policy misses among these members of the cohort, itself left out: it may ask
    for some that it knows. Empty where nothing is missing.

    It holds for the block, before secrets are drawn; for the roster, before anything is computed;
    and for the committed list, before a share leaves: whoever is left out of one of these is no
    part of the sum, and hides nobody in it.
    """
    state, cohort = turn.state, turn.context.require_cohort()
    if not state.known_least:
        return ""
    others = [cohort.members[m] for m in members if cohort.members[m].peer != turn.context.me]
    known = sum(other.account in state.known for other in others)
    if known >= state.known_least:
        return ""
    asked = state.known_least
    return f"{known} members of its {where} are known to its owner, who asks for {asked}"


def blocks_in(context: JobContext, state: OwnerState, round_: int) -> tuple[int, ...]:
    """Every member's block in a round, by index. Raises StateError before they are drawn."""
    if not state.seeds:
        raise StateError("the blocks are not drawn yet")
    return context.blocks(state.seeds, round_)


def my_place(context: JobContext, state: OwnerState, round_: int) -> tuple[int, int]:
    """This owner's member index and its block in a round. Raises StateError where it has none."""
    member = context.require_cohort().index_of(context.me)
    blocks = blocks_in(context, state, round_)
    if member is None or member >= len(blocks):
        raise StateError("this owner is not in the cohort")
    return member, blocks[member]
