"""The library against the real control server on a fake node."""

from __future__ import annotations

import dataclasses
import io
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pytest
import trio
from kits.control.fake import Running, serving

from node.client import CallError, NoDaemon, Node, connect
from node.client.progress import Shown
from node.client.trio import connect as connect_trio
from node.client.trio_rpc import TrioRpc
from node.console.failure import Failure
from node.control import examples as ex
from node.control.methods import METHODS
from node.control.money import examples as mx
from node.home.config import Config, init_home
from node.home.home import Home

T = TypeVar("T")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    init_home(home, Config())
    return home


@pytest.fixture
async def running(home: Home) -> AsyncIterator[Running]:
    async with serving(home.socket_path()) as running:
        yield running


async def with_node(home: Home, use: Callable[[Node], T]) -> T:
    """What a blocking program gets, on a thread of its own."""
    return await trio.to_thread.run_sync(lambda: use(connect(home.path)))


async def test_every_method_of_the_socket_is_a_function_that_calls_it(
    running: Running, home: Home
) -> None:
    def names(node: Node) -> set[str]:
        asked: list[str] = []
        node.rpc.call = lambda method, params: asked.append(method)  # type: ignore[method-assign]
        for method in METHODS:
            function = getattr(node.rpc, method.name.replace(".", "_"), None)
            if function is not None:
                given, _ = method.example
                needed = [
                    getattr(given, field.name)
                    for field in dataclasses.fields(given)
                    if field.default is dataclasses.MISSING
                ]
                function(*needed)
        return set(asked)

    connection_bound = {"events.subscribe", "events.unsubscribe"}
    found = await with_node(home, names)
    assert found == {method.name for method in METHODS} - connection_bound


async def test_amounts_go_out_as_text_and_come_back_exact(running: Running, home: Home) -> None:
    huge = 2**80 + 1
    running.node.earned = dataclasses.replace(
        mx.EARNINGS, lines=(dataclasses.replace(mx.EARNINGS.lines[0], due=huge),)
    )

    def use(node: Node) -> pl.DataFrame:
        node.rpc.send("4f2a9c01", ex.REQUESTER, huge)
        return node.earnings()

    frame = await with_node(home, use)
    assert running.node.sent[0][2] == huge
    assert frame["due"].to_list() == [huge]


async def test_no_job_of_a_strangers_breaks_the_table(running: Running, home: Home) -> None:
    """The most that a contract holds, in a token of nobody's, until the year 36812."""
    known = running.node.jobs_known
    most = dataclasses.replace(ex.SUMMARY, rate=2**128 - 1, merit=2**127, expires_at=2**40)
    known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=most)
    frame = await with_node(home, lambda node: node.table())
    assert (frame["rate"].to_list(), frame["merit"].to_list()) == ([2**128 - 1], [2**127])
    assert frame["expires_at"].to_list()[0].year == 9999


async def test_tables_have_their_columns_without_rows(running: Running, home: Home) -> None:
    running.node.jobs_known.clear()
    running.node.datasets.clear()

    def use(node: Node) -> tuple[pl.DataFrame, pl.DataFrame]:
        return node.table(), node.datasets()

    jobs, datasets = await with_node(home, use)
    assert (jobs.height, datasets.height) == (0, 0)
    assert jobs.schema["rate"] == pl.Int128
    assert datasets.schema["added_at"] == pl.Datetime("ms", "UTC")


async def test_a_job_knows_its_rounds_members_and_times(running: Running, home: Home) -> None:
    def use(node: Node) -> Any:
        job = node.job(ex.JOB[:10])
        return job.id, job.rounds(), job.members(), node.table()

    id_, rounds, members, table = await with_node(home, use)
    assert id_ == ex.JOB
    assert rounds["accuracy"].to_list() == [0.81]
    assert rounds["seconds"].to_list() == [pytest.approx(4.3)]
    assert members["rate"].to_list() == [ex.ETHER // 1000]
    assert table["expires_at"].to_list() == [datetime.fromtimestamp(ex.NOW + 86_400, UTC)]


async def test_a_model_is_read_only_arrays(running: Running, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, spec=np.array(ex.SPEC), weights=np.arange(6.0), classes=np.array(["no", "yes"]))
    running.node.model_path = str(path)
    model = await with_node(home, lambda node: node.job(ex.JOB).model())
    assert (model.classes, model.spec, model.final) == (["no", "yes"], ex.SPEC, True)
    assert model.weights.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 1
    with pytest.raises(KeyError, match="no 'bias'; it has classes, weights"):
        model["bias"]


def end(running: Running, **changes: Any) -> None:
    """The job changes as told, and its daemon says so."""
    summary = dataclasses.replace(ex.SUMMARY, **changes)
    running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=summary)
    running.bus.publish("closed", "all is over", job=ex.JOB)


async def subscribed(running: Running) -> None:
    """Somebody follows events."""
    while running.bus.statistics()["subscriptions"] == 0:  # noqa: ASYNC110 (a thread's doing)
        await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        ({"state": "finished", "round": 20}, True),
        ({"state": "finished", "round": 3, "early": True}, False),
        ({"state": "cancelled"}, False),
    ],
)
async def test_wait_returns_when_the_job_is_over_and_says_how(
    running: Running, home: Home, changes: dict[str, Any], complete: bool
) -> None:
    heard: list[str] = []

    def use(node: Node) -> bool:
        job = node.job(ex.JOB)
        assert not job.over
        return job.wait(progress=lambda event: heard.append(event["text"])).complete

    found: list[bool] = []
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            found.append(await with_node(home, use))

        nursery.start_soon(wait)
        await subscribed(running)
        running.bus.publish("round-applied", "round 1", job=ex.JOB)
        running.bus.publish("closed", "another's", job="0x" + "77" * 32)
        # Asked for at first, when the wait began, and because a round was applied.
        while running.node.shows < 3:  # noqa: ASYNC110 (a thread's doing)
            await trio.sleep(0.01)
        end(running, **changes)
    assert found == [complete]
    assert heard == ["round 1", "all is over"]


