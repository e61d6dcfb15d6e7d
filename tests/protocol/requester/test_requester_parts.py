"""Whatever a requester's machine is told, in whatever order: what is stored is its state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from kits.books import make_job
from kits.machine import Effects, assert_kept
from kits.requester import RequesterKit, requester_at

from protocol.errors import Malformed, StateError
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.requester.state import RequesterState
from protocol.wire.messages import Declined, DeclinedTerm, RefusalCode, Refuse

#: A job that goes on without some of its owners, in two groups.
JOB = make_job(10, rounds=2, later=(5,), dropouts=1)

Told = Callable[[RequesterKit, int], object]


def refuse(kit: RequesterKit, member: int) -> None:
    kit.hear(JOB.people[member], Refuse(RefusalCode.INVALID, "no"), *kit.place)


def decline(kit: RequesterKit, member: int) -> None:
    kit.hear(JOB.people[member], Declined((DeclinedTerm.PRICE,)), 0, 0)


def block(of: Callable[[RequesterKit, int], object]) -> Told:
    """About a committed block, or a frozen one."""

    def told(kit: RequesterKit, n: int) -> None:
        there = [b.block for b in kit.round.blocks] or [r.block for r in kit.round.rosters]
        if there:
            of(kit, there[n % len(there)])

    return told


def tried(kit: RequesterKit, number: int) -> None:
    """A block's shares were looked at: some were good, one perhaps not, one owner lied perhaps."""
    members = kit.block(number).members
    bad = members[:1] if kit.now % 3 == 0 else ()
    liars = members[-1:] if kit.now % 5 == 0 else ()
    good = tuple(m for m in members if m not in bad)
    kit.unmasked(number, good=good, bad=bad, liars=liars, opens=not bad and not liars)


TOLD: dict[str, Told] = {
    "enrol": RequesterKit.enrol,
    "decline": decline,
    "ready": RequesterKit.ready,
    "everybody ready": lambda kit, _: kit.all_ready(),
    "refuse": refuse,
    "rosters": lambda kit, _: kit.rosters_stored(),
    "contribute": RequesterKit.contributed,
    "heard": RequesterKit.contribute,
    "unsound": RequesterKit.unsound,
    "everybody contributed": lambda kit, n: kit.all_contributed(without=(n,)),
    "final": lambda kit, _: kit.final(),
    "summed": block(RequesterKit.summed),
    "release": RequesterKit.release,
    "everybody released": lambda kit, n: kit.all_released(without=(n,)),
    "tried": block(tried),
    "applied": lambda kit, _: kit.applied(),
    "tick": lambda kit, n: kit.tick(kit.now + 1 + 7_000 * n),
    "reorganised": lambda kit, n: kit.step(inputs.ChainReorg(kit.now, max(0, kit.state.head - n))),
    "cancelled": lambda kit, n: kit.step(inputs.ChainCancelled(kit.now, 1, kit.now // 1000)),
}
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(TOLD)), st.integers(0, 14)), min_size=5, max_size=40
)
BEGINNINGS = [
    requester_at(where, JOB)
    for where in (JobPhase.ENROLLING, Phase.READY, Phase.CONTRIBUTE, Phase.COMMIT, Phase.UNMASK)
]


class Watched(RequesterKit):
    """A kit that keeps every step's states, before and after."""

    def __init__(self, kit: RequesterKit) -> None:
        super().__init__(kit.job)
        self.context, self.state, self.now = kit.context, kit.state, kit.now
        self.seen: list[tuple[RequesterState, RequesterState]] = []

    def step(self, input_: inputs.Input) -> Effects:
        before = self.state
        self.state, wanted = self.peek(input_)
        self.seen.append((before, self.state))
        return wanted


@settings(max_examples=40)
@given(st.integers(0, len(BEGINNINGS) - 1), STEPS)
def test_any_order_of_steps_leaves_what_is_stored(start: int, steps: list[tuple[str, int]]) -> None:
    kit = Watched(BEGINNINGS[start])
    for what, n in steps:
        # Out of place, the machine refuses a step, or the kit does not know what would be said.
        with contextlib.suppress(StateError, Malformed, AssertionError, StopIteration):
            TOLD[what](kit, n)
    for before, after in kit.seen:
        assert_kept(before, after)
