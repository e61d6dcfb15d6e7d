"""Peers' behaviour, and what it still lets them do. Keeps counts; closes nothing itself.

A peer gets penalty points for what no honest peer does. Points fade with time; at
`params.BAN_POINTS` the peer is banned for `params.BAN_SECONDS`. Points outlive the connection, so
that dialling again does not help. A new identity has no points, so nothing here grants trust; it
only takes trust away. What a node remembers is bounded; the least guilty go first.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocol import params

log = logging.getLogger("assay.net")

#: Peers remembered at once.
MAX_REMEMBERED: Final = 4096

#: Seconds of traffic at full rate that may come at once.
_BURST_SECONDS: Final = 4.0

#: Points of each offence. Garbage five times within two minutes is a ban.
GARBAGE: Final = 25.0
#: A gossip message that a judge rejected, or whose signature is wrong.
BAD_MESSAGE: Final = 10.0
#: A handler of ours or of the library failed on what the peer sent: perhaps our fault.
UPSET: Final = 10.0
#: More requests or streams than allowed: an honest peer in a hurry does this once in a while.
HASTE: Final = 1.0


@dataclass(slots=True)
class Bucket:
    """A token bucket that may go into debt; the debt is a time to wait.

    It holds `burst`, or what comes in four seconds.
    """

    rate: float
    level: float
    at: float
    burst: float | None = None

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; returns the seconds after which the bucket is no longer in debt."""
        full = self.rate * _BURST_SECONDS if self.burst is None else self.burst
        self.level = min(full, self.level + (now - self.at) * self.rate)
        self.at = now
        self.level -= amount
        return max(0.0, -self.level / self.rate)

    def allows(self, now: float) -> bool:
        """Take one if that leaves no debt."""
        if self.take(0, now) > 0 or self.level < 1:
            return False
        self.level -= 1
        return True


def _full(rate: float, now: float) -> Bucket:
    return Bucket(rate, rate * _BURST_SECONDS, now)


class Buckets:
    """A bucket for each peer, `rate` a second and `burst` at once; those of the last 4096 peers."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def allows(self, peer: str, now: float) -> bool:
        """Take one of the peer's at `now` (seconds, only forward) if that leaves no debt."""
        fresh = Bucket(self._rate, self._burst, now, self._burst)
        bucket = self._of.setdefault(peer, fresh)
        self._of.move_to_end(peer)
        while len(self._of) > MAX_REMEMBERED:
            self._of.popitem(last=False)
        return bucket.allows(now)


@dataclass(slots=True)
class Record:
    """What is known of one peer."""

    seen: float
    messages: Bucket
    bytes: Bucket
    requests: Bucket
    pushes: Bucket
    opened: Bucket
    points: float = 0.0
    banned_until: float = 0.0
    streams: int = 0
    offences: Counter[str] = field(default_factory=Counter)


class Warden:
    """Keeps the records of all peers. Time comes from `clock`, in seconds, and only forward.

    `on_ban` is called with the peer's id when a ban begins; it must not block or raise.
    """

    def __init__(self, clock: Callable[[], float], on_ban: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_ban = on_ban
        self._records: dict[str, Record] = {}
        self.counters: Counter[str] = Counter()

    def record(self, peer: str) -> Record:
        """The peer's record, with points faded to the present."""
        now = self._clock()
        known = self._records.get(peer)
        if known is None:
            if len(self._records) >= MAX_REMEMBERED:
                self._forget(now)
            known = self._records[peer] = Record(
                seen=now,
                messages=_full(params.GOSSIP_MESSAGES_PER_SECOND, now),
                bytes=_full(params.GOSSIP_BYTES_PER_SECOND, now),
                requests=_full(params.REQUESTS_PER_SECOND, now),
                pushes=_full(params.IDENTIFY_PUSHES_PER_SECOND, now),
                opened=_full(params.STREAMS_PER_SECOND, now),
            )
        known.points *= 0.5 ** ((now - known.seen) / params.PENALTY_HALF_LIFE_SECONDS)
        known.seen = now
        return known

    def penalise(self, peer: str, points: float, offence: str, detail: str = "") -> None:
        """Count an offence; ban the peer if it was one too many.

        `offence` is one of few fixed names, because it becomes a counter. Text that the peer had a
        say in belongs into `detail`, which is only logged.
        """
        record = self.record(peer)
        record.points += points
        record.offences[offence] += 1
        self.counters[f"offence.{offence}"] += 1
        log.info("peer %s: %s (%.0f points) %s", peer, offence, record.points, detail)
        if record.points >= params.BAN_POINTS and not self.banned(peer):
            record.points = 0.0
            record.banned_until = self._clock() + params.BAN_SECONDS
            self.counters["bans"] += 1
            log.warning("peer %s: banned for %d seconds: %s", peer, params.BAN_SECONDS, offence)
            self._on_ban(peer)

    def banned(self, peer: str) -> bool:
        """Whether the peer is to be left alone now."""
        known = self._records.get(peer)
        return known is not None and known.banned_until > self._clock()

    def gossip_delay(self, peer: str, messages: int, size: int) -> float:
        """Count gossip of `size` bytes; seconds to let pass before reading more from the peer."""
        record = self.record(peer)
        now = self._clock()
        return max(record.messages.take(messages, now), record.bytes.take(size, now))

    def allows_request(self, peer: str) -> bool:
        """Count a request, unless the peer has made too many."""
        return self.record(peer).requests.allows(self._clock())

    def allows_push(self, peer: str) -> bool:
        """Count a peer's account of itself, unless it has pushed too many."""
        return self.record(peer).pushes.allows(self._clock())

    def open_stream(self, peer: str) -> bool:
        """Count a stream that the peer opened, unless it has too many, or opens them too fast; pair
        with `close_stream`."""
        record = self.record(peer)
        if record.streams >= params.MAX_STREAMS_PER_PEER:
            return False
        if not record.opened.allows(self._clock()):
            return False
        record.streams += 1
        return True

    def close_stream(self, peer: str) -> None:
        """Count a stream's end."""
        known = self._records.get(peer)
        if known is not None and known.streams > 0:
            known.streams -= 1

    def _forget(self, now: float) -> None:
        """Make room: drop the half with no ban, no stream, fewest points, longest unseen."""
        idle = [
            (record.points, record.seen, peer)
            for peer, record in self._records.items()
            if record.banned_until <= now and record.streams == 0
        ]
        idle.sort()
        for _, _, peer in idle[: max(1, len(idle) // 2)]:
            del self._records[peer]
