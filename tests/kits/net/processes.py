"""Nodes in processes of their own, which a test can stop, kill and listen to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from kits.paths import ROOT, TESTS


@asynccontextmanager
async def process(*bootstrap: str) -> AsyncIterator[trio.Process]:
    command = [sys.executable, "-m", "kits.net.node_process", *bootstrap]
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"},
            check=False,
        )
        child: trio.Process = await nursery.start(run)
        yield child
        nursery.cancel_scope.cancel()


class Lines:
    """Lines of a process's output."""

    def __init__(self, child: trio.Process) -> None:
        assert child.stdout
        self._stream = child.stdout
        self._buffer = b""

    async def next(self) -> str:
        with trio.fail_after(40):
            while b"\n" not in self._buffer:
                piece = await self._stream.receive_some()
                assert piece, "the process ended"
                self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()
