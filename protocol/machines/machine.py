"""What the machines share: the context that they read, and the turn that a step is.

A machine is a function `step(context, state, input) -> (state, effects)`. The context never changes
what has been decided: spec, own identity, the cohort once its list is verified. It is rebuilt from
stored blobs at a start and is no part of the state.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocol.books.enrolment import Cohort
from protocol.errors import FatalError, StateError
from protocol.machines.effects import Effect, Facts, Notify
from protocol.params import MAX_REASON_BYTES
from protocol.spec.job import JobSpec
from protocol.wire.codec import Wire
from protocol.wire.envelope import Context, Envelope
from protocol.wire.messages import Body

S = TypeVar("S", bound=Wire)


@dataclass(frozen=True, slots=True)
class JobContext:
    """What both machines of a job read. `me` is this node's peer id."""

    job: bytes
    spec: JobSpec
    spec_bytes: int
    spec_digest: bytes
    me: bytes
    account: bytes
    cohort: Cohort | None = None

    @property
    def requester(self) -> bytes:
        """The requester's peer id."""
        return self.spec.requester.peer_id

    def require_cohort(self) -> Cohort:
        if self.cohort is None:
            raise FatalError("the cohort's list is needed before it was verified")
        return self.cohort


class Turn(Generic[S]):
    """One step being made: the state so far, the effects so far."""

    def __init__(self, context: JobContext, state: S) -> None:
        self.context = context
        self.state = state
        self.effects: list[Effect] = []

    def change(self, **changes: Any) -> None:
        self.state = dataclasses.replace(self.state, **changes)  # type: ignore[type-var]

    def emit(self, *effects: Effect) -> None:
        self.effects += effects

    def notify(
        self, kind: str, text: str, round_: int = 0, attempt: int = 0, facts: Facts = ()
    ) -> None:
        self.emit(Notify(kind, round_, attempt, one_line(text), facts))

    def result(self) -> tuple[S, tuple[Effect, ...]]:
        return self.state, tuple(self.effects)


def one_line(text: str) -> str:
    """Cut to what a reason may hold, at a character's boundary.

    Reasons come from peers, too, and reach terminals and logs: what does not print is shown as '?'.
    """
    flat = " ".join(text.split()) or "no reason given"
    shown = "".join(c if c.isprintable() else "?" for c in flat)
    return shown.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


def message_context(context: JobContext, number: int = 0, attempt: int = 0) -> Context:
    """Where the messages of one attempt belong; of none: the job's own."""
    chain = context.spec.chain
    return Context(chain.chain_id, chain.contract, context.job, number, attempt)


def check_place(context: JobContext, envelope: Envelope) -> None:
    """Raise StateError for a message of another chain, contract or job than the machine's own.

    Routing sees to that before; what is signed for elsewhere must not count here even so.
    """
    place = envelope.context
    if place != message_context(context, place.round, place.attempt):
        raise StateError(f"{kind_of(envelope.body)} of another chain, contract or job")


def kind_of(body: Body) -> str:
    return type(body).__name__
