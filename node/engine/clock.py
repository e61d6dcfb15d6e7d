"""Unix time as machines are told it: this machine's clock, or the chain's where the two differ.

Deadlines of rounds are Unix times, and the contract judges a job's end by its blocks' timestamps.
So the chain is the clock that all parties of a job share, whatever their machines show. Nobody
else has a say in it: no peer, and no requester (docs/adr/0018).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from node.store.store import Transaction

log = logging.getLogger("assay.clock")

#: Differences up to here are a block's age and the way to the chain node, seconds. This machine's
#: clock is believed then, because it is the steadier one.
TOLERANCE: Final = 30.0

#: The largest difference that is made good, seconds: a wrong time zone or a lost summer time is
#: within it. A machine or a chain node that is further off needs a person.
FARTHEST: Final = 86_400.0

#: The newest blocks of which the one that was seen soonest after it was made counts.
_KEPT: Final = 8


class Clock:
    """The time of one node. `ahead`: by how many seconds this machine's clock is ahead of the
    chain's; they are taken off, and are zero while the two agree. `far`: the same, where they are
    more than is made good.

    `wall` is this machine's clock, Unix seconds, and `steady` one that nobody sets.
    """

    def __init__(
        self,
        ahead: float = 0.0,
        wall: Callable[[], float] | None = None,
        steady: Callable[[], float] = trio.current_time,
    ) -> None:
        self.ahead, self.far = ahead, 0.0
        self._wall, self._steady = wall, steady
        #: One block agreed with the clock, or two were seen: whether it is fast is known from then.
        self.settled = trio.Event()
        self._newest = -1
        #: The last block that was not newer than that, and how many there were, each after another.
        self._below, self._lower = -1, 0
        #: Of each block: its timestamp less the steady clock when it was seen.
        self._seen: deque[float] = deque(maxlen=_KEPT)

    def ms(self) -> int:
        """Unix milliseconds. May be called from any thread."""
        return int((self._now() - self.ahead) * 1000)

    def _now(self) -> float:
        return time.time() if self._wall is None else self._wall()

    def saw(self, number: int, timestamp: int) -> bool:
        """A head of the chain was seen; whether the time that is told has changed by that."""
        if number <= self._newest:
            # Seen before, or a node that lags: its age says nothing. But a chain that goes on below
            # is the chain, and the newest block was somebody's invention.
            if number <= self._below:
                return False
            self._below, self._lower = number, self._lower + 1
            if self._lower < _KEPT:
                return False
            self._seen.clear()
        self._newest, self._below, self._lower = number, -1, 0
        self._seen.append(timestamp - self._steady())
        changed = self.look()
        if len(self._seen) > 1 or abs(self._apart()) <= TOLERANCE:
            self.settled.set()
        return changed

    def look(self) -> bool:
        """Compare again; whether the time that is told has changed.

        A block from the future is proof that this machine's clock is slow, at once. An old one may
        be a chain that stands still or a node that catches up; so the clock counts as fast only
        when two blocks in a row say so alike.
        """
        if not self._seen:
            return False
        ahead = self._apart()
        if ahead > TOLERANCE:
            last = list(self._seen)[-2:]
            if len(last) < 2 or abs(last[1] - last[0]) > TOLERANCE:
                return False
        far = ahead if abs(ahead) > FARTHEST else 0.0
        newly, self.far = bool(far) and not self.far, far
        if newly:
            log.error("%s", self.problem())
        if self.far:
            return False  # a person's affair, or a block that lies: what was measured before holds
        if abs(ahead) <= TOLERANCE / 2:
            ahead = 0.0
        elif abs(ahead - self.ahead) <= TOLERANCE:
            return False
        if ahead == self.ahead:
            return False
        self.ahead = ahead
        if ahead:
            log.warning("%s", self.problem())
        else:
            log.info("this machine's clock is believed again")
        return True

    def _apart(self) -> float:
        """Seconds by which this machine's clock is ahead: the way from the chain only takes time,
        so that the block that was seen soonest is the nearest."""
        return self._now() - (max(self._seen) + self._steady())

    def problem(self) -> str:
        """What is wrong with this machine's clock, and what follows; empty for nothing."""
        off = self.far or self.ahead
        if not off:
            return ""
        way = "ahead of" if off > 0 else "behind"
        text = f"this machine's clock is {abs(off) / 60:,.1f} minutes {way} the chain's"
        if self.far:
            return (
                f"{text}, more than is made good: rounds are missed until it is set, "
                "timedatectl set-ntp true"
            )
        return f"{text}; deadlines go by the chain's: set it, timedatectl set-ntp true"


def load_ahead(tx: Transaction) -> float:
    """What was measured last, by this life of the node or an earlier one; zero for nothing."""
    row = tx.execute("SELECT ahead FROM clock").fetchone()
    return 0.0 if row is None else float(row[0])


def save_ahead(tx: Transaction, ahead: float) -> None:
    """Keep it: a node that starts again knows before its first look at the chain."""
    tx.execute("DELETE FROM clock")
    tx.execute("INSERT INTO clock (ahead) VALUES (?)", (ahead,))
