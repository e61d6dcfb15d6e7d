"""How a job ends for its requester: books closed, everybody paid, what is left taken back.

Two ways lead here. A job that ran its rounds is finished on the chain, and then paid. A job that
was cancelled, expired, broke, or could not be finished is wound up: once the contract has closed
it, every committed contribution has its rate and its equal share of merit. Either way, what no
contribution is owed is taken back once the contract has closed the job.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import (
    Publish,
    Settle,
    TransactCancel,
    TransactClaim,
    TransactFinish,
    TransactPay,
    TransactWithdraw,
)
from protocol.machines.inputs import Call
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.machine import JobContext, one_line
from protocol.requester.commit import book_what_is_owed
from protocol.requester.state import RequesterState, Unpaid
from protocol.requester.turn import RequesterTurn, fail, go
from protocol.wire.messages import Finished
from protocol.wire.topics import job_topic

#: Phases in which a job waits to be closed by the contract, to be settled then.
WINDING_UP = (JobPhase.CANCELLED, JobPhase.FAILED)

#: Phases of a finished job in which its rest comes back.
PAID = (JobPhase.PAYING, JobPhase.CLOSED)


#: Chain blocks after which no late event is waited for.
_LATE_BLOCKS: Final = 64


def finish(turn: RequesterTurn, event: JobEvent) -> None:
    """No more rounds: close the books."""
    book_what_is_owed(turn)
    go(turn, event)
    turn.emit(_settle(turn))


def _settle(turn: RequesterTurn) -> Settle:
    """Merit goes by worth, and to nobody that kept its shares back."""
    state = turn.state
    return Settle(state.model_digest, state.worth, tuple(sorted(state.withholding)))


def give_up(turn: RequesterTurn, reason: str) -> None:
    """End the job with the rounds that it has."""
    turn.change(reason=one_line(reason))
    turn.notify("gave-up", reason)
    finish(turn, JobEvent.GAVE_UP)


def settled(turn: RequesterTurn, input_: inputs.Settled) -> None:
    """The evidence is stored: finish with it, or pay by it."""
    state = turn.state
    winding_up = state.phase in WINDING_UP and state.settling
    if state.evidence_digest or not (winding_up or state.phase is JobPhase.FINISHING):
        raise StateError("no settlement is awaited")
    turn.change(
        evidence_digest=input_.digest, evidence_size=input_.size, unpaid=Unpaid.of(input_.payouts)
    )
    if winding_up:
        _pay(turn)
    else:
        turn.emit(TransactFinish(state.model_digest, input_.digest, input_.merit_root))


def _pay(turn: RequesterTurn) -> None:
    """Tell everybody where the evidence is, and pay everybody."""
    state = turn.state
    body = Finished(
        state.model_digest, state.model_size, state.evidence_digest, state.evidence_size
    )
    turn.emit(Publish(job_topic(turn.context.job), 0, 0, body, b""))
    if state.unpaid:
        turn.emit(TransactPay(state.evidence_digest))
    _withdraw_when_paid(turn)


def _claim_for_all(turn: RequesterTurn) -> None:
    """Whole rounds could not be paid: what each account has of them is claimed for it."""
    state = turn.state
    turn.emit(*(TransactClaim(account, state.evidence_digest) for account in state.unpaid))


def _all_paid(turn: RequesterTurn) -> None:
    """Whole rounds are paid. Whoever could not be reached claims for itself; it harms nobody."""
    turn.change(unpaid=Unpaid())
    _withdraw_when_paid(turn)


def _withdraw_when_paid(turn: RequesterTurn) -> None:
    """After the last claim, and once the contract has closed the job, which after `finish` takes
    its notice: take back what no contribution is owed, if that is anything."""
    if turn.state.unpaid:
        return
    if turn.state.phase is JobPhase.PAYING:
        go(turn, JobEvent.SETTLED)
    if not awaits_rest(turn.context, turn.state):
        turn.change(withdrawals=turn.state.withdrawals or 2)
    elif turn.state.settling or _is_closed(turn):
        turn.change(withdrawals=1)
        turn.emit(TransactWithdraw(0))


def awaits_rest(context: JobContext, state: RequesterState) -> bool:
    """Whether something comes back that has not been asked for yet."""
    return not state.withdrawals and _surplus(context, state) > 0


def takes_rest(context: JobContext, state: RequesterState) -> bool:
    """Whether the chain's next blocks matter to it: the event of `finish` is still to be read, or
    the closing was seen, and the rest is not seen to be back. An event may be shown late."""
    asked = state.withdrawals == 1
    if state.phase in PAID and not asked and not state.cancel_effective:
        return awaits_rest(context, state)
    due = asked or (state.phase in (*PAID, *WINDING_UP) and awaits_rest(context, state))
    last = state.closed_block + context.spec.timing.finality_blocks + _LATE_BLOCKS
    return due and state.closed_block > 0 and state.head < last


def _surplus(context: JobContext, state: RequesterState) -> int:
    """What the contract holds of the escrow beyond what the books owe, as its rules have it once
    it has closed the job."""
    spec = context.spec
    contributions = sum(record.count for record in state.records)
    merit = spec.payment.merit if contributions else 0
    if merit and state.settling:
        merit -= merit % contributions  # equal shares; what does not divide is nobody's
    return spec.escrow - contributions * spec.payment.rate - merit


def _awaited(turn: RequesterTurn, account: bytes) -> bool:
    return turn.state.unpaid.place_of("", account) is not None


def _claimed(turn: RequesterTurn, account: bytes) -> None:
    unpaid = turn.state.unpaid
    place = unpaid.place_of("", account)
    turn.change(unpaid=unpaid if place is None else unpaid.without(place))
    _withdraw_when_paid(turn)


def transaction_final(turn: RequesterTurn, input_: inputs.TransactionFinal) -> None:
    state = turn.state
    if input_.call is Call.FINISH and state.phase is JobPhase.FINISHING and state.evidence_digest:
        go(turn, JobEvent.FINISHED)
        _pay(turn)
    elif input_.call is Call.CLAIM and _awaited(turn, input_.account):
        _claimed(turn, input_.account)
    elif input_.call is Call.PAY and state.unpaid:
        _all_paid(turn)


def transaction_failed(turn: RequesterTurn, input_: inputs.TransactionFailed) -> None:
    """What the chain refuses for good. A refused commitment is signed again once it is late."""
    state, reason = turn.state, input_.reason
    turn.notify("transaction-failed", f"{input_.call.value}: {reason}")
    if input_.call is Call.POST and state.phase is JobPhase.POSTING:
        fail(turn, f"the bounty could not be posted: {reason}")
    elif input_.call is Call.ENROL and state.phase is JobPhase.ROOTING:
        fail(turn, f"the enrolment root could not be posted: {reason}")
    elif input_.call is Call.ENROL and state.rooting is not None:
        # Those who train go on; who came later waits in vain, and is told so when it asks again.
        turn.change(groups=state.groups[:-1], late_refused=True)
    elif input_.call is Call.FINISH and state.phase is JobPhase.FINISHING:
        # Closed before it was finished: the contract shares the merit equally then.
        turn.change(cancel_effective=state.cancel_effective or turn.context.spec.expires_at)
        go(turn, JobEvent.EXPIRED)
    elif input_.call is Call.CLAIM and _awaited(turn, input_.account):
        # The owner may have claimed itself, or its account refuses money; it harms nobody else.
        _claimed(turn, input_.account)
    elif input_.call is Call.PAY and state.unpaid:
        # Somebody else may have paid them, or payees ask for too much gas: account by account.
        _claim_for_all(turn)


def cancel(turn: RequesterTurn, input_: inputs.ActionCancel) -> None:
    if turn.state.phase in (*OVER, JobPhase.FINISHING, JobPhase.PAYING):
        raise StateError(f"a job that is {turn.state.phase.value} cannot be cancelled")
    turn.emit(TransactCancel())


def cancelled(turn: RequesterTurn, input_: inputs.ChainCancelled) -> None:
    """Training ends at once; a job that is being finished already may still be, until then."""
    state = turn.state
    turn.change(cancel_effective=input_.effective)
    if state.phase is JobPhase.FINISHING or (state.phase in WINDING_UP and not state.settling):
        return
    go(turn, JobEvent.CANCELLED)


def chain_finished(turn: RequesterTurn, input_: inputs.ChainFinished) -> None:
    """Until then commitments can be put back, and what is kept for them stays where it is."""
    turn.change(cancel_effective=input_.effective)


def withdrawn(turn: RequesterTurn, input_: inputs.ChainWithdrawn) -> None:
    """The rest is back, and nothing more hangs on the chain."""
    if turn.state.withdrawals == 1:
        turn.change(withdrawals=2)


def return_rest(turn: RequesterTurn, head: inputs.ChainHead) -> None:
    """A finished job that is paid takes back its rest once it has closed."""
    if awaits_rest(turn.context, turn.state):
        _see_closing(turn, head)
        _withdraw_when_paid(turn)


def expired(turn: RequesterTurn) -> None:
    turn.change(cancel_effective=turn.context.spec.expires_at)
    go(turn, JobEvent.EXPIRED)


def wind_up(turn: RequesterTurn, head: inputs.ChainHead) -> None:
    """Settle once the contract has closed the job, as deep in the chain as the spec asks for.

    A commitment that was mined just before is final by then, too.
    """
    state = turn.state
    if state.settling or not state.posted_block:
        return
    _see_closing(turn, head)
    if not _is_closed(turn):
        return
    turn.change(settling=True)
    book_what_is_owed(turn)
    if state.evidence_digest:
        _pay(turn)
    elif turn.state.records:
        turn.emit(_settle(turn))
    else:
        _withdraw_when_paid(turn)


def _see_closing(turn: RequesterTurn, head: inputs.ChainHead) -> None:
    """Remember the first chain block at or after the contract's closing of the job."""
    effective, seen = turn.state.cancel_effective, turn.state.closed_block
    if effective and not seen and head.timestamp >= effective:
        turn.change(closed_block=head.number)


def _is_closed(turn: RequesterTurn) -> bool:
    """Whether the job closed as deep in the chain as the spec asks for."""
    state, depth = turn.state, turn.context.spec.timing.finality_blocks
    return bool(state.closed_block) and state.head >= state.closed_block + depth
