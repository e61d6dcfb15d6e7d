"""A round from its last contribution on: commit, unmask, apply, and what of it is owed.

A commitment binds the contract to pay, so from it on a round is never given up. The chain has the
last word: what it holds is owed, whether the round is applied, could not be, or was overtaken by
a cancellation.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from protocol import inputs
from protocol.effects import (
    Assemble,
    BlobKind,
    ComputeApply,
    ComputeSum,
    SignCommitment,
    TransactCommit,
)
from protocol.errors import StateError
from protocol.job import JobPhase
from protocol.messages import Committed, Result
from protocol.requester_state import RequesterRound, RoundRecord, SumRecord
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
from protocol.round import Event, Phase

_BOUND = (Phase.COMMIT, Phase.UNMASK, Phase.APPLY)


def commit(turn: RequesterTurn, at: int) -> None:
    """Contributions are in, or their time is over: list what whole blocks have said."""
    round_ = present(turn, Phase.CONTRIBUTE)
    whole = whole_blocks(turn, {c.member for c in round_.contributions if c.sound})
    if not whole:
        abandon(turn, at, "no whole block has contributed")
        return
    blocks = blocks_of(turn.context, turn.state)
    chosen = sorted(
        (c for c in round_.contributions if blocks[c.member] in whole),
        key=lambda c: (blocks[c.member], c.member),
    )
    advance_round(turn, Event.CONTRIBUTED, blocks=whole)
    place = round_.number, round_.attempt
    turn.emit(Assemble(BlobKind.CONTRIBUTIONS, *place, tuple(c.message for c in chosen)))
    for block in whole:
        batches = tuple(c.batch for c in chosen if blocks[c.member] == block)
        turn.emit(ComputeSum(*place, block, batches))


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
    turn.emit(SignCommitment(round_.number, round_.root, _count(turn, round_), model, valid_until))


def _count(turn: RequesterTurn, round_: RequesterRound) -> int:
    """How many contributions the commitment lists."""
    return sum(b in round_.blocks for b in blocks_of(turn.context, turn.state))


def signed(turn: RequesterTurn, input_: inputs.CommitmentSigned) -> None:
    """Publish the commitment and put it on the chain; anybody else may, too."""
    round_ = present(turn, Phase.COMMIT)
    wanted = (round_.number, round_.root, round_.valid_until)
    if round_.signature or (input_.round, input_.root, input_.valid_until) != wanted:
        raise StateError("no such signature is awaited")
    set_round(turn, signature=input_.signature)
    model, count = round_.opening.model_digest, _count(turn, round_)
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


def look_at_chain(turn: RequesterTurn) -> None:
    """Once the commitment is final, the sums may be opened."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.COMMIT or not round_.committed_block:
        return
    if turn.state.head < round_.committed_block + turn.context.spec.timing.finality_blocks:
        return
    advance_round(turn, Event.COMMITTED)
    # Batches carry no masks in this version: nothing is to be removed (docs/threat-model.md).
    advance_round(turn, Event.UNMASKED)
    _apply(turn)


def summed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    """A block's sum is there."""
    round_ = present_of(turn, input_.round, input_.attempt)
    block = int.from_bytes(input_.subject, "big")
    if round_.phase not in _BOUND or block not in round_.blocks:
        raise StateError(f"no sum of block {block} is awaited in phase {round_.phase.value}")
    if any(s.block == block for s in round_.sums):
        raise StateError(f"the sum of block {block} is here already")
    count = Counter(blocks_of(turn.context, turn.state))[block]
    set_round(turn, sums=(*round_.sums, SumRecord(block, input_.digest, count)))
    _apply(turn)


def _apply(turn: RequesterTurn) -> None:
    """Open and apply the sums as soon as the commitment is final and every sum is there."""
    round_ = present(turn)
    if round_.phase is not Phase.APPLY or round_.applying:
        return
    if len(round_.sums) < len(round_.blocks):
        return
    sums = sorted(round_.sums, key=lambda s: s.block)
    set_round(turn, applying=True)
    turn.emit(
        ComputeApply(
            round_.number,
            round_.opening.model_digest,
            turn.state.momentum,
            tuple(s.digest for s in sums),
            tuple(s.count for s in sums),
        )
    )


def applied(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    """The model moved: the round is over."""
    round_ = present(turn, Phase.APPLY)
    if input_.round != round_.number:
        raise StateError("another round's model")
    _book(turn, round_, input_.digest)
    advance_round(turn, Event.APPLIED)
    turn.change(model_digest=input_.digest, model_size=input_.size, momentum=input_.extra)
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
        round_.frozen_digest,
        round_.frozen_size,
        round_.list_digest,
        round_.list_size,
        round_.root,
        _count(turn, round_),
        next_model,
    )
    turn.change(records=(*turn.state.records, record))
