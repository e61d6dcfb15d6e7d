"""service: the daemon as a service of the user's, under systemd or launchd."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from node.cli.options import Here
from node.console.failure import Failure
from node.console.session import Session
from node.console.show import Pairs
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.service.service import Passphrase, Service

Name = Annotated[
    str, Parameter(help="The service's name; a second home of yours wants one of its own.")
]
Executable = Annotated[Path | None, Parameter(help="The assay command; default: this one.")]
PassphraseFile = Annotated[
    Path | None,
    Parameter(
        help="A file with the passphrase; default: the one that ASSAY_PASSPHRASE_FILE names."
    ),
]
Credential = Annotated[
    Path | None,
    Parameter(
        help="The passphrase as systemd encrypts it, for this machine alone: systemd-creds --user "
        "encrypt --name=passphrase FILE CREDENTIAL (systemd 256)."
    ),
]
DryRun = Annotated[
    bool, Parameter(negative="", help="Show what would be written and run; change nothing.")
]

#: Also a launchd label's, and no path.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LINGER: Final = "loginctl enable-linger"


def service_install(
    *,
    session: Here,
    name: Name = "assay",
    passphrase_file: PassphraseFile = None,
    credential: Credential = None,
    executable: Executable = None,
    dry_run: DryRun = False,
) -> int:
    """Run this home's daemon as a service of yours: now, and whenever you log in.

    Where you let services linger (loginctl enable-linger), from the machine's start on. Keys that a
    passphrase seals need it at every start. Again, it takes what changed.
    """
    from node.home.home import running_process
    from node.service.installing import install, look, spelled

    service = _service(session, name, _passphrase(session, passphrase_file, credential), executable)
    commands = [spelled(command) for command in service.start]
    if dry_run:
        plan = {"file": str(service.file), "text": service.text, "commands": commands}
        lines = [f"would write {service.file}:", "", *service.text.splitlines(), "would run:"]
        session.emit(plan, [*lines, *(f"  {command}" for command in commands)])
        return Exit.OK
    before = look(service)
    if not before.runs and (pid := running_process(session.home)) is not None:
        text = f"{session.home.path} is in use by process {pid}, which is no service"
        raise Failure(Exit.REFUSED, text, next_="assay down, then the same command")
    install(service)
    result = {"file": str(service.file), "runs": True, "lingers": before.lingers}
    rows = [
        ("service", f"{name}: it runs, and starts again whenever you log in"),
        ("file", str(service.file)),
        ("log", service.log),
    ]
    session.emit(result, [Pairs([*rows, *_lingering(before.lingers)])])
    return Exit.OK


def service_uninstall(*, session: Here, name: Name = "assay", dry_run: DryRun = False) -> int:
    """End the service of this home and remove it. The home, its keys and its jobs stay."""
    from node.service.installing import spelled, uninstall

    service = _service(session, name, None, None)
    if dry_run:
        ends, after = (
            [spelled(each) for each in group] for group in (service.stop, service.forget)
        )
        removed = f"rm {spelled((str(service.file),))}"
        session.emit({"commands": [*ends, removed, *after]}, ["would run:", *ends, removed, *after])
        return Exit.OK
    uninstall(service)
    session.emit({"file": str(service.file)}, [f"{name} ended, {service.file} is removed"])
    return Exit.OK


def service_status(*, session: Here, name: Name = "assay") -> int:
    """Whether the service is installed and runs, and whether it outlives your session."""
    from node.service.installing import look

    service = _service(session, name, None, None)
    standing = look(service)
    result = {
        "installed": standing.installed,
        "runs": standing.runs,
        "lingers": standing.lingers,
    }
    if not standing.installed:
        rows = [("service", f"{name}: not installed"), ("next", "assay service install")]
        session.emit(result, [Pairs(rows)])
        return Exit.OK
    rows = [
        ("service", f"{name}: {'it runs' if standing.runs else 'it does not run'}"),
        ("file", str(service.file)),
        ("log", service.log),
    ]
    session.emit(result, [Pairs([*rows, *_lingering(standing.lingers)])])
    return Exit.OK


def service_print(
    *,
    session: Here,
    name: Name = "assay",
    passphrase_file: PassphraseFile = None,
    credential: Credential = None,
    executable: Executable = None,
) -> int:
    """Print the service's file: a hardened systemd user unit, or a launchd agent on macOS."""
    given = _given_passphrase(passphrase_file, credential)
    service = _service(session, name, given, executable)
    session.emit({"file": str(service.file), "text": service.text}, service.text.splitlines())
    return Exit.OK


def _lingering(lingers: bool | None) -> list[tuple[str, str]]:
    if lingers is None:
        return []
    if lingers:
        return [("lingers", "yes: it runs from the machine's start on, and when you log out")]
    return [("lingers", f"no: it ends when you log out; to keep it: {_LINGER}")]


def _service(
    session: Session, name: str, passphrase: Passphrase | None, executable: Path | None
) -> Service:
    if not _NAME.fullmatch(name):
        text = f"{name!r} is no service's name: letters, digits, . _ -, at most 64"
        raise Failure(Exit.USAGE, text, field="name")
    command = [str(executable.absolute())] if executable else _this_command()
    home = session.home.path
    try:
        if sys.platform == "darwin":
            from node.service.agent import launchd

            library = Path.home() / "Library"
            return launchd(name, home, command, passphrase, library, os.getuid())
        from node.service.unit import systemd

        return systemd(name, home, command, passphrase, _settings_folder())
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None


def _given_passphrase(file: Path | None, credential: Path | None = None) -> Passphrase | None:
    """Where the service finds the passphrase, by options or ASSAY_PASSPHRASE_FILE."""
    from node.service.service import Passphrase

    if credential is not None:
        if file is not None:
            text = "give --passphrase-file or --credential, not both"
            raise Failure(Exit.USAGE, text, field="credential")
        return Passphrase(credential.absolute(), encrypted=True)
    named = file or os.environ.get("ASSAY_PASSPHRASE_FILE")
    return Passphrase(Path(named).absolute()) if named else None


def _passphrase(session: Session, file: Path | None, credential: Path | None) -> Passphrase | None:
    """The same, once the home knows its chain and its keys open: no service is installed that
    could not start.

    What systemd alone decrypts cannot be tried; the start tells.
    """
    from node.home.config import load_config, no_chain
    from node.home.keys import Keys
    from node.home.vault import read_passphrase

    config = load_config(session.home)
    if None in (config.chain_url, config.chain_id, config.contract):
        raise no_chain(session.home, config)
    given = _given_passphrase(file, credential)
    if given is None or not given.encrypted:
        named = {} if given is None else {"ASSAY_PASSPHRASE_FILE": str(given.file)}
        Keys.open(session.home, read_passphrase(named))
    elif not given.file.is_file():
        raise Failure(Exit.USAGE, f"there is no file {given.file}", field="credential")
    return given


def _settings_folder() -> Path:
    """Where a user's units lie: in XDG_CONFIG_HOME, or in ~/.config."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(given) if given.startswith("/") else Path.home() / ".config"


def _this_command() -> list[str]:
    script = Path(sys.argv[0]).absolute()
    if script.name == "assay" and os.access(script, os.X_OK):
        return [str(script)]
    return [sys.executable, "-m", "node.cli.main"]
