"""The time that machines are told: the chain's, where this machine's clock is off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.engine.clock import FARTHEST, TOLERANCE, Clock

NOW = 1_750_000_000.0


class World:
    """True time, a machine's clock that is `off`, and a chain."""

    def __init__(self, off: float, ahead: float = 0.0) -> None:
        self.seconds, self.off = 0.0, off
        self.clock = Clock(ahead, lambda: NOW + self.seconds + self.off, lambda: self.seconds)
        self.number = 100

    @property
    def error(self) -> float:
        """How far the time that is told is from the true one, seconds."""
        return self.clock.ms() / 1000 - NOW - self.seconds

    def block(self, age: float = 0.0, after: float = 1.0) -> bool:
        self.seconds += after
        self.number += 1
        return self.clock.saw(self.number, int(NOW + self.seconds - age))


@given(st.floats(-3_000, 3_000), st.lists(st.floats(0, 12), min_size=2, max_size=20))
def test_any_clock_is_right_after_two_blocks(off: float, ages: list[float]) -> None:
    """And stays so: however old blocks are when they are seen, up to a slow chain's interval."""
    world = World(off)
    for number, age in enumerate(ages):
        world.block(age, after=12.0)
        if number:
            assert abs(world.error) <= TOLERANCE + 13


def test_an_exact_clock_is_left_alone() -> None:
    world = World(0.0)
    assert not any(world.block(age) for age in (0.0, 12.0, 3.0, 25.0, 0.0))
    assert world.error == 0.0
    assert world.clock.problem() == ""


def test_a_block_from_the_future_shows_a_slow_clock_at_once() -> None:
    world = World(-3600.0)
    assert world.block()
    assert abs(world.error) < 1.1
    assert "60.0 minutes behind the chain's" in world.clock.problem()


def test_one_old_block_accuses_nobody() -> None:
    """The chain may stand still, or its node catch up: block after block, each an hour newer."""
    world = World(0.0)
    for left in (7 * 3600.0, 6 * 3600.0, 5 * 3600.0, 3600.0):
        assert not world.block(age=left)
    assert world.clock.ahead == 0.0
    standing = World(3600.0)
    assert not standing.block()
    standing.seconds += 60
    assert not standing.clock.look()
    assert standing.block()
    assert abs(standing.error) < 1.1


def test_a_clock_that_is_set_changes_nothing_for_machines() -> None:
    """Forward and back, with no new block: the next look makes it good."""
    world = World(0.0)
    for _ in range(3):
        world.block()
    for off in (3600.0, -7200.0, 0.0):
        world.off = off
        assert world.clock.look()
        assert abs(world.error) < 1.1
        assert not world.clock.look()
    assert world.clock.problem() == ""


def test_what_was_measured_before_holds_until_it_is_measured_again() -> None:
    """A node that starts again does not see its deadlines pass before its first look."""
    world = World(3600.0, ahead=3600.0)
    assert world.error == 0.0
    assert [world.block(), world.block()] == [False, False]
    mended = World(0.0, ahead=3600.0)
    assert mended.block()
    assert mended.error == 0.0


def test_a_machine_that_slept_is_right_with_the_next_block() -> None:
    """The steady clock may stand still meanwhile."""
    world = World(0.0)
    world.block()
    world.block()
    world.off += 3600.0  # of true time too, of which the steady clock knows nothing
    slept = NOW + world.seconds + 3600.0
    world.clock.saw(world.number + 3600, int(slept))
    assert world.clock.ms() / 1000 == slept


def test_more_than_a_day_is_told_and_not_made_good() -> None:
    for off in (FARTHEST + 60, -FARTHEST - 60):
        world = World(off)
        assert [world.block(), world.block()] == [False, False]
        assert world.error == off
        assert "more than is made good" in world.clock.problem()
    assert World(FARTHEST - 60).clock.problem() == ""


def test_a_lagging_node_says_nothing() -> None:
    world = World(0.0)
    world.block()
    assert not world.clock.saw(world.number - 50, int(NOW) - 600)
    assert not world.clock.saw(world.number, int(NOW) - 600)
    assert world.clock.ahead == 0.0


def test_a_block_beyond_all_others_mutes_none() -> None:
    """A node that was left since told of block 2^62; the chain goes on below it. Blocks that are
    seen again, or that one node shows that lags, are no chain that goes on."""
    world = World(0.0)
    assert world.clock.saw(2**62, int(NOW) + 80_000)
    for _ in range(20):
        assert not world.clock.saw(50, int(NOW) - 600)
    assert [world.block() for _ in range(7)] == [*[False] * 6, True]
    assert world.error == 0.0
    world.seconds += 1000
    assert not world.clock.saw(world.number - 50, int(NOW))
    assert not world.block()


def test_a_block_of_no_time_leaves_what_was_measured() -> None:
    world = World(3600.0)
    world.block()
    world.block()
    assert abs(world.error) < 1.1
    for age in (-(2.0**62), -2 * FARTHEST):
        assert not world.block(age=age)
        assert "more than is made good" in world.clock.problem()
        assert abs(world.error) < 10
    for _ in range(8):
        world.block()
    assert "60.0 minutes ahead of" in world.clock.problem()
    world.number = -1
    assert not world.block(age=NOW)
