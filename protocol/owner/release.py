"""What an owner does after its contribution: it verifies the commitment, then gives up its shares.

It counts a commitment only when the requester's account signed it, the whole list rebuilds to the
chain's root, at the depth that the spec asks for, and its own contribution is in it under its own
block's roster. Only then it releases, of every member of that roster one kind of share: what kind
follows from the list that the chain holds for ever, so that no crash, no second request and no
restored copy of this node can make it give the other kind.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.books.enrolment import spec_domain
from protocol.books.typed_data import Commitment, commitment_digest, recover
from protocol.errors import Malformed, StateError
from protocol.machines import inputs
from protocol.machines.effects import BlobKind, Examine, SendRelease
from protocol.machines.job import OVER
from protocol.machines.machine import JobContext
from protocol.machines.round import Event, Phase, Role, advance
from protocol.owner.state import ChainCommitment, EarnedRound, OwnerRound
from protocol.owner.turn import FETCH_MS, OwnerTurn, fetch, refuse
from protocol.wire.messages import Committed, RefusalCode, Result


def awaited(turn: OwnerTurn) -> tuple[OwnerRound, ...]:
    """The attempts whose commitment is still awaited: the present one, and one that is due."""
    both = (turn.state.due, turn.state.round)
    return tuple(r for r in both if r is not None and r.phase is Phase.COMMIT)


def _awaited(turn: OwnerTurn, number: int, attempt: int) -> OwnerRound:
    for round_ in awaited(turn):
        if (round_.number, round_.attempt) == (number, attempt):
            return round_
    raise StateError(f"no commitment of round {number}.{attempt} is awaited")


def _put(turn: OwnerTurn, round_: OwnerRound, **changes: Any) -> OwnerRound:
    """Change one of the two attempts in its place."""
    changed = dataclasses.replace(round_, **changes)
    due = turn.state.due
    slot = "due" if due is not None and due.number == round_.number else "round"
    turn.change(**{slot: changed})
    return changed


def _abandon(turn: OwnerTurn, round_: OwnerRound, reason: str) -> None:
    _put(turn, round_, phase=advance(Role.OWNER, round_.phase, Event.ABANDONED))
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def committed(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Committed) -> None:
    """The requester shows its commitment: fetch what it stands for."""
    place, at = input_.envelope.context, input_.at
    round_ = _awaited(turn, place.round, place.attempt)
    if body.model_digest != round_.opening.model_digest:
        refuse(turn, at, RefusalCode.CONFLICT, "the commitment names another model")
        return
    if not _signed_by_requester(turn.context, round_.number, body):
        refuse(turn, at, RefusalCode.INVALID, "the commitment is not signed by the account")
        return
    if round_.commitment_root and round_.commitment_root != body.root:
        refuse(turn, at, RefusalCode.CONFLICT, "two commitments of one round")
        return
    if not round_.list_digest:
        _put(
            turn,
            round_,
            commitment_root=body.root,
            list_digest=body.list_digest,
            list_size=body.list_size,
        )
        fetch(turn, body.list_digest, body.list_size, at, at + FETCH_MS)


def _signed_by_requester(context: JobContext, number: int, body: Committed) -> bool:
    """Whether the contract would take it: only then can it bind anybody to pay."""
    terms = (number, body.root, body.count, body.model_digest, body.valid_until)
    digest = commitment_digest(spec_domain(context.spec), Commitment(context.job, *terms))
    try:
        return recover(digest, body.signature) == context.spec.requester.account
    except Malformed:
        return False


def blob_arrived(turn: OwnerTurn, input_: inputs.BlobArrived) -> None:
    """A commitment's list is here."""
    for round_ in awaited(turn):
        if input_.digest == round_.list_digest and not round_.count:
            place = round_.number, round_.attempt
            binding, block = round_.roster_digest, round_.block
            turn.emit(Examine(BlobKind.CONTRIBUTIONS, *place, input_.digest, binding, block))


def blob_missing(turn: OwnerTurn, input_: inputs.BlobMissing) -> None:
    """A list that was not found is looked for again when its commitment is heard again."""
    for round_ in awaited(turn):
        if input_.digest == round_.list_digest and not round_.count:
            _put(turn, round_, list_digest=b"", list_size=0)


