"""A job of a million parameters between real processes, beside the arithmetic of Flower's SecAgg+.

Ours is everything: daemons, disk, network, chain, training. Flower's is the arithmetic of its
protocol alone, all its clients in one process, without anything sent or stored.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from node.console.failure import Failure
from node.demo.recipes.columns import TABLES
from node.demo.recipes.job import ACCEPTING, Recipe, spec
from node.demo.screen import PlainScreen
from node.demo.swarm.processes import Child, Children
from node.demo.swarm.world import World, build
from scripts.benchmarks.figures import BenchError, Context, Measurement

#: A dense layer of so many units has 75 parameters a unit, and 10: 1,000,060.
_HIDDEN: Final = 13_334
_PARAMETERS: Final = 75 * _HIDDEN + 10
_ROUNDS: Final = 4
_ROWS: Final = 200
_THRESHOLD: Final = 4

#: The phase in which a requester waits for the chain.
_CHAIN: Final = "commit"
_JOB_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.1
_MB: Final = 1_000_000
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Job:
    """`phases`: seconds a round. `requester` and `owner`: the most bytes resident at one moment,
    of a daemon and its workers; of the owners the one that held most."""

    phases: dict[str, float]
    requester: int
    owner: int


def large(context: Context) -> Measurement:
    """Seconds a round less the chain's; the peer's seconds for the arithmetic of its round."""
    played, peer = _played(), _flower(context)
    rest = {phase: seconds for phase, seconds in played.phases.items() if phase != _CHAIN}
    return Measurement(
        ours=sum(rest.values()),
        peer=peer,
        parts={phase: (seconds, None) for phase, seconds in rest.items()},
        notes=[
            f"{_ROUNDS} rounds of a dense model of {_PARAMETERS:,} parameters, {ACCEPTING} owners "
            "and eight daemons in real processes, with training, disk and network; "
            f"{played.phases[_CHAIN]:.3g} s more are the chain's",
            f"Flower's is arithmetic alone: the same vector and {ACCEPTING} clients in one process "
            "on one core, nothing sent or stored. Its real processes are not measured here",
        ],
    )


def large_memory(_: Context) -> Measurement:
    """Megabytes of the largest daemon with its workers, at its worst moment."""
    played = _played()
    return Measurement(
        ours=max(played.requester, played.owner) / _MB,
        parts={
            "requester": (played.requester / _MB, None),
            "owner": (played.owner / _MB, None),
        },
        notes=[
            f"resident bytes of a daemon and its workers added up, every {_LOOK_SECONDS:g} s; what "
            "they share counts once for each"
        ],
    )


def _flower(context: Context) -> float:
    """Seconds of a round, the least of two. Raises BenchError."""
    side = context.side("flower")
    size = {"owners": ACCEPTING, "dropped": 0, "threshold": _THRESHOLD, "values": _PARAMETERS}
    return min(side.call("round", **size).seconds for _ in range(2))


@cache
def _played() -> _Job:
    """The job, once for all figures. Raises BenchError."""
    try:
        with tempfile.TemporaryDirectory() as name, Children() as children:
            folder = Path(name)
            world = build(folder, children, PlainScreen(sys.stderr))
            _bring_data(world, folder)
            file = folder / "job.toml"
            file.write_text(_spec(), encoding="utf-8")
            watched = {user.name: world.daemons[user.name] for user in world.users}
            with _Memory(watched) as memory:
                posted = world.requester.command("job", "post", str(file), "--yes")
                shown = _follow(world, str(posted["job"]), children)
    except Failure as failure:
        raise BenchError(f"the large job did not go on: {failure}") from failure
    done = [each for each in shown["rounds"] if each["phase"] == "done"]
    if len(done) != _ROUNDS:
        summary = shown["summary"]
        raise BenchError(f"{len(done)} of {_ROUNDS} rounds: {summary['state']} {summary['reason']}")
    owners = [most for name, most in memory.most.items() if name.startswith("owner-")]
    phases = {phase: seconds / _ROUNDS for phase, seconds in shown["seconds"].items()}
    return _Job(phases, memory.most["requester"], max(owners))


def _spec() -> str:
    recipe = Recipe("dense", _HIDDEN, _ROUNDS, 1, 32, 1.0, 16.0, 0.0, 1e-4)
    text = spec(TABLES["digits"], recipe)
    text = text.replace(f"max_owners = {ACCEPTING + 1}", f"max_owners = {ACCEPTING}")
    return text + '\n[encryption]\nenvelope = "masks"\n'


def _bring_data(world: World, folder: Path) -> None:
    """Five owners add rows that mean nothing, and accept; the sixth looks on."""
    table = TABLES["digits"]
    dice = random.Random(1)  # noqa: S311 - rows that mean nothing
    header = ",".join([*(column.name for column in table.columns), table.target])
    for number, owner in enumerate(world.owners[:ACCEPTING]):
        lines = [header]
        for _ in range(_ROWS):
            cells = [str(dice.randint(0, 16)) for _ in table.columns]
            lines.append(",".join([*cells, dice.choice(table.classes)]))
        file = folder / f"rows-{number}.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        owner.ask("data.add", name="rows", path=str(file))
        changes: dict[str, Any] = {"accept": "auto", "price_floor": "0", "no_noise": True}
        owner.ask("policy.set", dataset="rows", changes=changes)


def _follow(world: World, job: str, children: Children) -> dict[str, Any]:
    """Until all rounds are done, or the job is over. Raises BenchError."""
    deadline = time.monotonic() + _JOB_SECONDS
    while True:
        children.check()
        shown: dict[str, Any] = world.requester.ask("job.show", job=job)
        done = sum(each["phase"] == "done" for each in shown["rounds"])
        if done == _ROUNDS or shown["summary"]["state"] in ("closed", "cancelled", "failed"):
            return shown
        if time.monotonic() > deadline:
            state = shown["summary"]["state"]
            raise BenchError(f"the large job is still {state} after {_JOB_SECONDS:g} s")
        time.sleep(1.0)


class _Memory:
    """The most that each daemon and its workers hold together, by name, while the block lasts."""

    def __init__(self, watched: dict[str, Child]) -> None:
        self._watched = watched
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = dict.fromkeys(watched, 0)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for name, child in self._watched.items():
                held = sum(map(_resident, _family(child.pid)))
                self.most[name] = max(self.most[name], held)


def _family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [each for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return  # it has ended
    for child in children:
        yield from _family(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
