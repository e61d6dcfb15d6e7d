"""The main job where the processor is not its own: beside busy processes, and after a long stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from node.console.failure import Failure
from node.demo.outcome.report import Figures
from node.demo.recipes.job import OWNERS
from node.demo.screen import PlainScreen
from node.demo.story import Plan, play
from node.demo.swarm.processes import Child, Children
from scripts.benchmarks.figures import BenchError, Context, Measurement

_BUSY: Final = 16
_TICKS: Final = os.sysconf("SC_CLK_TCK")

#: Who was stopped, after which round, and for how long.
_STOPPED_AFTER: Final = 3
_STOPPED_SECONDS: Final = 300.0

#: What a daemon's log says of each connection that it closes for silence (node/net/peering).
_SILENT: Final = "its line is dead"


@dataclass(frozen=True)
class _Job:
    """One main job. `left` is the share of all cores that the busy processes did not take."""

    rounds: int
    seconds: float
    hung_up: int
    left: float


def overload(context: Context) -> Measurement:
    """Rounds that were done beside 16 busy processes; connections closed for silence as a part."""
    loaded = _beside(_BUSY)
    return Measurement(
        ours=loaded.rounds,
        parts={"connections closed for silence": (loaded.hung_up, None)},
        notes=[
            f"`assay demo` beside {_BUSY} processes that compute without end, on "
            f"{os.cpu_count()} cores; none of the connections may be closed",
        ],
    )


def overload_time(context: Context) -> Measurement:
    """The job's seconds beside them over the quiet job's, times the share that they left."""
    loaded, quiet = _beside(_BUSY), _beside(0)
    return Measurement(
        ours=loaded.seconds / quiet.seconds * loaded.left,
        parts={
            "seconds, loaded": (loaded.seconds, None),
            "seconds, quiet": (quiet.seconds, None),
            "share of the processor left": (loaded.left, None),
        },
        notes=[
            "seconds of training and pay. A job that slows down exactly as its processor does has "
            "1; the wait for the chain's blocks does not grow",
        ],
    )


def recovery(context: Context) -> Measurement:
    """Seconds from the end of a five-minute stop of all owners to the next round that is done."""
    watched = _Watched()
    screen = _Stops(watched)
    _play(watched, screen)
    if screen.recovered is None:
        raise BenchError(f"no round was done after the stop in round {_STOPPED_AFTER + 1}")
    return Measurement(
        ours=screen.recovered,
        notes=[
            f"all processes of the {OWNERS} owners are stopped (SIGSTOP) for "
            f"{_STOPPED_SECONDS:g} s after round {_STOPPED_AFTER}; the requester goes on",
        ],
    )


@cache
def _beside(busy: int) -> _Job:
    with _hogs(busy) as hogs:
        before, began = _processor(hogs), time.monotonic()
        figures, hung_up = _play(_Watched(), PlainScreen(sys.stderr))
        passed = time.monotonic() - began
        taken = _processor(hogs) - before
    return _Job(
        rounds=len(figures.accuracies),
        seconds=figures.seconds["training and pay"],
        hung_up=hung_up,
        left=1 - taken / (passed * (os.cpu_count() or 1)),
    )


@contextlib.contextmanager
def _hogs(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that compute without end, each at the priority of everybody."""
    hogs: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            hogs.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        yield hogs
    finally:
        for each in hogs:
            each.kill()
        for each in hogs:
            each.wait()


def _processor(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """Seconds that they have computed, all together."""
    ticks = 0
    for each in processes:
        fields = Path(f"/proc/{each.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


class _Watched(Children):
    """Remembers its processes by name, and their logs."""

    def __init__(self) -> None:
        super().__init__()
        self.named: dict[str, Child] = {}

    def start(self, name: str, command: Sequence[str], log: Path, helper: bool = False) -> Child:
        child = super().start(name, command, log, helper)
        self.named[name] = child
        return child

    def signal_owners(self, number: signal.Signals) -> None:
        """Send it to the owners' daemons and to the workers of each: a group is one daemon."""
        for name, child in self.named.items():
            if name.startswith("owner-"):
                os.killpg(child.pid, number)


class _Stops(PlainScreen):
    """Stops all owners once after a round, and takes the time of the next round."""

    def __init__(self, watched: _Watched) -> None:
        super().__init__(sys.stderr)
        self._watched = watched
        self._went_on: float | None = None
        self.recovered: float | None = None

    def round(self, number: int, rounds: int, accuracy: float | None, beside: str) -> None:
        super().round(number, rounds, accuracy, beside)
        if self._went_on is not None and self.recovered is None:
            self.recovered = time.monotonic() - self._went_on
        if number == _STOPPED_AFTER:
            self._watched.signal_owners(signal.SIGSTOP)
            try:
                time.sleep(_STOPPED_SECONDS)
            finally:
                self._watched.signal_owners(signal.SIGCONT)
            self._went_on = time.monotonic()


def _play(watched: _Watched, screen: PlainScreen) -> tuple[Figures, int]:
    """The main job, and how many connections its daemons closed for silence. Raises BenchError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = Plan("digits", "softmax", 1, None, folder)
        try:
            with watched:
                figures = play(plan, folder, watched, screen)
        except Failure as failure:
            raise BenchError(f"the main job did not go on: {failure}") from failure
        logs = {child.log for child in watched.named.values() if child.log.exists()}
        return figures, sum(log.read_text(errors="replace").count(_SILENT) for log in logs)
