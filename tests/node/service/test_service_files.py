"""The texts of services: systemd's unit, read back as systemd reads it, and launchd's agent."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from node.console.failure import Failure
from node.service import installing
from node.service.agent import agent, launchd
from node.service.installing import install, look, uninstall
from node.service.service import Passphrase
from node.service.unit import systemd, unit


def test_the_unit_is_hardened_and_quotes_what_it_must() -> None:
    text = unit(Path("/home/a b/$x%"), ["/opt/assay"], Passphrase(Path("/se cret%")))
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
    assert lines["LoadCredential"] == "passphrase:/se cret%%"
    assert "passphrase" not in unit(Path("/h"), ["/opt/assay"])
    with pytest.raises(ValueError, match="line break"):
        unit(Path("/h\nExecStartPre=evil"), ["/opt/assay"])
    with pytest.raises(ValueError, match="line break"):
        unit(Path("/h"), ["/opt/assay"], Passphrase(Path("/x\nExecStartPre=evil")))


@pytest.mark.parametrize("end", ["\\", " ", "\t", "\x1b", "\udcff"])
def test_a_passphrases_path_changes_no_other_line(end: str) -> None:
    """A backslash at a line's end joins the next one to it; bytes of no text cannot be written."""
    with pytest.raises(ValueError, match="a unit file can"):
        unit(Path("/h"), ["/opt/assay"], Passphrase(Path(f"/secret{end}")))
    if end not in ("\\", " "):
        with pytest.raises(ValueError, match="a unit file cannot hold"):
            unit(Path(f"/h{end}"), ["/opt/assay"])


def test_a_pipe_in_a_units_place_is_not_waited_for(tmp_path: Path) -> None:
    service = systemd("assay", Path("/h"), ["/opt/assay"], None, tmp_path)
    service.file.parent.mkdir(parents=True)
    os.mkfifo(service.file)
    for act in (look, install, uninstall):
        with pytest.raises(Failure, match="is no file"):
            act(service)


def test_a_unit_that_is_a_link_is_replaced_and_what_it_names_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = systemd("assay", Path("/h"), ["/opt/assay"], None, tmp_path)
    service.file.parent.mkdir(parents=True)
    other = tmp_path / "other"
    other.write_text(service.text + "# mine\n")
    service.file.symlink_to(other)
    monkeypatch.setattr(installing, "_manager", lambda _: None)
    monkeypatch.setattr(installing, "_run", lambda *_: None)
    install(service)
    assert not service.file.is_symlink()
    assert other.read_text() == service.text + "# mine\n"


def test_an_encrypted_passphrase_is_systemds_to_decrypt() -> None:
    text = unit(Path("/h"), ["/opt/assay"], Passphrase(Path("/c"), encrypted=True))
    assert "\nLoadCredentialEncrypted=passphrase:/c\n" in text
    with pytest.raises(ValueError, match="passphrase-file"):
        agent("assay", Path("/h"), ["/opt/assay"], Passphrase(Path("/c"), encrypted=True))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "assay.service"
    file.write_text(unit(tmp_path, [shutil.which("true") or "/bin/true"], Passphrase(Path("/p"))))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(file)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # It also looks at units that this machine may lack; what it says of ours counts.
    assert [line for line in done.stderr.splitlines() if "assay.service" in line] == []


def test_the_agent_starts_with_the_session_and_again_after_a_failure() -> None:
    home, secret = Path("/Users/a & b"), Passphrase(Path("/p"))
    service = launchd("assay", home, ["/opt/assay"], secret, Path("/Users/a/Library"), 501)
    found = plistlib.loads(service.text.encode())
    assert found["ProgramArguments"] == ["/opt/assay", "--home", str(home), "up"]
    assert found["RunAtLoad"] is True
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["EnvironmentVariables"] == {"ASSAY_PASSPHRASE_FILE": "/p"}
    assert service.file == Path("/Users/a/Library/LaunchAgents/assay.plist")
    assert service.start == (("launchctl", "bootstrap", "gui/501", str(service.file)),)


@pytest.mark.parametrize("other", ["/home/ab", "/home/a/b", "/home", "/home/a &amp; b"])
def test_a_services_mark_is_of_its_home_alone(other: str) -> None:
    home = Path("/home/a")
    for make in (
        lambda path: systemd("assay", path, ["/opt/assay"], None, Path("/c")),
        lambda path: launchd("assay", path, ["/opt/assay"], None, Path("/l"), 1),
    ):
        assert make(home).mark in make(home).text
        assert make(home).mark not in make(Path(other)).text
