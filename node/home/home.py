"""The node's home: one private directory a node, one daemon a home.

    config.toml        what `assay init` wrote and the user edits
    tokens.json        tokens that the user has named (node/home/tokens.py)
    known-peers        whom the node was connected with (node/home/known_peers.py)
    assay.db           machines, outbox, events (node/store/store.py)
    blobs/             content-addressed, served to peers (node/store/blobs.py)
    datasets/          imported private data, never served (node/data/datasets.py)
    gradients/         noisy gradients of running jobs, never served (node/privacy/draws.py)
    encoders/          which encoders are known (node/perform/encoders/keeping.py)
    keys/              sealed keys (node/home/keys.py)
    control.sock       the control socket, or a link to it
    assay.lock         held by the running daemon; names its process
    assay.log          the daemon's log when it runs in the background

The command-line client looks here for the socket, so this module imports nothing heavy, and
protocol/ only where an error is raised.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

    from protocol.errors import InputError

#: `sun_path` holds 108 bytes with its closing zero on Linux (measured).
MAX_SOCKET_PATH_BYTES: Final = 107

#: Before a random name in a home: folders of `assay web`, with files that were handed over to it.
PAGE_PREFIX: Final = ".page-"

_PRIVATE_DIR: Final = 0o700
_PRIVATE_FILE: Final = 0o600

_LOCK_TRIES: Final = 5
_LOCK_PAUSE_SECONDS: Final = 0.02


def _input_error(message: str, field: str = "home") -> InputError:
    # Late: the client that asks a running daemon for its status must not pay for protocol/.
    from protocol.errors import InputError

    return InputError(message, field)


@dataclass(frozen=True)
class Home:
    """A node's home directory and the names inside it. Building one touches no disk."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def tokens(self) -> Path:
        return self.path / "tokens.json"

    @property
    def known_peers(self) -> Path:
        return self.path / "known-peers"

    @property
    def database(self) -> Path:
        return self.path / "assay.db"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def datasets(self) -> Path:
        return self.path / "datasets"

    @property
    def gradients(self) -> Path:
        return self.path / "gradients"

    @property
    def encoders(self) -> Path:
        return self.path / "encoders"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def lock_file(self) -> Path:
        return self.path / "assay.lock"

    @property
    def log(self) -> Path:
        return self.path / "assay.log"

    @property
    def _socket_name(self) -> Path:
        return self.path / "control.sock"

    def create(self) -> None:
        """Make the directories, private to this user. One that exists is kept, if it is private.

        Raises `InputError` when the path is no directory, belongs to somebody else, is open to
        others, or cannot be made.
        """
        try:
            self.path.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
        except OSError as error:
            raise _input_error(
                f"{self.path} cannot be made a home: {error.strerror}; "
                "name another with --home or ASSAY_HOME"
            ) from error
        self.check()
        for directory in (self.blobs, self.datasets, self.gradients, self.keys):
            directory.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
            _check_private(directory)

    def check(self) -> None:
        """Raise `InputError` unless the home exists, is ours, and is closed to everybody else."""
        _check_private(self.path)

    def socket_path(self) -> Path:
        """Where a client connects: the home's own link says so, whatever the environment does.

        XDG_RUNTIME_DIR differs between a service and a login shell, so a client never works the
        fallback out again. The home is private to this user, so the link can be trusted.
        """
        try:
            return Path(os.readlink(self._socket_name))
        except OSError:
            return self._socket_name

    def bind_path(self, environ: Mapping[str, str] | None = None) -> Path:
        """Where the daemon binds its control socket; call it with the home's lock held.

        A socket left by a dead daemon is removed. When the home's own path is too long for a
        socket, it goes to a private directory under XDG_RUNTIME_DIR or the system's temporary
        directory, named by this user and a hash of the home's path (so that two homes never share
        one), and control.sock becomes a link to it. Raises `InputError`.
        """
        name = self._socket_name
        path = name
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            path = self._short_socket_path(os.environ if environ is None else environ)
        for old in {name, path}:
            old.unlink(missing_ok=True)
        if path != name:
            name.symlink_to(path)
        return path

    def _short_socket_path(self, environ: Mapping[str, str]) -> Path:
        digest = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:24]
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        for base in (runtime, tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked private below
            if not base or not Path(base).is_dir():
                continue
            directory = Path(base) / f"assay-{os.getuid()}-{digest}"
            path = directory / "control.sock"
            if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
                continue
            directory.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
            # A shared /tmp lets another user make the name first: then nothing of ours goes there.
            _check_private(directory)
            return path
        raise _input_error(
            f"{self.path} is too long for a control socket ({MAX_SOCKET_PATH_BYTES} bytes) and "
            "neither XDG_RUNTIME_DIR nor the temporary directory is short enough; "
            "use a home with a shorter path"
        )

    def lock(self) -> HomeLock:
        """Take the home for this process; `with home.lock(): ...`. See `HomeLock`."""
        return HomeLock(self)


def find_home(override: str | os.PathLike[str] | None = None) -> Home:
    """The home that a command means: `override` (--home), else ASSAY_HOME, else the platform's.

    The path is made absolute, so that a daemon which changes directory keeps its home.
    """
    chosen = os.fspath(override) if override else os.environ.get("ASSAY_HOME", "")
    if not chosen:
        from platformdirs import user_data_path

        return Home(user_data_path("assay", appauthor=False))
    return Home(Path(os.path.abspath(os.path.expanduser(chosen))))


class HomeLock:
    """An exclusive `flock` on the home, gone with the process that holds it, however it ends.

    The file's text (the holder's process id) is only for the message; the lock itself is the
    kernel's, so a file left behind by a killed daemon locks nobody out. `flock` and not `lockf`:
    a record lock would be lost when any other part of the process closes the file.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises `InputError` naming the process that runs on this home."""
        self._home.check()
        fd = os.open(self._home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
        try:
            _flock_patiently(fd)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _input_error(
                    f"{self._home.lock_file} cannot be locked: {error.strerror}; "
                    "a home needs a file system with locks"
                ) from error
            who = f"process {holder}" if holder else "another process"
            raise _input_error(
                f"{self._home.path} is in use by {who}; "
                "stop it with `assay down`, or use another home"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the home back. The file stays: removing it would let two daemons lock two files."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> HomeLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _flock_patiently(fd: int) -> None:
    # `running_process` holds a shared lock for some microseconds: a refusal counts when it lasts.
    for _ in range(_LOCK_TRIES - 1):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def running_process(home: Home) -> int | None:
    """The process id of the daemon that holds this home's lock, None when none does."""
    try:
        fd = os.open(home.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # A shared lock is refused exactly while the daemon's exclusive one is held.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(fd)
    return None


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, mode 0600, whole or not at all, on disk when this returns."""
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename or removal inside `path` survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_private(path: Path) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise _input_error(f"{path} does not exist; make it with `assay init`") from None
    if stat.S_ISLNK(found.st_mode) and path.parent.stat().st_mode & stat.S_IWOTH == 0:
        found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise _input_error(f"{path} is not a directory")
    if found.st_uid != os.getuid():
        raise _input_error(f"{path} belongs to user {found.st_uid}, not to you ({os.getuid()})")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _input_error(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}, "
            f"0700 is needed); run: chmod 700 {path}"
        )
