"""What somebody else's program can do behind the walls: tried from inside, by a real process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.encoders.confining import Wall, available

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")

ROOT = Path(__file__).resolve().parents[3]

#: Each try is a function of no arguments; what it returns, or raises, is told.
TRIES = """
import ctypes, errno, json, mmap, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from node.encoders.confining import confine, end_with_parent

PORT, PARENT, HOME = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)
kept = open("/etc/hostname", "rb")
early, early_datagram = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

def call(number, *args):
    if libc.syscall(number, *args) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def executable():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def made_executable():
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if libc.mprotect(ctypes.c_void_p(address), 4096, 5) == -1:
        raise OSError(ctypes.get_errno(), "mprotect")

def thread():
    each = threading.Thread(target=print)
    each.start()
    each.join()

def memory():
    return len(bytearray(8 << 30))

TRIES = {
    "tcp": lambda: socket.socket().connect(("127.0.0.1", PORT)),
    "connect": lambda: early.connect(("127.0.0.1", PORT)),
    "send": lambda: early_datagram.sendto(b"x", ("127.0.0.1", PORT)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "pair": socket.socketpair,
    "passwd": lambda: Path("/etc/passwd").read_text(),
    "home": lambda: Path(HOME, "secret").read_text(),
    "stat": lambda: os.stat(HOME),
    "list": lambda: os.listdir(HOME),
    "environment": lambda: Path("/proc/self/environ").read_bytes(),
    "parent's memory": lambda: open(f"/proc/{PARENT}/mem", "rb"),
    "write": lambda: Path(HOME, "new").write_text("x"),
    "append": lambda: open(os.path.join(HOME, "secret"), "a"),
    "remove": lambda: os.unlink(os.path.join(HOME, "secret")),
    "link": lambda: os.symlink("/", os.path.join(HOME, "link")),
    "memory file": lambda: os.memfd_create("x"),
    "fork": os.fork,
    "run": lambda: subprocess.run(["/bin/true"]),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "thread": thread,
    "kill": lambda: os.kill(PARENT, 0),
    "ptrace": lambda: call(101, 16, PARENT, 0, 0),
    "read another": lambda: call(310, PARENT, 0, 0, 0, 0, 0),
    "bpf": lambda: call(321, 0, 0, 0),
    "io_uring": lambda: call(425, 1, 0),
    "namespace": lambda: call(272, 0x10000000),
    "mount": lambda: call(165, 0, 0, 0, 0, 0),
    "keys": lambda: call(250, 0, 0, 0, 0, 0),
    "other calls": lambda: call(0x40000000 + 39),
    "limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "executable": executable,
    "made executable": made_executable,
    "memory": memory,
    "what was open": lambda: len(kept.read()) >= 0,
    "compute": lambda: sum(range(1000)),
}
end_with_parent(PARENT)
walls = confine(20, 2 << 30)
found = {}
for name, each in TRIES.items():
    try:
        found[name] = f"did {each()!r:.40}"
    except BaseException as error:
        found[name] = f"{type(error).__name__} {getattr(error, 'errno', '')}"
os.write(1, json.dumps([walls, found]).encode())
"""


def inside(code: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A process that runs `code`."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_nothing_can_be_done_but_computing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("rows")
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = inside(TRIES, str(server.getsockname()[1]), str(os.getpid()), str(tmp_path))
    assert done.returncode == 0, done.stderr
    walls, found = json.loads(done.stdout)
    assert tuple(walls) == available()
    assert found.pop("compute") == "did 499500"
    assert found.pop("what was open") == "did True"
    # Whoever has no Landlock or no seccomp is told so; the limits alone hold these.
    assert found.pop("memory").startswith("MemoryError")
    if len(walls) < 3:
        pytest.skip(f"this kernel has only {walls}")
    assert {name: said for name, said in found.items() if said.startswith("did ")} == {}
    refused = ("PermissionError", "OSError", "RuntimeError", "ImportError", "ValueError")
    assert {name: said for name, said in found.items() if not said.startswith(refused)} == {}
    assert (tmp_path / "secret").read_text() == "rows"
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_each_wall_holds_without_the_other() -> None:
    """Landlock alone refuses files; seccomp alone refuses files, sockets and processes."""
    if len(available()) < 3:
        pytest.skip("both walls are needed")
    code = """
import os, socket, sys
from node.encoders import confining
walls = tuple(confining.Wall(each) for each in sys.argv[1].split(","))
confining.available = lambda: walls
confining.confine(20)
for each in (lambda: open("/etc/passwd"), socket.socketpair, os.fork):
    try:
        each()
        os.write(1, b"did ")
    except OSError as error:
        os.write(1, b"no ")
"""
    assert inside(code, "limits,landlock").stdout.split()[0] == b"no"
    assert inside(code, "limits,seccomp").stdout == b"no no no "
    assert inside(code, "limits").stdout.startswith(b"did did did")


def test_processor_time_ends(tmp_path: Path) -> None:
    code = "from node.encoders.confining import confine\nconfine(1)\nwhile True: pass"
    assert inside(code).returncode == -signal.SIGXCPU


def test_a_process_ends_with_the_one_that_started_it() -> None:
    """Killed by the kernel: it was busy, and would not have looked."""
    code = """
import os, subprocess, sys, signal
child = '''
import os, sys
from node.encoders.confining import confine, end_with_parent
end_with_parent(int(sys.argv[1]))
confine(60)
os.write(1, b"up")
while True: pass
'''
started = subprocess.Popen([sys.executable, "-P", "-c", child, str(os.getpid())], stdout=-1)
os.read(started.stdout.fileno(), 2)
print(started.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = inside(code)
    assert done.returncode == -signal.SIGKILL
    # Its standard error is this pipe too: `run` returns once nobody holds it.
    assert not Path(f"/proc/{int(done.stdout)}/exe").exists()


def test_walls_are_named() -> None:
    walls = available()
    assert walls[0] is Wall.LIMITS
    assert set(walls) <= set(Wall)
