"""Every process of a run ends with it, however the run ends: also by SIGKILL.

A run marks its environment. Whatever it starts inherits the mark, and so does what that starts,
sessions and process groups of their own included. The keeper, which is this module in a process of
its own, holds one end of a pipe; the run holds the other end and never writes. When the run is
gone the pipe is closed, and the keeper kills everybody who bears the mark. Needs /proc: on other
systems than Linux the keeper finds nobody.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: Of the environment. Not ASSAY_...: daemons pass no such variable on.
VARIABLE: Final = "TEST_RUNS"


def mark() -> Mapping[str, str]:
    """What a bare environment needs, so that a process that gets it ends with the run."""
    return {name: value for name, value in os.environ.items() if name == VARIABLE}


@contextmanager
def kept() -> Iterator[None]:
    """A run: what it starts from here on ends with the block, or with this process."""
    token = secrets.token_hex(8)
    before = os.environ.get(VARIABLE)
    reading, writing = os.pipe()
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, token],
        stdin=reading,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={name: value for name, value in os.environ.items() if name != VARIABLE},
        start_new_session=True,
    )
    os.close(reading)
    # A run inside a run bears both marks: it ends with either.
    os.environ[VARIABLE] = token if before is None else f"{before} {token}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
        os.close(writing)
        keeper.wait()


def bearers(token: str) -> list[int]:
    """Processes whose environment had the mark when they were started; not this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "environ").read_bytes().split(b"\0")
            ours = (word for word in words if word.startswith(VARIABLE.encode() + b"="))
            if any(token.encode() in word for word in ours) and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found


def end(token: str) -> None:
    """Kill all bearers, and whom they started meanwhile."""
    while pids := bearers(token):
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(0, 1)  # returns when the run has closed its end, or is gone
    end(sys.argv[1])
