"""Whether the two libraries that noise needs are installed: they are an extra of the package."""

from __future__ import annotations

import importlib.util
from typing import Final

from protocol.errors import InputError

#: 420 MB, with scipy, of the 850 that a node without encoders can use (ADR 0503).
_NEEDED: Final = ("dp_accounting", "opendp")
_TEXT: Final = (
    "this install adds no noise: {} missing; pip install 'assay[noise]' adds them, 420 MB"
)


def lacking() -> str:
    """Why no job with noise can run here; empty where it can. Imports nothing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return _TEXT.format(" and ".join(missing) + (" are" if missing[1:] else " is"))


def require() -> None:
    """Raise InputError unless noise can be added and counted."""
    why = lacking()
    if why:
        raise InputError(why, "privacy")
