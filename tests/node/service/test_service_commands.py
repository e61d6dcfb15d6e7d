"""`assay service` from the command to a real daemon, by a stand-in for systemctl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits import systemctl
from kits.paths import ROOT

from node.control.codes import Exit
from scripts.testing.keeper import mark

pytestmark = pytest.mark.waits(15)

#: A chain that nobody serves: the daemon says so in its status, and runs.
CHAIN = ("--chain-url", "http://127.0.0.1:9", "--chain-id", "1337")
CONTRACT = ("--contract", "0x" + "11" * 20)


class User:
    """A user with a home of assay, a folder of units, and a service manager of their own."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.settings = folder / "settings"
        self.home = folder / "home of assay"
        self.environ = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(self.settings),
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),
            **mark(),
        }
        self.program("systemctl", f"exec {sys.executable} {self.programs}/systemctl.py")
        (self.programs / "systemctl.py").write_bytes(Path(systemctl.__file__).read_bytes())

    def program(self, name: str, line: str) -> None:
        (self.programs / name).write_text(f'#!/bin/sh\n{line} "$@"\n')
        (self.programs / name).chmod(0o755)

    @property
    def unit(self) -> Path:
        return self.settings / "systemd" / "user" / "assay.service"

    @property
    def calls(self) -> list[str]:
        """What systemctl was called with, less `--user`."""
        lines = (self.programs / "calls").read_text().splitlines()
        return [line.removeprefix("--user ") for line in lines]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "node.cli.main", "--home", str(self.home), *words],
            env={**self.environ, **more},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *words: str, **more: str) -> Any:
        done = self.run(*words, "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    made = User(tmp_path)
    yield made
    if made.unit.exists():
        made.run("service", "uninstall")


def test_a_service_runs_the_daemon_and_leaves_the_home(user: User, tmp_path: Path) -> None:
    """Keys that a passphrase seals: the daemon has it as a credential, and no environment."""
    secret = tmp_path / "pass phrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    user.program("loginctl", "echo no #")
    listen = ("--listen", "/ip4/127.0.0.1/tcp/0")
    user.json("init", *CHAIN, *CONTRACT, *listen, ASSAY_PASSPHRASE_FILE=str(secret))
    assert user.json("service", "status") == {"installed": False, "runs": False, "lingers": False}

    refused = user.run("service", "install")
    assert (refused.returncode, user.unit.exists()) == (Exit.USAGE, False), refused.stderr
    assert "passphrase" in refused.stderr

    planned = user.json("service", "install", "--passphrase-file", str(secret), "--dry-run")
    assert not user.unit.exists()
    installed = user.run("service", "install", "--passphrase-file", str(secret))
    assert installed.returncode == 0, installed.stderr
    assert "loginctl enable-linger" in installed.stdout
    assert user.unit.read_text() == planned["text"]
    assert f"LoadCredential=passphrase:{secret}" in planned["text"]
    assert user.calls == [line.split("--user ")[1] for line in planned["commands"]]

    first = user.json("status")["pid"]
    environ = Path(f"/proc/{first}/environ").read_bytes() if Path("/proc").exists() else b""
    assert b"correct horse" not in environ
    assert user.json("service", "status")["runs"] is True
    # Again: what changed is taken, and the daemon of before has ended.
    assert user.run("service", "install", "--passphrase-file", str(secret)).returncode == 0
    assert user.json("status")["pid"] != first

    assert user.run("service", "uninstall").returncode == 0
    assert not user.unit.exists()
    assert user.run("status").returncode == Exit.NO_DAEMON
    assert (user.home / "keys" / "vault.json").exists()
    gone = user.run("service", "uninstall")
    assert gone.returncode == Exit.REFUSED
    assert "there is no" in gone.stderr


def test_what_cannot_be_installed_changes_nothing(user: User, tmp_path: Path) -> None:
    without = user.run("service", "install")
    assert without.returncode == Exit.USAGE, without.stderr
    user.json("init", *CHAIN)
    lacks = user.run("service", "install")
    assert (lacks.returncode, "assay deploy" in lacks.stderr) == (Exit.USAGE, True)
    config = user.home / "config.toml"
    config.write_text(config.read_text().replace("# contract =", "contract ="))
    bad = user.run("service", "install", "--name", "../x")
    assert (bad.returncode, "no service's name" in bad.stderr) == (Exit.USAGE, True)
    # The file of another home's service is nobody's to overwrite or to remove.
    user.unit.parent.mkdir(parents=True)
    user.unit.write_text('ExecStart=/opt/assay "--home" "/another" "up"\n')
    for command in ("install", "uninstall", "status"):
        other = user.run("service", command)
        assert other.returncode == Exit.REFUSED, (command, other.stdout)
        assert "--name" in other.stderr
    assert "/another" in user.unit.read_text()
    user.unit.unlink()
    (user.programs / "systemctl").unlink()
    user.environ["PATH"] = str(user.programs)
    alone = user.run("service", "install")
    assert (alone.returncode, user.unit.exists()) == (Exit.REFUSED, False)
    assert "assay up --background" in alone.stderr


def test_a_managers_refusal_is_told_in_its_own_words(user: User) -> None:
    user.json("init", *CHAIN, *CONTRACT)
    user.program("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1 #")
    refused = user.run("service", "install")
    assert refused.returncode == Exit.NO_DAEMON
    assert "Failed to connect to bus: No medium found" in refused.stderr
    assert "journalctl --user -u assay" in refused.stderr
    user.unit.unlink()
