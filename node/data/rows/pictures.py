"""A column of paths as the pictures that stand there: read once, with the table, into its copy.

A path is relative to the folder that the table's file stands in, and stays inside of it: no path
leads out, and no link is followed, so that a table which somebody else wrote reads nothing of this
machine but the pictures beside it. Each step is opened by itself, under the folder before it:
nothing can be put in its place between a look and the reading.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.bounds import pictures
from node.data.limits import name_list
from node.data.table import Table
from protocol import params
from protocol.errors import InputError

#: Characters of a path that an error repeats.
_SHOWN: Final = 80


class _Unfit(Exception):
    """A path that gives no picture, in words."""


def with_pictures(table: Table, folder: Path, columns: Sequence[str]) -> Table:
    """The table, with the pictures that `columns` name in the place of their paths; an empty cell
    stays one.

    Raises InputError, which names row and column: a column that is missing or holds no text; a path
    that leaves the folder, leads over a link or to no file; a file that is no picture, or too large
    a one. All pictures of a table have at most MAX_DATASET_FILE_BYTES.
    """
    import polars as pl

    texts, images, left = dict(table.texts), dict(table.images), params.MAX_DATASET_FILE_BYTES
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in columns:
            if name not in texts:
                raise _no_paths(table, name)
            found: list[bytes | None] = []
            for row, cell in enumerate(texts.pop(name)):
                try:
                    content = None if cell is None else _picture(descriptor, cell, left)
                except _Unfit as unfit:
                    where = f"{table.at(row)}: column {name!r}: {cell[:_SHOWN]!r}"
                    raise InputError(f"{where} {unfit}", "data") from None
                left -= len(content or b"")
                found.append(content)
            images[name] = pl.Series(name, found, dtype=pl.Binary)
    finally:
        os.close(descriptor)
    return dataclasses.replace(table, texts=texts, images=images)


def _no_paths(table: Table, name: str) -> InputError:
    if name in table.order:
        kind = "numbers" if name in table.numbers else "no text"
        return InputError(
            f"{table.file}: column {name!r} holds {kind}; --images names columns of paths", "images"
        )
    return InputError(
        f"{table.file} has no column {name!r}; it has {name_list(table.order)}", "images"
    )


def _picture(folder: int, path: str, left: int) -> bytes:
    """The bytes of the picture at `path` below the open `folder`. Raises _Unfit."""
    if path.startswith("/"):
        raise _Unfit("is an absolute path; paths are relative to the table's own folder")
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise _Unfit("leaves the table's own folder; put the picture inside of it")
    if not steps:
        raise _Unfit("names no file")
    with contextlib.ExitStack() as opened:
        try:
            for step in steps[:-1]:
                folder = _opened(opened, folder, step, os.O_DIRECTORY)
            # A pipe or a device would block, or be read: what is no plain file is not opened to be.
            file = _opened(opened, folder, steps[-1], os.O_NONBLOCK)
            return _content(file, left)
        except OSError as error:
            raise _Unfit(f"cannot be read: {error.strerror or error}") from error


def _opened(opened: contextlib.ExitStack, folder: int, step: str, flag: int) -> int:
    try:
        found = os.open(step, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flag, dir_fd=folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.stat(step, dir_fd=folder, follow_symlinks=False).st_mode):
                raise _Unfit(
                    "leads over a symbolic link, and none is followed; put the picture itself there"
                ) from None
        if error.errno == errno.ENOENT:
            raise _Unfit("is not there; paths are relative to the table's own folder") from None
        raise
    opened.callback(os.close, found)
    return found


def _content(file: int, left: int) -> bytes:
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        raise _Unfit("is no plain file")
    if about.st_size > pictures.MAX_IMAGE_BYTES:
        most = pictures.MAX_IMAGE_BYTES
        raise _Unfit(f"is a file of {about.st_size} bytes; at most {most} are read")
    if about.st_size > left:
        most = params.MAX_DATASET_FILE_BYTES
        raise _Unfit(f"is one picture too many: {most} bytes are allowed in all")
    with open(file, "rb", closefd=False) as reading:
        content = reading.read(about.st_size)
    if fault := pictures.fault_of(content):
        raise _Unfit(f"is {fault}")
    return content
