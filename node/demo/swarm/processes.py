"""The demo's child processes, and their end: at a normal exit, at a failure, at Ctrl-C, at a kill.

Every child is in a process group of its own, so that Ctrl-C reaches the demo alone, which then ends
them in order. Where the system can (Linux), it also tells a child to end when the demo is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

from node.console.failure import Failure
from node.control.codes import Exit

#: prctl(2): the signal that a child gets when the thread that started it ends.
_PR_SET_PDEATHSIG: Final = 1

#: A drained daemon ends in about a second; its niced worker takes longer on a machine that others
#: use. One that was asked politely is waited for, one that is to be gone soon after a failure less.
DRAIN_SECONDS: Final = 60.0
END_SECONDS: Final = 15.0

#: How much of a child's first line is read: a join line and a few names.
_MAX_LINE: Final = 64 * 1024

#: What of a log is shown when its process failed.
_TAIL_BYTES: Final = 4096


def assay(*arguments: str) -> list[str]:
    """The command line of this very `assay`."""
    return [sys.executable, "-m", "node.cli.main", *arguments]


def environment() -> dict[str, str]:
    """This process' environment without what would name another home or a passphrase."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}


class Child:
    """A process that was started, the file of its errors, and its line on standard output."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._unread = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def line(self, seconds: float) -> dict[str, Any]:
        """The next line of JSON that it prints.

        Raises Failure, with the end of its log, when it ends first, or prints none in time.
        """
        deadline = time.monotonic() + seconds
        stream = self._stdout()
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                if left <= 0 or not ready.select(left):
                    raise self.failed(f"did not get ready within {seconds:g} s")
                chunk = os.read(stream.fileno(), _MAX_LINE)
                if not chunk or len(self._unread) > _MAX_LINE:
                    raise self.failed(f"ended with code {self._process.wait()}")
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def failed(self, what: str) -> Failure:
        """This process failed: what to raise, with its own last words."""
        words = tail(self.log)
        text = f"{self.name} {what}" + (f"; the end of its log:\n{words}" if words else "")
        return Failure(Exit.INTERNAL, text, next_=f"less {self.log}")

    def terminate(self) -> None:
        if self.running():
            self._process.terminate()

    def end(self, seconds: float) -> int:
        """Its exit code, once it ended; one that takes longer is killed (-9)."""
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._stdout().close()

    def _stdout(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise Failure(Exit.INTERNAL, f"{self.name} has no standard output")
        return self._process.stdout


class Children:
    """All processes of one demo. Use it as a context manager: leaving it ends what still runs.

    Servers (daemons, the chain) run until they are told to end; helpers end by themselves.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._helpers: set[str] = set()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()

    def start(self, name: str, command: Sequence[str], log: Path, helper: bool = False) -> Child:
        """Start a process; its standard error goes to `log`. Call it from the main thread only:
        the system ties a child's end to the end of the thread that started it."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are started from the main thread")
        with log.open("ab") as errors:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                cwd="/",
                process_group=0,
                preexec_fn=_child_setup(),
            )
        child = Child(name, process, log)
        self._children.append(child)
        if helper:
            self._helpers.add(name)
        return child

    def check(self) -> None:
        """Raise Failure if a server has ended, which none should before the end."""
        for child in self._children:
            if child.name not in self._helpers and not child.running():
                raise child.failed("ended unexpectedly")

    def end_all(self) -> dict[str, int]:
        """Tell all to end, wait, kill what does not; their exit codes. The last started is told
        first, so that the chain is there until the daemons have drained."""
        children, self._children = list(reversed(self._children)), []
        codes = {}
        deadline = time.monotonic() + END_SECONDS
        # The user has asked for the end already; once more must not leave processes behind.
        asked = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for child in children:
                child.terminate()
            for child in children:
                codes[child.name] = child.end(deadline - time.monotonic())
        finally:
            signal.signal(signal.SIGINT, asked)
        return codes


def tail(log: Path) -> str:
    """The end of a log, whole lines."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return ""
    lines = content[-_TAIL_BYTES:].decode(errors="replace").splitlines()
    return "\n".join(lines[1:] if len(content) > _TAIL_BYTES else lines).strip()


def _child_setup() -> Callable[[], None]:
    """What a new child does before it becomes its program."""
    parent = os.getpid()
    # Loaded here: a child between fork and exec should do as little as possible.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def setup() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it was killed in between
                os._exit(1)

    return setup
