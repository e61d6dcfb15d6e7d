"""`assay notify`: what is told, once each, to a command of the user's."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.control.fake import serving
from kits.paths import ROOT

from node.cli.commands.health.apprising import sender
from node.cli.commands.health.notify import _Down, _tell
from node.console.failure import Failure
from node.console.following import Followed
from node.console.notices import Notice, Noticed
from node.console.session import Session
from node.control import examples as ex
from node.control.codes import Exit
from node.home.config import Config, init_home
from node.home.home import Home
from scripts.testing.keeper import mark

JOB = dataclasses.asdict(ex.DETAIL.summary) | {"reason": ""}


def job(state: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    return JOB | {"job": f"0x{number:064x}", "state": state} | changes


def kinds(notices: Iterator[Notice]) -> list[str]:
    return [each.kind for each in notices]


def test_a_job_is_told_of_once_a_state() -> None:
    noticed = Noticed()
    assert kinds(noticed.jobs([job("waiting"), job("finished", 2)])) == ["waiting"]
    assert kinds(noticed.jobs([job("waiting"), job("finished", 2)])) == []
    assert kinds(noticed.jobs([job("running"), job("waiting", 3)])) == ["waiting"]
    assert kinds(noticed.jobs([job("finished"), job("declined", 3)])) == ["finished", "declined"]
    # One that is first seen when it is over calls for nobody.
    assert kinds(noticed.jobs([job("finished"), job("cancelled", 4)])) == []


def test_a_problem_is_told_once_until_it_is_gone() -> None:
    noticed = Noticed()
    assert kinds(noticed.status({"problems": ["the disk is full"]})) == ["problem"]
    assert kinds(noticed.status({"problems": ["the disk is full"]})) == []
    assert kinds(noticed.status({"problems": []})) == []
    assert kinds(noticed.status({"problems": ["the disk is full"]})) == ["problem"]


def test_words_of_others_cannot_be_an_option_or_a_second_line() -> None:
    evil = "--exec=rm\n\x1b[31m\u202e" + "x" * 10_000
    noticed = Noticed()
    found = [
        *noticed.jobs([job("waiting", title=evil, reason="")]),
        *noticed.status({"problems": [evil]}),
        *noticed.event({"kind": "fault", "job": None, "text": evil}),
    ]
    assert len(found) == 3
    for each in found:
        assert each.text.isprintable()
        assert each.text[0].isalpha()
        assert len(each.text) <= 400


def test_a_daemon_that_starts_anew_has_no_event_that_was_told() -> None:
    followed = Followed()
    followed.at(1.0, 50)
    assert followed.seq == 50
    followed.seq = 60
    followed.at(1.0, 70)
    assert followed.seq == 60
    followed.at(2.0, 5)
    assert followed.seq == 0


def test_a_silent_daemon_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    down = _Down()
    assert kinds(iter(down.silent("gone"))) == []
    now[0] = 59.0
    assert kinds(iter(down.silent("gone"))) == []
    now[0] = 61.0
    assert kinds(iter(down.silent("gone"))) == ["down"]
    assert kinds(iter(down.silent("gone"))) == []
    down.answers()
    assert kinds(iter(down.silent("gone"))) == []


def test_a_command_that_fails_is_said_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    notice = Notice("paid", None, "paid: $(reboot)")
    for command in (["/nowhere/x"], [sys.executable, "-c", "raise SystemExit(3)"]):
        _tell(notice, command, None, Session())
        _tell(notice, command, None, Session())
    said = capsys.readouterr().err
    assert said.count("No such file") == 2
    assert said.count("ended with 3") == 2


_COMMAND = """
import json, os, sys
notice = json.load(sys.stdin)
assert notice["text"] in sys.argv[2], sys.argv
assert os.environ["ASSAY_NOTICE"] == notice["kind"]
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(notice | {"argument": sys.argv[2]}) + "\\n")
"""


@contextmanager
def notifying(home: Home, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "node.cli.main", "--home", str(home.path), "notify", *command],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **mark()},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == Exit.OK


async def test_a_users_command_runs_for_what_happens(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "told"
    init_home(home, Config())
    async with serving(home.bind_path()) as running:
        summary = dataclasses.replace(ex.DETAIL.summary, state="waiting")
        running.node.jobs_known = {ex.JOB: dataclasses.replace(ex.DETAIL, summary=summary)}
        running.node.state = dataclasses.replace(ex.STATUS, problems=())
        with notifying(home, sys.executable, "-c", _COMMAND, str(file), "<{}>") as process:
            assert process.stdout is not None
            first = await trio.to_thread.run_sync(process.stdout.readline)
            assert b"waits for your consent" in first
            running.bus.publish("contributed", "of no concern", job=ex.JOB)
            running.bus.publish("paid", "0.1 ether", job=ex.JOB)
            second = await trio.to_thread.run_sync(process.stdout.readline)
            assert second.startswith(b"paid of job ")
            running.node.state = dataclasses.replace(ex.STATUS, problems=("no peer",))
            running.bus.publish("contributed", "of no concern", job=ex.JOB)
            third = await trio.to_thread.run_sync(process.stdout.readline)
            assert third == b"problem: no peer\n"
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert [each["kind"] for each in told] == ["waiting", "paid", "problem"]
    assert all(each["argument"] == f"<{each['text']}>" for each in told)


async def test_notify_without_a_command_says_what_to_type(assay: Any) -> None:
    ended = await assay("notify")
    assert ended.code == Exit.USAGE
    assert "notify-send" in ended.err


class Receiver:
    """A service of the user's that takes notices: apprise's own `json://`, on this machine."""

    def __init__(self, status: int = 200) -> None:
        self.told: list[dict[str, Any]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what came is looked at."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:secret@127.0.0.1:{self.server.server_port}/"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


async def test_urls_of_apprise_are_told_with_and_without_a_command(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "urls"
    init_home(home, Config())
    with Receiver() as first, Receiver() as second:
        file.write_text(f"# mine\n\n{second.url}\n")
        async with serving(home.bind_path()) as running:
            summary = dataclasses.replace(ex.DETAIL.summary, state="waiting")
            running.node.jobs_known = {ex.JOB: dataclasses.replace(ex.DETAIL, summary=summary)}
            running.node.state = dataclasses.replace(ex.STATUS, problems=())
            arguments = ("--apprise", first.url, "--apprise-file", str(file))
            with notifying(home, *arguments) as process:
                assert process.stdout is not None
                line = await trio.to_thread.run_sync(process.stdout.readline)
        for receiver in (first, second):
            (told,) = receiver.told
            assert told["message"] == line.decode().strip()
            assert told["title"] == "assay"


def test_a_url_that_fails_is_said_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    notice = Notice("paid", None, "paid: $(reboot) <b>")
    with Receiver(500) as receiver:
        _tell(notice, (), sender([receiver.url], None), Session())
        assert receiver.told[0]["message"] == notice.text
    said = capsys.readouterr()
    assert "apprise: not every URL took the notice" in said.err
    assert "secret" not in said.err + said.out


@pytest.mark.parametrize(
    ("urls", "lines", "why"),
    [
        (["nowhere://user:secret@host"], None, "URL 1 of 1 (nowhere) is none that apprise knows"),
        (["json://127.0.0.1", "secret"], None, "URL 2 of 2 (no address)"),
        ([], "# nothing\n", "holds no URL"),
    ],
)
def test_what_is_no_url_is_refused_without_its_password(
    urls: list[str], lines: str | None, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "urls"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(Failure) as raised:
        sender(urls, None if lines is None else file)
    assert why in str(raised.value)
    assert "secret" not in str(raised.value)
    assert raised.value.next
    with pytest.raises(Failure, match="cannot be read: No such file"):
        sender([], tmp_path / "nowhere")
