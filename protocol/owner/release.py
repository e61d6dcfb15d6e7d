"""What an owner does after its contribution: it verifies the commitment, then gives up its shares.

A commitment counts if the requester's account signed it, if the whole list rebuilds to the chain's
root at the depth that the spec asks for, and if the list has this owner's contribution under its
own block's roster, beside as many members that it knows as its policy asks for. Then the owner
releases one kind of share of every member of that roster. The list decides the kind, and the chain
keeps its root for ever. So no crash, no second request and no restored copy of this node can make
it give the other kind.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.books.enrolment import spec_domain
from protocol.books.typed_data import Commitment, commitment_digest, recover
from protocol.errors import Malformed, StateError
from protocol.machines import inputs
from protocol.machines.effects import BlobKind, Effect, Examine, SendRelease
from protocol.machines.machine import JobContext, body_of
from protocol.machines.proving import SendSum
from protocol.machines.round import Phase
from protocol.owner.state import ChainCommitment, EarnedRound, OwnerRound
from protocol.owner.turn import FETCH_MS, OwnerTurn, fetch, refuse, too_few_known
from protocol.wire.messages import Committed, RefusalCode, Result


def _put(turn: OwnerTurn, round_: OwnerRound, **changes: Any) -> OwnerRound:
    """Change one of the two attempts in its place."""
    changed = dataclasses.replace(round_, **changes)
    due = turn.state.due
    slot = "due" if due is not None and due.number == round_.number else "round"
    turn.change(**{slot: changed})
    return changed


def abandon_round(turn: OwnerTurn, round_: OwnerRound, reason: str) -> None:
    """Give up one of the two attempts."""
    _put(turn, round_, phase=Phase.FAILED)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def committed(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The requester shows its commitment: fetch what it stands for."""
    body, at = body_of(input_, Committed), input_.at
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
    """Whether the contract would take it. No other commitment binds anybody to pay."""
    terms = (number, body.root, body.count, body.model_digest, body.valid_until)
    digest = commitment_digest(spec_domain(context.spec), Commitment(context.job, *terms))
    try:
        return recover(digest, body.signature) == context.spec.requester.account
    except Malformed:
        return False


def list_arrived(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobArrived) -> None:
    """Perhaps it is the commitment's list."""
    if input_.digest == round_.list_digest and not round_.count:
        place = round_.number, round_.attempt
        binding, block = round_.roster_digest, round_.block
        turn.emit(Examine(BlobKind.CONTRIBUTIONS, *place, input_.digest, binding, block))


def list_missing(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobMissing) -> None:
    """A list that was not found is looked for again when its commitment is heard again."""
    if input_.digest == round_.list_digest and not round_.count:
        _put(turn, round_, list_digest=b"", list_size=0)


def list_holds(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ExaminedContributions) -> None:
    """The list holds: is this owner's own batch in it, under the roster that its masks are for?"""
    at = input_.at
    if input_.digest != round_.list_digest or round_.count:
        raise StateError("no such contribution list is awaited")
    if input_.root != round_.commitment_root:
        refuse(turn, at, RefusalCode.INVALID, "the list is not the commitment's")
        abandon_round(turn, round_, "the list is not the commitment's")
    elif not input_.mine:
        if input_.members:
            why = "a commitment of this owner's block without its contribution"
            refuse(turn, at, RefusalCode.CONFLICT, why)
        abandon_round(turn, round_, "the commitment leaves this owner's contribution out")
    elif input_.mine != round_.batch_digest:
        refuse(turn, at, RefusalCode.INVALID, "the commitment lists another batch of mine")
        abandon_round(turn, round_, "the commitment lists another batch than this owner's")
    elif not set(input_.members) <= set(round_.roster):
        refuse(turn, at, RefusalCode.INVALID, "the commitment lists members outside the roster")
        abandon_round(turn, round_, "the commitment lists members outside the roster")
    else:
        round_ = _put(turn, round_, count=input_.count, listed=input_.members)
        earned = EarnedRound(
            round_.number, round_.commitment_root, round_.list_digest, round_.list_size, 0
        )
        others = (e for e in turn.state.earned if e.round != round_.number)
        turn.change(earned=(*others, earned))
        _match_earned(turn)
        # What the chain owes is owed, whatever this owner thinks of the others in the sum.
        lacking = too_few_known(turn, input_.members, "committed list")
        if lacking:
            place = round_.number, round_.attempt
            refuse(turn, at, RefusalCode.CONFLICT, lacking, place)
            abandon_round(turn, round_, lacking)
        else:
            look_at_chain(turn, round_, input_)


