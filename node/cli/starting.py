"""`assay up`: the daemon in this process, or a detached one and an answer once it is up or failed.

It imports no cyclopts (docs/adr/0401).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Final

from node.console.client import Client
from node.console.failure import Failure
from node.console.session import Session, write_json
from node.control.codes import Exit
from node.home.home import Home, running_process

_POLL_SECONDS: Final = 0.05

#: So much of the log's end is read to find why a start failed.
_TAIL_BYTES: Final = 16 * 1024


def check_free(home: Home) -> None:
    """Raises Failure where a daemon runs on this home."""
    if (pid := running_process(home)) is not None:
        text = f"{home.path} is in use by process {pid}"
        raise Failure(Exit.REFUSED, text, next_="assay status")


def run_here(session: Session) -> int:
    """Run the daemon of this home until it is told to end; its exit code. Raises Failure."""
    home = session.home
    check_free(home)
    from node.home.config import load_config

    # Before the daemon and all that it needs is imported: a wrong setting is told at once.
    config = load_config(home)
    from node.daemon import run_daemon

    def ready(line: str) -> None:
        if session.json:
            write_json({"pid": os.getpid(), "join": line, "log": None})
        else:
            sys.stdout.write("\n".join([f"running on {home.path}", *join_parts(line)]) + "\n")
            sys.stdout.flush()

    return run_daemon(home, config, ready)


def join_parts(line: str) -> list[str]:
    """How others join, as lines. Quoted, since `?` and `&` mean something to a shell."""
    return ["others join by:", f"  assay join '{line}'"]


def run_detached(home: Home, debug: bool, wait: float) -> dict[str, Any]:
    """Start a daemon in a session of its own; its status once it answers on its socket.

    Raises Failure with the daemon's own words and exit code if it ends first, and NO_DAEMON if it
    does not answer within `wait` seconds: it is then told to end, so that nothing half started
    stays behind.
    """
    home.check()
    command = [sys.executable, "-m", "node.cli.main", "--home", str(home.path), "up"]
    if debug:
        command.append("--debug")
    with _open_log(home.log) as log:
        begin = log.seek(0, os.SEEK_END)
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if (code := child.poll()) is not None:
            raise _why(home.log, begin, code)
        if (status := _ask(home)) is not None and status["pid"] == child.pid:
            return status
        time.sleep(_POLL_SECONDS)
    child.terminate()
    text = f"the daemon did not answer within {wait:g} s and was told to end"
    raise Failure(Exit.NO_DAEMON, text, next_=f"less {home.log}")


def _open_log(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "ab")


def _ask(home: Home) -> dict[str, Any] | None:
    try:
        with Client(home.socket_path(), home.path, timeout=5.0) as client:
            status: dict[str, Any] = client.call("status")
            return status
    except Failure:
        return None  # Not yet; the loop above has the deadline.


def _why(log: Path, begin: int, code: int) -> Failure:
    """The last error that the child wrote after `begin`, with its exit code."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    end = Exit(code) if code in set(Exit) else Exit.INTERNAL
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("error: "):
            following = lines[index + 1].strip() if index + 1 < len(lines) else ""
            next_ = following.removeprefix("next: ") if following.startswith("next: ") else ""
            return Failure(end, lines[index].removeprefix("error: "), next_=next_)
    text = f"the daemon ended with code {code}" + (f": {lines[-1]}" if lines else "")
    return Failure(end, text, next_=f"less {log}")
