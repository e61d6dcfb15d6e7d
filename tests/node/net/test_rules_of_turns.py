"""Handshakes are begun one after the other, whoever's address owes least first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.net.rules import turns
from node.net.rules.turns import Debts, Waiting, next_turn, pause, too_many

CROWD = [Waiting(f"crowd {number}", "10.0.0.1", float(number)) for number in range(40)]


def free(address: str) -> float:
    return 0.0


def test_among_those_that_owe_nothing_it_is_who_waits_longest() -> None:
    assert next_turn([*CROWD[5:], CROWD[4]], free) == "crowd 4"


def test_whoever_owes_less_goes_before_a_crowd_that_came_before_it() -> None:
    debts = Debts()
    for _ in range(3):
        debts.began("10.0.0.1", 50.0)
    newcomer = Waiting("newcomer", "10.0.0.2", 60.0)
    assert next_turn([*CROWD, newcomer], lambda address: debts.owes(address, 60.0)) == "newcomer"


def test_a_debt_is_paid_by_a_proof_and_forgotten_in_time() -> None:
    debts = Debts()
    debts.began("10.0.0.1", 0.0)
    debts.began("10.0.0.1", 0.0)
    debts.proved("10.0.0.1", 0.0)
    assert debts.owes("10.0.0.1", 0.0) == 1.0
    assert debts.owes("10.0.0.1", 60.0) == 0.5
    assert debts.owes("10.0.0.2", 60.0) == 0.0
    # Proofs are not saved up: whoever has behaved may not come a hundred times in vain.
    for _ in range(100):
        debts.proved("10.0.0.1", 60.0)
    debts.began("10.0.0.1", 60.0)
    assert debts.owes("10.0.0.1", 60.0) == 1.0


def test_one_machine_of_ipv6_is_one_address() -> None:
    debts = Debts()
    debts.began("2001:db8::1", 0.0)
    assert debts.owes("2001:db8::ffff", 0.0) == 1.0
    assert debts.owes("2001:db8:0:1::1", 0.0) == 0.0


def test_what_is_remembered_is_bounded_and_the_latest_is_kept() -> None:
    debts = Debts()
    for number in range(5_000):
        debts.began(f"10.0.{number // 250}.{number % 250}", float(number))
    assert len(debts._of) == 4_096
    assert debts.owes("10.0.19.249", 4_999.0) == 1.0
    assert debts.owes("10.0.0.0", 4_999.0) == 0.0


def test_where_too_many_wait_the_last_of_the_largest_crowd_is_sent_away() -> None:
    other = Waiting("other", "10.0.0.2", 99.0)
    assert too_many([*CROWD, other], 41) is None
    assert too_many([*CROWD, other], 40) == "crowd 39"


def test_the_pause_follows_the_loop_and_ends() -> None:
    assert pause(-0.001) == 0.0
    assert pause(0.1) == 0.1
    assert pause(60.0) == turns._LONGEST_PAUSE


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_everybody_gets_a_turn(arrivals: list[tuple[int, int]]) -> None:
    """Whoever comes and from where: with nobody new each waiting one is called once."""
    debts = Debts()
    waiting = [
        Waiting(number, f"10.0.0.{address}", float(at))
        for number, (address, at) in enumerate(arrivals)
    ]
    called = []
    while waiting:
        key = next_turn(waiting, lambda address: debts.owes(address, 10.0))
        (one,) = [each for each in waiting if each.key == key]
        debts.began(one.address, 10.0)
        waiting.remove(one)
        called.append(key)
    assert sorted(called) == list(range(len(arrivals)))
