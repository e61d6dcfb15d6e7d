"""What goes between an encoder's process and the one that started it: frames over two pipes.

A frame is a length, 4 bytes, big-endian, and as many bytes. The first byte of an answer says what
it is. Whoever reads an answer trusts none of it: the process ran somebody else's program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

LENGTH_BYTES: Final = 4

#: The first byte of an answer: the package is read, a row's numbers, the local user's error, ours.
READY, VECTOR, REFUSED, FAILED = b"K", b"V", b"E", b"F"

#: A vector has 4 KiB at most; what was found of a package, and errors, are short.
MAX_ANSWER_BYTES: Final = 64 * 1024

#: The first question where no package is read but a network alone: what forms it declares.
FORMS: Final = b"forms"

_PIECE_BYTES: Final = 1024 * 1024


def framed(content: bytes) -> bytes:
    """The frame of `content`."""
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def read_frame(file: int) -> bytes | None:
    """The next frame of a descriptor that blocks; None at its end."""
    head = b"".join(_pieces(file, LENGTH_BYTES))
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    content = b"".join(_pieces(file, length))
    return content if len(content) == length else None


def read_exactly(file: int, length: int) -> bytes:
    """`length` bytes, or fewer where the file ends."""
    return b"".join(_pieces(file, length))


def write_all(file: int, content: bytes) -> None:
    """Writes all of it to a descriptor that blocks."""
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _pieces(file: int, length: int) -> Iterator[bytes]:
    while length and (piece := os.read(file, min(length, _PIECE_BYTES))):
        length -= len(piece)
        yield piece
