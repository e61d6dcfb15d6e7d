"""What is said on a control connection, without the connection: lines out, replies and events in.

The blocking client (node/console/client.py) and the trio one (node/client/trio_rpc.py) stand on it.
Standard library and control/'s exit codes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.console.failure import Failure
from node.control.codes import Exit, exit_of

if TYPE_CHECKING:
    from node.control.shapes import Event

#: Seconds without a word after which a daemon that was called is asked whether it lives, and that
#: it has to answer that. A call itself may take hours: a file is long, a chain is slow.
SILENCE_SECONDS: Final = 120.0

#: Seconds to wait for the connection: the daemon's loop never computes, so it answers at once.
CONNECT_SECONDS: Final = 10.0

#: Bytes that are asked of a socket at once.
CHUNK: Final = 1 << 16


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


class Talk:
    """One connection's calls and lines; `home` is only named in errors."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._buffer = bytearray()
        self._searched = 0
        self._next_id = 1

    def ask(self, method: str, params: Mapping[str, Any] | None) -> tuple[int, bytes]:
        """A call's number, and the line that makes it."""
        number, self._next_id = self._next_id, self._next_id + 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
        return number, json.dumps(request).encode() + b"\n"

    def hear(self, chunk: bytes) -> None:
        """Bytes that came."""
        self._buffer += chunk

    def line(self) -> dict[str, Any] | None:
        """The next whole message; None where more bytes are needed."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return None
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        message: dict[str, Any] = json.loads(text)
        return message

    def unreachable(self, error: OSError) -> Failure:
        """Why there is no connection."""
        # Without a number is but one: the path is longer than a socket's may be. A daemon that runs
        # there has its socket elsewhere, and a link to it in its home.
        gone = isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError)
        if gone or error.errno is None:
            return NoDaemon(self._home)
        text = f"cannot reach the daemon on {self._home}: {error.strerror or error}"
        return Failure(Exit.NO_DAEMON, text, next_="assay status")

    def silent(self, method: str, seconds: float) -> Failure:
        """No reply came in time."""
        text = f"the daemon on {self._home} did not answer {method} within {seconds:g} s"
        return Failure(Exit.NO_DAEMON, text, next_="assay status")

    def gone(self, method: str) -> Failure:
        """The connection ended first."""
        text = f"the daemon on {self._home} ended before it answered {method}"
        return Failure(Exit.NO_DAEMON, text, next_="assay up")


def answers(message: Mapping[str, Any], number: int) -> bool:
    """Whether a message is the reply to a call. One without a number refuses the connection."""
    return message.get("id") == number or (message.get("id") is None and "error" in message)


def outcome(message: Mapping[str, Any]) -> Any:
    """A reply's result. Raises CallError."""
    if "error" in message:
        raise CallError(message["error"])
    return message["result"]


def event_of(message: Mapping[str, Any], subscription: int) -> Event | None:
    """The event that a message brings to a subscription; None for all else.

    Raises Failure where the daemon ended the stream.
    """
    params = message.get("params", {})
    if params.get("subscription") != subscription:
        return None
    if message.get("method") == "events.closed":
        raise Failure(Exit.NO_DAEMON, f"the daemon ended the stream: {params['reason']}")
    event: Event = params["event"]
    return event
