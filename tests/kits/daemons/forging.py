"""The forge: imports the modules that it is told, then forks when it is asked to (see forge.py).

It is run as a program and imports no kit: what it forks finds what a user's process finds.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys


def main(asking: socket.socket, modules: list[str]) -> None:
    """Import, then fork for every question until nobody can ask any more."""
    for each in modules:
        name, _, function = each.partition(":")
        module = importlib.import_module(name)
        if function:
            getattr(module, function)()
    # A thread would not be forked, and what it holds locked would stay so.
    assert len(os.listdir("/proc/self/task")) == 1, "an import starts a thread"
    gc.freeze()
    with asking, asking.makefile("r") as questions:
        for line in questions:
            question = json.loads(line)
            if "reap" in question:
                reply = os.waitstatus_to_exitcode(os.waitpid(question["reap"], 0)[1])
            elif (reply := os.fork()) == 0:
                break
            asking.sendall(b"%d\n" % reply)
        else:
            return
    _become(**question)


def _become(
    run: list[str],
    environment: dict[str, str],
    folder: str,
    reads: str,
    writes: str,
    complains: str,
) -> None:
    """Be what `python -m node.cli.main` is, on these files. Raises SystemExit."""
    os.setsid()
    for number, path, how in (
        (0, reads, os.O_RDONLY),
        (1, writes, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        (2, complains, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        opened = os.open(path, how, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["node.cli.main", *run]
    # `-m` runs the module anew under this name: children that are spawned import it by its name.
    sys.modules.pop("node.cli.main", None)
    runpy.run_module("node.cli.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
