"""A folder of the home for files of one act, and for what was made of them: emptied at each end.

A process that was killed leaves its folder behind; the next one that starts takes it away. Which
folders belong to a living process, a lock says, that ends with it (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from node.home.home import PAGE_PREFIX, Home


class Scratch:
    """The folder of one process, private to its user."""

    def __init__(self, home: Home) -> None:
        for left in home.path.glob(f"{PAGE_PREFIX}*"):
            _take_away(left)
        # Without a home there is nothing to do but to say so, and that needs no file.
        inside = home.path if home.path.is_dir() else None
        self.path = Path(tempfile.mkdtemp(prefix=PAGE_PREFIX, dir=inside))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one act, gone after it."""
        made = Path(tempfile.mkdtemp(dir=self.path))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def close(self) -> None:
        """Take it away with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _take_away(left: Path) -> None:
    """Remove what a process that is no more has left."""
    with suppress(OSError):
        found = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(found)
