"""Doing something to a world at a named moment of it."""

from __future__ import annotations

from collections.abc import Callable

from simulator.participant import Node, State
from simulator.world import World

from protocol.machines.round import Phase
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterRound, RequesterState


def once_round(
    world: World, holds: Callable[[RequesterRound], bool], do: Callable[[], None]
) -> None:
    """As soon as the requester's attempt is as `holds` says."""
    waiting = [do]

    def hook(_: Node, state: State) -> None:
        round_ = state.round if isinstance(state, RequesterState) else None
        if waiting and round_ is not None and holds(round_):
            world.clock.after(0, waiting.pop())

    world.requester.hooks.append(hook)


def once_owner(
    world: World, owner: Node, phases: tuple[Phase, ...], round_: int, do: Callable[[], None]
) -> None:
    """As soon as an owner enters one of these phases of a round."""
    waiting = [do]

    def hook(_: Node, state: State) -> None:
        if not isinstance(state, OwnerState):
            return
        for each in (state.round, state.due):
            there = each is not None and each.number == round_ and each.phase in phases
            if waiting and there:
                world.clock.after(0, waiting.pop())

    owner.hooks.append(hook)


def vanish(world: World, owner: Node, seconds: float) -> Callable[[], None]:
    """Crash an owner for so long."""

    def go() -> None:
        if owner.up:
            owner.crash()
            world.after(seconds, owner.restart)

    return go


def member_of(world: World, owner: Node) -> int:
    """An owner's index in the cohort."""
    index = world.requester.contexts[world.job].require_cohort().index_of(owner.peer)
    assert index is not None
    return index


def vanish_at(world: World, moment: str, owners: list[Node], seconds: float) -> None:
    """Let owners vanish in round 0, each as it comes to `moment`."""
    for owner in owners:
        go = vanish(world, owner, seconds)

        def there(round_: RequesterRound, moment: str = moment, owner: Node = owner) -> bool:
            held = round_.ready if moment == "after ready" else round_.contributions
            return round_.number == 0 and any(r.member == member_of(world, owner) for r in held)

        if moment in ("after ready", "after contributing"):
            once_round(world, there, go)
        else:
            phases = {
                "before ready": (Phase.OPEN,),
                "after freeze": (Phase.CONTRIBUTE,),
                # A round that is due is done once its shares are released.
                "during unmasking": (Phase.APPLY, Phase.DONE),
            }[moment]
            once_owner(world, owner, phases, 0, go)
