"""A job that is begun by an older assay is finished by this one, on the same homes; not back again.

The older one is a wheel of an earlier commit, because no version is tagged yet. It is one whose
store has fewer steps. Its contract is today's: no assay sends to a contract that it was not built
with (node/chain/errors.py, OtherContract), so a job on another one is finished by the version that
began it. Where the history of the repository is not at hand, nothing is tried.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.daemons import clouds
from kits.daemons.processes import free_port
from kits.paths import ROOT

from node.store.migrations import MIGRATIONS

pytestmark = pytest.mark.long

OLDER = "2301f7b7bd02ee4a249baaa1956ead27e3177e91"
OLDER_STEPS = 17
SECONDS = 240.0


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The older assay, built and installed into a folder of its own, without what it needs."""
    folder = tmp_path_factory.mktemp("older")
    known = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{OLDER}^{{commit}}"], capture_output=True
    )
    if known.returncode:
        pytest.skip(f"the repository here has no history back to {OLDER[:8]}")
    archive = folder / "older.tar"
    subprocess.run(["git", "-C", ROOT, "archive", "-o", archive, OLDER], check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "source", filter="data")
    shutil.rmtree(folder / "source" / "contracts")
    shutil.copytree(ROOT / "contracts", folder / "source" / "contracts")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "-w", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("assay-*.whl")
    target = folder / "installed"
    subprocess.run([*pip, "install", *offline, "--target", target, wheel], check=True)
    return target


class Shell:
    """Commands of one assay or the other, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = ROOT
        self.homes: list[str] = []

    def run(self, home: str, *words: str) -> tuple[int, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        done = subprocess.run(
            [sys.executable, "-m", "node.cli.main", "--home", str(self.folder / home), *words],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": str(self.tree)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return done.returncode, done.stdout + done.stderr

    def ok(self, home: str, *words: str) -> str:
        code, said = self.run(home, *words)
        assert code == 0, f"assay {' '.join(words)}: {said}"
        return said

    def json(self, home: str, *words: str) -> Any:
        return json.loads(self.ok(home, *words, "--json"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        for home in shell.homes:
            shell.run(home, "down")


def test_a_job_halfway_is_finished_by_the_newer_assay(
    older: Path, shell: Shell, tmp_path: Path
) -> None:
    shell.tree = older
    port = free_port()
    reach = ("--chain-url", f"http://127.0.0.1:{port}", "--listen", "/ip4/127.0.0.1/tcp/0")
    fixed = f"/ip4/127.0.0.1/tcp/{free_port()}"
    account = shell.json(
        "requester", "init", *reach[:2], "--chain-id", "1337", "--listen", fixed, "--finality", "1"
    )["account"]
    with (tmp_path / "chain.log").open("wb") as log:
        chain = subprocess.Popen(
            [
                *(sys.executable, "-m", "node.cli.main", "devnet"),
                *(f"--port={port}", f"--fund={account}", "--block-time=0.5"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "ASSAY_HOME": str(tmp_path / "nobody")},
            stdout=log,
            stderr=log,
        )
    try:
        _until(lambda: shell.run("requester", "deploy", "--yes")[0] == 0, "the contract is there")
        shell.homes.append("requester")
        line = shell.json("requester", "up", "--background")["join"]
        owners = [f"owner-{number}" for number in range(5)]
        for number, owner in enumerate(owners):
            rows = clouds.write_csv(tmp_path / f"{owner}.csv", seed=number)
            shell.ok(owner, "init", line, *reach, "--finality", "1")
            shell.homes.append(owner)
            shell.ok(owner, "up", "--background")
            shell.ok(owner, "data", "add", "clouds", str(rows))
            agreed = ("accept=auto", "no_noise=true", "published_sums=true")
            shell.ok(owner, "policy", "set", "clouds", *agreed)
        spec = tmp_path / "clouds.toml"
        spec.write_text(clouds.spec(rounds=8))
        job = shell.json("requester", "job", "post", str(spec), "--yes")["job"]
        _until(lambda: _round(shell, job) >= 3, "two rounds are done")
        for home in shell.homes:
            shell.ok(home, "down")
        assert 2 <= _round_stored(shell, job) < 8

        shell.tree = ROOT
        for home in shell.homes:
            shell.ok(home, "up", "--background")
        shell.ok("requester", "job", "watch", job)
        assert "no fault" in shell.ok("requester", "audit", job)
        _until(lambda: _paid(shell, owners[0]), "the owner saw its pay")
        (budget,) = shell.json(owners[0], "privacy", "clouds")
        assert budget["dataset"] == "clouds"

        shell.ok(owners[0], "down")
        shell.tree = older
        code, said = shell.run(owners[0], "up", "--background")
        assert code == 2, said
        assert f"this assay knows up to {OLDER_STEPS}; a newer assay has used this home" in said
        shell.tree = ROOT
        assert len(MIGRATIONS) > OLDER_STEPS
        shell.ok(owners[0], "up", "--background")
    finally:
        for home in shell.homes:
            shell.run(home, "down")
        chain.kill()
        chain.wait(10)


def _round(shell: Shell, job: str) -> int:
    return int(shell.json("requester", "job", "show", job)["summary"]["round"])


def _round_stored(shell: Shell, job: str) -> int:
    """By the store, since no daemon runs: rounds whose model moved."""
    store = sqlite3.connect(f"file:{shell.folder / 'requester' / 'assay.db'}?mode=ro", uri=True)
    try:
        query = "SELECT count(*) FROM events WHERE job = ? AND kind = 'round-applied'"
        return int(store.execute(query, (bytes.fromhex(job[2:]),)).fetchone()[0])
    finally:
        store.close()


def _paid(shell: Shell, owner: str) -> bool:
    return sum(int(line["paid"]) for line in shell.json(owner, "earnings")) > 0


def _until(condition: Any, what: str) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.3)
