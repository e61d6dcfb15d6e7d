"""Who of those that wait at the door comes in next."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from node.net.rules.turns import Debts, Waiting, next_turn, pause, too_many

WAITING = st.lists(
    st.builds(
        Waiting,
        st.integers(),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
        st.sampled_from(["one", "two", "three"]),
        st.floats(0, 100),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda each: each.key,
)


def in_vain(address: str, peer: str, times: int, debts: Debts | None = None) -> Debts:
    debts = debts or Debts()
    for _ in range(times):
        debts.came(address, peer, 0)
    return debts


@given(WAITING)
def test_somebody_comes_in_while_anybody_waits(waiting: list[Waiting]) -> None:
    debts = in_vain("192.0.2.2", "two", 3)
    key = next_turn(waiting, partial(debts.owes, now=1))
    assert (key is None) is (not waiting)
    chosen = [each for each in waiting if each.key == key]
    for each in waiting:
        if each.known and not chosen[0].known:
            raise AssertionError("a stranger goes before one that is known")


def test_an_address_that_owes_nothing_goes_before_a_crowd_that_has_waited_longer() -> None:
    debts = Debts()
    crowd = []
    for number in range(200):
        address = f"127.0.1.{1 + number % 50}"
        in_vain(address, f"idle {number}", 2, debts)
        crowd.append(Waiting(number, address, f"idle {number}", number / 100))
    honest = Waiting("honest", "192.0.2.1", "new", 99)
    assert next_turn([*crowd, honest], partial(debts.owes, now=10)) == "honest"


def test_at_one_address_an_identity_that_came_in_vain_goes_last() -> None:
    debts = in_vain("192.0.2.1", "idle", 2)
    waiting = [Waiting(1, "192.0.2.1", "idle", 0), Waiting(2, "192.0.2.1", "new", 9)]
    assert next_turn(waiting, partial(debts.owes, now=1)) == 2
    fresh = [Waiting(1, "192.0.2.1", "new", 0), Waiting(2, "192.0.2.1", "newer", 9)]
    assert next_turn(fresh, partial(debts.owes, now=1)) == 1


def test_who_spoke_owes_nothing_and_what_came_in_vain_is_forgotten() -> None:
    debts = in_vain("2001:db8::1", "one", 2)
    assert debts.owes("2001:db8::2", "two", 0) == (2, 0)
    debts.spoke("2001:db8::1", "one", 0)
    debts.spoke("2001:db8::1", "one", 0)
    debts.spoke("2001:db8::1", "one", 0)
    assert debts.owes("2001:db8::1", "one", 0) == (0, 0)
    old = in_vain("192.0.2.1", "one", 3)
    assert old.owes("192.0.2.1", "one", 1) == (2, 2)
    assert old.owes("192.0.2.1", "one", 121) == (0, 0)


def test_no_more_addresses_are_remembered_than_fit() -> None:
    debts = Debts()
    in_vain("192.0.2.1", "first", 3, debts)
    for number in range(5000):
        debts.came(f"2001:db8:{number:x}::1", f"peer {number}", 0)
    assert debts.owes("192.0.2.1", "first", 0) == (0, 0)
    assert debts.owes(f"2001:db8:{4999:x}::1", "peer 4999", 0) == (1, 1)
    assert len(debts._of) <= 4096


@given(st.floats(-1, 100))
def test_a_node_that_is_late_takes_in_more_slowly(late: float) -> None:
    assert 0 <= pause(late) <= 0.5
    assert pause(late) >= min(0.5, 4 * late)


@given(WAITING, st.integers(1, 40))
def test_whoever_waits_longest_at_the_most_crowded_address_is_not_sent_away(
    waiting: list[Waiting], most: int
) -> None:
    key = too_many(waiting, most, partial(in_vain("192.0.2.2", "two", 3).owes, now=1))
    assert (key is not None) is (len(waiting) > most)
    goes = [each for each in waiting if each.key == key]
    if goes and goes[0].known:
        assert all(each.known for each in waiting)


def test_a_crowd_at_the_door_loses_its_last_one() -> None:
    crowd = [Waiting(n, "192.0.2.1", f"idle {n}", n) for n in range(4)]
    owes = partial(Debts().owes, now=1)
    assert too_many([*crowd, Waiting("honest", "192.0.2.2", "new", 9)], 4, owes) == 3
    assert too_many(crowd, 4, owes) is None


def test_a_crowd_with_an_address_each_does_not_hold_the_door() -> None:
    """Whoever comes last would be the first to go, and the crowd comes again and again."""
    debts = Debts()
    for number in range(4):
        in_vain(f"192.0.2.{number}", f"idle {number}", 2, debts)
    crowd = [Waiting(n, f"192.0.2.{n}", f"idle {n}", n) for n in range(4)]
    owes = partial(debts.owes, now=10)
    assert too_many([*crowd, Waiting("honest", "192.0.2.9", "new", 9)], 4, owes) == 3
