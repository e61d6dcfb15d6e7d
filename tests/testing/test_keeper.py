"""What a run started ends with the run, also where nobody is left to end it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from kits.paths import ROOT, TESTS

#: Far more than it takes; what is waited for is an end, not a time.
PATIENCE_MS = 20_000

#: As a daemon that was sent to the background, with a worker: deaf, in sessions of their own.
STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if len(sys.argv) > 2:
    subprocess.Popen([sys.executable, __file__, sys.argv[1]], start_new_session=True)
with open(sys.argv[1], "a") as told:
    print(os.getpid(), file=told, flush=True)
time.sleep(3600)
"""

#: A test, and a run as scripts/test is one. Each starts the stubborn and goes on.
TEST = """
import subprocess, sys, time
def test_it():
    subprocess.Popen([sys.executable, {stubborn!r}, {told!r}, "parent"], start_new_session=True)
    time.sleep(3600)
"""
RUN = """
import subprocess, sys, time
from scripts.testing.keeper import kept
with kept():
    subprocess.Popen([sys.executable, {stubborn!r}, {told!r}, "parent"], start_new_session=True)
    time.sleep(3600)
"""


#: A shell has its background jobs ignore ^C, and so has all that is started from there.
HEARING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Started:
    """A run that started two stubborn processes and told who they are."""

    def __init__(self, stack: ExitStack, folder: Path, text: str, *arguments: str) -> None:
        stubborn, told, program = (folder / name for name in ("stubborn.py", "told", "test_it.py"))
        stubborn.write_text(STUBBORN)
        os.mkfifo(told)
        program.write_text(text.format(stubborn=str(stubborn), told=str(told)))
        command = [sys.executable, "-c", HEARING, *arguments, str(program)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"}
        self.run = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        stack.callback(self.run.wait)
        stack.callback(self.run.kill)
        self.ends = []
        # For reading and writing: it does not end with the first of its writers.
        with os.fdopen(os.open(told, os.O_RDWR)) as lines:
            for _ in range(2):
                watched = os.pidfd_open(int(lines.readline()))
                stack.callback(os.close, watched)
                self.ends.append(watched)

    def everybody_ends(self) -> bool:
        """Whether both end; a descriptor of a process is readable once it has."""
        return all(_ended(watched, PATIENCE_MS) for watched in self.ends)


def _ended(watched: int, patience_ms: int) -> bool:
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    return bool(poll.poll(patience_ms))


PYTEST = ["-m", "pytest", "-p", "kits.keeping", "-p", "no:cacheprovider", "-c", os.devnull]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("text", "arguments"),
    [(TEST, PYTEST), (TEST, [*PYTEST, "-n", "1"]), (RUN, [])],
    ids=["pytest", "side by side", "scripts/test"],
)
def test_a_run_that_is_ended_takes_all_with_it(
    number: signal.Signals, text: str, arguments: list[str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        started = Started(stack, tmp_path, text, *arguments)
        assert not any(_ended(watched, 0) for watched in started.ends)
        started.run.send_signal(number)
        assert started.everybody_ends()


def test_a_run_that_ends_by_itself_leaves_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        text = RUN.replace("    time.sleep(3600)", "    sys.stdin.read()")
        started = Started(stack, tmp_path, text)
        assert started.run.stdin is not None
        started.run.stdin.close()
        assert started.run.wait(PATIENCE_MS / 1000) == 0
        assert started.everybody_ends()
