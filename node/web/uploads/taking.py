"""A form that may bring a file: streamed in bounds into a folder of its own, gone after the act.

The gate has compared the length that the request names with MAX_UPLOAD_BYTES before anything is
read; here the disk must have room for it, and no more than a few are taken in at once.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final

import trio
from starlette.requests import ClientDisconnect, Request

from node.console.failure import Failure
from node.control.codes import Exit
from node.web.uploads.multipart import (
    MAX_TEXT_BYTES,
    Broken,
    Field,
    FileBegins,
    Multipart,
    boundary_of,
)
from node.web.uploads.scratch import Scratch
from protocol import params

#: A file that a data set may come from, and the form around it.
MAX_UPLOAD_BYTES: Final = params.MAX_DATASET_FILE_BYTES + 2 * MAX_TEXT_BYTES

#: Forms that are taken in at once.
_AT_ONCE: Final = 2

#: Bytes that are written at a time, in a thread.
_PIECE: Final = 1024 * 1024

#: The home's disk keeps so many bytes for the daemon, and as many as the file for its copy.
_KEPT_FREE: Final = 256 * 1024 * 1024

#: Its kind is told by the end of its name, which a reader looks at; the rest is for people.
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 80


@dataclass(frozen=True)
class Form:
    """Fields by name, and the file if one was chosen."""

    fields: Mapping[str, str]
    file: Path | None

    def source(self, field: str = "path") -> Path:
        """The file, or the one that a field names by its absolute path. Raises Failure."""
        if self.file is not None:
            return self.file
        text = self.fields.get(field, "").strip()
        if not text:
            why = "name a file on this machine, or choose one to hand over"
            raise Failure(Exit.USAGE, why, field=field)
        given = Path(text).expanduser() if text.startswith("~") else Path(text)
        if not given.is_absolute() or "\x00" in text:
            raise Failure(Exit.USAGE, "must be an absolute path, from / on", field=field)
        return given


class Taker:
    """Takes forms in, a few at once."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self._limit = trio.CapacityLimiter(_AT_ONCE)

    @asynccontextmanager
    async def form(self, request: Request) -> AsyncIterator[Form]:
        """A request's form; its file lies there until the block ends. Raises Failure."""
        length = int(request.headers.get("content-length", "0"))
        free = shutil.disk_usage(self.scratch.path).free
        if 2 * length + _KEPT_FREE > free:
            text = f"the disk of this home has {free} bytes left, too few for this file and a copy"
            raise Failure(Exit.USAGE, text, next_="name it by its path", field="file")
        async with self._limit:
            with self.scratch.folder() as folder:
                yield await _taken(request, folder)


async def _taken(request: Request, folder: Path) -> Form:
    fields: dict[str, str] = {}
    writing: _Writing | None = None
    try:
        parts = Multipart(boundary_of(request.headers.get("content-type", "")))
        async for data in request.stream():
            for each in parts.feed(data):
                if isinstance(each, Field):
                    # A browser ends the lines of a text by two characters.
                    fields[each.name] = each.text.replace("\r\n", "\n")
                elif isinstance(each, FileBegins):
                    if writing is not None:
                        raise Broken("the form has more than one file")
                    writing = _Writing(folder, each.filename)
                elif writing is not None:
                    await writing.write(each)
        if not parts.done:
            raise Broken("the form did not come whole")
        return Form(fields, None if writing is None else await writing.end())
    except (Broken, ClientDisconnect) as error:
        why = str(error) or "the form did not come whole"
        raise Failure(Exit.USAGE, f"{why}; nothing was done", field="file") from None
    except OSError as error:
        text = f"the file cannot be kept: {error.strerror or error}"
        raise Failure(Exit.USAGE, text, next_="name it by its path", field="file") from None
    finally:
        if writing is not None:
            writing.close()


class _Writing:
    """A file as it comes. No name, no file: the reader chose none."""

    def __init__(self, folder: Path, filename: str) -> None:
        base = PureWindowsPath(PurePosixPath(filename).name).name
        name = _ODD.sub("-", base).strip(".-")[-_LONGEST:].strip(".-")
        self._path = folder / (name or "file") if filename else None
        self._file: IO[bytes] | None = None if self._path is None else self._path.open("xb")
        self._pieces: list[bytes] = []
        self._held = 0

    async def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= _PIECE:
            await self._flush()

    async def end(self) -> Path | None:
        await self._flush()
        self.close()
        return self._path

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def _flush(self) -> None:
        whole, self._pieces, self._held = b"".join(self._pieces), [], 0
        if self._file is not None and whole:
            await trio.to_thread.run_sync(self._file.write, whole)
