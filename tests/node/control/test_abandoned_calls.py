"""A call whose client leaves: it ends if it only computes, and goes on if it changes something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from kits.control.fake import serving
from kits.control.wire import ask, lines, request

from node.control import examples as ex
from node.control.methods import METHODS
from node.control.rpc import ABANDONED
from protocol.errors import InputError


class Computing:
    """What the node does for a call: it waits until it may go on, or is cancelled."""

    def __init__(self) -> None:
        self.began, self.go_on, self.over = trio.Event(), trio.Event(), trio.Event()
        self.end = ""

    async def __call__(self, job: str) -> Any:
        self.began.set()
        try:
            await self.go_on.wait()
            self.end = "done"
        except trio.Cancelled:
            self.end = "cancelled"
            raise
        finally:
            self.over.set()
        raise InputError("enough", "job")


def test_what_ends_with_its_client_is_there() -> None:
    assert all(name in METHODS for name in ABANDONED)


async def test_a_call_that_only_computes_ends_with_its_client(tmp_path: Path) -> None:
    computing = Computing()
    async with serving(tmp_path / "s") as running:
        running.node.audit = computing  # type: ignore[method-assign]
        async with await trio.open_unix_socket(str(running.path)) as stream:
            await stream.send_all(request("audit", {"job": ex.JOB}))
            await computing.began.wait()
        with trio.fail_after(30):
            await computing.over.wait()
        assert computing.end == "cancelled"
        assert (await ask(running, request("status")))[0]["result"]
        assert running.server.statistics.defects == 0


@pytest.mark.parametrize(("method", "leaves"), [("audit", False), ("job.cancel", True)])
async def test_others_go_on(tmp_path: Path, method: str, leaves: bool) -> None:
    """One whose client writes no more and still reads, and one that changes something."""
    computing = Computing()
    async with serving(tmp_path / "s") as running:
        setattr(running.node, method.replace(".", "_"), computing)
        async with await trio.open_unix_socket(str(running.path)) as stream:
            await stream.send_all(request(method, {"job": ex.JOB}))
            await computing.began.wait()
            await stream.send_eof()
            if leaves:
                await stream.aclose()
            with trio.move_on_after(1.5):  # three looks
                await computing.over.wait()
            assert computing.end == ""
            computing.go_on.set()
            with trio.fail_after(30):
                await computing.over.wait()
                if not leaves:
                    (reply,) = await lines(stream, 1)
                    assert reply["error"]["message"] == "job: enough"
        assert computing.end == "done"
