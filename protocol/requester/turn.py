"""What the parts of a requester's machine share: the present attempt, read and moved on."""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.errors import StateError
from protocol.machines.effects import Blame, Publish
from protocol.machines.inputs import ChainCommitted, Input, ReceiveMessage
from protocol.machines.job import JobEvent, JobPhase
from protocol.machines.job import advance as advance_job
from protocol.machines.machine import Turn, kind_of, one_line
from protocol.machines.round import Phase, Role, place_of
from protocol.requester.state import RequesterRound, RequesterState
from protocol.wire.messages import Committed, Dealt, Decided, Freeze, Open, Result
from protocol.wire.topics import job_topic


class RequesterTurn(Turn[RequesterState]):
    """A step of a requester's machine. It holds one attempt at a time."""

    role = Role.REQUESTER

    def phases(self) -> tuple[Phase | None, ...]:
        round_ = self.state.round
        return (None if round_ is None else round_.phase,)


def concerned(turn: RequesterTurn, input_: Input) -> tuple[RequesterRound | None]:
    """The present attempt if the input is about it, and None otherwise.

    A commitment that was signed before the job was cancelled, or failed, may still be mined.
    """
    state = turn.state
    if state.phase is not JobPhase.TRAINING and not (
        state.phase in (JobPhase.CANCELLED, JobPhase.FAILED) and isinstance(input_, ChainCommitted)
    ):
        return (None,)
    place, round_ = place_of(input_), state.round
    if round_ is not None and place not in (None, (round_.number, round_.attempt)):
        return (None,)
    return (round_,)


#: How long the first failed attempt of a round rests before the next, and the longest that a later
#: one does, each twice as long as the one before: whoever vanished may be coming back.
_REST_MS, _LONGEST_REST_MS = 2_000, 60_000


def go(turn: RequesterTurn, event: JobEvent, reason: str = "") -> None:
    """Move the job on by its table; its user is told the reason, if there is one."""
    phase = advance_job(Role.REQUESTER, turn.state.phase, event)
    turn.change(phase=phase)
    turn.notify(phase.value, reason or event.value)


def fail(turn: RequesterTurn, reason: str) -> None:
    """The job cannot go on and ends here. Its escrow is settled once the job has expired."""
    turn.change(reason=one_line(reason), cancel_effective=turn.context.spec.expires_at)
    go(turn, JobEvent.BROKEN, reason)


def sender(turn: RequesterTurn, input_: ReceiveMessage) -> int:
    """The index of the member that says it. Raises StateError for anybody else."""
    cohort = turn.context.cohort  # none yet while owners enrol, and anybody may say anything
    member = None if cohort is None else cohort.index_of(input_.envelope.sender)
    if member is None:
        raise StateError(f"{kind_of(input_.envelope.body)} from a peer that is not enrolled")
    return member


def present(turn: RequesterTurn) -> RequesterRound:
    """The present attempt. Raises StateError where there is none."""
    if turn.state.round is None:
        raise StateError("no round was opened")
    return turn.state.round


def set_round(turn: RequesterTurn, **changes: Any) -> None:
    """Change the present attempt."""
    turn.change(round=dataclasses.replace(present(turn), **changes))


def set_block(turn: RequesterTurn, block: int, **changes: Any) -> None:
    """Change one committed block of the present attempt."""
    blocks = present(turn).blocks
    known = blocks.at(block)
    if known is not None:
        set_round(turn, blocks=blocks.put(dataclasses.replace(known, **changes)))


def abandon(turn: RequesterTurn, at: int, reason: str) -> None:
    """Give up the attempt: it leaves nothing behind but its number."""
    round_ = present(turn)
    rest = min(_REST_MS << round_.attempt, _LONGEST_REST_MS)
    set_round(turn, phase=Phase.FAILED, retry_at=at + rest)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def publish(
    turn: RequesterTurn, body: Open | Freeze | Dealt | Decided | Committed | Result
) -> None:
    """Say it on the job's topic, about the present attempt."""
    round_ = present(turn)
    turn.emit(Publish(job_topic(turn.context.job), round_.number, round_.attempt, body, b""))


def blame(turn: RequesterTurn, member: int, reason: str) -> None:
    """Name a member that did what no honest one does."""
    peer = turn.context.require_cohort().members[member].peer
    turn.emit(Blame(peer, one_line(f"member {member}: {reason}")))


def enough_of(turn: RequesterTurn, there: set[int]) -> dict[int, tuple[int, ...]]:
    """The blocks that may go on, each with those of its members that are in `there`, ascending.

    Without noise a block counts whole or not at all; with it, all but the dropouts that the spec
    allows suffice (docs/design.md, section 5). Where contributions prove their norm, who is proven
    to cheat is in no block any more, and blocks go on without it.
    """
    drawn = turn.context.drawn(turn.state.seeds, present(turn).number)
    blocks = drawn.blocks
    found: dict[int, list[int]] = {}
    cheats = {cheat.member for cheat in turn.state.cheats}
    for member in sorted(there - cheats):
        if member < len(blocks):
            found.setdefault(blocks[member], []).append(member)
    spec = turn.context.spec

    def enough(block: int) -> bool:
        whole, here = drawn.members[block], len(found[block])
        if spec.proves and not spec.privacy.noisy and here < len(set(whole) - cheats):
            return False
        return here >= spec.quorum(len(whole))

    return {block: tuple(found[block]) for block in sorted(found) if enough(block)}
