"""Installing, removing and looking at the service: its file, and its manager's own commands."""

from __future__ import annotations

import getpass
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from node.console.failure import Failure
from node.control.codes import Exit
from node.home.home import write_private
from node.service.service import Command, Service

#: Seconds for one command of the manager's: a start waits until the daemon is ready.
_SECONDS: Final = 180


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands. `lingers`: it runs on when its user logs out; None where nothing can
    say."""

    installed: bool
    runs: bool
    lingers: bool | None


def install(service: Service) -> None:
    """Write the service's file and start it; one that runs already is restarted.

    Raises Failure where another home has the file, or its manager refuses: the file stays then,
    and its manager's own words are told.
    """
    _own(service)
    _manager(service)
    if service.file.exists() and _runs(service):
        # By the file that it was started by: launchd loads no agent twice.
        for command in service.stop:
            _run(command, service)
    service.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(service.file, service.text.encode())
    for command in service.start:
        _run(command, service)


def uninstall(service: Service) -> None:
    """End the service and remove its file. Raises Failure where there is none of this home."""
    if not service.file.exists():
        raise Failure(Exit.REFUSED, f"there is no {service.file}", next_="assay service status")
    _own(service)
    _manager(service)
    for command in service.stop:
        _run(command, service)
    service.file.unlink()
    for command in service.forget:
        _run(command, service)


def look(service: Service) -> Standing:
    """How the service stands. Raises Failure where another home has its file."""
    if not service.file.exists():
        return Standing(installed=False, runs=False, lingers=_lingers())
    _own(service)
    return Standing(installed=True, runs=_runs(service), lingers=_lingers())


def spelled(command: Command) -> str:
    """A command as a person types it."""
    return shlex.join(command)


def _own(service: Service) -> None:
    try:
        if not service.file.exists():
            return
        if not service.file.is_file():  # a pipe would be waited for
            raise Failure(Exit.USAGE, f"{service.file} is no file; move it away")
        found = service.file.read_text(errors="replace")
    except OSError as error:
        text = f"{service.file} cannot be read: {error.strerror}"
        raise Failure(Exit.USAGE, text) from error
    if service.mark not in found:
        text = f"{service.file} runs another home"
        raise Failure(Exit.REFUSED, text, next_="the same command with --name NAME", field="name")


def _manager(service: Service) -> None:
    program = service.state[0]
    if shutil.which(program) is None:
        text = f"this machine has no {program}, so no service can be installed"
        raise Failure(Exit.REFUSED, text, next_="assay up --background")


def _runs(service: Service) -> bool:
    return shutil.which(service.state[0]) is not None and _quiet(service.state).returncode == 0


def _run(command: Command, service: Service) -> None:
    try:
        done = _quiet(command)
    except subprocess.TimeoutExpired:
        text = f"{spelled(command)} did not end within {_SECONDS} s"
        raise Failure(Exit.NO_DAEMON, text, next_=service.log) from None
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        text = f"{spelled(command)} failed: {words}"
        raise Failure(Exit.NO_DAEMON, text, next_=service.log)


def _quiet(command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )


def _lingers() -> bool | None:
    """Whether this user's services outlive their sessions (loginctl(1), enable-linger)."""
    if shutil.which("loginctl") is None:
        return None
    done = _quiet(("loginctl", "show-user", getpass.getuser(), "--property=Linger", "--value"))
    return {"yes": True, "no": False}.get(done.stdout.strip())
