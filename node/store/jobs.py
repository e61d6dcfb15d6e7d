"""What this node keeps of each job beside its machine: spec, role, and events of the contract.

Contract events of every job are kept, not only of jobs known here: a job that is announced late
finds its history, and an audit reads it. A reorganisation takes back what stood above it.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from node.chain.events import EVENTS, ChainEvent, ContractEvent

#: Inside a transaction or snapshot of node.store.store, which imports this module's migration.
Transaction: TypeAlias = sqlite3.Connection


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job known here. `spec` is its digest; `holdout` is empty where there is none."""

    job: bytes
    role: str
    spec: bytes
    holdout: str
    seen: float


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A contract event as it was mined."""

    block: int
    tx_hash: bytes
    event: ContractEvent


def save_job(tx: Transaction, job: bytes, role: str, spec: bytes, holdout: str = "") -> bool:
    """Enter a job; False, and nothing changed, if it is known."""
    row = (job, role, spec, holdout, time.time())
    sql = (
        "INSERT INTO jobs (job, role, spec, holdout, seen) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (job) DO NOTHING"
    )
    return tx.execute(sql, row).rowcount > 0


def jobs(tx: Transaction) -> list[JobRow]:
    """All jobs known here, newest first."""
    rows = tx.execute("SELECT job, role, spec, holdout, seen FROM jobs ORDER BY seen DESC")
    return [JobRow(*row) for row in rows]


def save_contract_event(tx: Transaction, event: ChainEvent) -> None:
    """Keep one event; the same again changes nothing."""
    fields = {name: _text(value) for name, value in dataclasses.asdict(event.event).items()}
    tx.execute(
        "INSERT INTO contract_events (block, log_index, job, kind, tx_hash, json)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (block, log_index) DO NOTHING",
        (
            event.block,
            event.index,
            event.event.job,
            type(event.event).__name__,
            event.tx_hash,
            json.dumps(fields),
        ),
    )


def unknown_events(tx: Transaction, events: Sequence[ChainEvent]) -> list[ChainEvent]:
    """Those of them that are not kept yet."""
    query = "SELECT 1 FROM contract_events WHERE block = ? AND log_index = ?"
    return [e for e in events if tx.execute(query, (e.block, e.index)).fetchone() is None]


def forget_contract_events(tx: Transaction, above: int) -> None:
    """Take back what stood in blocks above `above`."""
    tx.execute("DELETE FROM contract_events WHERE block > ?", (above,))


def contract_events(tx: Transaction, job: bytes) -> list[StoredEvent]:
    """What the contract said of a job, in order."""
    rows = tx.execute(
        "SELECT block, tx_hash, kind, json FROM contract_events WHERE job = ?"
        " ORDER BY block, log_index",
        (job,),
    )
    return [StoredEvent(block, tx_hash, _event(kind, text)) for block, tx_hash, kind, text in rows]


def _event(kind: str, text: str) -> ContractEvent:
    cls = EVENTS[kind]
    stored: dict[str, Any] = json.loads(text)
    values = {
        # Annotations are strings here. An older contract's event may lack a number.
        field.name: _VALUES[str(field.type)](stored.get(field.name, "0"))
        for field in dataclasses.fields(cls)
    }
    return cls(**values)


#: How the kinds of values that events hold are read back. Numbers are texts: JSON's end at 2^53.
_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    "bytes": bytes.fromhex,
    "int": int,
    "bool": lambda text: bool(int(text)),
    "tuple[int, ...]": lambda texts: tuple(map(int, texts)),
}


def _text(value: Any) -> str | list[str]:
    if isinstance(value, tuple):
        return [str(int(each)) for each in value]
    return value.hex() if isinstance(value, bytes) else str(int(value))


def latest_message(tx: Transaction, job: bytes, kind: str, sender: bytes) -> bytes | None:
    """The newest stored message of one kind that `sender` said about a job, whole."""
    row = tx.execute(
        "SELECT body FROM messages WHERE job = ? AND kind = ? AND sender = ?"
        " ORDER BY rowid DESC LIMIT 1",
        (job, kind, sender),
    ).fetchone()
    return None if row is None else bytes(row[0])


def latest_messages(tx: Transaction, job: bytes, kind: str) -> list[bytes]:
    """The newest stored message of one kind about a job, whole, from each sender of one."""
    # Beside MAX, SQLite takes other columns from the row that has it.
    rows = tx.execute(
        "SELECT body, MAX(rowid) FROM messages WHERE job = ? AND kind = ? GROUP BY sender",
        (job, kind),
    )
    return [bytes(row[0]) for row in rows]


def pause(tx: Transaction, paused: bool) -> None:
    """Note that this node's owner pauses it, or goes on; a second word changes nothing."""
    if not paused:
        tx.execute("DELETE FROM paused")
    elif paused_since(tx) is None:
        tx.execute("INSERT INTO paused (since) VALUES (?)", (time.time(),))


def paused_since(tx: Transaction) -> float | None:
    """Since when the node is paused, Unix seconds; None while it is not."""
    row = tx.execute("SELECT since FROM paused").fetchone()
    return None if row is None else float(row[0])


def leave(tx: Transaction, job: bytes, why: str) -> None:
    """Note that this owner begins no attempt of a job any more. The first reason stays."""
    tx.execute(
        "INSERT INTO left_jobs (job, why, at) VALUES (?, ?, ?) ON CONFLICT (job) DO NOTHING",
        (job, why, time.time()),
    )


def restored(tx: Transaction) -> dict[bytes, str]:
    """Jobs that came out of a backup, each with what is shown of that."""
    return dict(tx.execute("SELECT job, why FROM left_jobs WHERE restored"))


def left(tx: Transaction, job: bytes) -> str:
    """Why this owner begins no attempt of a job any more; empty while it does."""
    row = tx.execute("SELECT why FROM left_jobs WHERE job = ?", (job,)).fetchone()
    return "" if row is None else str(row[0])
