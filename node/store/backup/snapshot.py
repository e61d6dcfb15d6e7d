"""What a backup holds of the store: budgets, data sets, policies, jobs. And what becomes of it.

A backup is older than what its node did last. So a restored store says nothing of what was begun:
every effect, transaction and result is gone, and secrets of attempts never were in it
(node.home.keys). It counts for the worst: each round that was set aside counts as told, and each
job without noise as contributed to. What was joined after the backup is not in it.
"""

from __future__ import annotations

import sqlite3
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from node.home.home import Home, write_private
from node.store.store import Store, Transaction, now
from protocol.errors import InputError

#: A store of that many bytes, packed, has the events of some thousand jobs.
MAX_PACKED_BYTES: Final = 32 * 1024 * 1024
MAX_STORE_BYTES: Final = 512 * 1024 * 1024

#: Effects, transactions and results would be said or sent again. Signed messages are evidence of
#: what others did, whose blobs a backup does not hold.
_STAYS_BEHIND: Final = (
    "outbox",
    "computations",
    "intent_transactions",
    "intents",
    "messages",
    "words",
    "sums",
    "sale_parts",
    "sale_catalogues",
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: data sets, jobs that were not over, and jobs in all."""

    datasets: int
    running: int
    jobs: int


def pack(home: Home) -> bytes:
    """The home's store for a backup, with or without a daemon that runs; empty where there is none.

    Raises `InputError` if it is too large, or cannot be read.
    """
    if not home.database.exists():
        return b""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home.path) as folder:
        copy = Path(folder) / "assay.db"
        try:
            # Quoted, because a '?' or '#' of the folder's name would end the path of a URI.
            uri = f"file:{quote(str(home.database))}?mode=ro"
            source = sqlite3.connect(uri, uri=True, timeout=60)
            try:
                # One snapshot of a store that others write to, in a file of mode 0700's folder.
                source.execute("VACUUM INTO ?", (str(copy),))
            finally:
                source.close()
            _strip(copy)
        except sqlite3.Error as error:
            raise InputError(f"{home.database} cannot be read: {error}", "backup") from error
        packed = zlib.compress(copy.read_bytes(), 6)
    if len(packed) > MAX_PACKED_BYTES:
        raise InputError(
            f"{home.database} has {len(packed)} bytes, packed; a backup holds {MAX_PACKED_BYTES}. "
            "Stop the daemon and copy the whole home",
            "backup",
        )
    return packed


def _strip(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        there = {row[0] for row in database.execute("SELECT name FROM sqlite_schema")}
        for table in _STAYS_BEHIND:
            if table in there:
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        database.execute("VACUUM")
    finally:
        database.close()


def unpack(home: Home, packed: bytes, made: str) -> Restored | None:
    """Make a home's store from a backup that was `made` then. None, and nothing is changed, where
    the backup holds none, or the home has a store: that one is the newer.

    Raises `InputError` if it is not whole, or of a newer assay.
    """
    if not packed or home.database.exists():
        return None
    unzipped = zlib.decompressobj()
    try:
        content = unzipped.decompress(packed, MAX_STORE_BYTES)
    except zlib.error as error:
        raise InputError(f"the store in the backup is damaged: {error}", "backup") from error
    if not unzipped.eof:
        raise InputError(
            f"the store in the backup is cut short, or has more than {MAX_STORE_BYTES} bytes",
            "backup",
        )
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home.path) as folder:
        copy = Path(folder) / "assay.db"
        write_private(copy, content)
        with Store.open(copy) as store, store.transaction() as tx:
            found = _settle(tx, made)
        # Whole, and held to its new rules, before the home has it.
        copy.rename(home.database)
    return found


def _settle(tx: Transaction, made: str) -> Restored:
    for table in _STAYS_BEHIND:
        tx.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    # Queries that were asked and answered since are not known here. What is granted is redeemed
    # still, and what expires is taken back; nothing more is asked over these channels or answered.
    tx.execute("UPDATE sale_channels SET key = CAST('restored' AS BLOB)")
    # A round that was drawn since is not known here: each that was set aside counts as drawn, and
    # is never drawn again.
    tx.execute(
        "WITH RECURSIVE counted (job, round, rounds) AS ("
        " SELECT job, 0, rounds FROM privacy_reserves WHERE released IS NULL"
        " UNION ALL SELECT job, round + 1, rounds FROM counted WHERE round + 1 < rounds)"
        " INSERT INTO privacy_charges (job, round, model, at, drawn)"
        " SELECT job, round, zeroblob(32), ?1, ?1 FROM counted WHERE true"
        " ON CONFLICT (job, round) DO UPDATE SET drawn = coalesce(drawn, ?1)",
        (now(),),
    )
    why = (
        f"this node was restored from a backup of {made}: it begins nothing in the job, and "
        "releases nothing of what it had begun"
    )
    tx.execute(
        "INSERT INTO left_jobs (job, why, at, restored) SELECT job, ?, ?, 1 FROM jobs WHERE true"
        " ON CONFLICT (job) DO UPDATE SET why = excluded.why, restored = 1",
        (why, now()),
    )
    count = "SELECT count(*) FROM "
    return Restored(
        *(
            int(tx.execute(count + what).fetchone()[0])
            for what in ("datasets", "dataset_uses WHERE over IS NULL", "jobs")
        )
    )
