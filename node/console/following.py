"""Where a stream of events was left, so that a command follows a daemon over its restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.console.client import Client
    from node.console.session import Session
    from node.control.shapes import Event


class Followed:
    """`seq`: the newest event that was read, of the daemon's start that was last seen."""

    def __init__(self) -> None:
        self._started: float | None = None
        self.seq = 0

    def at(self, started: float, newest: int) -> None:
        """Events before the first connection are past; a daemon that started anew has none."""
        if self._started is None:
            self.seq = newest
        elif started != self._started:
            self.seq = 0
        self._started = started

    def find(self, session: Session) -> None:
        """Look which start of the daemon answers. Raises Failure where none does."""
        with session.connect() as asking:
            newest = asking.call("events.subscribe", {"job": None, "since": None})["seq"]
            self.at(asking.call("status")["started_at"], newest)

    def read(self, client: Client, seconds: float | None = None) -> Iterator[Event]:
        """Events after `seq`, which goes along; raises as Client.events does."""
        for event in client.events(since=self.seq, seconds=seconds):
            self.seq = event["seq"]
            yield event
