"""config and completion: the settings in force and where each comes from; words for a shell."""

from __future__ import annotations

import sys
from typing import Annotated, Literal, TypeAlias

from cyclopts import App, Parameter

from node.cli.options import Here
from node.console.session import write_json
from node.console.show import Table, show
from node.control.codes import Exit

Shell: TypeAlias = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell's name.")]
#: The parser with all commands in it; handed in by the launcher, as the session is.
Whole: TypeAlias = Annotated[App, Parameter(parse=False)]


def config_show(
    *,
    session: Here,
    origin: Annotated[
        bool, Parameter(help="Say which config.toml gives and which are defaults.", negative=())
    ] = False,
) -> int:
    """The settings of this home. A running daemon has those that it started with.

    Of a chain node's address only the host is shown: hosted ones carry an access key.
    """
    from node.doctor.redacting import told_settings
    from node.home.config import load_settings

    home = session.home
    config, given = load_settings(home)
    found = {
        name: (value, "config.toml" if name in given else "default")
        for name, value in told_settings(config).items()
    }
    if session.json:
        values = {"home": str(home.path), "file": str(home.config)}
        settings = {name: {"value": v, "origin": o} for name, (v, o) in found.items()}
        write_json({**values, "settings": settings})
        return Exit.OK
    rows = [
        (name, _told(value), *([where] if origin else [])) for name, (value, where) in found.items()
    ]
    heads = ("setting", "value", *(["origin"] if origin else []))
    show([f"{home.config}", Table(heads, rows)])
    return Exit.OK


def _told(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()  # as config.toml has it
    return "not set" if value is None else str(value)


def completion(shell: Shell, /, *, app: Whole) -> int:
    """Print what makes a shell complete assay's commands and options."""
    sys.stdout.write(app.generate_completion(prog_name="assay", shell=shell) + "\n")
    return Exit.OK
