"""The session of a command: its home, its way of printing, and a way to the daemon.

Standard library, console/ and node.home.home only; commands import the rest late.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node.console.client import Client
from node.console.show import Part, clean, show

if TYPE_CHECKING:
    from node.console.failure import Failure
    from node.control.shapes import Event
    from node.home.home import Home
    from protocol.tokens import Tokens


@dataclass(frozen=True)
class Session:
    """Global options of one command."""

    home_option: str | None = None
    json: bool = False
    debug: bool = False

    @property
    def home(self) -> Home:
        """The home that the command works on. Touches no disk."""
        from node.home.home import find_home

        return find_home(self.home_option)

    @property
    def tokens(self) -> Tokens | None:
        """The tokens that amounts are shown in by name, read anew each time; None without a list,
        whose reader a command then need not import. Raises InputError."""
        if not self.home.tokens.exists():
            return None
        from node.home.tokens import load_tokens

        return load_tokens(self.home)

    def connect(self, timeout: float | None = None) -> Client:
        """A connection to the daemon. Raises NoDaemon."""
        home = self.home
        return Client(home.socket_path(), home.path, timeout)

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Any:
        """One call on a connection of its own; without `timeout`, as long as the daemon lives."""
        with self.connect(timeout) as client:
            return client.call(method, params)

    def call_watched(self, method: str, params: Mapping[str, Any], kind: str) -> Any:
        """A call that takes long: on a terminal, the newest event of `kind` about the same dataset
        stands on one line of standard error until it ends."""
        if self.json or not sys.stderr.isatty():
            return self.call(method, params)

        def watch(event: Event) -> None:
            if event["kind"] == kind and event["facts"].get("dataset") == params["name"]:
                sys.stderr.write(f"\r\x1b[2K{clean(event['text'])}")
                sys.stderr.flush()

        with self.connect() as client:
            client.call("events.subscribe", {"job": None, "since": None})
            try:
                return client.call(method, params, watch=watch)
            finally:
                sys.stderr.write("\r\x1b[2K")
                sys.stderr.flush()

    def emit(self, result: Any, parts: Sequence[Part]) -> None:
        """Print a command's result: as one line of JSON with --json, for a person otherwise."""
        if self.json:
            write_json(result)
        else:
            show(parts)

    def complain(self, failure: Failure) -> None:
        """Print why the command failed, to standard error: the cause and the next command."""
        if self.json:
            error = {"exit": int(failure.end), "message": str(failure)}
            if failure.field:
                error["field"] = failure.field
            if failure.next:
                error["next"] = failure.next
            sys.stderr.write(json.dumps({"error": error}) + "\n")
            return
        sys.stderr.write(f"error: {clean(str(failure))}\n")
        if failure.next:
            sys.stderr.write(f"  next: {clean(failure.next)}\n")


def write_json(value: Any) -> None:
    """One JSON text on one line of standard output, at once: a reader may wait for it."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
