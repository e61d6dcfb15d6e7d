from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.home.home import MAX_SOCKET_PATH_BYTES, Home, find_home, running_process, write_private
from protocol.errors import InputError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def test_home_is_private(home: Home) -> None:
    for path in (home.path, home.blobs, home.datasets, home.keys):
        assert mode(path) == 0o700


def test_home_open_to_others_is_refused(home: Home) -> None:
    home.path.chmod(0o750)
    with pytest.raises(InputError, match=r"0750.*chmod 700"):
        home.create()


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made a home"):
        Home(tmp_path / "file").create()
    with pytest.raises(InputError, match="assay init"):
        Home(tmp_path / "nothing").check()


def test_home_behind_a_link_is_allowed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home.path)
    Home(tmp_path / "link").check()


def test_find_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", "from-environment")
    assert find_home("given").path == tmp_path / "given"
    assert find_home().path == tmp_path / "from-environment"
    monkeypatch.delenv("ASSAY_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert find_home().path == tmp_path / "data" / "assay"


def test_finding_the_socket_loads_no_heavy_module(tmp_path: Path) -> None:
    code = (
        "import sys; from node.home.home import find_home; find_home(sys.argv[1]).socket_path();"
        "print([m for m in sys.modules if m.split('.')[0] in ('trio', 'protocol', 'numpy')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


# The lock

_HOLDER = """
import sys
from pathlib import Path
from node.home.home import Home
with Home(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_second_daemon_is_told_the_first_ones_process(home: Home) -> None:
    assert running_process(home) is None
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert running_process(home) == holder.pid
        with pytest.raises(InputError, match=rf"in use by process {holder.pid}"), home.lock():
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    # Its file is still there with its number in it, and locks nobody out.
    assert home.lock_file.read_text() == f"{holder.pid}\n"
    assert running_process(home) is None
    with home.lock():
        assert home.lock_file.read_text() == f"{os.getpid()}\n"
        assert mode(home.lock_file) == 0o600
        assert running_process(home) == os.getpid()


def test_lock_is_given_back(home: Home) -> None:
    with home.lock():
        pass
    with home.lock():
        pass
    assert running_process(home) is None


# The control socket's place


def home_with_path_of(length: int, tmp_path: Path) -> Home:
    """A home whose control.sock's path has exactly `length` bytes."""
    rest = length - len(os.fsencode(tmp_path)) - len("//control.sock")
    parts = []
    while rest > 200:
        parts.append("d" * 100)
        rest -= 101
    parts.append("h" * rest)
    made = Home(tmp_path.joinpath(*parts))
    made.create()
    return made


def test_socket_lies_in_the_home_up_to_the_limit(tmp_path: Path) -> None:
    home = home_with_path_of(MAX_SOCKET_PATH_BYTES, tmp_path)
    path = home.bind_path()
    assert path == home.path / "control.sock"
    assert len(os.fsencode(path)) == MAX_SOCKET_PATH_BYTES
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert home.socket_path() == path
    # What a dead daemon left is cleared away.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.bind_path()))


def test_socket_of_a_longer_home_is_found_whatever_the_environment(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path_factory.mktemp("run")
    home = home_with_path_of(MAX_SOCKET_PATH_BYTES + 1, tmp_path)
    path = home.bind_path({"XDG_RUNTIME_DIR": str(runtime)})
    assert path.is_relative_to(runtime)
    assert mode(path.parent) == 0o700
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
        assert Home(home.path).socket_path() == path
    other = home_with_path_of(MAX_SOCKET_PATH_BYTES + 2, tmp_path)
    assert other.bind_path({"XDG_RUNTIME_DIR": str(runtime)}) != path


def test_somebody_elses_runtime_directory_is_not_used(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime = tmp_path_factory.mktemp("run")
    home = home_with_path_of(300, tmp_path)
    directory = home.bind_path({"XDG_RUNTIME_DIR": str(runtime)}).parent
    directory.chmod(0o777)
    with pytest.raises(InputError, match="open to other users"):
        home.bind_path({"XDG_RUNTIME_DIR": str(runtime)})


# Whole files


def test_write_private_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert mode(path) == 0o600
    path.with_name("directory").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(path.with_name("directory"), b"three")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory", "file"]