async def test_wait_for_a_job_that_is_over_returns_at_once(running: Running, home: Home) -> None:
    end(running, state="failed", reason="too few owners")
    job = await with_node(home, lambda node: node.job(ex.JOB).wait(progress=False))
    assert (job.state, job.complete) == ("failed", False)


async def test_a_wait_leaves_no_connection_behind(running: Running, home: Home) -> None:
    end(running, state="finished", round=20)
    await with_node(home, lambda node: node.job(ex.JOB).wait(progress=False))
    with trio.fail_after(30):
        while running.server.statistics.clients:  # noqa: ASYNC110 (a socket's end)
            await trio.sleep(0.01)


async def test_events_are_read_until_they_are_closed(running: Running, home: Home) -> None:
    running.bus.publish("one", "the first", job=ex.JOB)

    def use(node: Node) -> str:
        with node.job(ex.JOB).events(since=0) as events:
            return next(iter(events))["text"]

    assert await with_node(home, use) == "the first"


async def test_wait_gives_up_when_its_time_is_over(running: Running, home: Home) -> None:
    with pytest.raises(TimeoutError, match=r"round 1 of 20> is not over after 0\.05 s"):
        await with_node(home, lambda node: node.job(ex.JOB).wait(0.05, progress=False))


async def test_wait_under_trio(running: Running, home: Home) -> None:
    node = await connect_trio(home.path)
    job = await node.job(ex.JOB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.wait, False)
        await subscribed(running)
        end(running, state="finished", round=20)
    assert job.complete
    assert (await job.rounds()).height == 1
    assert [each.id for each in await node.jobs()] == [ex.JOB]


async def test_an_error_keeps_its_field_and_says_the_next_command_in_its_traceback(
    running: Running, home: Home
) -> None:
    with pytest.raises(CallError, match="no dataset 'ward-9'") as found:
        await with_node(home, lambda node: node.policy("ward-9"))
    assert found.value.field == "dataset"
    assert found.value.__notes__ == ["next: assay data list"]
    node = await connect_trio(home.path)
    with pytest.raises(CallError, match="no dataset 'ward-9'") as found:
        await node.rpc.policy_show("ward-9")
    assert found.value.__notes__ == ["next: assay data list"]


async def test_a_call_under_trio_lasts_as_long_as_the_daemon_says_anything(
    running: Running, home: Home
) -> None:
    rpc = TrioRpc(home, silence=0.02)
    async with trio.open_nursery() as nursery:

        async def release() -> None:
            while running.server.statistics.calls < 4:  # noqa: ASYNC110 (a thread's doing)
                await trio.sleep(0.01)
            running.node.blocked.set()

        nursery.start_soon(release)
        added = await rpc.data_add(name="blocks", path="/x")
    assert added["name"] == "blocks"


async def test_a_call_under_trio_ends_once_the_daemon_says_nothing_at_all(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.socket_path()))
        listener.listen()  # connections are taken by the system; nobody reads them
        with pytest.raises(Failure, match="did not answer status"):
            await TrioRpc(home, silence=0.05).data_add(name="x", path="/x")


async def test_without_a_daemon_it_says_how_to_start_one(home: Home) -> None:
    with pytest.raises(NoDaemon, match="no daemon runs on") as found:
        connect(home.path)
    assert found.value.next == "assay up"
    with pytest.raises(NoDaemon):
        await connect_trio(home.path)


def summary(**changes: Any) -> Any:
    return {"job": ex.JOB, "title": "Sepsis", "round": 1, "rounds": 20, "state": "running"} | {
        "early": False,
        "reason": "",
        **changes,
    }


def event(text: str) -> Any:
    return {"kind": "declined", "text": text, "job": ex.JOB, "seq": 1}


def test_progress_is_lines_where_nobody_sits_and_never_moves_a_cursor() -> None:
    out = io.StringIO()
    with Shown(summary(), True, out) as shown:
        shown.event(event("\x1b[2J\u202eover"))
        shown.over(summary(state="finished", early=True))
    first, last = out.getvalue().splitlines()
    assert first == "0x5a5a5a5a declined: �[2J�over"
    assert last == "0x5a5a5a5a ended early, after 1 of 20 rounds"


def test_progress_is_one_line_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    out = io.StringIO()
    with Shown(summary(), True, out) as shown:
        shown.event(event("a long\x1b[2J word"))
        shown.stands(summary(round=20))
        shown.event(event("over"))
        shown.over(summary(state="finished", round=20))
    first, second, *_ = out.getvalue().split("\r")[1:]
    assert "1/20 a long" in first
    assert "\x1b" not in first
    assert "20/20 over" in second
    assert len(second) >= len(first.rstrip())
    assert out.getvalue().splitlines()[-1] == "0x5a5a5a5a is finished"


def test_progress_is_a_bar_on_a_terminal_whose_title_is_no_markup() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with Shown(summary(title="[bold]odd[/bold]"), True, out) as shown:
        shown.stands(summary(round=7))
    assert "[bold]odd[/bold]" in out.getvalue()
    assert "7/20" in out.getvalue()
