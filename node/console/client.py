"""A blocking client of the control socket, from the standard library alone.

It imports neither trio nor protocol: a command that asks a daemon should cost a few milliseconds.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from node.console.talk import (
    CHUNK,
    CONNECT_SECONDS,
    SILENCE_SECONDS,
    CallError,
    NoDaemon,
    Talk,
    answers,
    event_of,
    outcome,
)

if TYPE_CHECKING:
    from node.control.shapes import Event

__all__ = ["CallError", "Client", "NoDaemon"]


class Client:
    """One connection. Use it as a context manager; it is not safe for threads."""

    def __init__(
        self,
        path: Path,
        home: Path,
        timeout: float | None = None,
        *,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        """Connect to the socket at `path`; `home` is only named in errors.

        `timeout`: seconds that each call may take. None: as long as the daemon lives; after each
        `silence` seconds without a word it is asked for its status.

        Raises NoDaemon, and Failure (NO_DAEMON) where a daemon is there but does not answer.
        """
        self._talk = Talk(home)
        self._path = path
        self._home = home
        self._timeout = timeout
        self._silence = silence
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise self._talk.unreachable(error) from None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; subscriptions end with it."""
        self._socket.close()

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        watch: Callable[[Event], None] | None = None,
    ) -> Any:
        """The result of one call. Raises CallError, and Failure where no reply comes.

        `watch` gets the events that come before it; subscribe on this connection first.
        """
        number, request = self._talk.ask(method, params)
        limit = self._timeout if timeout is None else timeout
        seconds = self._silence if limit is None else limit
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(request)
        except TimeoutError:
            raise self._talk.silent(method, seconds) from None
        except OSError:
            # The daemon may have said why before it hung up: read what is there.
            self._socket.settimeout(1.0)
        while True:
            try:
                reply = self._read(method)
            except TimeoutError:
                if limit is not None:
                    raise self._talk.silent(method, seconds) from None
                self._ask_for_life(seconds)
                continue
            except OSError as error:
                raise self._talk.gone(method) from error
            if answers(reply, number):
                return outcome(reply)
            if watch and reply.get("method") == "events.event":
                watch(reply["params"]["event"])

    def _ask_for_life(self, seconds: float) -> None:
        """Return once the daemon says anything, on another connection. Raises Failure."""
        with Client(self._path, self._home, seconds) as other:
            try:
                other.call("status")
            except CallError:
                return

    def events(
        self, job: str | None = None, since: int | None = None, seconds: float | None = None
    ) -> Iterator[Event]:
        """Events until the daemon ends the stream. The subscription stands when this returns.

        Waits for each without a limit, or raises TimeoutError once `seconds` have passed. Raises
        CallError, and Failure where the subscription was dropped or the daemon ended.
        """
        subscribed = self.call("events.subscribe", {"job": job, "since": since})
        return self._stream(subscribed["subscription"], seconds)

    def _stream(self, subscription: int, seconds: float | None) -> Iterator[Event]:
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            # A timeout of zero would be another mode of the socket; events that go on coming
            # must not go on for ever.
            if left is not None and left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            event = event_of(self._read("events.subscribe"), subscription)
            if event is not None:
                yield event

    def _read(self, method: str) -> dict[str, Any]:
        while (message := self._talk.line()) is None:
            try:
                chunk = self._socket.recv(CHUNK)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise self._talk.gone(method)
            self._talk.hear(chunk)
        return message
