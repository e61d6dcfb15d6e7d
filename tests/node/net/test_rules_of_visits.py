"""Whom to ask next: the one that waited longest, none too soon, and few remembered."""

from __future__ import annotations

from node.net.rules.visits import Visits


def test_who_was_never_asked_comes_first_and_then_who_waited_longest() -> None:
    visits = Visits(again=100.0, most=10)
    visits.note("a", 7, 0.0)
    assert visits.next(["a", "b"], 1.0) == "b"
    visits.note("b", 0, 1.0)
    assert visits.next(["a", "b"], 99.0) is None
    assert visits.next(["a", "b"], 101.0) == "a"
    assert visits.next([], 1000.0) is None


def test_marks_are_kept_for_those_that_were_asked_last() -> None:
    visits = Visits(again=100.0, most=2)
    for at, peer in enumerate("abc"):
        visits.note(peer, at + 1, float(at))
    assert [visits.mark(peer) for peer in "abc"] == [0, 2, 3]
