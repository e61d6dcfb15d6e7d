"""Whether the libraries that encoders need are installed: they are an extra of the package."""

from __future__ import annotations

import importlib.util
from typing import Final

from protocol.errors import InputError

#: What the process needs beside what assay itself does, by the name it is imported by.
_NEEDED: Final = ("landlockpy", "onnx", "onnxruntime", "PIL", "seccompy", "tokenizers")
_TEXT: Final = "this install runs no encoder: {} missing; pip install 'assay[encoders]' adds them"


def missing() -> tuple[str, ...]:
    """Those that are not installed here. Imports nothing."""
    return tuple(name for name in _NEEDED if importlib.util.find_spec(name) is None)


def lacking() -> str:
    """Why no encoder can run here; empty where one can. Imports nothing."""
    names = missing()
    if not names:
        return ""
    return _TEXT.format(", ".join(names) + (" are" if names[1:] else " is"))


def require() -> None:
    """Raise InputError unless encoders can be run and read."""
    why = lacking()
    if why:
        raise InputError(why, "encoder")
