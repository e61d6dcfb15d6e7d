"""`assay metrics` answers Prometheus, names no job unless told to, and answers nobody else."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from kits.control.fake import serving
from kits.paths import ROOT
from prometheus_client.parser import text_string_to_metric_families

from node.console.failure import Failure
from node.control import examples as ex
from node.home.config import Config, init_home
from node.home.home import Home
from node.metrics.collected import text_of
from node.metrics.serve import _READERS, on_loopback, on_socket
from scripts.testing.keeper import mark

DASHBOARD = ROOT / "docs/examples/grafana/assay.json"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    init_home(home, Config())
    return home


@contextmanager
def command(home: Home, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`assay metrics` as a user runs it, and the address that it says."""
    line = [sys.executable, "-m", "node.cli.main", "--home", str(home.path), "--json", "metrics"]
    process = subprocess.Popen(
        [*line, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **mark()},
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["address"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def answered(address: str, path: str = "/metrics", host: str | None = None) -> tuple[int, bytes]:
    port = int(address.split(":")[2].split("/")[0])
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        asking.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        reply = asking.getresponse()
        return reply.status, reply.read()
    finally:
        asking.close()


def series(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and labels' values, read by Prometheus' own parser."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_a_running_daemon_is_told_of_and_one_that_ended(home: Home) -> None:
    with command(home, "--port", "0") as (_, address):
        async with serving(home.bind_path()):
            status, body = await trio.to_thread.run_sync(answered, address)
            lost = await trio.to_thread.run_sync(answered, address, "/")
            other = await trio.to_thread.run_sync(answered, address, "/metrics", "evil.example")
        ended = await trio.to_thread.run_sync(answered, address)
    assert status == 200
    found = series(body)
    assert found["assay_up", ()] == 1
    assert found["assay_peers", ()] == ex.STATUS.peers
    assert found["assay_network_bytes_total", ("in",)] == ex.STATUS.bytes_in
    assert found["assay_chain_head_block", ()] == ex.STATUS.chain.head
    assert sum(value for (name, _), value in found.items() if name == "assay_jobs") == 1
    assert ex.JOB not in body.decode()
    assert (lost[0], other[0]) == (404, 421)
    assert series(ended[1]) == {("assay_up", ()): 0}


async def test_a_unix_socket_is_this_users_and_is_taken_away(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()  # as a process that was killed leaves it
    with command(home, "--socket", str(path), "--names") as (_, address):
        assert address == str(path)
        assert path.stat().st_mode & 0o777 == 0o600
        async with serving(home.bind_path()):
            stream = await trio.open_unix_socket(path)
            async with stream:
                await stream.send_all(b"GET /metrics HTTP/1.0\r\n\r\n")
                reply = b"".join([part async for part in stream])
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    rounds = {k: v for k, v in series(body).items() if k[0] == "assay_job_rounds"}
    assert rounds == {
        ("assay_job_rounds", (ex.JOB, ex.DETAIL.summary.role, ex.DETAIL.summary.state)): (
            ex.DETAIL.summary.rounds
        )
    }
    assert not path.exists()


def test_silent_readers_are_few(home: Home) -> None:
    with command(home, "--port", "0") as (_, address), ExitStack() as opened:
        port = int(address.split(":")[2].split("/")[0])
        silent = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            for _ in range(_READERS + 1)
        ]
        assert silent[-1].recv(1) == b""  # hung up on
        silent[0].sendall(b"GET /metrics HTTP/1.0\r\nHost: " + f"127.0.0.1:{port}".encode())
        silent[0].sendall(b"\r\n\r\n")
        assert silent[0].recv(12) == b"HTTP/1.0 200"


def test_what_stands_in_the_sockets_place_is_left_alone(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    with pytest.raises(Failure, match="cannot be made"):
        on_socket(path)
    assert path.read_text() == "mine"
    with on_socket(tmp_path / "one"), pytest.raises(Failure, match="cannot be made"):
        on_socket(tmp_path / "one")


def test_a_port_that_is_taken_is_named() -> None:
    with on_loopback(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure, match=f"port {port} cannot be had"):
            on_loopback(port)
    with pytest.raises(Failure, match="port 70000 cannot be had"):
        on_loopback(70_000)


def test_what_peers_say_is_in_no_series() -> None:
    status = dataclasses.asdict(ex.STATUS) | {"problems": ['evil"} 1\nassay_up 0']}
    job = dataclasses.asdict(ex.DETAIL.summary) | {"title": 'evil"} 1\nassay_up 0'}
    text = text_of(status, [job], names=True)
    assert series(text)["assay_up", ()] == 1
    assert b"evil" not in text


def labels() -> dict[str, set[str]]:
    """Labels of every series, by its name, as a home with a job serves them."""
    job = dataclasses.asdict(ex.DETAIL.summary)
    text = text_of(dataclasses.asdict(ex.STATUS), [job], names=True).decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


#: Prometheus gives these to all that it reads, and calls a series' own of that name exported_….
OF_PROMETHEUS = {"job", "instance"}


def test_no_label_is_one_that_prometheus_gives() -> None:
    assert {name: found for name, found in labels().items() if found & OF_PROMETHEUS} == {}


def unit(expression: str) -> str:
    """Grafana's word for what an expression gives, by the names of its series."""
    if expression.startswith("rate(") and "_bytes_" in expression:
        return "Bps"
    if " / " in expression:
        return "percentunit"
    return next(
        (u for end, u in (("_seconds", "s"), ("_bytes", "bytes")) if end in expression), "short"
    )


def test_the_dashboard_asks_for_what_there_is() -> None:
    known = labels()
    board = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10
    for panel in panels:
        assert len(panel["targets"]) == 1
        expression, legend = (panel["targets"][0][name] for name in ("expr", "legendFormat"))
        names = re.findall(r"assay_[a-z_]+", expression)
        assert names
        assert set(names) <= set(known), expression
        grouped = re.search(r"\bby \((.*?)\)", expression)
        kept = set.intersection(*(known[name] for name in names)) | {"instance"}
        if grouped:
            assert set(grouped[1].split(", ")) <= kept
            kept = set(grouped[1].split(", "))
        assert set(re.findall(r"{{(.*?)}}", legend)) <= kept, expression
        assert panel["fieldConfig"]["defaults"]["unit"] == unit(expression), expression


def test_each_panel_is_a_single_line_a_thing() -> None:
    """Two series of one daemon that the legend does not tell apart would be one name for two."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        expression, legend = (panel["targets"][0][name] for name in ("expr", "legendFormat"))
        if " by (" in expression:
            continue
        (differ,) = {frozenset(labels()[n]) for n in re.findall(r"assay_[a-z_]+", expression)}
        said = set(re.findall(r"{{(.*?)}}", legend))
        assert differ - {"role", "state"} <= said, expression
