"""The programs of docs/examples/, run as they stand there among real daemons."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL
from kits.daemons.processes import Daemon, Swarm, environment, until
from kits.paths import ROOT

pytestmark = pytest.mark.long

EXAMPLES = ROOT / "docs" / "examples"
SECONDS = 240.0


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    try:
        await swarm.start()
        yield swarm
    finally:
        swarm.destroy()


async def ran(daemon: Daemon, name: str, *arguments: Path | str) -> str:
    """What a program prints, with a daemon's home as the user's; it must end well."""
    done = await trio.run_process(
        [sys.executable, EXAMPLES / name, *arguments],
        env=environment() | {"ASSAY_HOME": str(daemon.home.path), "POLARS_FMT_MAX_COLS": "20"},
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{said}"
    return said


async def test_the_programs_post_take_follow_and_count_a_job(swarm: Swarm, tmp_path: Path) -> None:
    chooser, *others = swarm.owners
    files = [clouds.write_csv(tmp_path / f"{n}.csv", seed=n, rows=100) for n in range(5)]
    for owner, file in zip(others, files[1:], strict=True):
        owner.call("data.add", name="clouds", path=str(file))
        owner.call("policy.set", dataset="clouds", changes=TAKES_ALL)
    spec, holdout = tmp_path / "clouds.toml", clouds.write_csv(tmp_path / "h.csv", seed=99, rows=60)
    spec.write_text(clouds.spec(rounds=2))
    posted: list[str] = []
    followed: list[str] = []
    assert "rows" in await ran(chooser, "take_jobs.py", "clouds", files[0])

    async def post() -> None:
        posted.append(await ran(swarm.requester, "post_and_use.py", spec, holdout))

    async def follow() -> None:
        followed.append(await ran(others[0], "follow_all.py"))

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            await until(lambda: len(chooser.call("jobs")) == 1, 60, "the job is known")
            await until(lambda: len(others[0].call("jobs")) == 1, 60, "the job is known")
            nursery.start_soon(follow)
            taken = await ran(chooser, "take_jobs.py", "clouds", files[0])
    assert "Two clouds: taken" in taken
    assert "finished, round 2 of 2" in posted[0]
    assert "the first rows are predicted as" in posted[0]
    assert "ended with all rounds" in followed[0]
    await until(lambda: _paid(chooser), 60, "pay has come")
    assert "Two clouds" in await ran(chooser, "what_it_earned.py")


async def test_the_notebooks_cells_run_one_after_the_other(swarm: Swarm, tmp_path: Path) -> None:
    """They are run as a kernel does, in one namespace; its two files have the names of its own."""
    for number, owner in enumerate(swarm.owners):
        file = clouds.write_csv(tmp_path / f"{number}.csv", seed=number, rows=100)
        owner.call("data.add", name="clouds", path=str(file))
        owner.call("policy.set", dataset="clouds", changes=TAKES_ALL)
    (tmp_path / "data").mkdir()
    clouds.write_csv(tmp_path / "data" / "holdout.csv", seed=99, rows=60)
    (tmp_path / "breast-cancer.toml").write_text(clouds.spec(rounds=2))
    cells = json.loads((EXAMPLES / "a_job.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells)
    program = tmp_path / "cells.py"
    program.write_text("\n".join(sources))
    with trio.fail_after(SECONDS):
        done = await trio.run_process(
            [sys.executable, program],
            cwd=tmp_path,
            env=environment() | {"ASSAY_HOME": str(swarm.requester.home.path)},
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert done.returncode == 0, done.stdout.decode()
    assert swarm.requester.call("jobs")[0]["state"] == "finished"


async def test_a_node_is_paused_while_the_machine_is_busy(swarm: Swarm) -> None:
    owner = swarm.owners[0]
    program = [sys.executable, str(EXAMPLES / "only_at_night.py")]
    home = environment() | {"ASSAY_HOME": str(owner.home.path)}
    for load, closed in (("-1", True), ("1e9", False)):
        said = await trio.to_thread.run_sync(first_line, [*program, load], home)
        assert ("paused" in said) is closed, said
        assert bool(owner.call("status")["closed"]) is closed


def first_line(command: list[str], environ: dict[str, str]) -> str:
    """The first thing that a program without an end prints."""
    running = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        return running.stdout.readline()
    finally:
        running.kill()
        running.wait(10)


def _paid(owner: Daemon) -> bool:
    return all(int(line["paid"]) > 0 for line in owner.call("earnings")["lines"])
