"""How often peers are asked and dialled: rarely where nothing is new, and less the busier it is.

Pure: seconds and dice (0 to 1) come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Between two questions to one peer: the first pause, and the last, which it reaches by doubling as
#: long as answers say nothing new.
FIRST_PAUSE: Final = 2.0
LAST_PAUSE: Final = 300.0

#: Between two dials of one peer, and how long a line must have stood to count as a good one.
FIRST_BACKOFF: Final = 0.5
LAST_BACKOFF: Final = 30.0
GOOD_SECONDS: Final = 30.0

#: Dials at once, and how many of them while this node's own loop is so many seconds late: each one
#: is work for two, and lines that stand come first.
_DIALS: Final = 4
_LATE: Final = 1.0


def next_pause(pause: float, news: bool) -> float:
    """The pause after an answer: the first one again if it said something new, else twice it."""
    return FIRST_PAUSE if news else min(LAST_PAUSE, 2 * pause)


def spread(seconds: float, dice: float) -> float:
    """About so long, so that nodes which began together do not go on together."""
    return seconds * (0.75 + dice / 2)


def dials_at_once(lag: float, standing: int) -> int:
    """How many dials may be under way."""
    if lag < _LATE or not standing:
        return _DIALS
    return 1


@dataclass(slots=True)
class Attempts:
    """When one peer may be dialled again. A line that breaks at once is no success."""

    at: float = 0.0
    backoff: float = FIRST_BACKOFF
    stood_since: float | None = None

    def failed(self, now: float, dice: float) -> None:
        """A dial failed."""
        self.stood_since = None
        self._wait(now, dice)

    def succeeded(self, now: float, dice: float) -> None:
        """A dial succeeded: if the line breaks soon, the next one waits as after a failure."""
        self.stood_since = now
        self._wait(now, dice)

    def forgiven(self, now: float) -> bool:
        """Whether the line has stood for so long that nothing before it counts."""
        return self.stood_since is not None and now - self.stood_since >= GOOD_SECONDS

    def _wait(self, now: float, dice: float) -> None:
        self.at = now + spread(self.backoff, dice)
        self.backoff = min(LAST_BACKOFF, 2 * self.backoff)
