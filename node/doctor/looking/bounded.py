"""Looks within bounds: side by side, each with its seconds, a failure kept as words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from node.console.failure import Failure
from node.doctor.seen import Blank
from protocol.errors import AssayError

T_co = TypeVar("T_co", covariant=True)

#: Of others' words at most so many characters are kept.
MAX_WORDS: Final = 500


class Look(Generic[T_co]):
    """One look, begun when it is made, on a thread of its own.

    The thread ends with the process: nobody waits for a disk or a node that hangs.
    """

    def __init__(self, seconds: float, what: str, look: Callable[[], T_co]) -> None:
        self._until = time.monotonic() + seconds
        self._late = Blank(f"{what} gave no answer within {seconds:g} s")
        self._found: T_co | Blank = self._late
        self._ended = threading.Event()
        threading.Thread(target=self._run, args=(look,), daemon=True).start()

    def _run(self, look: Callable[[], T_co]) -> None:
        try:
            self._found = look()
        except Exception as error:  # noqa: BLE001 -- whatever a look meets is a finding, in words
            self._found = Blank(words(error))
        finally:
            self._ended.set()

    def found(self) -> T_co | Blank:
        """What it saw; a `Blank` if it failed, or does not end in its time."""
        self._ended.wait(max(0.0, self._until - time.monotonic()))
        return self._found if self._ended.is_set() else self._late


def words(error: BaseException) -> str:
    """An error as a sentence's end, on one line and bounded."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return cut(f"{name}{error.strerror}")
    if isinstance(error, AssayError | Failure):
        field = getattr(error, "field", "")
        return cut(f"{field} {error}" if "." in field else str(error))
    return cut(f"{type(error).__name__}: {error}")


def cut(text: str) -> str:
    """`text` on one line, at most MAX_WORDS characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def regular(path: Path) -> None:
    """Raise OSError unless `path` is a file: to open a pipe would wait for its other end."""
    if not path.stat() or not path.is_file():
        raise OSError(0, "it is no file", str(path))
