"""multipart/form-data (RFC 7578), read as it comes: pieces in, fields and a file's bytes out.

What is held is bounded before any of it is kept: a part's head, the text of all fields, the number
of parts. The bytes of a file are handed on as they come; how many there may be, its taker says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: A part's head of ours has a name and a file's name.
MAX_HEAD_BYTES: Final = 4096

#: Text of all fields together: a column map and a few words.
MAX_TEXT_BYTES: Final = 512 * 1024

MAX_PARTS: Final = 32

#: RFC 2046, 5.1.1.
_BOUNDARY: Final = re.compile(r"""boundary="?([0-9A-Za-z'()+_,./:=?-]{1,70})"?\s*(;|$)""")
_QUOTED: Final = '="((?:[^"\\\\]|\\\\.)*)"'
_NAME: Final = re.compile("[; ]name" + _QUOTED)
_FILENAME: Final = re.compile("[; ]filename" + _QUOTED)


class Broken(Exception):
    """No form of ours: why."""


@dataclass(frozen=True)
class Field:
    """A field's name and its whole text."""

    name: str
    text: str


@dataclass(frozen=True)
class FileBegins:
    """A file follows. `filename` is the browser's word: empty where none was chosen."""

    name: str
    filename: str


def boundary_of(content_type: str) -> bytes:
    """What parts the form's parts. Raises Broken unless it is a form in parts."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data;") or found is None:
        raise Broken("the form is not in parts (multipart/form-data)")
    return found[1].encode("ascii")


class Multipart:
    """One form. `feed` its bytes; `done` once its last boundary came."""

    def __init__(self, boundary: bytes) -> None:
        self._end = b"\r\n--" + boundary
        # The first boundary has no line before it.
        self._held = b"\r\n"
        self._in_head = False
        self._field: str | None = None
        self._text = b""
        self._began = False
        self._parts = 0
        self._left = MAX_TEXT_BYTES
        self.done = False

    def feed(self, data: bytes) -> Iterator[Field | FileBegins | bytes]:
        """What these bytes complete; bytes are of the file that began last. Raises Broken."""
        self._held += data
        while not self.done:
            if self._in_head:
                head, found, rest = self._held.partition(b"\r\n\r\n")
                if len(head) > MAX_HEAD_BYTES:
                    raise Broken("the head of a part is too long")
                if not found:
                    return
                self._held, self._in_head = rest, False
                yield from self._begin(head.decode("utf-8", "replace"))
                continue
            at = self._held.find(self._end)
            if at < 0:
                # What may be the beginning of a boundary waits.
                sure = max(0, len(self._held) - len(self._end) + 1)
                yield from self._body(self._held[:sure])
                self._held = self._held[sure:]
                return
            after = self._held[at + len(self._end) : at + len(self._end) + 2]
            if len(after) < 2:
                return
            yield from self._body(self._held[:at])
            self._held = self._held[at + len(self._end) + 2 :]
            yield from self._close()
            if after == b"--":
                self.done = True
            elif after == b"\r\n":
                self._in_head = True
            else:
                raise Broken("a boundary does not end its line")

    def _begin(self, head: str) -> Iterator[FileBegins]:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Broken(f"the form has more than {MAX_PARTS} parts")
        name, filename = _NAME.search(head), _FILENAME.search(head)
        if name is None:
            raise Broken("a part has no name")
        self._began = True
        if filename is None:
            self._field, self._text = name[1], b""
        else:
            self._field = None
            yield FileBegins(name[1], filename[1])

    def _body(self, data: bytes) -> Iterator[bytes]:
        if not self._began:
            if data:
                raise Broken("the form does not begin with its boundary")
            return
        if self._field is None:
            if data:
                yield data
            return
        self._left -= len(data)
        if self._left < 0:
            raise Broken(f"the form's text has more than {MAX_TEXT_BYTES} bytes")
        self._text += data

    def _close(self) -> Iterator[Field]:
        if self._began and self._field is not None:
            yield Field(self._field, self._text.decode("utf-8", "replace"))
        self._began = False
