"""Noisy gradients of running jobs: drawn once a round, repeated by its attempts, never served.

A charge pays for one draw of a gradient's noise; a second draw would have to be charged again. So a
draw is kept, private, until the job is over.

Attempts overlap: a requester may open the next one while the last one's draw still runs, and after
a crash all pending ones go on at once. So a task takes the job's lock before it looks for a draw,
and holds it until the draw that it makes is kept.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import trio

from node.home.home import Home, write_private

#: Locks that somebody holds or waits for, by job's folder.
_DRAWING: Final[WeakValueDictionary[Path, trio.Lock]] = WeakValueDictionary()


def drawing(home: Home, job: bytes) -> trio.Lock:
    """The lock under which a job's noise is drawn, and forgotten: by one task at a time."""
    return _DRAWING.setdefault(home.gradients / job.hex(), trio.Lock())


def _path(home: Home, job: bytes, round_: int, model: bytes) -> Path:
    return home.gradients / job.hex() / f"{round_}.{model.hex()[:32]}"


def load(home: Home, job: bytes, round_: int, model: bytes) -> bytes | None:
    """The draw of a round on a model; None if there is none."""
    try:
        return _path(home, job, round_, model).read_bytes()
    except FileNotFoundError:
        return None


def save(home: Home, job: bytes, round_: int, model: bytes, gradient: bytes) -> None:
    """Keep it; on disk when this returns. Draws of earlier rounds are removed."""
    path = _path(home, job, round_, model)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, gradient)
    for old in path.parent.iterdir():
        number = old.name.partition(".")[0]
        if number.isdigit() and int(number) < round_:
            old.unlink(missing_ok=True)


def forget(home: Home, job: bytes) -> None:
    """The job is over: none of its rounds can be tried again."""
    shutil.rmtree(home.gradients / job.hex(), ignore_errors=True)
