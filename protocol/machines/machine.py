"""What the machines share: the context that they read, and the turn that a step is.

A machine is a function `step(context, state, input) -> (state, effects)`. The context never changes
what has been decided: spec, own identity, the cohort once its list is verified. It is rebuilt from
stored blobs at a start and is no part of the state.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from protocol.books.enrolment import Cohort, Draw, draw
from protocol.errors import FatalError, StateError
from protocol.machines.effects import Effect, Facts, Notify
from protocol.machines.inputs import Input, ReceiveMessage
from protocol.machines.round import Phase, Role, Row, concerns_rounds, find, type_of
from protocol.params import MAX_REASON_BYTES
from protocol.spec.job import JobSpec
from protocol.wire.codec import Wire
from protocol.wire.envelope import Context, Envelope
from protocol.wire.messages import Body

S = TypeVar("S", bound=Wire)

#: Called with the turn, the attempt that the input concerns (None: none), and the input.
Handler = Callable[[Any, Any, Any], None]


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

    def blocks(self, seeds: Sequence[bytes], round_: int) -> tuple[int, ...]:
        """Each member's block in a round, by index; `seeds` are those that a state holds."""
        return self.drawn(seeds, round_).blocks

    def drawn(self, seeds: Sequence[bytes], round_: int) -> Draw:
        """The same, with each block's members."""
        return draw(self.require_cohort(), self.spec.cohort, seeds, round_)


class Turn(ABC, Generic[S]):
    """One step being made: the state so far, the effects so far.

    It holds the step to the table of rounds: only `take` may move an attempt, to a phase that its
    row lists.
    """

    role: ClassVar[Role]

    def __init__(self, context: JobContext, state: S) -> None:
        self.context = context
        self.state = state
        self.effects: list[Effect] = []
        self._by_table = self.phases()

    @abstractmethod
    def phases(self) -> tuple[Phase | None, ...]:
        """The phases of the attempts that the state holds."""

    def take(self, row: Row, at: Phase | None, handler: Handler, attempt: Any, input_: Any) -> None:
        """Hand an input to its row's handler; `at` is the phase that the row was found by.

        Raises FatalError if an attempt comes to a phase that the row does not list.
        """
        self._check_table()
        before = self.phases()
        handler(self, attempt, input_)
        after = self.phases()
        moved = {now for was, now in zip(before, after, strict=True) if now is not was}
        if not (moved or {at}) <= row.follows:
            names = sorted("none" if each is None else each.value for each in moved or {at})
            raise FatalError(f"{row.handler} leads to {', '.join(names)}, which its row lacks")
        self._by_table = after

    def _check_table(self) -> None:
        if self.phases() != self._by_table:
            raise FatalError(f"an attempt of the {self.role.value}'s was moved past the table")

    def change(self, **changes: Any) -> None:
        self.state = dataclasses.replace(self.state, **changes)  # type: ignore[type-var]

    def emit(self, *effects: Effect) -> None:
        self.effects += effects

    def notify(
        self, kind: str, text: str, round_: int = 0, attempt: int = 0, facts: Facts = ()
    ) -> None:
        self.emit(Notify(kind, round_, attempt, one_line(text), facts))

    def result(self) -> tuple[S, tuple[Effect, ...]]:
        """What the step gives. Raises FatalError if an attempt was moved past the table."""
        self._check_table()
        return self.state, tuple(self.effects)


T = TypeVar("T", bound=Turn[Any])


def step_by(
    turn: T,
    input_: Input,
    handlers: Mapping[type[Any], Callable[[T, Any], None]],
    concerned: Callable[[T, Any], tuple[Any, ...]],
    rooms: dict[str, ModuleType],
) -> None:
    """Hand an input to the job's handler for its type, and to the rounds that it concerns.

    `concerned` names those rounds' attempts, as `follow` takes them. Raises StateError for an input
    that neither the job nor a round knows.
    """
    kind = type_of(input_)
    handler, rounds = handlers.get(type(input_)), concerns_rounds(turn.role, kind)
    if handler is None and not rounds:
        raise StateError(f"the {turn.role.value}'s machine knows no {kind.__name__}")
    if handler is not None:
        handler(turn, input_)
    if rounds:
        follow(turn, input_, concerned(turn, input_), rooms)


def follow(
    turn: Turn[Any],
    input_: Input,
    attempts: tuple[Any, ...],
    rooms: dict[str, ModuleType],
) -> None:
    """Hand an input to the rows that the table has for it, one for each attempt that it concerns.

    `attempts` are those (None: no attempt that is followed), `rooms` where handlers are found.
    Raises StateError for an input that a phase does not list.
    """
    for attempt in attempts:
        at = None if attempt is None else attempt.phase
        row = find(turn.role, at, input_)
        if row is not None:
            module, name = row.handler.split(".")
            turn.take(row, at, getattr(rooms[module], name), attempt, input_)


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


B = TypeVar("B")


def body_of(input_: ReceiveMessage, kind: type[B]) -> B:
    """The body of a message that the table found by its kind."""
    body = input_.envelope.body
    if not isinstance(body, kind):
        raise FatalError(f"{kind_of(input_.envelope.body)} where {kind.__name__} is handled")
    return body
