"""The demo's children: they end with it, however it ends, and say why they failed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.console.failure import Failure
from node.demo.swarm.processes import Children, tail

#: Says that it is ready, then waits for its end.
SERVER = "import sys, signal; print('{\"ready\": 1}', flush=True); signal.pause()"

#: The same, and deaf to a polite request.
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVER

#: A demo in small: starts a child, says its process id, and is then killed.
PARENT = f"""
import signal, sys, tempfile
from pathlib import Path
from node.demo.swarm.processes import Children
with Children() as children:
    child = children.start("child", [sys.executable, "-c", {SERVER!r}], Path(sys.argv[1]))
    child.line(60)
    print(child.pid, flush=True)
    signal.pause()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_children_end_when_the_block_is_left(tmp_path: Path) -> None:
    with Children() as children:
        child = children.start("server", python(SERVER), tmp_path / "log")
        assert child.line(60) == {"ready": 1}
        children.check()
        assert child.running()
    assert not child.running()


def test_a_deaf_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.demo.swarm.processes.END_SECONDS", 0.2)
    children = Children()
    child = children.start("server", python(DEAF), tmp_path / "log")
    child.line(60)
    assert children.end_all() == {"server": -signal.SIGKILL}


def test_a_child_that_ends_early_says_why(tmp_path: Path) -> None:
    with Children() as children:
        child = children.start("server", python("raise SystemExit('no luck')"), tmp_path / "log")
        with pytest.raises(Failure, match=r"(?s)server ended with code 1.*no luck"):
            child.line(60)
        with pytest.raises(Failure, match="server ended unexpectedly"):
            children.check()


def test_a_silent_child_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with Children() as children:
        child = children.start("server", python("import signal; signal.pause()"), tmp_path / "log")
        with pytest.raises(Failure, match=r"did not get ready within 0.1 s"):
            child.line(0.1)


def test_helpers_may_end(tmp_path: Path) -> None:
    with Children() as children:
        helper = children.start("helper", python("print('{}')"), tmp_path / "log", helper=True)
        assert helper.line(60) == {}
        assert helper.end(60) == 0
        children.check()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell children")
def test_children_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    command = [*python(PARENT), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        ended = os.pidfd_open(child)
        try:
            parent.kill()
            readable, _, _ = select.select([ended], [], [], 60)
            assert readable == [ended]
        finally:
            os.close(ended)


def test_a_tail_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("first\nsecond\n")
    assert tail(log) == "first\nsecond"
    log.write_text("".join(f"line {n:06}\n" for n in range(1000)))
    assert tail(log).startswith("line ")
    assert tail(log).endswith("line 000999")
