"""Room on the disk: telling a full one from other failures, and saying what to do about it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

#: No space left, a user's quota used up, a file as long as its limit.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether an operation failed because there is no room for what it writes."""
    return error.errno in _FULL


def no_room(path: Path, needed: int) -> str:
    """What is full, how much of it is free, what is needed and what to do, in one line."""
    try:
        free = f"{shutil.disk_usage(path.parent).free} bytes are free"
    except OSError:
        free = "how much is free is not known"
    return (
        f"the disk is full: {free} in {path.parent}, {needed} are needed; "
        "free some space there, or raise the quota"
    )
