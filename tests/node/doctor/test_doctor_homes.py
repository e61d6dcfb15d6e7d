"""The doctor on real homes: whole ones, and each kind of damage. Every check says its word."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kits.chain.devnet import Proxy, closed_port
from kits.doctor import (
    DATASET,
    add_rows,
    examined,
    failures,
    home_at,
    node_that_says,
    states,
    whole_chain,
)

from node.cli.main import main
from node.control.codes import Exit
from node.doctor import examine as examination
from node.doctor.examine import CHECKS
from node.doctor.findings import Finding, State
from node.doctor.looking import nodes
from node.doctor.seen import WorkersSeen
from node.home.home import PAGE_PREFIX, Home
from node.home.keys import Keys
from node.store.blobs import Blobs


@pytest.fixture(scope="module")
def chain() -> Iterator[Proxy]:
    with node_that_says(whole_chain()) as proxy:
        yield proxy


def test_a_whole_home_without_a_daemon_has_no_fault(
    tmp_path: Path, chain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at(tmp_path / "home", chain.url)
    add_rows(home)
    before = {path: path.stat().st_mtime_ns for path in home.path.rglob("*")}
    _, found = examined(home, monkeypatch)
    assert set(found) == set(CHECKS)
    assert len(CHECKS) >= 18
    assert failures(found) == set(), found
    said = states(found)
    for name in ("home", "keys", "store", "data-copies", "chain-id", "contract", "fees", "ports"):
        assert said[name] == "ok", found[name]
    assert said["policies"] == "warning"
    assert said["daemon"] == "warning"
    assert said["lag"] == said["reachability"] == "not-asked"
    # Nothing in the home was changed, and nothing came to it.
    assert {path: path.stat().st_mtime_ns for path in home.path.rglob("*")} == before


def zero_key(home: Home) -> None:
    (home.keys / "vault.json").write_bytes(b"")


def key_is_a_directory(home: Home) -> None:
    (home.keys / "account.json").unlink()
    (home.keys / "account.json").mkdir(mode=0o700)


def key_is_a_pipe(home: Home) -> None:
    (home.keys / "unlock").unlink()
    os.mkfifo(home.keys / "unlock", 0o600)


def no_peer_key(home: Home) -> None:
    (home.keys / "sealed" / "peer").unlink()


def damaged_secret(home: Home) -> None:
    Keys.open(home).seal("seed.abc", b"x" * 32)
    (home.keys / "sealed" / "seed.abc").write_bytes(b"")


def other_unlock(home: Home) -> None:
    (home.keys / "unlock").write_bytes(b"ab" * 32)


def config_is_nonsense(home: Home) -> None:
    home.config.write_bytes(b"\xff\x00[[[")


def config_is_a_directory(home: Home) -> None:
    home.config.unlink()
    home.config.mkdir(mode=0o700)


def config_is_a_pipe(home: Home) -> None:
    home.config.unlink()
    os.mkfifo(home.config, 0o600)


def config_with_a_strange_setting(home: Home) -> None:
    home.config.write_text(home.config.read_text() + '\n[other]\nx = "y"\n')


def store_is_text(home: Home) -> None:
    home.database.write_bytes(b"not a database at all, and longer than a header has bytes" * 30)


def store_is_empty(home: Home) -> None:
    home.database.write_bytes(b"")


def store_is_a_directory(home: Home) -> None:
    home.database.unlink()
    home.database.mkdir(mode=0o700)


def store_is_torn(home: Home) -> None:
    content = bytearray(home.database.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    home.database.write_bytes(bytes(content))


def store_is_cut(home: Home) -> None:
    os.truncate(home.database, home.database.stat().st_size // 2)


def store_of_another(home: Home) -> None:
    home.database.unlink()
    with sqlite3.connect(home.database) as made:
        made.execute("CREATE TABLE other (x)")
    made.close()
    home.database.chmod(0o600)


def store_of_a_newer(home: Home) -> None:
    with sqlite3.connect(home.database) as made:
        made.execute("PRAGMA user_version = 9999")
    made.close()


def copy_of_rows(home: Home) -> Path:
    [path] = [each for each in home.datasets.iterdir() if each.is_file()]
    return path


def no_copy(home: Home) -> None:
    copy_of_rows(home).unlink()


def another_copy(home: Home) -> None:
    path = copy_of_rows(home)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def open_to_others(home: Home) -> None:
    (home.keys / "unlock").chmod(0o644)


def damaged_blob(home: Home) -> None:
    ref = Blobs(home.blobs).put(b"some bytes")
    (home.blobs / ref.digest.hex()).write_bytes(b"other byte")


def blob_is_a_pipe(home: Home) -> None:
    os.mkfifo(home.blobs / ("ab" * 32), 0o600)


def no_blobs(home: Home) -> None:
    home.blobs.rmdir()


def log_is_a_directory(home: Home) -> None:
    home.log.mkdir(mode=0o700)


def lock_is_a_directory(home: Home) -> None:
    home.lock_file.mkdir(mode=0o700)


DAMAGE: list[tuple[Callable[[Home], None], set[str]]] = [
    (zero_key, {"keys"}),
    (key_is_a_directory, {"keys"}),
    (key_is_a_pipe, {"keys"}),
    (no_peer_key, {"keys"}),
    (damaged_secret, {"keys"}),
    (other_unlock, {"keys"}),
    (config_is_nonsense, {"config"}),
    (config_is_a_directory, {"config", "home"}),
    (config_is_a_pipe, {"config", "home"}),
    (config_with_a_strange_setting, {"config"}),
    (store_is_text, {"store"}),
    (store_is_empty, {"store"}),
    (store_is_a_directory, {"store", "home"}),
    (store_is_torn, {"store"}),
    (store_is_cut, {"store"}),
    (store_of_another, {"store"}),
    (store_of_a_newer, {"store"}),
    (no_copy, {"data-copies"}),
    (another_copy, {"data-copies"}),
    (open_to_others, {"permissions"}),
    (damaged_blob, {"blobs"}),
    (blob_is_a_pipe, set()),
    (no_blobs, {"blobs", "home"}),
    (log_is_a_directory, {"home", "log"}),
    (lock_is_a_directory, {"home"}),
]


@pytest.mark.parametrize(("damage", "fails"), DAMAGE, ids=lambda v: getattr(v, "__name__", ""))
def test_damage_fails_its_check_in_words_and_no_other(
    damage: Callable[[Home], None],
    fails: set[str],
    tmp_path: Path,
    chain: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = home_at(tmp_path / "home", chain.url)
    add_rows(home)
    damage(home)
    _, found = examined(home, monkeypatch)
    assert failures(found) == fails, found
    spoken(found)


def spoken(found: dict[str, Finding]) -> None:
    """Every check said something a person can read, and every fault what to do next."""
    assert set(found) == set(CHECKS)
    for name, each in found.items():
        assert each.sentence
        assert "Traceback" not in each.whole
        assert "a defect in this check" not in each.whole, (name, each)
        if each.state in (State.FAILURE, State.WARNING):
            assert each.fix, name


def test_a_home_that_is_a_file_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, tmp_path / "nowhere"):
        _, found = examined(Home(path), monkeypatch)
        assert "home" in failures(found)
        spoken(found)


def test_a_file_that_changed_or_is_gone_is_told(
    tmp_path: Path, chain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at(tmp_path / "home", chain.url)
    file = add_rows(home)
    os.utime(file, (time.time() + 60, time.time() + 60))
    _, found = examined(home, monkeypatch)
    assert found["data-files"].state is State.WARNING
    assert f"the file of {DATASET} changed" in found["data-files"].sentence
    file.unlink()
    _, found = examined(home, monkeypatch)
    assert "no longer there" in found["data-files"].sentence
    assert failures(found) == set()
    # One that the page was handed is kept by nobody, and missed by nobody.
    handed = str(home.path / f"{PAGE_PREFIX}8f2" / "k3" / file.name)
    with closing(sqlite3.connect(home.database)) as store, store:
        store.execute("UPDATE datasets SET source = ?", (handed,))
    _, found = examined(home, monkeypatch)
    assert found["data-files"].state is State.OK


def test_a_passphrase_is_asked_for_and_never_shown(
    tmp_path: Path, chain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at(tmp_path / "home", chain.url, passphrase="correct horse battery")
    monkeypatch.delenv("ASSAY_PASSPHRASE_FILE", raising=False)
    _, found = examined(home, monkeypatch)
    assert found["keys"].state is State.WARNING
    for text, state in (("correct horse battery", "ok"), ("a wrong passphrase", "failure")):
        file = tmp_path / "passphrase"
        file.write_text(text)
        file.chmod(0o600)
        monkeypatch.setenv("ASSAY_PASSPHRASE_FILE", str(file))
        _, found = examined(home, monkeypatch)
        assert str(found["keys"].state) == state
        assert not any(text in each.whole for each in found.values())


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"eth_chainId": "0x5"}, {"chain-id"}),
        ({"eth_getCode": "0x"}, {"contract"}),
        ({"eth_getCode": "0x6001"}, {"contract"}),
        ({"eth_chainId": 7}, {"chain"}),
        ({"eth_getBlockByNumber": "nonsense"}, {"chain"}),
        ({"eth_getBlockByNumber": b"\xff" * 100}, {"chain"}),
        ({"eth_getBlockByNumber": 503}, {"chain"}),
        ({"eth_getBlockByNumber": b"[" * 100_000}, {"chain"}),
        ({"eth_getLogs": ["a", {}]}, {"events"}),
        ({"eth_feeHistory": {"baseFeePerGas": [hex(10**15)], "reward": [["0x1"]]}}, {"fees"}),
        ({"eth_getBalance": "0x0"}, set()),
        ({"eth_getBalance": None}, set()),
    ],
)
def test_a_chain_node_that_lies_fails_its_check(
    changes: dict[str, Any], fails: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "NODE_SECONDS", 6.0)
    with node_that_says(whole_chain(**changes)) as proxy:
        _, found = examined(home_at(tmp_path / "home", proxy.url), monkeypatch)
    assert failures(found) == fails, found
    spoken(found)


def header(number: int, age: float) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": "0x" + "11" * 32,
        "parentHash": "0x" + "22" * 32,
        "timestamp": hex(int(time.time() - age)),
        "baseFeePerGas": "0x1",
    }


@pytest.mark.parametrize(("age", "fails"), [(3600.0, "head"), (-3600.0, "clock")])
def test_a_chain_that_stands_still_or_is_early(
    age: float, fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = whole_chain(eth_getBlockByNumber=header(100, age))
    with node_that_says(said) as proxy:
        _, found = examined(home_at(tmp_path / "home", proxy.url), monkeypatch)
    assert failures(found) == {fails}


def test_a_chain_node_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "NODE_SECONDS", 0.5)
    over = threading.Event()

    def hang(_: object) -> int:
        over.wait(60)
        return 503

    with node_that_says(whole_chain(eth_getBlockByNumber=hang)) as proxy:
        try:
            _, found = examined(home_at(tmp_path / "home", proxy.url), monkeypatch)
        finally:
            over.set()
    assert failures(found) == {"chain"}
    assert "gave no answer within" in found["chain"].sentence


def test_of_several_chain_nodes_each_is_looked_at(
    tmp_path: Path, chain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(params: list[Any]) -> dict[str, str]:
        return header(90 if params[0] in ("latest", "finalized") else int(params[0], 16), 0)

    gone = f"http://127.0.0.1:{closed_port()}/secret-key"
    with node_that_says(whole_chain(eth_getBlockByNumber=other)) as lies:
        home = home_at(tmp_path / "one", chain.url, chain_urls=(lies.url,))
        _, found = examined(home, monkeypatch)
        assert failures(found) == {"lag"}
        assert "contradict" in found["lag"].sentence
    home = home_at(tmp_path / "two", chain.url, chain_urls=(gone,))
    _, found = examined(home, monkeypatch)
    assert failures(found) == set()
    assert found["chain"].state is State.WARNING
    assert "secret-key" not in found["chain"].whole
    home = home_at(tmp_path / "three", chain.url, chain_urls=(gone,), agree=2)
    assert "chain.agree wants 2" in examined(home, monkeypatch)[1]["chain"].sentence


def test_a_port_that_another_program_has(
    tmp_path: Path, chain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = chain.url.rpartition(":")[2]
    home = home_at(tmp_path / "home", chain.url, listen=(f"/ip4/127.0.0.1/tcp/{port}",))
    _, found = examined(home, monkeypatch)
    assert failures(found) == {"ports"}
    assert "another program listens there" in found["ports"].sentence


def test_the_command_shows_what_is_wrong_first_and_ends_with_a_fault(
    tmp_path: Path,
    chain: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = home_at(tmp_path / "home", chain.url)
    monkeypatch.setattr(examination, "look_workers", lambda: WorkersSeen(1.0))
    assert main(["--home", str(home.path), "doctor"]) == Exit.OK
    zero_key(home)
    capsys.readouterr()
    assert main(["--home", str(home.path), "doctor"]) == Exit.FAULT
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:2] == ["check", "state"]
    assert rows[1][:2] == ["keys", "failure"]
    assert rows[-1][:2] == ["1", "failed,"]
    shown = [row[1] for row in rows[1:-1]]
    assert shown == sorted(shown, key=["failure", "warning", "not-asked", "ok"].index)
    assert main(["--home", str(home.path), "--json", "doctor"]) == Exit.FAULT
    said = json.loads(capsys.readouterr().out)
    assert (said["failures"], len(said["checks"])) == (1, len(CHECKS))
    # Where no bundle can be written, that is said before all looking.
    bundle = ["doctor", "--bundle", str(tmp_path / "nowhere" / "b.zip")]
    assert main(["--home", str(home.path), *bundle]) == Exit.USAGE
