"""The figures of a daemon that stands and waits: processor, memory, start, and room in a crowd."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from node.console.failure import Failure
from node.demo.screen import PlainScreen
from node.demo.swarm.processes import Children, assay
from node.demo.swarm.world import World, build
from scripts.benchmarks.crowd import crowd
from scripts.benchmarks.figures import Bar, BenchError, Context, Figure, Measurement, On, Suite
from scripts.benchmarks.flood import flood
from scripts.benchmarks.frames import frames
from scripts.benchmarks.loaded import overload, overload_time, recovery

#: The swarm finds itself, then waits for as long.
_SETTLE_SECONDS = 60
_WAIT_SECONDS = 600

_START_SECONDS = 180.0
_MIB = 1024 * 1024


def idle_cpu(context: Context) -> Measurement:
    """Per cent of a core that a waiting daemon takes: the median of eight."""
    shares, _ = _waited(context.say)
    return Measurement(
        ours=statistics.median(shares),
        notes=[
            f"eight daemons and their chain (a block a second) on this machine, no job, "
            f"{_WAIT_SECONDS:,} s after {_SETTLE_SECONDS} s of finding each other; "
            f"{min(shares):.3g} to {max(shares):.3g} (least to most of the eight)",
        ],
    )


def idle_memory(context: Context) -> Measurement:
    """Resident MiB of a waiting daemon, without its workers, which have not begun."""
    _, resident = _waited(context.say)
    return Measurement(
        ours=statistics.median(resident),
        notes=[f"after the same wait; {min(resident):.4g} to {max(resident):.4g}"],
    )


@cache
def _waited(say: object) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per cent of a core and resident MiB of each of eight daemons that wait. Raises BenchError."""
    try:
        with tempfile.TemporaryDirectory() as name, Children() as children:
            world = build(Path(name), children, PlainScreen(sys.stderr))
            time.sleep(_SETTLE_SECONDS)
            before, began = _seconds(world), time.monotonic()
            time.sleep(_WAIT_SECONDS)
            passed = time.monotonic() - began
            after = _seconds(world)
            children.check()
            resident = tuple(_resident(child.pid) / _MIB for child in world.daemons.values())
    except Failure as failure:
        raise BenchError(f"the swarm did not stand: {failure}") from failure
    return tuple(
        100 * (late - early) / passed for early, late in zip(before, after, strict=True)
    ), resident


def _seconds(world: World) -> list[float]:
    """Processor seconds of each daemon, in user and system mode, since it began."""
    tick = os.sysconf("SC_CLK_TCK")
    found = []
    for child in world.daemons.values():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        found.append((int(fields[11]) + int(fields[12])) / tick)
    return found


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start(context: Context) -> Measurement:
    """Seconds from `assay up` to its first line, which says that it is ready."""
    try:
        with tempfile.TemporaryDirectory() as name, Children() as children:
            home = build_one(Path(name), children)
            seconds = []
            for _ in range(context.runs):
                began = time.monotonic()
                command = assay("up", "--home", str(home), "--json")
                child = children.start("daemon", command, Path(name) / "up.log", helper=True)
                child.line(_START_SECONDS)
                seconds.append(time.monotonic() - began)
                child.terminate()
                child.end(30)
    except Failure as failure:
        raise BenchError(f"the daemon did not start: {failure}") from failure
    return Measurement(
        ours=statistics.median(seconds),
        notes=[f"{min(seconds):.3g} to {max(seconds):.3g} (least to most of {len(seconds)} runs)"],
    )


def build_one(folder: Path, children: Children) -> Path:
    """A chain with the contract, and a home that knows it; no daemon runs. Raises Failure."""
    world = build(folder, children, PlainScreen(sys.stderr))
    for child in world.daemons.values():
        child.terminate()
    for child in world.daemons.values():
        child.end(30)
    return world.bystander.home.path


SUITE = Suite(
    name="daemon",
    title="A daemon that stands in the world",
    figures=(
        Figure(
            name="idle-cpu",
            what="one waiting daemon in a swarm of eight, ten minutes",
            unit="% of a core",
            bar=Bar(On.OURS, 0.5, at_most=True),
            measure=idle_cpu,
        ),
        Figure(
            name="idle-memory",
            what="resident, no job",
            unit="MiB",
            bar=Bar(On.OURS, 110 * 1_000_000 / _MIB, at_most=True),
            measure=idle_memory,
        ),
        Figure(
            name="start",
            what="`assay up` to ready",
            unit="s",
            bar=Bar(On.OURS, 2.5, at_most=True),
            measure=start,
        ),
        Figure(
            name="crowd",
            what="of 25 honest dials, those that get in within 5 s while 200 connections, silent "
            "or idle, are kept open from one address, and from 50: the fewest of four",
            unit="dials",
            bar=Bar(On.OURS, 25),
            measure=crowd,
        ),
        Figure(
            name="flood",
            what="`status` (p95) while a peer floods the daemon with control frames at 4 MiB/s: "
            "the slowest of all kinds",
            unit="ms",
            bar=Bar(On.OURS, 100, at_most=True),
            measure=flood,
        ),
        Figure(
            name="frames",
            what="malformed frames of every protocol at one daemon that stays up, and answers each "
            "honest question meanwhile",
            unit="frames",
            bar=Bar(On.OURS, 10_000_000),
            measure=frames,
        ),
        Figure(
            name="overload",
            what="rounds of the main job's twelve that are done with 16 busy processes beside it",
            unit="rounds",
            bar=Bar(On.OURS, 12),
            measure=overload,
        ),
        Figure(
            name="overload-time",
            what="its seconds over the quiet job's, divided by how many times less processor it "
            "had",
            unit="times",
            bar=Bar(On.OURS, 2, at_most=True),
            measure=overload_time,
        ),
        Figure(
            name="recovery",
            what="from the end of a 5-minute stop of all owners to the next round that is done",
            unit="s",
            bar=Bar(On.OURS, 30, at_most=True),
            measure=recovery,
        ),
    ),
)
