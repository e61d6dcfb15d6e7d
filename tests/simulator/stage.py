"""A world brought to a moment, so that a test can step one machine by hand from there."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.participant import Node, State
from simulator.world import Settings, World

from protocol.machines import inputs
from protocol.machines.effects import Effect
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase
from protocol.owner import machine as owner
from protocol.requester import machine as requester
from protocol.requester.state import RequesterState
from protocol.wire.codec import encode
from protocol.wire.envelope import Envelope, envelope_digest
from protocol.wire.messages import Body


@dataclass
class Stage:
    """One node's machine at that moment; `step` goes on from it and leaves the world alone."""

    world: World
    node: Node
    context: JobContext
    state: State

    @property
    def now(self) -> int:
        return self.world.clock.now

    def step(self, input_: inputs.Input) -> tuple[Effect, ...]:
        """Step and stay there."""
        self.state, effects = self.peek(input_)
        return effects

    def peek(self, input_: inputs.Input) -> tuple[State, tuple[Effect, ...]]:
        before = encode(self.state)
        try:
            if isinstance(self.state, RequesterState):
                return requester.step(self.context, self.state, input_)
            return owner.step(self.context, self.state, input_)
        finally:
            assert encode(self.state) == before, "a step mutated the state that it was given"

    def said(self, by: Node, body: Body, round_: int = -1, attempt: int = -1) -> Envelope:
        """Signed by `by` about the present attempt, or another."""
        present = self.state.round
        if round_ < 0:
            assert present is not None
            round_, attempt = present.number, present.attempt
        return by.sealed(self.world.job, round_, attempt, body)

    def hear(self, envelope: Envelope) -> tuple[Effect, ...]:
        return self.step(inputs.ReceiveMessage(self.now, envelope, envelope_digest(envelope)))


def stage(
    who: str, phase: Phase | JobPhase, settings: Settings | None = None, round_: int = 0
) -> Stage:
    """Run a world until the node called `who` enters `phase` (of its job, or of a round)."""
    world = World(settings or Settings(seed=77, rounds=2))
    return stage_of(world, who, phase, round_)


def stage_of(world: World, who: str, phase: Phase | JobPhase, round_: int = 0) -> Stage:
    node = next(n for n in (world.requester, *world.owners) if n.name == who)

    def there() -> bool:
        return world.job in node.jobs and _is_in(world.state(node), phase, round_)

    if not world.clock.run(world.clock.now + 600_000, there):
        raise AssertionError(f"{who} never came to {phase.value}")
    return Stage(world, node, node.contexts[world.job], world.state(node))


def _is_in(state: State, phase: Phase | JobPhase, round_: int) -> bool:
    if isinstance(phase, JobPhase):
        return state.phase is phase
    return state.round is not None and (state.round.phase, state.round.number) == (phase, round_)


def kinds(effects: tuple[Effect, ...]) -> list[str]:
    """Names of effects, those for the local user left out."""
    return [type(e).__name__ for e in effects if type(e).__name__ != "Notify"]


def only(effects: tuple[Effect, ...], kind: type[Effect]) -> Effect:
    """The one effect of its kind."""
    (found,) = (e for e in effects if isinstance(e, kind))
    return found
