"""Processes that hold keys leave no core file, and nobody but root reads their memory.

Real processes, whose parent allowed core files of any size.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

_TELL = """
import ctypes, os, resource, sys
def tell(*_, **__):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
    print(open(f"/proc/{os.getpid()}/limits").read())
    sys.stdout.flush()
    os._exit(0)
"""

#: The daemon up to the moment at which it would open its keys.
_DAEMON = """
import contextlib, types
import node.daemon
node.daemon.read_passphrase = tell
home = types.SimpleNamespace(lock=contextlib.nullcontext)
node.daemon.run_daemon(home, types.SimpleNamespace(log_level="info", log_format="text"), print)
"""

#: Any command, up to the moment at which its line would be read.
_COMMAND = """
sys.argv = ["assay", {words}]
import node.cli.app
node.cli.app.run = tell
from node.cli.main import main
main()
"""

_WORKER = """
from node.workers import worker
worker._end_with_parent = lambda: None
worker.prepare()
tell()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux'")


def start(program: str) -> subprocess.Popen[str]:
    def allow_cores() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=allow_cores,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@linux
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(_DAEMON, id="daemon"),
        pytest.param(_WORKER, id="worker"),
        pytest.param(_COMMAND.format(words='"keys", "backup", "/x"'), id="keys backup"),
        pytest.param(_COMMAND.format(words='"init"'), id="init"),
    ],
)
def test_what_holds_keys_is_closed(program: str) -> None:
    with start(_TELL + program) as process:
        told, _ = process.communicate(timeout=60)
    first, _, limits = told.partition("\n")
    assert first == "0 0 0"
    [cores] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert cores.split()[4:6] == ["0", "0"]


_VICTIM = """
import ctypes, os, sys
from node.workers.memory import keep_private
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    # A change of user closes a process too; open it again, as any other is.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
keep_private()
print("ready", flush=True)
sys.stdin.read()
"""

_READER = """
import os, sys
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    os.close(os.open(f"/proc/{sys.argv[1]}/mem", os.O_RDONLY))
    print("open")
except PermissionError:
    print("closed")
"""


@linux
def test_another_program_of_the_same_user_cannot_read_its_memory() -> None:
    with start(_VICTIM) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        done = subprocess.run(
            [sys.executable, "-c", _READER, str(process.pid)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        process.communicate("")
    assert done.stdout == "closed\n"
