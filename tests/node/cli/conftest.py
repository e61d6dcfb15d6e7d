"""The command as a user runs it: a process of its own, against the real server on a fake node."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.control.fake import Running, serving
from kits.paths import ROOT

from node.cli.main import main
from node.home.config import Config, init_home
from node.home.home import Home
from scripts.testing.keeper import mark


@dataclass(frozen=True)
class Ended:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON text that it must be."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error on standard error."""
        return json.loads(self.err)["error"]


class Command:
    """Runs `assay` with one home and a bare environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "ASSAY_HOME": str(home),
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),  # this checkout's code, whatever is installed
            **mark(),
        }

    async def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        done = await trio.run_process(
            [sys.executable, "-m", "node.cli.main", *arguments],
            stdin=stdin.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=self.environ,
            cwd=self.home.parent,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Running]:
        """A fake node that answers on this home's socket."""
        home = Home(self.home)
        if not home.config.exists():
            init_home(home, Config())
        async with serving(home.bind_path()) as running:
            yield running


class Inside(Command):
    """Runs `assay` within this process, in a thread: for tests of what is said, a hundred times
    quicker than a process each."""

    async def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        out, err = io.StringIO(), io.StringIO()

        def run() -> int:
            with redirect_stdout(out), redirect_stderr(err):
                return main(["--home", str(self.home), *arguments])

        code = await trio.to_thread.run_sync(run)
        return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """A command that runs within this process; nobody sits at its terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    return Inside(tmp_path / "home")


@pytest.fixture
def assay(tmp_path: Path) -> Command:
    """A command on a home that does not exist yet."""
    return Command(tmp_path / "home")
