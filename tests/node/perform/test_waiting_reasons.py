"""What an owner reads of a job that waits: whole reasons, and a command where it would work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.perform.considering import _fitting
from protocol.params import MAX_REASON_BYTES

HINT = "; to take it by hand: assay train 0x12345678 --data ward"


@given(st.lists(st.text("abcé ", min_size=1, max_size=120), min_size=1, max_size=8))
def test_reasons_are_whole_and_leave_room_for_the_command(reasons: list[str]) -> None:
    text = _fitting(reasons, HINT)
    assert len(text.encode()) <= MAX_REASON_BYTES
    assert text.endswith(HINT)
    told = text.removesuffix(HINT)
    count = next(n for n in range(len(reasons), 0, -1) if told.startswith("; ".join(reasons[:n])))
    left = len(reasons) - count
    assert told == "; ".join(reasons[:count]) + (f"; and {left} more" if left else "")


def test_one_reason_that_is_too_long_is_cut_before_the_command() -> None:
    text = _fitting(["x" * 1000, "y"], HINT)
    assert len(text.encode()) == MAX_REASON_BYTES
    assert text.startswith("xxx")
    assert text.endswith(HINT)
