"""Which of several chain nodes is asked: the rule alone, on a clock played by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.chain.endpoints.standing import (
    FIRST_AWAY,
    LAG_BLOCKS,
    LAG_TIMES,
    MAX_AWAY,
    Standings,
)

A, B, C = "http://a", "http://b", "http://c"


def problems(standings: Standings) -> list[str]:
    return [each.problem for each in standings.all]


def test_the_first_is_asked_until_it_fails_and_again_later() -> None:
    nodes = Standings([A, B])
    assert nodes.order(0) == [0, 1]
    nodes.leave(0, 0, "a hung up")
    assert nodes.order(1) == [1, 0]
    assert nodes.order(FIRST_AWAY) == [0, 1]
    assert problems(nodes) == ["a hung up", ""]
    nodes.answered(0, FIRST_AWAY)
    assert problems(nodes) == ["", ""]


def test_each_failure_keeps_it_away_longer_up_to_a_bound() -> None:
    nodes, now = Standings([A, B]), 0.0
    away = []
    for _ in range(10):
        nodes.leave(0, now, "again")
        away.append(nodes.all[0].until - now)
        now = nodes.all[0].until
    assert away[:3] == [FIRST_AWAY, 2 * FIRST_AWAY, 4 * FIRST_AWAY]
    assert away[-1] == MAX_AWAY


def test_an_answer_while_it_is_away_forgives_nothing() -> None:
    """A node that was left answers when it is compared: that is no reason to forget why."""
    nodes = Standings([A, B])
    nodes.leave(0, 0, "a lies")
    nodes.answered(0, FIRST_AWAY - 1)
    assert problems(nodes) == ["a lies", ""]
    assert nodes.order(FIRST_AWAY - 1) == [1, 0]


SAME = {0: b"same", 1: b"same", 2: b"same"}


def test_who_lags_is_left_and_named() -> None:
    nodes = Standings([A, B])
    heads = {0: 10, 1: 10 + LAG_BLOCKS}
    for _ in range(LAG_TIMES - 1):
        nodes.compare(heads, 7, {})
    assert nodes.order(0) == [0, 1]
    nodes.compare(heads, 7, {})
    assert nodes.order(0) == [1, 0]
    assert problems(nodes) == [f"chain node {A} is {LAG_BLOCKS} blocks behind {B}", ""]


def test_a_block_or_two_behind_is_no_lag() -> None:
    nodes = Standings([A, B])
    for _ in range(10):
        nodes.compare({0: 10, 1: 9 + LAG_BLOCKS}, 7, {})
    assert nodes.order(0) == [0, 1]
    assert problems(nodes) == ["", ""]


def test_who_contradicts_most_is_left() -> None:
    nodes = Standings([A, B, C])
    nodes.compare({0: 9, 1: 9, 2: 9}, 7, {0: b"lie", 1: b"true", 2: b"true"})
    assert nodes.order(0) == [1, 2, 0]
    assert f"{A} contradicts {B} about block 7" in problems(nodes)[0]
    assert problems(nodes)[1:] == ["", ""]


def test_of_two_that_contradict_each_other_both_are_named_and_none_is_left() -> None:
    nodes = Standings([A, B])
    nodes.compare({0: 9, 1: 9}, 7, {0: b"one", 1: b"other"})
    assert nodes.order(0) == [0, 1]
    nodes.answered(0, 1)
    nodes.answered(1, 1)
    assert all(problems(nodes))


def test_what_a_comparison_found_only_a_comparison_takes_back() -> None:
    """Who lags or lies answers every call: neither time nor an answer speaks for it."""
    nodes = Standings([A, B, C])
    nodes.compare({0: 9, 1: 9, 2: 9}, 7, {0: b"lie", 1: b"true", 2: b"true"})
    nodes.answered(0, 10 * MAX_AWAY)
    assert nodes.order(10 * MAX_AWAY) == [1, 2, 0]
    nodes.compare({1: 9, 2: 9}, 7, {1: b"true", 2: b"true"})
    assert nodes.order(10 * MAX_AWAY) == [1, 2, 0]
    nodes.compare({0: 9, 1: 9, 2: 9}, 7, SAME)
    assert nodes.order(10 * MAX_AWAY) == [0, 1, 2]
    assert problems(nodes) == ["", "", ""]


def test_a_comparison_says_nothing_of_what_a_call_found() -> None:
    nodes = Standings([A, B])
    nodes.leave(0, 0, "a hung up")
    nodes.compare({0: 9, 1: 9}, 7, {0: b"same", 1: b"same"})
    assert problems(nodes) == ["a hung up", ""]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0, 1000), st.sampled_from(["leave", "answer"])),
        max_size=30,
    )
)
def test_somebody_is_always_asked_and_who_was_never_left_comes_first(
    steps: list[tuple[int, float, str]],
) -> None:
    nodes, now, ever = Standings([A, B, C, "http://d"]), 0.0, set()
    for place, later, what in steps:
        now += later
        if what == "leave":
            nodes.leave(place, now, "left")
            ever.add(place)
        else:
            nodes.answered(place, now)
        order = nodes.order(now)
        assert sorted(order) == [0, 1, 2, 3]
        away = [p for p in order if nodes.all[p].until > now]
        assert order[len(order) - len(away) :] == away
        assert set(away) <= ever
