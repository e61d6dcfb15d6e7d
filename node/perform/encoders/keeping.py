"""The encoders that this home knows: a small file each, beside the blobs that are the packages.

A file names the package's digest, size and title and where it came from. It is written once the
package is on the disk, and removed before it, so that a file always stands for a package.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from node.home.home import Home, write_private
from protocol.errors import InputError

_NAME: Final = re.compile(r"[0-9a-f]{64}\.json")
_DIGEST: Final = re.compile(r"(0x)?([0-9a-f]{4,64})")

#: Bytes of a file: a path of 4096 characters, of which JSON makes six bytes each at most; a name.
_MOST: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """An encoder of this home. `digest` is in hex, `bytes` the package's size, `source` where it
    came from: a file's name, or the job that it was fetched for; `added` is Unix time."""

    digest: str
    bytes: int
    name: str
    source: str
    added: float


def keep(home: Home, digest: bytes, size: int, name: str, source: str) -> Kept:
    """Note a package that is on the disk; what is noted already stays as it is."""
    known = _read(home.encoders / f"{digest.hex()}.json")
    if known is not None:
        return known
    home.encoders.mkdir(mode=0o700, exist_ok=True)
    return _write(home, Kept(digest.hex(), size, name, source, time.time()))


def rename(home: Home, kept: Kept, name: str) -> Kept:
    """Call an encoder that is noted by another name."""
    return _write(home, replace(kept, name=name))


def known(home: Home, digest: bytes) -> bool:
    """Whether an encoder is noted: then its package was on the disk, and was looked at."""
    return _read(home.encoders / f"{digest.hex()}.json") is not None


def all_of(home: Home) -> tuple[Kept, ...]:
    """Every encoder that is noted, by name."""
    try:
        found = [each for each in home.encoders.iterdir() if _NAME.fullmatch(each.name)]
    except FileNotFoundError:
        return ()
    read = (_read(place) for place in found)
    return tuple(sorted((each for each in read if each), key=lambda each: (each.name, each.digest)))


def one_of(home: Home, given: str) -> Kept:
    """The encoder that a name, a digest or the beginning of one means. Raises InputError."""
    known = all_of(home)
    match = _DIGEST.fullmatch(given)
    start = match[2] if match else "-"
    meant = [each for each in known if each.name == given or each.digest.startswith(start)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError(f"{given!r} means {len(meant)} encoders; give more of a digest", "encoder")
    error = InputError(f"{given[:80]!r} is no encoder of this home", "encoder")
    error.add_note("assay encoder list")
    raise error


def drop(home: Home, kept: Kept) -> None:
    """Forget an encoder; its package is the caller's."""
    (home.encoders / f"{kept.digest}.json").unlink(missing_ok=True)


def _write(home: Home, kept: Kept) -> Kept:
    # A path may be no Unicode: its bytes are surrogates, which json.loads takes back.
    content = json.dumps(asdict(kept), ensure_ascii=False).encode("utf-8", "surrogatepass")
    write_private(home.encoders / f"{kept.digest}.json", content)
    return kept


def _read(place: Path) -> Kept | None:
    """What a file says; None where there is none, or where it is damaged: it can be added again."""
    try:
        with place.open("rb") as file:
            said = json.loads(file.read(_MOST))
        return Kept(
            str(said["digest"]),
            int(said["bytes"]),
            str(said["name"]),
            str(said["source"]),
            float(said["added"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
