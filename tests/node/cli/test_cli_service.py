"""sd_notify against a real datagram socket, and the unit file."""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path

import pytest

from node.home.systemd import Notifier, unit


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(abstract: bool, tmp_path: Path) -> None:
    name = f"assay-test-{os.getpid()}"
    spelled = f"@{name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else spelled)
        notifier = Notifier({"NOTIFY_SOCKET": spelled, "WATCHDOG_USEC": "60000000"})
        notifier.ready("listening\nSTOPPING=1")
        assert manager.recv(1024) == b"READY=1\nSTATUS=listening STOPPING=1\n"
        notifier.alive()
        assert manager.recv(1024) == b"WATCHDOG=1\n"
        notifier.stopping("draining")
        assert manager.recv(1024) == b"STOPPING=1\nSTATUS=draining\n"
        assert notifier.watchdog_interval == 30
        assert notifier.lost == 0


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "60000000"})
    notifier.ready()
    assert (notifier.lost, notifier.watchdog_interval) == (0, None)
    assert Notifier({"NOTIFY_SOCKET": "relative"}).watchdog_interval is None


def test_a_manager_that_is_away_is_counted(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.stopping()
    assert notifier.lost == 2


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "2000000"}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", **environ}).watchdog_interval == interval


def test_the_unit_is_hardened_and_quotes_what_it_must() -> None:
    text = unit(Path("/home/a b/$x%"), ["/opt/assay"], Path("/se cret$"))
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert lines["Type"] == "notify"
    assert lines["ProtectSystem"] == "strict"
    assert lines["NoNewPrivileges"] == "yes"
    assert int(lines["WatchdogSec"]) > 0
    assert shlex.split(lines["ExecStart"].replace("$$", "$").replace("%%", "%")) == [
        "/opt/assay",
        "--home",
        "/home/a b/$x%",
        "up",
    ]
    assert lines["ReadWritePaths"] == '"/home/a b/$x%%" %t'
    assert lines["Environment"] == '"ASSAY_PASSPHRASE_FILE=/se cret$"'
    assert "Environment" not in unit(Path("/h"), ["/opt/assay"])
    with pytest.raises(ValueError, match="line break"):
        unit(Path("/h\nExecStartPre=evil"), ["/opt/assay"])
