"""A round from its last contribution to its next model: commit, apply, and what of it is owed.

A commitment binds the contract to pay, so a committed round is never given up. The chain decides
what is owed: a round that it holds is owed even if it could not be applied, or if the job was
cancelled meanwhile. unmask.py takes the masks off.
"""

from __future__ import annotations

import dataclasses

from protocol.books.evidence import RoundRecord
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Assemble, BlobKind, ComputeSum, SignCommitment, TransactCommit
from protocol.machines.job import JobPhase
from protocol.machines.proving import AssembleListed
from protocol.machines.round import Phase
from protocol.requester.state import BlockRecord, Blocks, RequesterRound
from protocol.requester.turn import (
    RequesterTurn,
    abandon,
    enough_of,
    fail,
    present,
    publish,
    set_round,
)
from protocol.requester.unmask import begin_unmask
from protocol.wire.messages import Committed, Result

_BOUND = (Phase.COMMIT, Phase.UNMASK, Phase.APPLY)


def commit(turn: RequesterTurn, at: int) -> None:
    """Contributions are in, or their time is over: list what enough of a block have said."""
    round_ = present(turn)
    sound = {c.member: c for c in round_.contributions if c.sound}
    going = enough_of(turn, set(sound))
    if not going:
        abandon(turn, at, "too few members of every block have contributed")
        return
    set_round(
        turn,
        phase=Phase.COMMIT,
        blocks=Blocks.of(BlockRecord(block, members) for block, members in going.items()),
    )
    place = round_.number, round_.attempt
    chosen = [sound[member] for members in going.values() for member in members]
    turn.emit(Assemble(BlobKind.CONTRIBUTIONS, *place, tuple(c.message for c in chosen)))
    for block, members in going.items():
        turn.emit(ComputeSum(*place, block, tuple(sound[m].batch for m in members)))


def commit_proven(
    turn: RequesterTurn, going: dict[int, tuple[int, ...]], verdicts: dict[int, bytes]
) -> None:
    """List those that passed, each block under the digest of the words that say so."""
    round_ = present(turn)
    blocks = Blocks.of(BlockRecord(block, members) for block, members in going.items())
    set_round(turn, phase=Phase.COMMIT, blocks=blocks)
    found = [round_.contributions.at(m) for members in going.values() for m in members]
    chosen = tuple(each.message for each in found if each is not None)
    under = tuple(verdicts[block] for block in going)
    turn.emit(AssembleListed(round_.number, round_.attempt, chosen, tuple(going), under))


def listed(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.AssembledContributions
) -> None:
    """The contribution list is stored: sign its root."""
    if round_.root:
        raise StateError("no contribution list is awaited")
    set_round(turn, list_digest=input_.digest, list_size=input_.size, root=input_.root)
    _sign(turn, input_.at)


def _sign(turn: RequesterTurn, at: int) -> None:
    round_ = present(turn)
    valid_until = at // 1000 + turn.context.spec.timing.commit_seconds
    set_round(turn, valid_until=valid_until, signature=b"")
    model = round_.opening.model_digest
    turn.emit(SignCommitment(round_.number, round_.root, round_.count, model, valid_until))


def signed(turn: RequesterTurn, round_: RequesterRound, input_: inputs.CommitmentSigned) -> None:
    """Publish the commitment and put it on the chain; anybody else may, too."""
    wanted = (round_.number, round_.root, round_.valid_until)
    if round_.signature or (input_.round, input_.root, input_.valid_until) != wanted:
        raise StateError("no such signature is awaited")
    set_round(turn, signature=input_.signature)
    model, count = round_.opening.model_digest, round_.count
    terms = (round_.root, count, model, input_.valid_until, input_.signature)
    turn.emit(TransactCommit(round_.number, *terms))
    publish(turn, Committed(*terms, round_.list_digest, round_.list_size))


def sign_again_when_late(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Tick) -> None:
    """Signed but not on the chain in time: the same root once more, under a later deadline."""
    late = input_.at > 1000 * round_.valid_until
    if round_.signature and not round_.committed_block and late:
        _sign(turn, input_.at)


def committed(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ChainCommitted) -> None:
    """The chain has a root for the round: it is owed, even if the job was cancelled meanwhile."""
    if input_.round != round_.number or round_.committed_block:
        raise StateError(f"no commitment of round {input_.round} is awaited")
    if input_.root == round_.root:
        turn.change(round=_at_block(round_, input_.block))
        turn.notify("committed", f"block {input_.block}", round_.number, round_.attempt)
    elif turn.state.phase is JobPhase.TRAINING:
        why = f"the chain holds another root for round {input_.round}: this key signed twice"
        fail(turn, why)


def _at_block(round_: RequesterRound, block: int) -> RequesterRound:
    return dataclasses.replace(round_, committed_block=block)


def reorg(turn: RequesterTurn, number: int) -> None:
    """A commitment that is no longer on the chain is awaited again; its transaction stands."""
    round_ = turn.state.round
    if round_ is not None and round_.phase is Phase.COMMIT and round_.committed_block > number:
        turn.change(round=_at_block(round_, 0))


def look_at_chain(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ChainHead) -> None:
    """Once the commitment is final, members release what takes the masks off."""
    depth = turn.context.spec.timing.finality_blocks
    if round_.committed_block and turn.state.head >= round_.committed_block + depth:
        set_round(turn, phase=Phase.UNMASK)
        begin_unmask(turn, input_.at)


def apply(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ModelMoved) -> None:
    """The model moved, or no block could be opened: the round is over."""
    if input_.round != round_.number:
        raise StateError("another round's model")
    _book(turn, round_, input_.digest)
    set_round(turn, phase=Phase.DONE)
    moved = dict(input_.facts).get("contributors", 0.0) > 0.0
    turn.change(
        model_digest=input_.digest,
        model_size=input_.size,
        momentum=input_.momentum,
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
    """Book a round that the chain holds and that will not be applied: its contributions are owed.

    The model that follows it is the one that it was to move.
    """
    round_ = turn.state.round
    if round_ is None or round_.phase not in _BOUND or not round_.committed_block:
        return
    if turn.state.records.at(round_.number) is None:
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
    turn.change(records=turn.state.records.put(record))
