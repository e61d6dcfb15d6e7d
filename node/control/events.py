"""Events from the daemon to its subscribers. Publishing never waits and never fails.

A subscriber that lags is dropped with a reason; the daemon does not slow down for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import trio

from node.control.results import Event, PolicyValue
from protocol.params import MAX_EVENT_BACKLOG


@dataclass(eq=False)
class Subscription:
    """Events for one subscriber. `reason` says why it ended once `events` is exhausted."""

    job: str | None
    events: trio.MemoryReceiveChannel[Event]
    _send: trio.MemorySendChannel[Event]
    _backlog: int
    reason: str = "unsubscribed"
    _on_close: Callable[[Subscription], None] = field(default=lambda _: None)

    def wants(self, event: Event) -> bool:
        """Whether the event passes the filter. Events without a job pass no job filter."""
        return self.job is None or event.job == self.job

    def offer(self, event: Event) -> None:
        """Hand over an event, or end the subscription where its reader lags too far behind."""
        if self._send.statistics().current_buffer_used >= self._backlog:
            self.close(f"lagged {self._backlog} events behind; subscribe again with `since`")
        else:
            self._send.send_nowait(event)

    def close(self, reason: str) -> None:
        """End it. Events that are buffered can still be read. A second call changes nothing."""
        if self.reason == "unsubscribed":
            self.reason = reason
        self._on_close(self)
        self._send.close()


class EventBus:
    """All events of this process. Used from the trio thread alone.

    `backlog` bounds what is kept for replay and how far a subscriber may lag.
    """

    def __init__(
        self, backlog: int = MAX_EVENT_BACKLOG, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._backlog = backlog
        self._recent: deque[Event] = deque(maxlen=backlog)
        self._subscriptions: set[Subscription] = set()
        self._seq = 0
        self._dropped = 0

    @property
    def seq(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._seq

    def statistics(self) -> Mapping[str, int]:
        """Counters since the start: events, live subscriptions, subscribers dropped."""
        return {
            "events": self._seq,
            "subscriptions": len(self._subscriptions),
            "dropped": self._dropped,
        }

    def publish(
        self,
        kind: str,
        text: str,
        *,
        job: str | None = None,
        facts: Mapping[str, PolicyValue] | None = None,
    ) -> Event:
        """Say that something happened. `kind` is dotted, `text` one line for a person."""
        self._seq += 1
        event = Event(self._seq, self._clock(), kind, job, text, dict(facts or {}))
        self._recent.append(event)
        for subscription in tuple(self._subscriptions):
            if subscription.wants(event):
                subscription.offer(event)
                self._dropped += subscription not in self._subscriptions
        return event

    def subscribe(self, job: str | None = None, since: int | None = None) -> Subscription:
        """Events from now on; with `since`, also the kept ones numbered above it."""
        send, receive = trio.open_memory_channel[Event](inf)
        replay = [e for e in self._recent if since is not None and e.seq > since]
        subscription = Subscription(
            job=job,
            events=receive,
            _send=send,
            _backlog=self._backlog + len(replay),
            _on_close=self._subscriptions.discard,
        )
        for event in replay:
            if subscription.wants(event):
                subscription.offer(event)
        self._subscriptions.add(subscription)
        return subscription
