"""A blocking client of the control socket, from the standard library alone.

It imports neither trio nor protocol: a command that asks a daemon should cost a few milliseconds.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from node.console.failure import Failure
from node.control.codes import Exit, exit_of

if TYPE_CHECKING:
    from node.control.shapes import Event

#: Seconds to wait for a reply. Posting a job or claiming waits for a chain that may be slow.
CALL_SECONDS: Final = 120.0

#: Seconds to wait for the connection: the daemon's loop never computes, so it answers at once.
CONNECT_SECONDS: Final = 10.0

_CHUNK: Final = 1 << 16


class NoDaemon(Failure):
    """Nobody listens on the control socket."""

    def __init__(self, home: Path) -> None:
        made = (home / "config.toml").exists()
        next_ = "assay up" if made else "assay init, then: assay up"
        super().__init__(Exit.NO_DAEMON, f"no daemon runs on {home}", next_=next_)


class CallError(Failure):
    """An error reply. `code` is its JSON-RPC code."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        data = error.get("data") or {}
        self.code = int(error.get("code", 0))
        super().__init__(
            exit_of(self.code),
            str(error.get("message", "an error without a message")),
            next_=str(data.get("next", "")),
            field=str(data.get("field", "")),
        )


class Client:
    """One connection. Use it as a context manager; it is not safe for threads."""

    def __init__(self, path: Path, home: Path, timeout: float = CALL_SECONDS) -> None:
        """Connect to the socket at `path`; `home` is only named in errors.

        Raises NoDaemon, and Failure (NO_DAEMON) where a daemon is there but does not answer.
        """
        self._home = home
        self._timeout = timeout
        self._buffer = bytearray()
        self._next_id = 1
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            self._socket.close()
            raise NoDaemon(home) from None
        except OSError as error:
            self._socket.close()
            text = f"cannot reach the daemon on {home}: {error.strerror or error}"
            raise Failure(Exit.NO_DAEMON, text, next_="assay status") from None

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
        call_id, self._next_id = self._next_id, self._next_id + 1
        request = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or {}}
        seconds = self._timeout if timeout is None else timeout
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError:
            raise self._silent(method, seconds) from None
        except OSError:
            # The daemon may have said why before it hung up: read what is there.
            self._socket.settimeout(1.0)
        try:
            while True:
                reply = self._read(method, seconds)
                if watch and reply.get("method") == "events.event":
                    watch(reply["params"]["event"])
                if reply.get("id") == call_id or (reply.get("id") is None and "error" in reply):
                    break
        except OSError as error:
            raise self._gone(method) from error
        if "error" in reply:
            raise CallError(reply["error"])
        return reply["result"]

    def events(self, job: str | None = None, since: int | None = None) -> Iterator[Event]:
        """Events until the daemon ends the stream; waits for each without a limit.

        Raises CallError, and Failure where the subscription was dropped or the daemon ended.
        """
        subscribed = self.call("events.subscribe", {"job": job, "since": since})
        self._socket.settimeout(None)
        while True:
            message = self._read("events.subscribe", 0.0)
            params = message.get("params", {})
            if params.get("subscription") != subscribed["subscription"]:
                continue
            if message.get("method") == "events.closed":
                raise Failure(Exit.NO_DAEMON, f"the daemon ended the stream: {params['reason']}")
            yield params["event"]

    def _read(self, method: str, seconds: float) -> dict[str, Any]:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            try:
                chunk = self._socket.recv(_CHUNK)
            except TimeoutError:
                raise self._silent(method, seconds) from None
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise self._gone(method)
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def _silent(self, method: str, seconds: float) -> Failure:
        text = f"the daemon on {self._home} did not answer {method} within {seconds:g} s"
        return Failure(Exit.NO_DAEMON, text, next_="assay status")

    def _gone(self, method: str) -> Failure:
        text = f"the daemon on {self._home} ended before it answered {method}"
        return Failure(Exit.NO_DAEMON, text, next_="assay up")
