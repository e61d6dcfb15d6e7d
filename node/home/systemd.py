"""systemd: telling it that the daemon is ready, alive, or draining, and the unit that runs it.

The protocol is sd_notify(3): one datagram of NAME=VALUE lines to the socket in NOTIFY_SOCKET. It
is spoken here with the standard library, because libsystemd would be a dependency for two sendto.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

#: Seconds within which the daemon must say that it is alive. Its loop never computes.
WATCHDOG_SECONDS: Final = 60

#: Seconds that a drain may take: a computation that runs is waited for, a chain call times out.
STOP_SECONDS: Final = 90


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


def unit(home: Path, command: Sequence[str], passphrase_file: Path | None = None) -> str:
    """A systemd user unit that runs `command up` on `home`.

    Hardened as far as a user's manager can: the file system is read-only except the home and the
    runtime directory (the control socket of a home with a long path), no new privileges, no foreign
    system calls. PrivateUsers is what lets a user's manager mount anything read-only.
    MemoryDenyWriteExecute stays off, because numerical libraries generate code. Raises ValueError.
    """
    words = " ".join(_quoted(word) for word in [*command, "--home", str(home), "up"])
    secret = ""
    if passphrase_file is not None:
        secret = f"Environment={_quoted(f'ASSAY_PASSPHRASE_FILE={passphrase_file}', '')}\n"
    return f"""\
[Unit]
Description=assay: trains models on private data where it lies, for pay
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={words}
{secret}WatchdogSec={WATCHDOG_SECONDS}
TimeoutStopSec={STOP_SECONDS}
KillMode=mixed
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={_quoted(str(home), "")} %t
PrivateUsers=yes
PrivateTmp=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
LimitNOFILE=4096

[Install]
WantedBy=default.target
"""


def _quoted(word: str, variable: str = "$") -> str:
    """One word of a unit file, quoted, specifiers taken literally; `variable` is doubled too.

    Only command lines know variables: elsewhere a dollar sign stands for itself.

    Raises ValueError for a line break, which no quoting carries.
    """
    if "\n" in word or "\r" in word:
        raise ValueError(f"{word!r} has a line break; a unit file cannot hold it")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped.replace(variable, 2 * variable) if variable else escaped}"'
