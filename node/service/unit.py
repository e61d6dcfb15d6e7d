"""The systemd user unit that runs the daemon (systemd.service(5), systemd.exec(5))."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.service.service import Passphrase, Service

#: Seconds within which the daemon must say that it is alive. Its loop never computes.
WATCHDOG_SECONDS: Final = 60

#: Seconds that a drain may take: a computation that runs is waited for, a chain call times out.
STOP_SECONDS: Final = 90


def systemd(
    name: str, home: Path, command: Sequence[str], passphrase: Passphrase | None, settings: Path
) -> Service:
    """The user service `name` of systemd; `settings` is the user's XDG_CONFIG_HOME.

    Raises ValueError, as `unit` does.
    """
    systemctl = ("systemctl", "--user")
    return Service(
        file=settings / "systemd" / "user" / f"{name}.service",
        text=unit(home, command, passphrase),
        mark=_home(home),
        start=(
            (*systemctl, "daemon-reload"),
            (*systemctl, "enable", f"{name}.service"),
            # And not `enable --now`: a service that runs takes a changed unit by this alone.
            (*systemctl, "restart", f"{name}.service"),
        ),
        stop=((*systemctl, "disable", "--now", f"{name}.service"),),
        forget=((*systemctl, "daemon-reload"),),
        state=(*systemctl, "is-active", f"{name}.service"),
        log=f"journalctl --user -u {name}",
    )


def unit(home: Path, command: Sequence[str], passphrase: Passphrase | None = None) -> str:
    """A systemd user unit that runs `command up` on `home`.

    Hardened as far as a user's manager can: the file system is read-only except the home and the
    runtime directory (the control socket of a home with a long path), no new privileges, no foreign
    system calls. PrivateUsers is what lets a user's manager mount anything read-only.
    MemoryDenyWriteExecute stays off, because numerical libraries generate code. The passphrase is a
    credential (systemd 247, an encrypted one 256): it is in no environment, and its file may lie
    where the daemon cannot read. Raises ValueError for a path with a line break.
    """
    words = " ".join(_quoted(word) for word in command)
    secret = ""
    if passphrase is not None:
        kind = "LoadCredentialEncrypted" if passphrase.encrypted else "LoadCredential"
        if (path := str(passphrase.file)).endswith(("\\", " ")):
            # Nothing is quoted here: a backslash goes on in the next line, a space is cut off.
            raise ValueError(f"{path!r} ends as no line of a unit file can")
        secret = f"{kind}=passphrase:{_specifiers(str(passphrase.file))}\n"
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
ExecStart={words} {_home(home)} "up"
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


def _home(home: Path) -> str:
    return f'"--home" {_quoted(str(home))}'


def _quoted(word: str, variable: str = "$") -> str:
    """One word of a unit file, quoted, specifiers taken literally; `variable` is doubled too.

    Only command lines know variables: elsewhere a dollar sign stands for itself.
    """
    escaped = _specifiers(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped.replace(variable, 2 * variable) if variable else escaped}"'


def _specifiers(word: str) -> str:
    """A word with its percent signs taken literally; no quoting carries a line break."""
    if "\n" in word or "\r" in word:
        raise ValueError(f"{word!r} has a line break; a unit file cannot hold it")
    if not word.isprintable():
        raise ValueError(f"{word!r} has a character that a unit file cannot hold")
    return word.replace("%", "%%")