def list_fails(turn: OwnerTurn, round_: OwnerRound, input_: inputs.RejectedContributions) -> None:
    """A commitment's list does not hold: nothing is released for it."""
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    abandon_round(turn, round_, input_.reason)


def chain_committed(turn: OwnerTurn, input_: inputs.ChainCommitted) -> None:
    """The chain holds a round's root. It decides what is owed."""
    new = ChainCommitment(
        input_.round, input_.root, input_.count, input_.model_digest, input_.block
    )
    kept = [c for c in turn.state.commitments if c.round < new.round]
    turn.change(commitments=(*kept[-1:], new))
    _match_earned(turn)


def _match_earned(turn: OwnerTurn) -> None:
    """A round is earned while the chain's root is the verified list's."""
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


def look_at_chain(
    turn: OwnerTurn,
    round_: OwnerRound,
    input_: inputs.ExaminedContributions | inputs.ChainCommitted | inputs.ChainHead,
) -> None:
    """A commitment counts once it is final and its whole list rebuilt to the chain's root."""
    commitment = next((c for c in turn.state.commitments if c.round == round_.number), None)
    if commitment is None or not round_.count:
        return
    if turn.state.head < commitment.block + turn.context.spec.timing.finality_blocks:
        return
    told = (round_.commitment_root, round_.count, round_.opening.model_digest)
    if (commitment.root, commitment.count, commitment.model_digest) != told:
        refuse(turn, input_.at, RefusalCode.CONFLICT, "the chain holds another commitment")
        kept = (e for e in turn.state.earned if e.round != round_.number)
        turn.change(earned=tuple(kept))
        why = "the chain holds another commitment than the requester showed"
        abandon_round(turn, round_, why)
    else:
        _release(turn, round_)


def _release(turn: OwnerTurn, round_: OwnerRound) -> None:
    """The requester is bound to pay: give up the shares, of every member one kind.

    That the shares are to go is stored with this step, before the first of them leaves. A round
    that is due is over with that: the next one trains what it moved.
    """
    turn.notify("commitment-final", "pay for it is certain", round_.number, round_.attempt)
    turn.emit(*_given(turn, round_))
    turn.change(unpaid=0)
    _put(turn, round_, phase=Phase.DONE if round_.phase is Phase.DUE else Phase.APPLY)


def _given(turn: OwnerTurn, round_: OwnerRound) -> tuple[Effect, ...]:
    """What leaves now: shares, or with proofs the one sum of this round."""
    until = 1000 * turn.context.spec.expires_at
    number, attempt, root = round_.number, round_.attempt, round_.commitment_root
    block, roster, listed = round_.block, round_.roster_digest, round_.listed
    if not turn.context.spec.proves:
        model = round_.opening.model_digest
        return (SendRelease(number, attempt, model, root, block, roster, listed, until),)
    known = [p for p in turn.state.proofs if (p.number, p.attempt) == (number, attempt) and p.able]
    if not known:
        # A piece is missing, or its word on one that passed was off: its sum would be a wrong one.
        turn.notify("no-sum", "it holds no right piece of some who passed", number, attempt)
        return ()
    verdict = known[0].verdict_digest
    return (SendSum(number, attempt, root, block, roster, verdict, listed, until),)


def applied(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The model moved by a sum that this owner is part of."""
    moved_without_me(turn, round_, input_)
    _put(turn, round_, phase=Phase.DONE)


def moved_without_me(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The model moved on, whatever became of this owner's attempt."""
    body = body_of(input_, Result)
    turn.change(model_digest=body.model_digest, model_size=body.model_size)
