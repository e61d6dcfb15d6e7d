"""What was measured on: figures without their machine say little."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine in words, and how busy it was before the run."""

    processor: str
    cores: int
    system: str
    load: float | None

    def __str__(self) -> str:
        busy = "" if self.load is None else f", load {self.load:.2f} at the start"
        return f"{self.processor}, {self.cores} cores, {self.system}{busy}"


def here() -> Machine:
    """This machine, now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(_processor(), os.cpu_count() or 1, f"{platform.system()} {_kernel()}", load)


def _kernel() -> str:
    """Major and minor number: the rest names a build."""
    return ".".join(platform.release().split(".")[:2])


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
