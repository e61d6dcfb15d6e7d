"""How far a worker is with a call that takes long: a line that it leaves in a file, and its daemon
reads (`run_followed` in node/workers/compute.py).

The line is for a person and nothing else: it may be old, and nothing waits for it. No trio here:
workers have none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: A line is padded to so many bytes, and written and read in one go.
_BYTES: Final = 120


def leave(place: Path | None, line: str) -> None:
    """In a worker: say how far it is, where somebody asked. `line` is cut to its first bytes."""
    if place is None:
        return
    file = os.open(place, os.O_WRONLY)
    try:
        os.pwrite(file, line.encode()[:_BYTES].ljust(_BYTES), 0)
    finally:
        os.close(file)


def line_at(file: int) -> str:
    """The line in an open file; empty before the first."""
    return os.pread(file, _BYTES, 0).decode(errors="replace").strip()
