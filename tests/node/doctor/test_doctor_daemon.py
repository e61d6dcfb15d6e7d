"""`assay doctor` as a user runs it, beside a real daemon on a devnet."""

from __future__ import annotations

import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.daemons.processes import Swarm, run

from node.control.codes import Exit
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
