"""Hours of the day: windows, past midnight too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.hours import check_hours, within
from protocol.errors import InputError

MINUTES = st.integers(0, 1439)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(MINUTES, MINUTES, MINUTES)
def test_a_window_and_what_follows_it_make_the_day(begin: int, end: int, now: int) -> None:
    if begin == end:
        return
    inside = within([f"{clock(begin)}-{clock(end)}"], now)
    assert inside is not within([f"{clock(end)}-{clock(begin)}"], now)
    assert inside is ((now - begin) % 1440 < (end - begin) % 1440)


def test_without_windows_every_minute_is_in_and_the_day_ends_at_24() -> None:
    assert within([], 0)
    assert within(["22:00-24:00", "00:00-06:00"], 1439)
    assert not within(["22:00-24:00"], 0)


@pytest.mark.parametrize("window", ["8-17", "08:00-08:00", "25:00-26:00", "08:00-24:01", "x" * 99])
def test_what_is_no_window_is_named(window: str) -> None:
    with pytest.raises(InputError, match="has ") as told:
        check_hours([window], "limits.hours")
    assert told.value.field == "limits.hours"
    assert len(str(told.value)) < 200
