"""What was seen of a node: plain values, which checks judge without looking again.

Each part is either there, or a `Blank` that says why it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from node.control.shapes import Peer, Reach, Status
from node.home.config import Config


@dataclass(frozen=True, slots=True)
class Blank:
    """A part that was not seen. `asked`: it was looked at, and the look failed; else there was no
    reason to look."""

    why: str
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the home. `mode`: its permission bits. `mine`: it belongs to this user."""

    name: str
    kind: Literal["file", "directory", "other"]
    mode: int
    mine: bool


@dataclass(frozen=True, slots=True)
class HomeSeen:
    """The home's directory and what lies in it. `more`: names beyond the limit, not looked at."""

    path: str
    entries: tuple[Entry, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """The keys. `locked`: they have a passphrase, and this command was not given it.

    `why`: why they do not open; empty where they do. `damaged`: sealed secrets that do not.
    """

    locked: bool = False
    why: str = ""
    account: str = ""
    sealed: int = 0
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DaemonSeen:
    """The daemon. `pid`: who holds the home's lock. `why`: why it does not answer."""

    pid: int | None
    status: Status | None = None
    peers: tuple[Peer, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class DatasetSeen:
    """A data set. `held`: bytes of this node's copy, None where it is gone; `same`: whether its
    bytes are those that were added, None where they were not compared.

    `source`: of the file that it came from.
    """

    name: str
    bytes: int
    held: int | None
    same: bool | None
    source: Literal["as it was", "changed", "gone", "a database", "handed over"]
    decided: bool
    holdout: bool


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """The store. `faults`: what SQLite found. `whole`: the check came to its end in time.

    `counts`: rows by table. `newest`: Unix time of its newest event, 0 for none. `waiting`:
    transactions that are not final, `troubles` what keeps some of them. `names`: of data sets and
    their columns, for the bundle to leave out.
    """

    application: int
    version: int
    faults: tuple[str, ...] = ()
    whole: bool = True
    counts: Mapping[str, int] | None = None
    newest: float = 0.0
    waiting: int = 0
    troubles: tuple[str, ...] = ()
    datasets: tuple[DatasetSeen, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BlobsSeen:
    """Blobs, their bytes, and how many were compared with their names. `damaged` are not what
    their names say. `more`: there are others, which were not counted."""

    blobs: int
    bytes: int
    compared: int
    damaged: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class MachineSeen:
    """The machine. Bytes; `free_files` is None where the file system has no such limit, and
    `memory` where the system does not tell."""

    now: float
    free_bytes: int
    free_files: int | None
    memory: int | None
    cores: int
    open_files: int


@dataclass(frozen=True, slots=True)
class VersionsSeen:
    """Versions. `others`: pinned packages whose version is another: name, wanted, found."""

    assay: str
    python: str
    sqlite: tuple[int, ...]
    pinned: int
    others: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class WorkersSeen:
    """Whether a worker's libraries load in a process of their own, and within how many seconds."""

    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class EncodersSeen:
    """What holds encoders here. `walls`: those that this machine offers, by name. `missing`:
    libraries of the extra `encoders` that are not installed; then walls are not looked at."""

    walls: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortSeen:
    """One address that is listened on. `why`: what is wrong with it; empty for nothing."""

    address: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """The log's end: its lines of level error, and the last of them."""

    bytes: int
    errors: int
    last: str
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """What one chain node says. `url` holds no secret. `why`: why it does not serve; empty if it
    does. Parts that it does not tell are None.

    `code`: of the contract's address, `channel`: of the channel contract's. `finalized`: the
    chain's own. `fee` and `tip`: wei per gas.
    """

    url: str
    why: str = ""
    chain_id: int | None = None
    code: Literal["right", "none", "other"] | None = None
    channel: Literal["right", "none", "other"] | None = None
    head: int | None = None
    head_time: int = 0
    finalized: int | None = None
    common: str = ""
    fee: int | None = None
    tip: int = 0
    balance: int | None = None
    logs: str | None = None


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """Every chain node, in the user's order. `common`: the block whose hashes were compared."""

    endpoints: tuple[EndpointSeen, ...]
    common: int | None = None

    @property
    def serving(self) -> tuple[EndpointSeen, ...]:
        """Those that answer."""
        return tuple(each for each in self.endpoints if not each.why)


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it."""

    home: HomeSeen | Blank
    config: Config | Blank
    keys: KeysSeen | Blank
    daemon: DaemonSeen | Blank
    store: StoreSeen | Blank
    blobs: BlobsSeen | Blank
    machine: MachineSeen | Blank
    versions: VersionsSeen | Blank
    workers: WorkersSeen | Blank
    encoders: EncodersSeen | Blank
    ports: tuple[PortSeen, ...] | Blank
    reach: Reach | Blank
    chain: ChainSeen | Blank
    log: LogSeen | Blank
