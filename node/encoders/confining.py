"""Walls around a process that runs somebody else's program, put up by the process itself.

After `confine` it reads what is open, computes, and answers, and that is all:

- limits: address space, processor time, no file written, no core file, few open files;
- Landlock: no path of the file system, no port, no signal or socket outside of it;
- seccomp: system calls of a list, under which there is no socket, no new process or program, no
  opening of files, no executable memory. What is not on the list fails with EPERM.

Limits hold everywhere. The other two are Linux's, and a kernel may lack them: `confine` tells which
walls stand, and `available` asks without putting any up. landlock(7), seccomp(2), setrlimit(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final

import landlockpy
import seccompy

from node.encoders import limits

#: prctl(2).
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4

_CPU_GRACE_SECONDS: Final = 2

#: Open files: three pipes, the package, and what the runtime holds.
_FILES: Final = 32

#: What a process needs that computes on memory it has: memory, waiting for itself, clocks, pipes.
_CALLS: Final = (
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "exit",
    "exit_group",
    "fstat",
    "futex",
    "getpid",
    "getrandom",
    "getrusage",
    "gettid",
    "gettimeofday",
    "lseek",
    "madvise",
    "mremap",
    "munmap",
    "nanosleep",
    "poll",
    "ppoll",
    "pread64",
    "read",
    "readv",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sigaltstack",
    "write",
    "writev",
)

_PROT_EXEC: Final = 4

#: Landlock's scopes: no signal to, and no abstract socket of, a process outside.
_SCOPES: Final = landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL


class Wall(StrEnum):
    """One of the walls."""

    LIMITS = "limits"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


def available() -> tuple[Wall, ...]:
    """Walls that this machine's kernel offers. Puts up none."""
    walls = [Wall.LIMITS]
    if sys.platform == "linux":
        with contextlib.suppress(landlockpy.LandlockError, OSError):
            if landlockpy.supported():
                walls.append(Wall.LANDLOCK)
        with contextlib.suppress(seccompy.SeccompError, OSError):
            if platform.machine() in _MACHINES and seccompy.supported():
                walls.append(Wall.SECCOMP)
    return tuple(walls)


#: Machines whose system calls seccompy knows by name.
_MACHINES: Final = ("x86_64", "aarch64")


def confine(cpu_seconds: int, memory_bytes: int = limits.ENCODER_MEMORY_BYTES) -> tuple[Wall, ...]:
    """Put up every wall that `available` names, around this process, for good; which ones stand.

    To be called with one thread, with everything imported. Raises OSError if a wall that the
    kernel offers cannot be put up: then nothing of somebody else's may be run.
    """
    walls = available()
    _limit(cpu_seconds, memory_bytes)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        # The kernel takes this process first where memory runs out, not its daemon.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    # Written last: files cannot grow any more.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if Wall.LANDLOCK in walls:
        with landlockpy.Ruleset(scoped=_SCOPES) as rules:
            rules.restrict()
    if Wall.SECCOMP in walls:
        _filter().load()
    return walls


def end_with_parent(parent: int) -> None:
    """On Linux the kernel kills this process once the thread that started it is gone; elsewhere it
    sees its input end. Ends at once if `parent` is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, _FILES),
    ):
        _, hard = resource.getrlimit(kind)
        # A limit that is lower already stays.
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    later = cpu_seconds + _CPU_GRACE_SECONDS
    later = later if hard == resource.RLIM_INFINITY else min(later, hard)
    # The first limit's signal says which one it was; the second kills.
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu_seconds, later), later))


def _filter() -> seccompy.Filter:
    rules = seccompy.Filter(default=int(seccompy.Action.ERRNO) | errno.EPERM)
    for name in _CALLS:
        # An architecture may lack an older name for what it has under a newer one.
        with contextlib.suppress(ValueError):
            rules.allow(name)
    # Memory that a program could be written into, and run, is not to be had.
    not_executable = seccompy.ArgCmp(2, seccompy.CmpOp.MASKED_EQ, 0, _PROT_EXEC)
    for name in ("mmap", "mprotect"):
        rules.allow(name, args=[not_executable])
    return rules
