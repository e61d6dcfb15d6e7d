"""The launchd agent that runs the daemon on macOS (launchd.plist(5), launchctl(1))."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from node.service.service import Passphrase, Service
from node.service.unit import STOP_SECONDS


def launchd(
    name: str,
    home: Path,
    command: Sequence[str],
    passphrase: Passphrase | None,
    library: Path,
    user: int,
) -> Service:
    """The agent `name` of the user with this uid; `library` is their ~/Library.

    launchd has no credentials: the agent names the passphrase's file. Raises ValueError for an
    encrypted one, and for text that no property list carries.
    """
    file = library / "LaunchAgents" / f"{name}.plist"
    domain = f"gui/{user}"
    return Service(
        file=file,
        text=agent(name, home, command, passphrase),
        mark=f"<string>{escape(str(home))}</string>",
        start=(("launchctl", "bootstrap", domain, str(file)),),
        stop=(("launchctl", "bootout", f"{domain}/{name}"),),
        forget=(),
        state=("launchctl", "print", f"{domain}/{name}"),
        log=f"less {home / 'assay.log'}",
    )


def agent(name: str, home: Path, command: Sequence[str], passphrase: Passphrase | None) -> str:
    """The agent's property list: started with the user's session, and again when it fails."""
    content: dict[str, object] = {
        "Label": name,
        "ProgramArguments": [*command, "--home", str(home), "up"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": STOP_SECONDS,
        "ProcessType": "Background",
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": 4096},
        "StandardOutPath": str(home / "assay.log"),
        "StandardErrorPath": str(home / "assay.log"),
    }
    if passphrase is not None:
        if passphrase.encrypted:
            raise ValueError("launchd decrypts no credentials: give --passphrase-file")
        content["EnvironmentVariables"] = {"ASSAY_PASSPHRASE_FILE": str(passphrase.file)}
    return plistlib.dumps(content).decode()
