"""Frames to and from a process that may do anything: stop reading, stop answering, end, babble.

Neither direction blocks longer than it is told to, and no more is read than an answer may have.
"""

from __future__ import annotations

import os
import selectors
import time
from typing import Final

from node.encoders.frames import LENGTH_BYTES, MAX_ANSWER_BYTES, framed
from protocol.errors import InputError

_PIECE_BYTES: Final = 64 * 1024


class EncoderFailed(InputError):
    """The encoder's process ended, or was ended, before it answered: the message says how. Perhaps
    nothing is wrong with its package."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "encoder")
        self.message = message

    def __reduce__(self) -> tuple[type[EncoderFailed], tuple[str]]:
        return EncoderFailed, (self.message,)  # workers raise it


class Late(Exception):
    """The time is over."""


class Ended(Exception):
    """The other side closed its end, or what it sends is no answer: `garbage` says what it was."""

    def __init__(self, garbage: str = "") -> None:
        super().__init__(garbage)
        self.garbage = garbage


class Pipes:
    """Both ends of ours, which do not block from here on."""

    def __init__(self, questions: int, answers: int) -> None:
        self._questions = questions
        self._answers = answers
        self._came = bytearray()
        for each in (questions, answers):
            os.set_blocking(each, False)

    def send(self, content: bytes, seconds: float) -> None:
        """Raises Late or Ended."""
        view = memoryview(framed(content))
        deadline = time.monotonic() + seconds
        while view:
            _wait(self._questions, selectors.EVENT_WRITE, deadline)
            try:
                view = view[os.write(self._questions, view[:_PIECE_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                # It may have said why before it ended.
                return

    def receive(self, seconds: float) -> bytes:
        """The next answer, of at least one byte. Raises Late or Ended."""
        deadline = time.monotonic() + seconds
        self._until(LENGTH_BYTES, deadline)
        length = int.from_bytes(self._came[:LENGTH_BYTES], "big")
        if not 1 <= length <= MAX_ANSWER_BYTES:
            raise Ended(f"sent an answer of {length} bytes, and was ended")
        self._until(LENGTH_BYTES + length, deadline)
        answer = bytes(self._came[LENGTH_BYTES : LENGTH_BYTES + length])
        del self._came[: LENGTH_BYTES + length]
        return answer

    def _until(self, length: int, deadline: float) -> None:
        while len(self._came) < length:
            _wait(self._answers, selectors.EVENT_READ, deadline)
            try:
                piece = os.read(self._answers, _PIECE_BYTES)
            except BlockingIOError:
                continue
            if not piece:
                raise Ended
            self._came += piece


def _wait(file: int, event: int, deadline: float) -> None:
    """Until `file` is ready. Raises Late once the deadline is over."""
    with selectors.DefaultSelector() as selector:
        selector.register(file, event)
        left = deadline - time.monotonic()
        if left <= 0 or not selector.select(left):
            raise Late
