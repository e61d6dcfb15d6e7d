"""systemd: telling it that the daemon is ready, alive, or draining.

The protocol is sd_notify(3): one datagram of NAME=VALUE lines to the socket in NOTIFY_SOCKET. It
is spoken here with the standard library, because libsystemd would be a dependency for two sendto.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Says how the daemon is to the service manager that started it, if one did.

    Without NOTIFY_SOCKET every call does nothing. Sending never blocks and never raises: a service
    manager that is away must not stop the daemon. `lost` counts what could not be sent.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        given = os.environ if environ is None else environ
        self._address = _address(given.get("NOTIFY_SOCKET", ""))
        self._interval = _watchdog_interval(given)
        self.lost = 0

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between calls of `alive` (half of what systemd allows); None: none are wanted."""
        return self._interval if self._address is not None else None

    def ready(self, status: str = "") -> None:
        """The daemon serves."""
        self._send("READY=1", status)

    def alive(self, status: str = "") -> None:
        """The daemon's loop turns."""
        self._send("WATCHDOG=1", status)

    def stopping(self, status: str = "") -> None:
        """The daemon drains."""
        self._send("STOPPING=1", status)

    def _send(self, state: str, status: str) -> None:
        if self._address is None:
            return
        # A line break would begin a variable of its own.
        line = " ".join(status.split())
        message = f"{state}\nSTATUS={line}\n" if line else f"{state}\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError:
            self.lost += 1


def _address(text: str) -> bytes | None:
    """The socket's address; systemd spells an abstract socket's leading zero as `@`."""
    if text.startswith("@"):
        return b"\0" + os.fsencode(text[1:])
    return os.fsencode(text) if text.startswith("/") else None


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    # WATCHDOG_PID names the process that is watched, because children inherit the variables too.
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isascii() and text.isdecimal() and int(text) else None
