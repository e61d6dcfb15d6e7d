"""Looks at the machine: room, memory, limits, versions, whether a worker can start, walls."""

from __future__ import annotations

import os
import re
import resource
import sqlite3
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Final

import node
from node.doctor.looking.bounded import cut
from node.doctor.seen import EncodersSeen, MachineSeen, VersionsSeen, WorkersSeen
from node.encoders import libraries
from node.version import VERSION

#: Seconds for a worker's libraries to load; on a slow machine they take ten.
WORKER_SECONDS: Final = 45.0
#: What a worker computes with.
_LOADS: Final = "import gmpy2, numpy, phe, polars; import node.work.tasks, protocol.arith.kernels"
_PINNED: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([0-9][\w.!+-]*)")


def look_machine(home: Path, pid: int | None) -> MachineSeen:
    """Room where the home lies, memory, cores; open files of process `pid`, else of this one.

    Raises OSError.
    """
    place = os.statvfs(home)
    return MachineSeen(
        time.time(),
        place.f_bavail * place.f_frsize,
        place.f_favail if place.f_files else None,
        _memory(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _open_files(pid),
    )


def _memory() -> int | None:
    """Bytes that programs can still have; None where the system does not tell (Linux does)."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+([0-9]+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _open_files(pid: int | None) -> int:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    own = sys.maxsize if own == resource.RLIM_INFINITY else own
    if pid is None:
        return own
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return own
    found = re.search(r"^Max open files\s+([0-9]+)", text, re.MULTILINE)
    return int(found[1]) if found else own


def look_versions() -> VersionsSeen:
    """This assay, what it runs on, and its packages whose version is fixed."""
    pinned = {}
    try:
        needs = metadata.requires("assay") or []
    except metadata.PackageNotFoundError:
        needs = []
    for need in needs:
        # Packages of extras may be missing, and are told of by the commands that need them.
        match = _PINNED.fullmatch(need.partition(";")[0].strip())
        if match is not None and "extra ==" not in need:
            pinned[match[1]] = match[2]
    others = [(name, wanted, _installed(name)) for name, wanted in sorted(pinned.items())]
    return VersionsSeen(
        VERSION,
        ".".join(str(part) for part in sys.version_info[:3]),
        sqlite3.sqlite_version_info,
        len(pinned),
        tuple(each for each in others if each[1] != each[2]),
    )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def look_workers() -> WorkersSeen:
    """Load what a worker computes with, in a process of its own. Raises OSError."""
    code = Path(node.__file__).resolve().parents[1]
    known = os.environ.get("PYTHONPATH", "")
    environ = os.environ | {"PYTHONPATH": f"{code}{os.pathsep}{known}" if known else str(code)}
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOADS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=WORKER_SECONDS,
            env=environ,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return WorkersSeen(WORKER_SECONDS, f"it did not start within {WORKER_SECONDS:g} s")
    seconds = time.monotonic() - begun
    if not done.returncode:
        return WorkersSeen(seconds)
    said = done.stderr[-4096:].decode(errors="replace").strip().splitlines()
    if done.returncode < 0:
        return WorkersSeen(seconds, f"signal {-done.returncode} ended it")
    return WorkersSeen(seconds, cut(said[-1] if said else f"it ended with {done.returncode}"))


def look_encoders() -> EncodersSeen:
    """Walls that this machine offers to encoders; none is put up. Raises OSError."""
    missing = libraries.missing()
    if missing:
        return EncodersSeen(missing=missing)
    from node.encoders.confining import available

    return EncodersSeen(walls=tuple(str(each) for each in available()))
