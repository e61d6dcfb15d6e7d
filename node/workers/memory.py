"""A process' memory: how much it is, and that it stays its own: no core file, no other reader.

The daemon holds every key of its home, and a command that makes or opens keys holds some. A core
file, or a debugger of the same user, would carry them away.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Final

#: prctl(2): what the kernel dumps it also lets other programs of the same user attach to.
_PR_SET_DUMPABLE: Final = 4


def keep_private() -> None:
    """Forbid core files of this process and, on Linux, reading its memory from outside (ptrace,
    /proc/PID/mem) to all but root.

    The limit on core files passes to children; the other half does not outlive an exec, so each
    process calls this itself. Elsewhere than on Linux the limit alone is what there is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A kernel.core_pattern that pipes to a program ignores the limit, and heeds this alone.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system does not tell the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
