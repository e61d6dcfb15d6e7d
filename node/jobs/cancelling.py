"""Cancelling a job: whether it may be cancelled, whether it was, and how its transaction stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from node.chain.intents.intents import IntentOutcome
from node.control.job_results import Cancelled
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.books import Books
from protocol import params
from protocol.errors import AssayError, ChainError, InputError, StateError
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.requester.state import RequesterState

#: How long a call waits for the chain before it replies without the closing time, seconds.
_PATIENCE: Final = 5.0

#: Why a job of a phase is past cancelling.
_TOO_LATE: Final = {
    JobPhase.FINISHING: "its rounds are over and its books are being closed",
    JobPhase.PAYING: "it is finished, and its owners are being paid",
    JobPhase.CLOSED: "it is finished and paid",
    JobPhase.CANCELLED: "it has expired",
    JobPhase.FAILED: "it failed; what it holds is settled once it has expired",
}


class Cancelling:
    """Cancels jobs of this node. `chain_time` is the newest block's, Unix seconds; 0 if unknown."""

    def __init__(self, services: Services, books: Books, chain_time: Callable[[], int]) -> None:
        self._services = services
        self._books = books
        self._chain_time = chain_time

    async def cancel(self, machine: Machine) -> Cancelled:
        """Have the cancellation sent, once, however often this is called.

        Raises InputError (another's job), StateError (the job cannot be cancelled as it stands),
        ChainError (the contract refuses).
        """
        ident = f"{machine.key.hex()}/cancel/0"
        before = await self._services.intents.get(ident)
        already = before is not None or _is_cancelled(machine)
        if not _is_cancelled(machine):
            _check_phase(machine)
        if not already:
            self._check_chain(machine)
            await self._services.engine.feed(
                machine.key, inputs.ActionCancel(self._services.clock.ms())
            )
        outcome = await self._outcome(machine, ident)
        on_chain = _is_cancelled(machine)
        if outcome is None and not on_chain:
            # The machine moved on between the check and the input; the error says where it stands
            # now.
            _check_phase(machine)
        if outcome is not None and not on_chain and _is_refused(outcome):
            raise _noted(machine, ChainError(f"the job is not cancelled: {outcome.error}"))
        mined = outcome.tx_hash if outcome is not None else None
        summary = await self._books.summary(machine)
        return Cancelled(
            job=summary.job,
            state=summary.state,
            already=already,
            effective=float(_books_of(machine).cancel_effective) if on_chain else None,
            notice=params.CANCEL_NOTICE_SECONDS,
            transaction="" if mined is None else "0x" + mined.hex(),
            problem=outcome.error if outcome is not None and not (mined or on_chain) else "",
        )

    def _check_chain(self, machine: Machine) -> None:
        """Raise StateError where the contract would refuse."""
        if not _books_of(machine).posted_block:
            text = "the job's bounty is not on the chain yet: it can be cancelled once it is"
            raise _noted(machine, StateError(text))
        left = machine.context.spec.expires_at - self._chain_time()
        if left <= params.CANCEL_NOTICE_SECONDS:
            text = (
                f"the job expires in {max(0, left) // 60} min, before a cancellation would take "
                f"effect ({params.CANCEL_NOTICE_SECONDS // 60} min)"
            )
            raise _noted(machine, StateError(text))

    async def _outcome(self, machine: Machine, ident: str) -> IntentOutcome | None:
        """How the transaction stands, once the chain has it or refused it, or after a while."""
        outcome = None
        with trio.move_on_after(_PATIENCE):
            while True:
                outcome = await self._services.intents.get(ident)
                if _is_cancelled(machine) or (outcome is not None and _is_refused(outcome)):
                    break
                await trio.sleep(0.05)
        return outcome


def _is_refused(outcome: IntentOutcome) -> bool:
    return outcome.settled and outcome.state != "final"


def _books_of(machine: Machine) -> RequesterState:
    """A requester's books. Raises InputError for anybody else's."""
    if not isinstance(machine.state, RequesterState):
        raise InputError("only its requester can cancel a job", "job")
    return machine.state


def _is_cancelled(machine: Machine) -> bool:
    """Whether a cancellation is on the chain; an expired job is closed without one.

    The contract takes no cancellation that would close a job later than its expiry does.
    """
    state = _books_of(machine)
    cancelled = state.phase is JobPhase.CANCELLED
    return cancelled and state.cancel_effective < machine.context.spec.expires_at


def _check_phase(machine: Machine) -> None:
    """Raise StateError where the job is past cancelling. The engine would only log it."""
    late = _TOO_LATE.get(_books_of(machine).phase)
    why = f"it is stopped: {machine.broken}" if machine.broken else late
    if why:
        raise _noted(machine, StateError(f"the job cannot be cancelled: {why}"))


def _noted(machine: Machine, error: AssayError) -> AssayError:
    error.add_note(f"assay job show 0x{machine.key.hex()[:12]}")
    return error
