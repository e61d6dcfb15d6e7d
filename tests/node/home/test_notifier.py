"""sd_notify against a real datagram socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from node.home.systemd import Notifier


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
