"""When the next block of a chain should be there, by when the last ones were seen.

Who looks every half second sees a block a quarter of a second late, and seven nodes see it half a
second apart: a round waits for the last of them. Most chains make blocks in a steady rhythm, of
whole seconds. So a look is aimed at the moment of the next block, repeated soon where it is not
there yet, and spared where none is due. Chains that miss a beat, or have none, are looked at as
before.
"""

from __future__ import annotations

from collections import deque
from typing import Final

#: Blocks by which a rhythm is known, and the longest step between two, in rounded seconds.
_KEPT: Final = 6
_MOST_SECONDS: Final = 60
#: Looks around the expected moment, seconds: a little early, since what is seen is seen late; then
#: less and less often.
_LOOKS: Final = (-0.02, 0.03, 0.08, 0.18, 0.38)
#: A pause is not shorter than this, seconds.
_LEAST: Final = 0.01
#: So many of the usual pauses may pass without a look, where it is known when to look.
_SPARED: Final = 4


class Pulse:
    """The rhythm of one chain. Times are seconds of any one steady clock."""

    def __init__(self) -> None:
        #: Number, timestamp and when it was first seen, of the newest blocks.
        self._seen: deque[tuple[int, int, float]] = deque(maxlen=_KEPT)

    def saw(self, number: int, timestamp: int, now: float) -> None:
        """The newest block, at each look; the same one again tells nothing."""
        if self._seen and number <= self._seen[-1][0]:
            if number < self._seen[-1][0]:
                self._seen.clear()  # another node, or another chain
            return
        self._seen.append((number, timestamp, now))

    def pause(self, now: float, longest: float) -> float:
        """Seconds to the next look, `longest` where nothing tells of a better moment."""
        expected = self._expected()
        if expected is None:
            return longest
        ahead = (expected + look - now for look in _LOOKS)
        return min(_SPARED * longest, next((each for each in ahead if each >= _LEAST), longest))

    def _expected(self) -> float | None:
        """When the next block should be seen first; None where no rhythm is known."""
        if len(self._seen) < _KEPT:
            return None
        (first, began, _), (last, ended, _) = self._seen[0], self._seen[-1]
        step = round((ended - began) / (last - first))
        if not 1 <= step <= _MOST_SECONDS:
            return None
        # A timestamp is cut to whole seconds: of a steady chain it is off by less than one.
        if any(abs(at - began - step * (number - first)) > 1 for number, at, _ in self._seen):
            return None
        # What is seen is seen late: the one that was seen soonest tells the most.
        lag = min(now - timestamp for _, timestamp, now in self._seen)
        return ended + step + lag
