"""Hours of the day in which a node works for others: windows of local time, "22:00-06:00"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from protocol.errors import InputError

MAX_WINDOWS: Final = 14
_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DAY: Final = 24 * 60


def check_hours(windows: Sequence[str], name: str) -> None:
    """Raise `InputError` unless each is a window: HH:MM-HH:MM, not empty; past midnight if its end
    is the smaller."""
    if len(windows) > MAX_WINDOWS:
        raise InputError(f"has {len(windows)} windows; at most {MAX_WINDOWS} are allowed", name)
    for window in windows:
        begin, end = _minutes(window, name)
        if begin == end or end > _DAY:
            raise InputError(
                f"has {window!r}; a window begins and ends at different times, 24:00 at most", name
            )


def within(windows: Sequence[str], minute: int) -> bool:
    """Whether a minute of the day, 0 to 1439, lies in one of them. Without windows every one does.

    A window's end belongs to what follows it.
    """
    if not windows:
        return True
    for window in windows:
        begin, end = _minutes(window, "hours")
        inside = begin <= minute < end if begin < end else minute >= begin or minute < end
        if inside:
            return True
    return False


def _minutes(window: str, name: str) -> tuple[int, int]:
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise InputError(f"has {window[:40]!r}; HH:MM-HH:MM is needed, as in 22:00-06:00", name)
    hours = [int(part) for part in match.groups()]
    return 60 * hours[0] + hours[1], 60 * hours[2] + hours[3]
