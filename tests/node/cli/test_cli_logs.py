"""`assay logs` and `assay events`: what the daemon wrote, and what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.cli.commands.health.logs import _added
from node.control import examples as ex
from node.control.codes import Exit
from node.home.config import Config, init_home
from node.home.home import Home

AT = "2026-01-02 03:04:05,678"
JOB, OTHER = "12ab34cd" * 8, "99" * 32
LOG = f"""\
{AT} INFO assay.daemon: running: /ip4/127.0.0.1/tcp/1
{AT} INFO assay.jobs: job {JOB[:8]}: seen: a title \x1b[31mred
{AT} ERROR assay.engine: job {OTHER[:16]} stops: its machine broke
Traceback (most recent call last):
  File "x.py", line 1, in f
{AT} WARNING assay.lists: job {JOB}: this node's sealing key is not the enrolled one
Traceback of that one
"""


@pytest.fixture
def log(assay: Any) -> Path:
    home = Home(assay.home)
    init_home(home, Config())
    home.log.write_text(LOG)
    return home.log


async def test_logs_shows_the_end_of_the_log(assay: Any, log: Path) -> None:
    ended = await assay("logs")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == len(LOG.splitlines())
    assert "\x1b" not in ended.out
    assert (await assay("logs", "--lines", "2")).out.splitlines() == LOG.splitlines()[-2:]
    assert (await assay("logs", "--lines", "0")).out == ""
    assert (await assay("logs", "--lines", "-1")).code == Exit.USAGE


@pytest.mark.parametrize("given", [JOB, "0x" + JOB, JOB[:5], JOB[:20], JOB.upper()])
async def test_logs_of_one_job_with_what_goes_on_below(given: str, assay: Any, log: Path) -> None:
    lines = LOG.splitlines()
    shown = (await assay("logs", "--job", given)).out.splitlines()
    assert [line[:60] for line in shown] == [line[:60] for line in (lines[1], *lines[5:])]


async def test_logs_as_json(assay: Any, log: Path) -> None:
    ended = await assay("--json", "logs", "--job", OTHER)
    shown = [json.loads(line) for line in ended.out.splitlines()]
    assert shown[0] == {
        "time": AT,
        "level": "error",
        "logger": "assay.engine",
        "message": f"job {OTHER[:16]} stops: its machine broke",
    }
    assert shown[1] == {"message": "Traceback (most recent call last):"}
    assert len(shown) == 3


def a_pipe(log: Path) -> None:
    log.unlink()
    os.mkfifo(log)


def a_directory(log: Path) -> None:
    log.unlink()
    log.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, a_directory, a_pipe])
async def test_logs_without_a_log_say_where_else_to_look(
    damage: Callable[[Path], None], assay: Any, log: Path
) -> None:
    damage(log)
    ended = await assay("logs")
    assert ended.code == Exit.USAGE
    assert "journalctl --user -u assay" in ended.err


def noise(log: Path) -> None:
    log.write_bytes(os.urandom(1000) + b"\n\xff\xfe")


async def test_logs_of_nonsense(assay: Any, log: Path) -> None:
    noise(log)
    assert (await assay("logs")).code == 0
    assert (await assay("logs", "--job", "no id")).code == Exit.USAGE


def test_what_is_added_is_read_line_by_line_and_over_a_new_beginning(log: Path) -> None:
    with log.open("a") as file:
        lines = _added(log, len(LOG.encode()))
        file.write("one\ntw")
        file.flush()
        assert next(lines) == "one"
        file.write("o\n")
        file.flush()
        assert next(lines) == "two"
    log.write_text("anew\n")
    assert next(lines) == "anew"
    log.unlink()
    log.write_text("a\n")
    assert next(lines) == "a"


async def test_events_shows_what_is_kept_and_ends(assay: Any) -> None:
    async with assay.daemon() as running:
        assert (await assay("events")).out == ""
        running.bus.publish("training", "round 1", job=ex.JOB)
        running.bus.publish("policy.set", "ward-3: accept")
        running.bus.publish("paid", "0.1 ether", job="0x" + OTHER)
        shown = (await assay("events")).out.splitlines()
        assert ["training" in shown[0], "policy.set" in shown[1], len(shown)] == [True, True, 3]
        found = await assay("events", "--json", "--since", "1")
        assert [json.loads(line)["seq"] for line in found.out.splitlines()] == [2, 3]
        assert (await assay("events", "--since", "3")).out == ""
        only = (await assay("events", "--job", ex.JOB[:10])).out.splitlines()
        assert len(only) == 1
        assert "round 1" in only[0]


async def test_events_followed_go_on_until_the_daemon_ends(assay: Any) -> None:
    async with assay.daemon() as running, trio.open_nursery() as nursery:

        async def go_on() -> None:
            while running.bus.statistics()["subscriptions"] < 2:
                await trio.lowlevel.checkpoint()
            running.bus.publish("paid", "0.1 ether", job=ex.JOB)
            await wait_all_tasks_blocked()  # it is written to whoever follows
            running.scope.cancel()

        nursery.start_soon(go_on)
        ended = await assay("events", "-f", "--json")
    assert ended.code == Exit.NO_DAEMON
    assert [json.loads(line)["kind"] for line in ended.out.splitlines()] == ["paid"]


async def test_events_without_a_daemon(assay: Any) -> None:
    assert (await assay("events")).code == Exit.NO_DAEMON
