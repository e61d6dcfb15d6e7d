"""What a service is to its manager: a file with a text, and the commands that rule it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Command: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Where the passphrase of the home's keys comes from: a file with it, or one that only
    systemd can decrypt (`systemd-creds encrypt`)."""

    file: Path
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """`file` holds `text` once installed. `mark` stands in the text of every service of the same
    home, and of no other. `start` installs and starts it, `stop` ends it, `forget` comes after the
    file is gone, `state` succeeds while it runs. `log` is a command for a person."""

    file: Path
    text: str
    mark: str
    start: tuple[Command, ...]
    stop: tuple[Command, ...]
    forget: tuple[Command, ...]
    state: Command
    log: str
