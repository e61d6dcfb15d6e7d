"""Starting, and what stands in its way: each refusal names its cause. No chain is needed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.daemons.processes import CHAIN_ID, Daemon, free_port, run, until

from node.control.codes import Exit
from node.home.config import Config, load_config
from node.store.store import Store

pytestmark = pytest.mark.waits(90)

CONTRACT = bytes([0xC0]) * 20
PEER = "12D3KooWQ8qMPfiYteYLJop34UttTVh2oSXtddBisMYYBuZnV2rc"


def config(port: int = 0) -> Config:
    """A node on a chain that nobody runs."""
    return Config(
        listen=(f"/ip4/127.0.0.1/tcp/{port}",),
        chain_url=f"http://127.0.0.1:{free_port()}",
        chain_id=CHAIN_ID,
        contract=CONTRACT,
    )


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("homes") / "first")
    daemon.make(config(port))
    try:
        trio.run(daemon.start)
        yield daemon
    finally:
        daemon.destroy()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "second")
    yield daemon
    daemon.destroy()


def fails(daemon: Daemon, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and error, where it must fail."""
    done = run("--home", str(daemon.home.path), "--json", *arguments)
    assert done.stdout == ""
    error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["exit"] == done.returncode
    return done.returncode, error


@pytest.mark.parametrize("options", [(), ("--background",)])
def test_a_second_up_on_one_home_names_the_process(
    running: Daemon, options: tuple[str, ...]
) -> None:
    code, error = fails(running, "up", *options)
    assert code == Exit.REFUSED
    assert f"is in use by process {running.pid}" in error["message"]
    assert running.answers()


@pytest.mark.parametrize("options", [(), ("--background",)])
def test_a_port_in_use_is_named(
    running: Daemon, other: Daemon, port: int, options: tuple[str, ...]
) -> None:
    other.make(config(port))
    code, error = fails(other, "up", *options)
    assert code == Exit.USAGE
    assert str(port) in error["message"]
    assert "in use" in error["message"]
    assert running.answers()


def test_a_store_of_a_newer_assay_is_refused_and_left_alone(other: Daemon) -> None:
    other.make(config())
    Store.open(other.home.database).close()
    with sqlite3.connect(other.home.database) as store:
        store.execute("PRAGMA user_version = 99")
    store.close()
    before = other.home.database.read_bytes()
    code, error = fails(other, "up", "--background")
    assert code == Exit.USAGE
    assert "has version 99" in error["message"]
    assert "a newer assay has used this home" in error["message"]
    assert other.home.database.read_bytes() == before


@pytest.mark.parametrize(
    ("chain", "contract", "words"),
    [
        (1, CONTRACT, f"the line is for chain 1, this home is on chain {CHAIN_ID}"),
        (CHAIN_ID, bytes([0xC1]) * 20, f"the line is for contract 0x{'c1' * 20}"),
    ],
    ids=["chain", "contract"],
)
def test_a_line_of_another_network_is_refused(
    running: Daemon, other: Daemon, chain: int, contract: bytes, words: str
) -> None:
    """By a daemon that runs, and for one that will."""
    other.make(config())
    before = other.home.config.read_bytes()
    line = f"/ip4/127.0.0.1/tcp/4620/p2p/{PEER}?chain={chain}&contract=0x{contract.hex()}"
    for daemon in (running, other):
        code, error = fails(daemon, "join", line)
        assert code == Exit.REFUSED
        assert words in error["message"]
    assert running.call("peers") == []
    assert other.home.config.read_bytes() == before
    assert load_config(running.home).bootstrap == ()


def test_without_a_chain_it_says_what_to_set(other: Daemon) -> None:
    other.make(Config(listen=("/ip4/127.0.0.1/tcp/0",)))
    code, error = fails(other, "up")
    assert code == Exit.USAGE
    assert error["message"].endswith("config.toml: url, id, contract")
    assert error["next"].startswith("set chain.url, then: assay join")


def test_without_a_contract_alone_it_names_deploy(other: Daemon) -> None:
    listen, url = ("/ip4/127.0.0.1/tcp/0",), "http://127.0.0.1:1"
    other.make(Config(listen=listen, chain_url=url, chain_id=1337))
    code, error = fails(other, "up")
    assert code == Exit.USAGE
    assert error["message"].endswith("config.toml: contract")
    assert "assay deploy for a network of your own" in error["next"]


async def test_others_are_told_the_address_outside_that_a_router_forwards(
    other: Daemon,
) -> None:
    announced = "/ip4/203.0.113.5/tcp/4001"
    own = free_port()
    other.make(dataclasses.replace(config(own), announce=(announced,)))
    await other.start()
    status = other.call("status")
    assert status["addresses"] == [f"{announced}/p2p/{status['peer_id']}"]
    assert f"{announced}/p2p/{status['peer_id']}" in status["join_line"]
    # Its port is looked for where it listens: the address outside may lead here from outside alone.
    done = run("--home", str(other.home.path), "--json", "doctor")
    ports = {each["check"]: each for each in json.loads(done.stdout)["checks"]}["ports"]
    assert (ports["state"], ports["sentence"]) == ("ok", f"/ip4/127.0.0.1/tcp/{own} answers")


async def test_of_two_daemons_with_the_same_keys_none_goes_on(
    running: Daemon, tmp_path: Path
) -> None:
    """Both meet each other through whoever they are connected to, and say so; one alone stays."""
    address = running.call("status")["join_line"].partition("?")[0]
    first, copy = Daemon(tmp_path / "first"), Daemon(tmp_path / "copy")
    first.make(dataclasses.replace(config(), bootstrap=(address,)))
    try:
        await first.start()
        shutil.copytree(
            first.home.path, copy.home.path, ignore=shutil.ignore_patterns("*.sock", "lock")
        )
        await copy.start()
        for daemon in (first, copy):
            await until(lambda daemon=daemon: not daemon.running, 60, "it ends")
            assert daemon.exit_code == Exit.USAGE
            assert "another node runs with the keys of" in daemon.tail()
        await first.start()
        with trio.move_on_after(5):
            await until(lambda: not first.running, 60, "it ends")
        assert first.answers()
        assert running.answers()
    finally:
        first.destroy()
        copy.destroy()
