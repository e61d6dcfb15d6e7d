"""Looks at the home's files: what lies there and who may read it, keys, blobs, the log."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from node.doctor.looking.bounded import cut, regular, words
from node.doctor.seen import BlobsSeen, Entry, HomeSeen, KeysSeen, LogSeen
from node.home.config import Config, load_config
from node.home.home import Home
from node.home.keys import Keys
from node.home.logs import plain
from node.home.vault import read_json, read_passphrase
from protocol.addresses import to_checksum
from protocol.errors import InputError
from protocol.wire.blobs import BlobHasher

#: Names in the home that are looked at, and blobs that are counted.
MAX_ENTRIES: Final = 5_000
MAX_BLOBS: Final = 200_000
#: Bytes of blobs that are compared with their names, the newest first.
MAX_COMPARED: Final = 64 * 1024**2
#: Of the log's end, bytes that are read.
MAX_LOG: Final = 256 * 1024

_READ: Final = 1024 * 1024


def look_home(home: Home) -> HomeSeen:
    """The home itself, and what lies in it and in its folders. Raises OSError."""
    top = home.path
    found = list(
        itertools.islice(
            itertools.chain([_entry(top, ".")], _below(home, top)),
            MAX_ENTRIES + 1,
        )
    )
    return HomeSeen(str(top), tuple(found[:MAX_ENTRIES]), len(found) > MAX_ENTRIES)


def _below(home: Home, top: Path) -> Iterator[Entry]:
    # The keys come first: where there are very many names, they are among those looked at.
    folders = (home.keys, home.keys / "sealed", top, home.datasets, home.gradients, home.blobs)
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as inside:
                for each in inside:
                    path = Path(each.path)
                    yield _entry(path, path.relative_to(top).as_posix())


def _entry(path: Path, name: str) -> Entry:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            found = path.stat()
    except OSError:
        # A daemon at work removes files, and a socket's link may lead nowhere.
        return Entry(name, "other", 0, True)
    kind: Literal["file", "directory", "other"] = "other"
    if stat.S_ISREG(found.st_mode):
        kind = "file"
    elif stat.S_ISDIR(found.st_mode):
        kind = "directory"
    return Entry(name, kind, stat.S_IMODE(found.st_mode), found.st_uid == os.getuid())


def look_config(home: Home) -> Config:
    """The settings. Raises InputError, OSError."""
    if home.config.exists():
        regular(home.config)
    return load_config(home)


def look_keys(home: Home) -> KeysSeen:
    """The keys, opened, and every sealed secret. Raises OSError."""
    try:
        for name in ("vault.json", "account.json", "unlock"):
            if (home.keys / name).exists():
                regular(home.keys / name)
        vault = read_json(home.keys / "vault.json", {"kdf": str})
        if vault["kdf"] == "pbkdf2" and not os.environ.get("ASSAY_PASSPHRASE_FILE"):
            return KeysSeen(locked=True)
        keys = Keys.open(home, read_passphrase())
        damaged = [name for name in keys.sealed() if not _opens(home, keys, name)]
        account = to_checksum(keys.account)
        return KeysSeen(False, "", account, len(keys.sealed()), tuple(damaged))
    except KeyError as error:
        return KeysSeen(why=f"{home.keys / 'sealed' / str(error.args[0])} is missing")
    except (InputError, OSError) as error:
        return KeysSeen(why=words(error))


def _opens(home: Home, keys: Keys, name: str) -> bool:
    try:
        regular(home.keys / "sealed" / name)
        keys.unseal(name)
    except FileNotFoundError:
        return True  # a running daemon forgot it meanwhile
    except (InputError, KeyError, OSError):
        return False
    return True


def look_blobs(directory: Path) -> BlobsSeen:
    """The blobs: counted, and the newest of them read and compared with their names.

    Raises OSError.
    """
    count = total = 0
    newest: list[tuple[float, int, str]] = []
    with os.scandir(directory) as inside:
        for each in itertools.islice(inside, MAX_BLOBS):
            if not each.is_file(follow_symlinks=False) or not _is_digest(each.name):
                continue
            found = each.stat(follow_symlinks=False)
            count, total = count + 1, total + found.st_size
            newest.append((found.st_mtime, found.st_size, each.name))
        more = next(inside, None) is not None
    left, compared, damaged = MAX_COMPARED, 0, []
    for _, size, name in sorted(newest, reverse=True):
        if size > left:
            break
        left -= size
        same = is_named(directory / name, name, MAX_COMPARED)
        compared += 1
        if same is False:
            damaged.append(name)
    return BlobsSeen(count, total, compared, tuple(damaged), more)


def is_named(path: Path, name: str, limit: int) -> bool | None:
    """Whether a file holds what its name (hex) says; None where it is gone, or over `limit` bytes.

    A file that cannot be read is not what it should be.
    """
    hasher = BlobHasher()
    try:
        regular(path)
        with path.open("rb") as file:
            while piece := file.read(_READ):
                hasher.update(piece)
                if hasher.size > limit:
                    return None
    except FileNotFoundError:
        return None
    except OSError:
        return False
    return hasher.digest().hex() == name


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def look_log(path: Path) -> LogSeen:
    """The end of the log. Raises OSError."""
    regular(path)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_LOG))
        lines = file.read(MAX_LOG).decode(errors="replace").splitlines()
    # The first line of a part is one's end.
    lines = lines[1:] if size > MAX_LOG else lines
    # As text, whatever its form: JSON's escapes would hide names from whoever takes them out.
    lines = [each for line in lines for each in plain(line).split("\n")]
    errors = [line for line in lines if " ERROR " in line[:40]]
    last = cut(errors[-1].partition(" ERROR ")[2]) if errors else ""
    return LogSeen(size, len(errors), last, tuple(lines))
