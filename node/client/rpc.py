"""Calls of a daemon that block, each on a connection of its own.

A connection that idles is closed by the daemon, and one that a restart cut is of no use: a program
that runs for days, or a notebook that waits for a person, notices neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from node.client.calls import Calls
from node.console.client import Client
from node.console.failure import Failure
from node.home.home import Home

if TYPE_CHECKING:
    from node.control.shapes import Event


class Rpc(Calls):
    """Every method of one daemon, typed. Safe for threads."""

    def __init__(self, home: Home, seconds: float | None = None) -> None:
        self.home = home
        self._seconds = seconds

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of any method by its name. Raises Failure, whose notes say what to do."""
        with advised(), self._connected() as client:
            return client.call(method, params)

    def events(
        self, job: str | None = None, since: int | None = None, seconds: float | None = None
    ) -> Stream:
        """Events as they come. The subscription stands when this returns.

        `job` is a full id; `since` asks for the kept ones numbered above it, too. The stream ends
        with an error alone: TimeoutError once `seconds` have passed, Failure if the daemon ends.
        """
        with advised():
            client = self._connected()
            try:
                events = client.events(job, since, seconds)
            except BaseException:
                client.close()
                raise
        return Stream(client, events)

    def _connected(self) -> Client:
        return Client(self.home.socket_path(), self.home.path, self._seconds)


class Stream:
    """Events of one subscription, to be read with `for` and closed: it holds a connection."""

    def __init__(self, client: Client, events: Iterator[Event]) -> None:
        self._client = client
        self._events = events

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Event:
        with advised():
            return next(self._events)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription and its connection. A second call changes nothing."""
        self._client.close()


@contextmanager
def advised() -> Iterator[None]:
    """A Failure that passes says the next command in its traceback, too."""
    try:
        yield
    except Failure as failure:
        if failure.next and not getattr(failure, "__notes__", None):
            failure.add_note(f"next: {failure.next}")
        raise
