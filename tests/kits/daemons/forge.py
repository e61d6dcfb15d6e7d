"""Processes of assay that need not import it again: forked off one that has.

Importing what a daemon or a chain needs costs seconds of a core, and a run of the tests starts some
two hundred of them. A forge is a fresh interpreter that imports once, has no second thread, opens
nothing, and forks. What is forked runs `node.cli.main` as `python -m` does, in a session of its
own, with the environment and output that its caller named. From its first line on it is what a user
starts. How `assay up` starts from nothing is tested where that is the question.

This is the caller's side; forging.py is the forge's.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_FORGING: Final = Path(__file__).with_name("forging.py")

#: What stands before the arguments of a process that a forge makes.
PROGRAM: Final = (sys.executable, "-m", "node.cli.main")

#: Elsewhere processes are started as any other.
POSSIBLE: Final = hasattr(os, "pidfd_open")

#: What each command imports, its own late imports included, some by a function as it does itself.
_DAEMON: Final = (
    "node.cli.app",
    "node.cli.commands.lifecycle",
    "node.daemon",
    "node.net.library:load",
    "node.chain.library:load",
    "eth_keyfile",
)
#: What every command that asks a daemon imports: little, so that a fork costs little.
_COMMAND: Final = (
    "node.cli.app:build",
    "node.console.client",
    "node.console.show",
    "node.home.home",
    "node.control.wire",
)
_CHAIN: Final = ("node.cli.app", "node.cli.commands.chain", "node.devnet.server")
_PAGE: Final = ("node.cli.app", "node.cli.commands.health.web", "node.web.serve")
_OF_LONG_LIFE: Final = {"up": _DAEMON, "devnet": _CHAIN, "web": _PAGE}


@dataclass(frozen=True)
class Files:
    """What a process works on: its folder, its standard input, output and error."""

    writes: Path
    complains: Path
    folder: Path = Path("/")
    reads: Path = Path(os.devnull)


class Forged:
    """A forked process, as subprocess.Popen shows a child."""

    def __init__(self, forge: Forge, pid: int) -> None:
        self._forge = forge
        self.pid = pid
        #: A descriptor that is readable once the process has ended, whoever reaps it.
        self.end = os.pidfd_open(pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal's number; None while it runs."""
        if self._code is None and select.select([self.end], [], [], 0)[0]:
            self._code = self._forge.reap(self.pid)
            os.close(self.end)
        return self._code

    def wait(self, timeout: float) -> int:
        """The exit code, once there is one. Raises subprocess.TimeoutExpired."""
        if self._code is None and not select.select([self.end], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(PROGRAM, timeout)
        code = self.poll()
        assert code is not None
        return code


class Forge:
    """The caller's side of one forge, which ends with this process."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", str(_FORGING), str(theirs.fileno()), *modules],
                cwd="/",
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._replies = ours.makefile("r")
        atexit.register(self._end)

    def _end(self) -> None:
        self._replies.close()
        self._socket.close()
        self._child.wait(10)

    def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], files: Files
    ) -> Forged:
        """Fork a process that runs `assay` on these arguments."""
        asked = {"run": list(arguments), "environment": dict(environment)}
        named = {name: str(path) for name, path in dataclasses.asdict(files).items()}
        return Forged(self, self._ask({**asked, **named}))

    def reap(self, pid: int) -> int:
        """The exit code of a process that has ended, which is forgotten."""
        return self._ask({"reap": pid})

    def _ask(self, question: dict[str, Any]) -> int:
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        reply = self._replies.readline()
        if not reply:
            raise RuntimeError(f"the forge ended with {self._child.wait(10)}")
        return int(reply)


#: By what it imports, and where Python looks for it: a folder there may change what is imported.
_forges: dict[tuple[tuple[str, ...], str], Forge] = {}


def launch(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Forged:
    """Run `assay` on these arguments; all that it prints goes on in `log`."""
    return command(arguments, environment, Files(log, log))


def command(arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> Forged:
    """Run `assay` on these arguments in a process of its own, by this process' forge for such."""
    named = [_OF_LONG_LIFE[each] for each in arguments if each in _OF_LONG_LIFE]
    modules = named[0] if named else _COMMAND
    which = modules, environment["PYTHONPATH"]
    if which not in _forges:
        _forges[which] = Forge(modules, environment)
    return _forges[which].launch(arguments, environment, files)
