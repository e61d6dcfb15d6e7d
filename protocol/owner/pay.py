"""How a job ends for an owner: the evidence fetched, the pay seen on the chain."""

from __future__ import annotations

import dataclasses

from protocol.addresses import to_checksum
from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Fetch
from protocol.machines.job import JobEvent, JobPhase
from protocol.owner.state import OwnerState, PaidClaim
from protocol.owner.turn import FETCH_MS, OwnerTurn, go
from protocol.tokens import NO_TOKENS
from protocol.wire.messages import Finished


def awaits_evidence(state: OwnerState) -> bool:
    """A job that closed early still owes what was committed; its books come late."""
    return state.phase is JobPhase.CANCELLED and bool(state.earned) and not state.evidence_digest


def finished(turn: OwnerTurn, input_: inputs.ReceiveMessage, body: Finished) -> None:
    """The evidence is fetched, so that this owner can claim without anybody's help."""
    state = turn.state
    if state.evidence_digest or state.phase not in (
        JobPhase.TRAINING,
        JobPhase.FINISHING,
        JobPhase.CANCELLED,
    ):
        raise StateError("no evidence is awaited")
    if state.evidence_on_chain not in (b"", body.evidence_digest):
        turn.notify("fault", "the requester's evidence is not the one on the chain")
        return
    turn.change(
        evidence_digest=body.evidence_digest,
        evidence_size=body.evidence_size,
        model_digest=body.model_digest,
        model_size=body.model_size,
    )
    until, peers = input_.at + FETCH_MS, (turn.context.requester,)
    turn.emit(Fetch(body.evidence_digest, body.evidence_size, peers, until))
    spec = turn.context.spec
    if not spec.privacy.sealed and body.model_size == spec.model_bytes:
        turn.emit(Fetch(body.model_digest, body.model_size, peers, until))


def chain_finished(turn: OwnerTurn, input_: inputs.ChainFinished) -> None:
    """The books are closed on the chain. The job is over for an owner that is owed nothing."""
    go(turn, JobEvent.FINISHED)
    turn.change(evidence_on_chain=input_.evidence_digest)
    if turn.state.evidence_digest not in (b"", input_.evidence_digest):
        turn.change(evidence_digest=b"", heard=())
        turn.notify("fault", "the requester's evidence is not the one on the chain")
    # With merit to come, a claim is still to be seen, whatever was paid before.
    if not turn.state.contributed or not turn.context.spec.payment.merit:
        _close_when_paid(turn)


def chain_claimed(turn: OwnerTurn, input_: inputs.ChainClaimed) -> None:
    """Somebody claimed for this owner's account; in the end that closes the job."""
    if input_.account != turn.state.payout:
        return
    turn.change(claims=(*turn.state.claims, PaidClaim(input_.block, input_.amount)))
    amount = NO_TOKENS.shown(input_.amount, turn.context.spec.payment.token)
    turn.notify("paid", f"{amount} to {to_checksum(input_.account)}")
    _close_when_paid(turn)


def chain_withdrawn(turn: OwnerTurn, input_: inputs.ChainWithdrawn) -> None:
    """The requester has taken its rest back, as it does after the last claim."""
    _close_when_paid(turn)


def reorg(turn: OwnerTurn, number: int) -> None:
    """Claims above `number` are void; their transactions stand, and come again."""
    turn.change(
        claims=tuple(c for c in turn.state.claims if c.block <= number),
        earned=tuple(
            dataclasses.replace(e, block=0) if e.block > number else e for e in turn.state.earned
        ),
    )


def expired(turn: OwnerTurn) -> None:
    """The job's time ran out. Pay that is owed stays owed, and is awaited."""
    if turn.state.phase is not JobPhase.FINISHING:
        go(turn, JobEvent.EXPIRED)
    else:
        _close_when_paid(turn)


def _close_when_paid(turn: OwnerTurn) -> None:
    """Close a finished job once every round that the chain holds for this owner is paid."""
    state = turn.state
    rounds = sum(1 for e in state.earned if e.block)
    if state.phase is JobPhase.FINISHING and state.paid >= rounds * turn.context.spec.payment.rate:
        go(turn, JobEvent.SETTLED)
