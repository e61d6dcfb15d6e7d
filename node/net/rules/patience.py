"""How long to wait: from how late a peer has been, and from how late this node itself is.

Pure: seconds come in. A peer is judged by bytes alone: one that answers late is slow, and one from
which nothing comes at all, although something is owed, is gone. Time in which this node did not
look is nobody's silence: a process that was stopped, or whose loop lagged, blames no peer for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Seconds of silence, while something is owed, after which a line counts as dead: for a peer that
#: was never late, and for any.
LEAST_PATIENCE: Final = 15.0
MOST_PATIENCE: Final = 120.0

#: RFC 6298's gains, and its four deviations.
_GAIN: Final = 1 / 8
_DEVIATION_GAIN: Final = 1 / 4
_DEVIATIONS: Final = 4.0

#: Lag of this node's own loop fades by half in so many seconds.
_LAG_HALF_LIFE: Final = 10.0


@dataclass(slots=True)
class Lateness:
    """How late one peer has been, as RFC 6298 follows a line's round trips. Seconds."""

    mean: float = 0.0
    deviation: float = 0.0
    known: bool = False

    def answered(self, seconds: float) -> None:
        """An answer came after so long."""
        if not self.known:
            self.mean, self.deviation, self.known = seconds, seconds / 2, True
            return
        off = abs(seconds - self.mean)
        self.deviation += _DEVIATION_GAIN * (off - self.deviation)
        self.mean += _GAIN * (seconds - self.mean)

    def missed(self, waited: float) -> None:
        """No answer came in so long: it may come in twice that, so the next one gets as long."""
        self.mean = max(self.mean, min(2 * waited, MOST_PATIENCE))
        self.known = True

    def allowed(self, least: float, most: float = MOST_PATIENCE) -> float:
        """Seconds to wait for the next answer, `least` where nothing is known."""
        if not self.known:
            return least
        return max(least, min(most, self.mean + _DEVIATIONS * self.deviation))


class Attention:
    """How late this node's own loop is, and in how much of its time it could have heard anything.

    `looked` is called at every look, `period` seconds apart where nothing is late.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._last: float | None = None
        self.lag = 0.0

    def looked(self, now: float) -> float:
        """Seconds since the last look in which silence counts: one period of them at most."""
        if self._last is None:
            self._last = now
            return 0.0
        passed = max(0.0, now - self._last)
        self._last = now
        late = max(0.0, passed - self._period)
        self.lag = max(late, self.lag * 0.5 ** (passed / _LAG_HALF_LIFE))
        return min(passed, self._period)


@dataclass(slots=True)
class Silence:
    """What one line has not said: attentive seconds since its last byte, and since it owes one.

    `since` and `heard` are the clock's: when it was first seen, and when its last byte came.
    """

    since: float
    heard: float = float("-inf")
    quiet: float = 0.0
    owed: float | None = None

    def looked(self, heard: float, attentive: float) -> None:
        """Take a look: the last byte came at `heard`."""
        if heard > self.heard:
            self.heard, self.quiet, self.owed = heard, 0.0, None
            return
        self.quiet += attentive
        if self.owed is not None:
            self.owed += attentive

    def asked(self) -> None:
        """Something was sent that any live peer answers."""
        if self.owed is None:
            self.owed = 0.0

    def dead(self, patience: float) -> bool:
        """Whether nothing at all came for that long although something is owed."""
        return self.owed is not None and self.owed >= patience
