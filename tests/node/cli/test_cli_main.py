"""The command as a whole: help, exit codes, JSON, what it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kits.control.fake import FakeNode
from kits.paths import ROOT

from node.cli.app import build
from node.cli.main import _short, main
from node.console.failure import explain
from node.control import examples as ex
from node.control.codes import EXIT_MEANING, MEANING, Code, Exit, exit_of
from protocol.errors import (
    ChainError,
    FatalError,
    InputError,
    Malformed,
    PeerError,
    StateError,
)

#: Each command starts from nothing here (conftest.py).
FRESH = True

COMMANDS = [
    "init",
    "up",
    "down",
    "status",
    "pause",
    "resume",
    "web",
    "peers",
    "join",
    "account",
    "doctor",
    "logs",
    "events",
    "token add",
    "token list",
    "token remove",
    "token revoke",
    "encoder add",
    "encoder fetch",
    "encoder list",
    "encoder show",
    "encoder remove",
    "send",
    "earnings",
    "receipts",
    "rpc",
    "keys backup",
    "keys restore",
    "config show",
    "completion",
    "metrics",
    "traces",
    "notify",
    "service install",
    "service uninstall",
    "service status",
    "service print",
    "data add",
    "data list",
    "data show",
    "data map",
    "data replace",
    "data remove",
    "policy show",
    "policy set",
    "policy explain",
    "privacy",
    "card publish",
    "card list",
    "card withdraw",
    "card search",
    "train",
    "leave",
    "jobs",
    "params",
    "offer withdraw",
    "offers show",
    "sales",
    "purchases",
    "redeem",
    "reclaim",
    "job new",
    "job check",
    "job post",
    "job show",
    "job watch",
    "job cancel",
    "job decline",
    "model get",
    "predict",
    "claim",
    "audit",
    "demo",
    "devnet",
    "deploy",
]

GUIDE = ROOT / "docs" / "guides" / "commands.md"


def leaves(app: Any, prefix: tuple[str, ...] = ()) -> set[str]:
    found = set()
    for name in app:
        if name.startswith("-"):
            continue
        below = leaves(app[name], (*prefix, name))
        found |= below or {" ".join((*prefix, name))}
    return found


def test_these_are_all_commands() -> None:
    assert leaves(build()) == set(COMMANDS)


def test_the_guide_has_every_command_exit_code_and_error_code() -> None:
    text = GUIDE.read_text()
    for command in COMMANDS:
        assert f"`assay {command}" in text, command
    for end, meaning in EXIT_MEANING.items():
        assert f"| {int(end)} | {meaning} |" in text
    for code, meaning in MEANING.items():
        assert f"| {int(code)} | {int(exit_of(code))} | {meaning} |" in text
    assert set(EXIT_MEANING) == set(Exit)


async def test_help_and_version_stand_in_for_a_manual(assay: Any) -> None:
    top = await assay("--help")
    assert top.code == 0
    for command in COMMANDS:
        assert command.partition(" ")[0] in top.out
    assert "130 interrupted" in top.out
    assert (await assay()).out == top.out
    one = await assay("policy", "set", "--help")
    assert one.code == 0
    assert "TERM=VALUE" in one.out
    assert "--json" in one.out
    version = await assay("--version")
    assert (version.code, version.out.split()[0]) == (0, "assay")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("status", "extra"),
        ("job", "show"),
        ("job", "nonsense"),
        ("devnet", "--port", "many"),
        ("model", "get", "x", "--nonsense"),
        ("policy", "set", "ward-3"),
        ("policy", "set", "ward-3", "no-value"),
        ("policy", "set", "ward-3", "a=1", "a=2"),
        ("join", "nonsense"),
        ("init", "nonsense"),
        ("job", "post", "/no/such/file"),
        ("job", "check", "/no/such/file"),
        ("up", "--home"),
    ],
)
def test_bad_usage_is_two_lines_and_code_2(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    assert main(arguments) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") <= 2
    assert main(["--json", *arguments]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    error = json.loads(err)["error"]
    assert error["exit"] == Exit.USAGE
    assert error["message"]


@pytest.mark.parametrize("command", ["status", "peers", "down", "jobs", "job watch 0x12"])
async def test_without_a_daemon(command: str, assay: Any) -> None:
    ended = await assay(*command.split())
    assert ended.code == Exit.NO_DAEMON
    words = f"no daemon runs on {assay.home}"
    assert ended.err == f"error: {words}\n  next: assay init, then: assay up\n"
    await assay("init")
    ended = await assay(*command.split())
    assert ended.err == f"error: {words}\n  next: assay up\n"
    ended = await assay("--json", *command.split())
    assert ended.error == {"exit": Exit.NO_DAEMON, "message": words, "next": "assay up"}


async def test_home_is_an_option_or_the_environment(assay: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for arguments in (("--home", str(other), "status"), ("status", f"--home={other}")):
        assert str(other) in (await assay(*arguments)).err
    assert f"{tmp_path}/near" in (await assay("peers", "--home", "near")).err


@pytest.mark.parametrize(
    ("tokens", "short"),
    [
        (["status"], "status"),
        (["--json", "status"], "status"),
        (["status", "--home", "x", "--debug"], "status"),
        (["--home=x", "status"], "status"),
        (["--home", "x", "up", "--json"], "up"),
        (["up", "--background"], ""),
        (["status", "--home"], ""),
        (["status", "--home", "--json"], ""),
        (["status", "--help"], ""),
        (["status", "extra"], ""),
        (["-h"], "--help"),
        ([], "--help"),
        (["--home", "x", "--help"], "--help"),
        (["--help", "--json"], "--help"),
        (["--help", "--help"], ""),
        (["--version"], ""),
    ],
)
def test_only_a_plain_line_takes_the_short_way(tokens: list[str], short: str) -> None:
    word, session = _short(tokens)
    assert word == short
    assert (session is not None) is bool(short)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (InputError("bad", "field"), Exit.USAGE),
        (PeerError("bad"), Exit.PEER),
        (Malformed("bad"), Exit.PEER),
        (ChainError("bad"), Exit.CHAIN),
        (StateError("bad"), Exit.REFUSED),
        (FatalError("bad"), Exit.INTERNAL),
        (KeyError("bad"), Exit.INTERNAL),
    ],
)
def test_errors_of_local_work_have_exit_codes(error: Exception, end: Exit) -> None:
    error.add_note("assay status")
    failure = explain(error)
    assert failure.end == end
    assert "bad" in str(failure)
    if not isinstance(error, KeyError):
        assert failure.next == "assay status"


def test_every_error_code_has_an_exit_code() -> None:
    assert {code for code in Code if exit_of(code) == Exit.INTERNAL} == {
        Code.PARSE,
        Code.INVALID_REQUEST,
        Code.METHOD_NOT_FOUND,
        Code.INTERNAL,
        Code.FATAL,
    }
    assert exit_of(-1) == Exit.INTERNAL


async def test_status_imports_nothing_heavy(assay: Any) -> None:
    script = (
        "import sys; from node.cli.main import main; code = main(['status', '--json']);"
        "heavy = {'trio', 'protocol', 'cyclopts', 'rich', 'numpy', 'web3', 'libp2p', 'asyncio'};"
        "print(sorted(heavy & set(sys.modules)), code)"
    )
    async with assay.daemon():
        import trio

        done = await trio.run_process(
            [sys.executable, "-c", script], capture_stdout=True, env=assay.environ
        )
    answer, imported = done.stdout.decode().splitlines()
    assert ex.PEER_ID in answer
    assert imported == "[] 0"


@pytest.mark.parametrize("command", ["peers", "jobs", "data list", "account"])
async def test_no_client_command_imports_trio_or_protocol(command: str, assay: Any) -> None:
    script = (
        "import sys; from node.cli.main import main; code = main(sys.argv[1:]);"
        "print(sorted({'trio', 'protocol', 'numpy', 'web3'} & set(sys.modules)), code)"
    )
    import trio

    async with assay.daemon():
        done = await trio.run_process(
            [sys.executable, "-c", script, "--json", *command.split()],
            capture_stdout=True,
            env=assay.environ,
        )
    assert done.stdout.decode().splitlines()[-1] == "[] 0"


async def test_a_reader_that_leaves_early_gets_no_traceback(assay: Any) -> None:
    import trio

    async with assay.daemon() as running:
        running.node.datasets = {
            f"d{i}": running.node.datasets["ward-3"] for i in range(3000)
        }  # more than a pipe holds
        done = await trio.run_process(
            ["sh", "-c", f"{sys.executable} -m node.cli.main data list | head -1"],
            capture_stdout=True,
            capture_stderr=True,
            env=assay.environ,
        )
    assert done.stdout.startswith(b"name")
    assert done.stderr == b""


async def test_ctrl_c_ends_a_watch_with_130(assay: Any) -> None:
    import signal

    import trio

    async with assay.daemon() as running:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "node.cli.main", "job", "watch", ex.JOB[:12]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=assay.environ,
            # Whoever runs the tests in the background may have it ignored, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with trio.fail_after(60):
            while not running.bus.statistics()["subscriptions"]:
                await trio.lowlevel.checkpoint()
            process.send_signal(signal.SIGINT)
            assert await process.wait() == Exit.INTERRUPTED
        assert process.stderr is not None
        assert await process.stderr.receive_some() == b""


def test_the_fake_is_a_whole_node() -> None:
    from node.control.api import NodeApi

    api = {name for name in vars(NodeApi) if not name.startswith("_")}
    assert api <= set(dir(FakeNode))
