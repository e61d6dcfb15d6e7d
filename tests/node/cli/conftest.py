"""The command as a user runs it: a process of its own, against the real server on a fake node."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.control.fake import Running, serving
from kits.daemons import forge
from kits.paths import ROOT

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
    """Runs `assay` with one home and a bare environment.

    `fresh`: by an interpreter that has imported nothing, as a user does; else off the forge.
    """

    def __init__(self, home: Path, fresh: bool) -> None:
        self.home = home
        self.fresh = fresh or not forge.POSSIBLE
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "ASSAY_HOME": str(home),
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),  # this checkout's code, whatever is installed
            **mark(),
        }

    async def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        if not self.fresh:
            return await self._forged(arguments, stdin)
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

    async def _forged(self, arguments: Sequence[str], stdin: str) -> Ended:
        with tempfile.TemporaryDirectory() as made:
            files = forge.Files(
                Path(made, "out"), Path(made, "err"), self.home.parent, Path(made, "in")
            )
            files.reads.write_text(stdin)
            process = forge.command(arguments, self.environ, files)
            await trio.lowlevel.wait_readable(process.end)
            code = process.wait(0)
            return Ended(code, files.writes.read_text(), files.complains.read_text())

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Running]:
        """A fake node that answers on this home's socket."""
        home = Home(self.home)
        if not home.config.exists():
            init_home(home, Config())
        async with serving(home.bind_path()) as running:
            yield running


@pytest.fixture
def assay(tmp_path: Path, request: pytest.FixtureRequest) -> Command:
    """A command on a home that does not exist yet; a module says by `FRESH` how it is run."""
    return Command(tmp_path / "home", getattr(request.module, "FRESH", False))