def examined(turn: OwnerTurn, input_: inputs.Examined) -> None:
    """The list holds: is this owner's own batch in it, under the roster that its masks are for?"""
    round_, at = _awaited(turn, input_.round, input_.attempt), input_.at
    if input_.digest != round_.list_digest or round_.count:
        raise StateError("no such contribution list is awaited")
    if input_.roots != (round_.commitment_root,):
        refuse(turn, at, RefusalCode.INVALID, "the list is not the commitment's")
        _abandon(turn, round_, "the list is not the commitment's")
    elif not input_.mine:
        if input_.members:
            why = "a commitment of this owner's block without its contribution"
            refuse(turn, at, RefusalCode.CONFLICT, why)
        _abandon(turn, round_, "the commitment leaves this owner's contribution out")
    elif input_.mine != round_.batch_digest:
        refuse(turn, at, RefusalCode.INVALID, "the commitment lists another batch of mine")
        _abandon(turn, round_, "the commitment lists another batch than this owner's")
    elif not set(input_.members) <= set(round_.roster):
        refuse(turn, at, RefusalCode.INVALID, "the commitment lists members outside the roster")
        _abandon(turn, round_, "the commitment lists members outside the roster")
    else:
        round_ = _put(turn, round_, count=input_.count, listed=input_.members)
        earned = EarnedRound(
            round_.number, round_.commitment_root, round_.list_digest, round_.list_size, 0
        )
        others = (e for e in turn.state.earned if e.round != round_.number)
        turn.change(earned=(*others, earned))
        _match_earned(turn)
        look_at_chain(turn, at)


def rejected(turn: OwnerTurn, input_: inputs.Rejected) -> None:
    """A commitment's list does not hold: nothing is released for it."""
    round_ = _awaited(turn, input_.round, input_.attempt)
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    _abandon(turn, round_, input_.reason)


def chain_committed(turn: OwnerTurn, input_: inputs.ChainCommitted) -> None:
    """The chain holds a round's root: what is owed, whoever says what."""
    new = ChainCommitment(
        input_.round, input_.root, input_.count, input_.model_digest, input_.block
    )
    kept = [c for c in turn.state.commitments if c.round < new.round]
    turn.change(commitments=(*kept[-1:], new))
    _match_earned(turn)
    look_at_chain(turn, input_.at)


def _match_earned(turn: OwnerTurn) -> None:
    """A round is earned where the chain's root is the verified list's, for as long as it is."""
    held = {c.round: c for c in turn.state.commitments}

    def matched(each: EarnedRound) -> EarnedRound:
        on_chain = held.get(each.round)
        if on_chain is None:
            return each
        return dataclasses.replace(each, block=on_chain.block if each.root == on_chain.root else 0)

    turn.change(earned=tuple(matched(each) for each in turn.state.earned))


def reorg(turn: OwnerTurn, number: int) -> None:
    """A commitment that is no longer on the chain is awaited again."""
    kept = tuple(c for c in turn.state.commitments if c.block <= number)
    turn.change(commitments=kept)


def look_at_chain(turn: OwnerTurn, at: int) -> None:
    """A commitment counts once it is final and its whole list rebuilt to the chain's root."""
    if turn.state.phase in OVER:
        return  # nobody applies sums any more, and the boxes' key is destroyed
    held = {c.round: c for c in turn.state.commitments}
    for round_ in awaited(turn):
        commitment = held.get(round_.number)
        if commitment is None or not round_.count:
            continue
        if turn.state.head < commitment.block + turn.context.spec.timing.finality_blocks:
            continue
        told = (round_.commitment_root, round_.count, round_.opening.model_digest)
        if (commitment.root, commitment.count, commitment.model_digest) != told:
            refuse(turn, at, RefusalCode.CONFLICT, "the chain holds another commitment")
            kept = (e for e in turn.state.earned if e.round != round_.number)
            turn.change(earned=tuple(kept))
            why = "the chain holds another commitment than the requester showed"
            _abandon(turn, round_, why)
        else:
            _release(turn, round_)


def _release(turn: OwnerTurn, round_: OwnerRound) -> None:
    """The requester is bound to pay: give up the shares, of every member one kind.

    That the shares are to go is stored with this step, before the first of them leaves.
    """
    phase = advance(Role.OWNER, round_.phase, Event.COMMITTED)
    turn.notify("commitment-final", "pay for it is certain", round_.number, round_.attempt)
    turn.emit(
        SendRelease(
            round_.number,
            round_.attempt,
            round_.opening.model_digest,
            round_.commitment_root,
            round_.block,
            round_.roster_digest,
            round_.listed,
            1000 * turn.context.spec.expires_at,
        )
    )
    turn.change(unpaid=0)
    _put(turn, round_, phase=advance(Role.OWNER, phase, Event.UNMASKED))


def result(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Result) -> None:
    """The model moved on."""
    turn.change(model_digest=body.model_digest, model_size=body.model_size)
    round_, place = turn.state.round, input_.envelope.context
    if round_ is None or (round_.number, round_.attempt) != (place.round, place.attempt):
        raise StateError(f"round {place.round}.{place.attempt} is not the present one")
    if round_.phase is Phase.APPLY:
        _put(turn, round_, phase=advance(Role.OWNER, round_.phase, Event.APPLIED))
