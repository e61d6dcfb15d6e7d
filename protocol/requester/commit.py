"""A round from its last contribution to its next model: commit, apply, and what of it is owed.

A commitment binds the contract to pay, so from it on a round is never given up. The chain has the
last word: what it holds is owed, whether the round is applied, could not be, or was overtaken by
a cancellation. Taking masks off is protocol.requester.unmask's.
"""

from __future__ import annotations

import dataclasses

from protocol.books.evidence import RoundRecord
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Assemble, BlobKind, ComputeSum, SignCommitment, TransactCommit
from protocol.machines.job import JobPhase
from protocol.machines.round import Event, Phase
from protocol.requester.state import BlockRecord, RequesterRound
from protocol.requester.turn import (
    RequesterTurn,
    abandon,
    advance_round,
    enough_of,
    present,
    present_of,
    publish,
    set_round,
)
from protocol.requester.unmask import begin_unmask
from protocol.wire.messages import Committed, Result

_BOUND = (Phase.COMMIT, Phase.UNMASK, Phase.APPLY)


def commit(turn: RequesterTurn, at: int) -> None:
    """Contributions are in, or their time is over: list what enough of a block have said."""
    round_ = present(turn, Phase.CONTRIBUTE)
    sound = {c.member: c for c in round_.contributions if c.sound}
    going = enough_of(turn, set(sound))
    if not going:
        abandon(turn, at, "too few members of every block have contributed")
        return
    advance_round(
        turn,
        Event.CONTRIBUTED,
        blocks=tuple(BlockRecord(block, members) for block, members in going.items()),
    )
    place = round_.number, round_.attempt
    chosen = [sound[member] for members in going.values() for member in members]
    turn.emit(Assemble(BlobKind.CONTRIBUTIONS, *place, tuple(c.message for c in chosen)))
    for block, members in going.items():
        turn.emit(ComputeSum(*place, block, tuple(sound[m].batch for m in members)))


def listed(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    """The contribution list is stored: sign its root."""
    round_ = present_of(turn, input_.round, input_.attempt)
    if round_.phase is not Phase.COMMIT or round_.root:
        raise StateError("no contribution list is awaited")
    set_round(turn, list_digest=input_.digest, list_size=input_.size, root=input_.root)
    _sign(turn, input_.at)


def _sign(turn: RequesterTurn, at: int) -> None:
    round_ = present(turn)
    valid_until = at // 1000 + turn.context.spec.timing.commit_seconds
    set_round(turn, valid_until=valid_until, signature=b"")
    model = round_.opening.model_digest
    turn.emit(SignCommitment(round_.number, round_.root, round_.count, model, valid_until))


def signed(turn: RequesterTurn, input_: inputs.CommitmentSigned) -> None:
    """Publish the commitment and put it on the chain; anybody else may, too."""
    round_ = present(turn, Phase.COMMIT)
    wanted = (round_.number, round_.root, round_.valid_until)
    if round_.signature or (input_.round, input_.root, input_.valid_until) != wanted:
        raise StateError("no such signature is awaited")
    set_round(turn, signature=input_.signature)
    model, count = round_.opening.model_digest, round_.count
    terms = (round_.root, count, model, input_.valid_until, input_.signature)
    turn.emit(TransactCommit(round_.number, *terms))
    publish(turn, Committed(*terms, round_.list_digest, round_.list_size))


def sign_again_when_late(turn: RequesterTurn, at: int) -> None:
    """Signed but not on the chain in time: the same root once more, under a later deadline."""
    round_ = present(turn)
    late = at > 1000 * round_.valid_until
    if round_.phase is Phase.COMMIT and round_.signature and not round_.committed_block and late:
        _sign(turn, at)


def committed(turn: RequesterTurn, input_: inputs.ChainCommitted) -> str:
    """The chain has a root for a round. Returns a fault, or nothing.

    A commitment that was signed before the job was cancelled may still be mined: it is owed.
    """
    round_ = turn.state.round
    running = turn.state.phase in (JobPhase.TRAINING, JobPhase.CANCELLED)
    if not running or round_ is None or round_.phase is not Phase.COMMIT:
        raise StateError(f"no commitment of round {input_.round} is awaited")
    if input_.round != round_.number or round_.committed_block:
        raise StateError(f"the commitment of round {input_.round} is known")
    if input_.root != round_.root:
        return f"the chain holds another root for round {input_.round}: this key signed twice"
    turn.change(round=_at_block(round_, input_.block))
    turn.notify("committed", f"block {input_.block}", round_.number, round_.attempt)
    return ""


def _at_block(round_: RequesterRound, block: int) -> RequesterRound:
    return dataclasses.replace(round_, committed_block=block)


def reorg(turn: RequesterTurn, number: int) -> None:
    """A commitment that is no longer on the chain is awaited again; its transaction stands."""
    round_ = turn.state.round
    if round_ is not None and round_.phase is Phase.COMMIT and round_.committed_block > number:
        turn.change(round=_at_block(round_, 0))


def look_at_chain(turn: RequesterTurn, at: int) -> None:
    """Once the commitment is final, members release what takes the masks off."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.COMMIT or not round_.committed_block:
        return
    if turn.state.head < round_.committed_block + turn.context.spec.timing.finality_blocks:
        return
    advance_round(turn, Event.COMMITTED)
    begin_unmask(turn, at)


def applied(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    """The model moved, or no block could be opened: the round is over."""
    round_ = present(turn, Phase.APPLY)
    if input_.round != round_.number:
        raise StateError("another round's model")
    _book(turn, round_, input_.digest)
    advance_round(turn, Event.APPLIED)
    moved = dict(input_.facts).get("contributors", 0.0) > 0.0
    turn.change(
        model_digest=input_.digest,
        model_size=input_.size,
        momentum=input_.extra,
        worth=input_.worth,
        lost_rounds=0 if moved else turn.state.lost_rounds + 1,
    )
    publish(turn, Result(input_.digest, input_.size))
    turn.notify(
        "round-applied",
        f"round {round_.number}: {round_.number + 1} of {turn.context.spec.training.rounds} done",
        round_.number,
        round_.attempt,
        input_.facts,
    )


def book_what_is_owed(turn: RequesterTurn) -> None:
    """A round that the chain holds but that will not be applied: its contributions are owed.

    The model that follows it is the one that it was to move.
    """
    round_ = turn.state.round
    if round_ is None or round_.phase not in _BOUND or not round_.committed_block:
        return
    if all(r.number != round_.number for r in turn.state.records):
        _book(turn, round_, round_.opening.model_digest)


def _book(turn: RequesterTurn, round_: RequesterRound, next_model: bytes) -> None:
    record = RoundRecord(
        round_.number,
        round_.attempt,
        round_.opening.model_digest,
        round_.list_digest,
        round_.list_size,
        round_.root,
        round_.count,
        next_model,
    )
    turn.change(records=(*turn.state.records, record))
