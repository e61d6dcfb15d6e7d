"""What workers do in tests. They import this module, so it stays light."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from node.workers.worker import THREAD_VARIABLES
from protocol.errors import InputError


def where_am_i() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "threads": {name: os.environ.get(name) for name in THREAD_VARIABLES},
        "assay": [name for name in os.environ if name.startswith("ASSAY_")],
        "numpy": "numpy" in sys.modules,
        "files": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()),
    }


def _descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


def linear_algebra_threads() -> int:
    import numpy as np

    matrix = np.ones((500, 500))
    for _ in range(20):
        matrix = matrix @ matrix / 500
    return len(os.listdir("/proc/self/task"))


def spin(seconds: float) -> tuple[float, float]:
    """Compute for so many seconds of processor time: how many it took, and how many went by."""
    began, at = time.process_time(), time.monotonic()
    while time.process_time() < began + seconds:
        pass
    return time.process_time() - began, time.monotonic() - at


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave() -> None:
    os._exit(3)


def refuse() -> None:
    raise InputError("is wrong", "data.age")


def add(a: int, b: int) -> int:
    return a + b


def announce_and_spin(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    while True:
        pass
