"""The peers' environments: .venv-peers/NAME, from the pins in peers/NAME.lock.

They stand apart from .venv, so that a peer's needs never move assay's own, and from each other. A
lock is complete: nothing is resolved. The stamp is written last, so that an install that was
interrupted, or is out of date, is never taken for good.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.figures import BenchError

ROOT = Path(__file__).resolve().parents[2]
LOCKS = Path(__file__).resolve().parent / "peers"
FOLDER = ROOT / ".venv-peers"


def python(name: str) -> Path:
    """The interpreter of environment `name`, made first if it is not there or is out of date.

    Raises BenchError if it cannot be made.
    """
    pins = LOCKS / f"{name}.lock"
    content = pins.read_bytes()
    wanted = hashlib.sha256(f"{sys.version} {ROOT}\n".encode() + content).hexdigest()
    folder = FOLDER / name
    found = folder / "bin" / "python"
    FOLDER.mkdir(exist_ok=True)
    with _alone():
        stamp = folder / "made-from"
        if not (_read(stamp) == wanted and os.access(found, os.X_OK)):
            count = len(content.splitlines())
            print(f"bench: installing {count} pinned packages for {name}; once", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-I", "-m", "venv", str(folder)], f"making {folder} failed")
            pip = [str(found), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            _run([*pip, "--no-input", "--no-deps", "--requirement", str(pins)], "pip failed")
            part = stamp.with_suffix(".part")
            part.write_text(wanted)
            part.replace(stamp)
    return found


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One install at a time in a checkout; the lock ends with the process that holds it."""
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _read(stamp: Path) -> str | None:
    try:
        return stamp.read_text()
    except FileNotFoundError:
        return None


def _run(command: list[str], failure: str) -> None:
    # Output goes to stderr: standard output is the figures'.
    if subprocess.run(command, stdout=sys.stderr, cwd=ROOT).returncode != 0:
        raise BenchError(f"{failure} (see above)")
