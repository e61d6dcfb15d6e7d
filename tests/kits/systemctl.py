"""A stand-in for `systemctl --user`, for machines whose tests have no manager of the user's.

It reads the unit as systemd does where these tests need it: ExecStart's words, LoadCredential, and
Type=notify, so that a start ends when the daemon says that it is ready, or with its exit code. What
it started is in a file beside it. Run as `systemctl`, its folder first in PATH.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
STATE = HERE / "state.json"
WAIT_SECONDS = 60


def fields(unit: Path) -> dict[str, str]:
    """The unit's last line of each name; a missing file ends the program as systemctl does."""
    try:
        text = unit.read_text()
    except FileNotFoundError:
        sys.exit(f"Failed to start {unit.name}: Unit {unit.name} not found.")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def words(line: str) -> list[str]:
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(line)]


def runs(state: dict[str, int], name: str) -> bool:
    try:
        os.kill(state.get(name, 0) or 2**22, 0)
    except ProcessLookupError:
        return False
    return True


def end(state: dict[str, int], name: str) -> None:
    if runs(state, name):
        watched = os.pidfd_open(state[name])
        os.kill(state[name], signal.SIGTERM)
        select.select([watched], [], [], WAIT_SECONDS)
    state.pop(name, None)


def start(state: dict[str, int], name: str, folder: Path) -> None:
    unit = fields(folder / name)
    environ = dict(os.environ)
    if given := unit.get("LoadCredential"):
        credential, _, source = given.replace("%%", "%").partition(":")
        place = HERE / "credentials"
        place.mkdir(mode=0o700, exist_ok=True)
        (place / credential).write_bytes(Path(source).read_bytes())
        environ["CREDENTIALS_DIRECTORY"] = str(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0assay-test-{os.getpid()}")
        environ["NOTIFY_SOCKET"] = f"@assay-test-{os.getpid()}"
        log = (HERE / "journal").open("ab")
        child = subprocess.Popen(
            words(unit["ExecStart"]),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        state[name] = child.pid
        manager.settimeout(0.1)
        said, until = b"", time.monotonic() + WAIT_SECONDS
        while not said.startswith(b"READY=1"):
            if child.poll() is not None or time.monotonic() > until:
                sys.exit(f"Job for {name} failed because the control process exited with error.")
            with contextlib.suppress(TimeoutError):
                said = manager.recv(4096)


def main() -> None:
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    command, name = arguments[0], (arguments[1:] or [""])[0]
    with (HERE / "calls").open("a") as calls:
        print(*sys.argv[1:], file=calls)
    state: dict[str, int] = json.loads(STATE.read_text()) if STATE.exists() else {}
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user"
    if command == "enable":
        fields(folder / name)
    elif command == "restart":
        end(state, name)
        start(state, name, folder)
    elif command == "disable":
        end(state, name)
    elif command == "is-active":
        sys.exit(0 if runs(state, name) else 3)
    elif command != "daemon-reload":
        sys.exit(f"Unknown command verb '{command}'.")
    STATE.write_text(json.dumps(state))


if __name__ == "__main__":
    main()
