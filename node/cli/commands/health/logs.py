"""logs: the end of the daemon's log, one job's lines alone, and what is added to it."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from node.cli.options import Here
from node.console.failure import Failure
from node.console.session import Session, write_json
from node.console.show import clean
from node.control.codes import Exit
from node.home.logs import parsed, plain

#: Of a log's end, bytes that are looked through.
MAX_BYTES: Final = 16 * 1024 * 1024
#: Bytes of one line that are kept: more is no line of a log.
MAX_LINE: Final = 64 * 1024
_POLL_SECONDS: Final = 0.3

#: A job's id in the log is its beginning, of 8 digits or more.
_ID: Final = re.compile(r"(?<![0-9a-z])(?:0x)?([0-9a-f]{8,64})(?![0-9a-z])")


def logs(
    *,
    session: Here,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on with what is added.", negative=())
    ] = False,
    job: Annotated[str | None, Parameter(help="Lines about this job alone.")] = None,
    lines: Annotated[int, Parameter(help="So many lines from the end.")] = 100,
) -> int:
    """The end of the log of a daemon that was started by `assay up --background`.

    With --json, one object a line: time, level, logger, message. What goes on over several lines, a
    traceback, belongs to the line above it.
    """
    path = session.home.log
    if lines < 0:
        raise Failure(Exit.USAGE, f"{lines} lines; 0 or more are allowed", field="lines")
    wanted = None if job is None else _prefix(job)
    try:
        # To open a pipe would wait for whoever writes to it.
        if not path.is_file() and path.exists():
            raise OSError(errno.EINVAL, "it is no file")
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - MAX_BYTES)
            file.seek(start)
            held = file.read(size - start)
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise Failure(
            Exit.USAGE,
            text,
            next_="assay up --background writes it; under systemd: journalctl --user -u assay -f",
        ) from None
    whole, _, rest = held.rpartition(b"\n")
    # The first line of a part is the end of one.
    found = [*_about(_decoded(whole.split(b"\n")[1 if start else 0 :]), wanted)]
    for line in found[len(found) - min(lines, len(found)) :]:
        _show(line, session)
    if follow:
        for line in _about(_added(path, size - len(rest)), wanted):
            _show(line, session)
    return Exit.OK


def _prefix(job: str) -> str:
    digits = job.lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]{1,64}", digits):
        raise Failure(
            Exit.USAGE, f"{job[:80]!r} begins no job's id", next_="assay jobs", field="job"
        )
    return digits


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    return (line[:MAX_LINE].decode(errors="replace").rstrip("\r") for line in lines)


def _about(lines: Iterable[str], job: str | None) -> Iterator[str]:
    """Lines about a job, with what goes on below them; all where `job` is None."""
    speaks = job is None
    for line in lines:
        if job is not None and "time" in parsed(line):
            speaks = any(
                found.startswith(job) or job.startswith(found) for found in _ID.findall(line)
            )
        if speaks:
            yield line


def _added(path: Path, place: int) -> Iterator[str]:
    """Lines that are added from byte `place` on, for ever; a log that begins anew is begun anew."""
    left = b""
    while True:
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < place:
                    place, left = 0, b""
                file.seek(place)
                new = file.read(MAX_BYTES)
        except OSError:
            new = b""  # it is moved away just now; the next one is read from its beginning
            place, left = 0, b""
        place += len(new)
        *whole, left = (left + new).split(b"\n")
        yield from _decoded(whole)
        left = left[:MAX_LINE]
        if not new:
            time.sleep(_POLL_SECONDS)


def _show(line: str, session: Session) -> None:
    if session.json:
        write_json(parsed(line))
    else:
        for each in plain(line).split("\n"):
            sys.stdout.write(clean(each) + "\n")
        sys.stdout.flush()
