"""Homes that worlds begin with: keys, a data set, a policy. Each is made once, by the node itself.

A home is made in a world of its own, through the calls that a user makes, and copied for every
world that needs it: so that a thousand seeds do not import a thousand files.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL

from node.home.home import Home
from node.home.keys import Keys
from node.home.vault import encrypt
from protocol.wire.identity import peer_id


@functools.cache
def folder() -> Path:
    """Where homes lie: in memory where the system has such a place, gone with this process."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="assay-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def keys_of(name: str) -> tuple[bytes, bytes, bytes]:
    """A node's vault key, peer seed and account key, by its name."""
    vault, peer, account = (
        hashlib.sha256(f"{what} of {name}".encode()).digest()
        for what in ("vault", "peer", "account")
    )
    return vault, peer, account


def peer_of(name: str) -> bytes:
    public = Ed25519PrivateKey.from_private_bytes(keys_of(name)[1]).public_key()
    return peer_id(public.public_bytes_raw())


def open_keys(name: str, home: Path) -> Keys:
    """The keys of a home, without the derivation that opens them."""
    vault, _, account = keys_of(name)
    return Keys(Home(home), vault, account)


def blank(name: str, path: Path) -> None:
    """An empty home with its keys."""
    home = Home(path)
    home.create()
    vault, peer, _ = keys_of(name)
    sealed = home.keys / "sealed"
    sealed.mkdir(mode=0o700)
    (sealed / "peer").write_bytes(encrypt(vault, peer, b"sealed:peer"))


@functools.cache
def template(name: str) -> Path:
    """The home that a node of this name begins with."""
    from virtual.world import World

    path = folder() / "templates" / name
    path.parent.mkdir(exist_ok=True)
    World.make_home(name, path)
    return path


def csv_of(name: str) -> tuple[Path, str]:
    """A file of a node's rows, and what its data set is called."""
    number = 99 if name == "r" else 100 + int(name[1:])
    path = folder() / f"{name}.csv"
    if name == "r":
        return clouds.write_csv(path, seed=number, rows=200), "holdout"
    return clouds.write_csv(path, seed=number), "clouds"


__all__ = ["TAKES_ALL", "blank", "csv_of", "folder", "keys_of", "open_keys", "peer_of", "template"]
