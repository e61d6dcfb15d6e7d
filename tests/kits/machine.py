"""Both machines, stepped by hand to any moment of a job: nothing runs, every outcome is told.

A kit's methods are what happens next, in the order in which it happens; each returns the effects.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args

from kits.books import REQUESTER, Job, Person, digest_of
from protocol.books.enrolment import block_members
from protocol.errors import StateError
from protocol.machines import effects, inputs
from protocol.machines.effects import Effect
from protocol.machines.machine import JobContext
from protocol.wire.codec import Wire, decode_tagged, encode, encode_tagged
from protocol.wire.envelope import Envelope, envelope_digest
from protocol.wire.messages import Body, Ready, RefusalCode, Refuse
from protocol.wire.parts import Part, changes, head, join

S = TypeVar("S", bound=Wire)
E = TypeVar("E", bound=Wire)

EFFECTS: tuple[type[Any], ...] = get_args(effects.Effect)
INPUTS: tuple[type[Any], ...] = get_args(inputs.Input)
BODIES: tuple[type[Any], ...] = get_args(Body)

#: When a job is announced, Unix milliseconds.
START = 1_800_000_000_000

Effects = tuple[Effect, ...]


@dataclass
class Kit(Generic[S]):
    """One node's machine and what it was told so far. `step` goes on, `peek` only looks."""

    job: Job
    me: Person
    context: JobContext
    state: S
    now: int = START

    machine: ClassVar[Any]

    def peek(self, input_: inputs.Input) -> tuple[S, Effects]:
        before = encode(self.state)
        try:
            state, wanted = self.machine.step(self.context, self.state, input_)
        finally:
            assert encode(self.state) == before, "a step mutated the state that it was given"
        return state, wanted

    def step(self, input_: inputs.Input) -> Effects:
        before = self.state
        self.state, wanted = self.peek(input_)
        assert_kept(before, self.state)
        return wanted

    def refused(self, input_: inputs.Input) -> str:
        """Why the machine does not take an input, which then changes nothing."""
        try:
            self.peek(input_)
        except StateError as e:
            return str(e)
        raise AssertionError(f"{type(input_).__name__} was taken")

    def message(self, envelope: Envelope) -> inputs.ReceiveMessage:
        return inputs.ReceiveMessage(self.now, envelope, envelope_digest(envelope))

    def said(self, by: Person, body: Body, round_: int = -1, attempt: int = -1) -> Envelope:
        """Signed by `by` about the present attempt, or another."""
        present = getattr(self.state, "round", None)
        if round_ < 0:
            assert present is not None, "no round was opened"
            round_ = present.number
        if attempt < 0:
            attempt = present.attempt if present is not None else 0
        return by.say(self.job.place(round_, attempt), body)

    def hear(self, by: Person, body: Body, round_: int = -1, attempt: int = -1) -> Effects:
        return self.step(self.message(self.said(by, body, round_, attempt)))

    def deaf(self, by: Person, body: Body, round_: int = -1, attempt: int = -1) -> str:
        """Why a message is not taken."""
        return self.refused(self.message(self.said(by, body, round_, attempt)))

    def tick(self, at: int) -> Effects:
        """Time passes; it does not go back."""
        self.now = max(self.now, at)
        return self.step(inputs.Tick(at))

    def assert_storable(self, state: S, wanted: Effects) -> None:
        """What a step gave survives a crash: the state and every effect encode."""
        assert encode(state)
        for effect in wanted:
            assert decode_tagged(EFFECTS, encode_tagged(effect), 1 << 20) == effect


def assert_kept(before: Wire, after: Wire) -> None:
    """Whoever has the parts of one state, and what changed, has the next state."""
    stored = {(part.field, part.place): part.body for part in changes(None, before)}
    stored |= {(part.field, part.place): part.body for part in changes(before, after)}
    parts = [Part(*at, body) for at, body in stored.items() if body]
    assert join(type(after), head(after), parts, 1 << 20) == after


def context_of(job: Job, me: Person) -> JobContext:
    return JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)


def kinds(wanted: Effects) -> list[str]:
    """Names of effects, those for the local user left out."""
    return [type(e).__name__ for e in wanted if type(e).__name__ != "Notify"]


def only(wanted: Effects, kind: type[E]) -> E:
    """The one effect of its kind."""
    (found,) = every(wanted, kind)
    return found


def every(wanted: Effects, kind: type[E]) -> list[E]:
    return [e for e in wanted if isinstance(e, kind)]


def sent(wanted: Effects) -> list[Any]:
    """The bodies of private messages."""
    return [e.body for e in every(wanted, effects.Send)]


def told(wanted: Effects) -> list[Any]:
    """The bodies of gossip."""
    return [e.body for e in every(wanted, effects.Publish)]


def refusals(wanted: Effects) -> list[tuple[RefusalCode, str]]:
    """Code and reason of every refusal that is sent."""
    return [(body.code, body.reason) for body in sent(wanted) if isinstance(body, Refuse)]


def notes(wanted: Effects) -> list[str]:
    """What the local user is told, by kind."""
    return [e.kind for e in every(wanted, effects.Notify)]


def ready_of(job: Job, member: int, opening: bytes, round_: int = 0, **changes: object) -> Ready:
    """A Ready as its form goes: keys, hashes and boxes that name themselves."""
    blocks = job.blocks_in(round_)
    count = len(block_members(blocks, blocks[member])) if member < len(blocks) else 5
    if job.spec.proves:
        return Ready(opening, digest_of("mask key", member, opening), b"", b"", (), (), ())

    def each(what: str, size: int) -> tuple[bytes, ...]:
        return tuple((digest_of(what, member, i, opening) * 3)[:size] for i in range(count))

    body = Ready(
        opening,
        digest_of("mask key", member, opening),
        digest_of("share key", member, opening),
        digest_of("seed hash", member, opening),
        each("seed share", 16),
        each("key share", 16),
        each("box", 64),
    )
    return dataclasses.replace(body, **changes)  # type: ignore[arg-type]


def requester_says(kit: Kit[Any], body: Body, round_: int = -1, attempt: int = -1) -> Effects:
    return kit.hear(REQUESTER, body, round_, attempt)
