"""`assay doctor` as a user runs it, beside a real daemon on a devnet."""

from __future__ import annotations

import contextlib
import json
import signal
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.daemons.processes import Daemon, Swarm, free_port, run, until

from node.control.codes import Exit
from node.home.config import save_config
from node.home.keys import Keys

pytestmark = pytest.mark.waits(20)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    made = Swarm(tmp_path, owners=0)
    yield made
    made.destroy()


def doctor(home: Path, *more: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Exit code, the report, and its checks by name."""
    ended = run("--home", str(home), "--json", "doctor", *more)
    assert ended.stdout, ended.stderr
    said = json.loads(ended.stdout)
    return ended.returncode, said, {each["check"]: each for each in said["checks"]}


async def test_the_doctor_beside_a_daemon(swarm: Swarm, tmp_path: Path) -> None:
    await swarm.launch(swarm.requester)
    home = swarm.requester.home
    code, said, checks = doctor(home.path, "--bundle", str(tmp_path / "bundle.zip"))
    assert (code, said["failures"]) == (Exit.OK, 0), said
    for name in ("daemon", "problems", "store", "ports", "contract", "events", "workers", "clock"):
        assert checks[name]["state"] == "ok", checks[name]
    assert str(swarm.requester.pid) in checks["daemon"]["sentence"]
    assert "loopback" in checks["reachability"]["sentence"]
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        packed = b"".join(archive.read(name) for name in archive.namelist())
    keys = Keys.open(home)
    for secret in (keys.peer_seed, keys.sign_digest(bytes(32)), keys._account_key.to_bytes()):
        assert secret not in packed
        assert secret.hex().encode() not in packed.lower()
    assert (home.keys / "unlock").read_bytes().strip() not in packed
    again = run("--home", str(home.path), "doctor", "--bundle", str(tmp_path / "bundle.zip"))
    assert again.returncode == Exit.USAGE
    # A chain that is gone, and a daemon that does not answer, which is no daemon that is gone.
    swarm.chain.destroy()
    swarm.requester.send(signal.SIGSTOP)
    try:
        code, said, checks = doctor(home.path)
    finally:
        swarm.requester.send(signal.SIGCONT)
    assert code == Exit.FAULT
    assert checks["chain"]["state"] == checks["daemon"]["state"] == "failure"
    assert f"kill {swarm.requester.pid}" in checks["daemon"]["fix"]
    assert checks["store"]["state"] == "ok"
    # After a kill the store still has its log beside it; it is read, and left as it is.
    swarm.requester.kill()
    assert (home.path / "assay.db-wal").stat().st_size
    before = home.database.read_bytes()
    checks = doctor(home.path)[2]
    assert checks["daemon"]["sentence"].startswith("no daemon")
    assert checks["store"]["state"] == checks["ports"]["state"] == "ok"
    assert home.database.read_bytes() == before


@contextlib.asynccontextmanager
async def beside(tmp_path: Path, host: str) -> AsyncIterator[tuple[Swarm, Daemon]]:
    """A requester on 127.0.0.1, and an owner beside it that listens at `host` alone."""
    swarm = Swarm(tmp_path, owners=1)
    try:
        await swarm.launch(swarm.requester)
        (owner,) = swarm.owners
        listen = (f"/ip4/{host}/tcp/{free_port()}",)
        save_config(owner.home, swarm.config(listen=listen))
        await owner.start()
        await until(lambda: owner.call("peers") != [], 30, "the owner is connected")
        yield swarm, owner
    finally:
        swarm.destroy()


async def test_a_peer_dials_a_daemon_back_and_the_doctor_says_what_arrived(tmp_path: Path) -> None:
    async with beside(tmp_path, "0.0.0.0") as (swarm, owner):  # noqa: S104
        code, said, checks = doctor(owner.home.path)
        wrong = {name: each for name, each in checks.items() if each["state"] == "failure"}
        assert (code, wrong) == (Exit.OK, {})
        assert checks["reachability"]["state"] == "not-asked"
        sentence = checks["reachability"]["sentence"]
        assert "1 of 1 peer dialled back, from this network alone" in sentence
        asked = said["reach"]["asked"]
        found = [(each["peer_id"], each["outcome"], each["came_from"]) for each in asked]
        assert found == [(swarm.peer, "dialled", "127.0.0.1")]
        # It came and went: nobody has one line more.
        assert [len(each.call("peers")) for each in (swarm.requester, owner)] == [1, 1]


async def test_who_listens_elsewhere_than_its_lines_come_from_is_not_reached(
    tmp_path: Path,
) -> None:
    """As behind a router: the peer dials where this node comes from, and nobody answers there."""
    async with beside(tmp_path, "127.0.0.2") as (swarm, owner):
        reach = owner.call("reach")
        assert reach["verdict"] == "unreached"
        asked = [(each["peer_id"], each["outcome"], each["told"]) for each in reach["asked"]]
        assert asked == [(swarm.peer, "no-answer", "127.0.0.1")]
        # Asked again at once, the peer refuses, and what nobody tried is not known.
        reach = owner.call("reach")
        assert (reach["verdict"], reach["asked"][0]["outcome"]) == ("unknown", "refused")
        assert "less than 30 seconds" in reach["asked"][0]["why"]
