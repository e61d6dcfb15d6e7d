from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from kits.computations import (
    add,
    announce_and_spin,
    die,
    leave,
    linear_algebra_threads,
    refuse,
    spin,
    where_am_i,
)
from kits.paths import ROOT, TESTS

from node.workers.compute import ComputeStatistics, WorkerDied, open_compute
from node.workers.worker import NICENESS, THREAD_VARIABLES
from protocol.errors import InputError

# What workers do in these tests. They import this file, so it stays light.


async def until_ended(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(watched)
    finally:
        os.close(watched)


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    """A named pipe through which `announce_and_spin` tells its process id."""
    os.mkfifo(tmp_path / "pid")
    return str(tmp_path / "pid")


async def read_pid(pipe: str) -> int:
    return int(await trio.Path(pipe).read_text())


async def test_a_worker_is_another_process_niced_and_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_PASSPHRASE_FILE", "/secret/file")
    secret = tmp_path / "secret"
    with secret.open("w") as held:
        os.set_inheritable(held.fileno(), True)
        async with open_compute() as compute:
            found = await compute.run(where_am_i)
            again = await compute.run(where_am_i)
            assert found["pid"] == again["pid"] != os.getpid()
            assert found["nice"] == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
            assert found["threads"] == dict.fromkeys(THREAD_VARIABLES, "1")
            assert found["assay"] == []
            assert found["numpy"] is False
            assert str(secret) not in str(found["files"])
            # The main thread and the one that watches for the daemon's end.
            assert await compute.run(linear_algebra_threads) == 2


async def test_a_worker_with_a_share_rests_for_what_it_took() -> None:
    async with open_compute(share=25) as compute:
        used, passed = await compute.run(spin, 0.2)
    # A busy machine makes it longer still, and nothing makes it shorter.
    assert passed > 3 * used


async def test_no_worker_before_the_first_computation() -> None:
    async with open_compute() as compute:
        assert compute._context.statistics().idle_workers == 0
        await compute.run(add, 1, 2)
        assert compute._context.statistics().idle_workers == 1


async def test_a_worker_that_dies_says_so_and_the_next_call_works() -> None:
    async with open_compute() as compute:
        with pytest.raises(WorkerDied, match=r"computed die was killed \(signal 9"):
            await compute.run(die, signal.SIGKILL)
        assert await compute.run(add, 1, 2) == 3
        with pytest.raises(WorkerDied, match="was ended by signal 11"):
            await compute.run(die, signal.SIGSEGV)
        with pytest.raises(WorkerDied, match=r"ended by itself \(exit status 3\)"):
            await compute.run(leave)
        assert await compute.run(add, 3, 4) == 7
        statistics = compute.statistics()
    assert (statistics.done, statistics.died, statistics.failed) == (2, 3, 0)
    assert statistics.busy_seconds > 0


async def test_a_worker_killed_while_idle_is_replaced() -> None:
    async with open_compute() as compute:
        pid = (await compute.run(where_am_i))["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        await until_ended(pid)
        assert await compute.run(add, 1, 2) == 3


async def test_errors_come_back_as_they_are() -> None:
    async with open_compute() as compute:
        with pytest.raises(InputError, match=r"^data\.age: is wrong$") as caught:
            await compute.run(refuse)
        assert caught.value.field == "data.age"
        assert compute.statistics() == ComputeStatistics(
            0, 1, 0, 0, 0, 0, compute.statistics().busy_seconds
        )


async def test_cancelling_stops_the_work(pipe: str) -> None:
    async with open_compute() as compute:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(compute.run, announce_and_spin, pipe)
            pid = await read_pid(pipe)
            assert compute.statistics().running == 1
            nursery.cancel_scope.cancel()
        await until_ended(pid)
        assert compute.statistics().cancelled == 1
        assert await compute.run(add, 1, 2) == 3


async def test_calls_wait_their_turn_for_the_one_worker(pipe: str) -> None:
    order: list[int] = []

    async with open_compute(workers=1) as compute, trio.open_nursery() as nursery:

        async def one(number: int) -> None:
            order.append(await compute.run(add, number, 0))

        async with trio.open_nursery() as blocker:
            blocker.start_soon(compute.run, announce_and_spin, pipe)
            await read_pid(pipe)
            for number in range(5):
                nursery.start_soon(one, number)
                await trio.testing.wait_all_tasks_blocked()
            assert (compute.statistics().running, compute.statistics().waiting) == (1, 5)
            blocker.cancel_scope.cancel()
    assert order == [0, 1, 2, 3, 4]


async def test_what_waits_for_others_holds_up_no_computation(pipe: str) -> None:
    """A database that does not answer kept the only worker."""
    async with open_compute(workers=1) as compute, trio.open_nursery() as nursery:
        nursery.start_soon(compute.run_aside, announce_and_spin, pipe)
        await read_pid(pipe)
        with trio.fail_after(60):
            assert await compute.run(add, 1, 2) == 3
        assert compute.statistics().running == 1
        nursery.cancel_scope.cancel()


async def test_closing_never_hides_what_the_body_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def body(error: Exception | None) -> None:
        async with open_compute() as compute:
            pid = (await compute.run(where_am_i))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            await until_ended(pid)
            if error is not None:
                raise error

    with caplog.at_level(logging.WARNING, "assay.compute"):
        await body(None)
    assert "did not end cleanly" in caplog.text
    with pytest.raises(InputError, match="of the body"):
        await body(InputError("of the body"))


async def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        async with open_compute(workers=0):
            pytest.fail("opened")


_DAEMON = """
import sys
from functools import partial
import trio
from node.workers.compute import open_compute
from kits.computations import announce_and_spin

async def main():
    async with open_compute() as compute:
        await compute.run(announce_and_spin, sys.argv[1])

if __name__ == "__main__":
    trio.run(main)
"""


async def test_workers_end_with_a_daemon_that_is_killed(tmp_path: Path, pipe: str) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(_DAEMON)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"}
    command = [sys.executable, str(script), pipe]
    async with trio.open_nursery() as nursery:
        daemon = await nursery.start(
            partial(trio.run_process, command, env=environment, check=False)
        )
        pid = await read_pid(pipe)
        os.kill(pid, 0)
        daemon.kill()
    await until_ended(pid)
