"""Typed access to the store's tables: machines, messages, specs, results, events, traffic.

Every function takes an open transaction (`Store.run`, `Store.read`) and does one thing. Effects are
in node/store/outbox.py, data sets and their policies in node/store/catalogue.py, the chain in
node/chain/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from node.store.store import Transaction, now
from protocol.errors import FatalError
from protocol.wire.codec import encode
from protocol.wire.envelope import Envelope, envelope_digest
from protocol.wire.parts import Part

# State machines


@dataclass(frozen=True, slots=True)
class Machine:
    """A stored machine: its state's head and how many effects it has ever wanted."""

    kind: str
    key: bytes
    seq: int
    state: bytes


def save_machine(tx: Transaction, machine: Machine, parts: Sequence[Part] = ()) -> None:
    """Store a machine's new state: its head, in the place of the one before, and what changed of
    its parts."""
    tx.execute(
        "INSERT INTO machines (kind, key, seq, state, updated) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, key) DO UPDATE SET"
        " seq = excluded.seq, state = excluded.state, updated = excluded.updated",
        (machine.kind, machine.key, machine.seq, machine.state, now()),
    )
    if parts:
        _save_parts(tx, machine.kind, machine.key, parts)


def _save_parts(tx: Transaction, kind: str, key: bytes, parts: Sequence[Part]) -> None:
    kept = [(kind, key, part.field, part.place, part.body) for part in parts if part.body]
    gone = [(kind, key, part.field, part.place) for part in parts if not part.body]
    tx.executemany(
        "INSERT INTO machine_parts (kind, key, field, place, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, key, field, place) DO UPDATE SET body = excluded.body",
        kept,
    )
    tx.executemany(
        "DELETE FROM machine_parts WHERE kind = ? AND key = ? AND field = ? AND place = ?", gone
    )


def load_parts(tx: Transaction, kind: str, key: bytes) -> list[Part]:
    """All parts of a machine's state, by field and place."""
    rows = tx.execute(
        "SELECT field, place, body FROM machine_parts WHERE kind = ? AND key = ?"
        " ORDER BY field, place",
        (kind, key),
    )
    return [Part(*row) for row in rows]


def load_machine(tx: Transaction, kind: str, key: bytes) -> Machine | None:
    """The stored machine, None if there is none."""
    row = tx.execute(
        "SELECT kind, key, seq, state FROM machines WHERE kind = ? AND key = ?", (kind, key)
    ).fetchone()
    return None if row is None else Machine(*row)


# Results of computations


def save_result(tx: Transaction, computation: bytes, kind: str, result: bytes) -> bytes:
    """Store a computation's result, unless one is stored; the one that is stored from now on.

    The first result stands for ever: a second ciphertext or noise draw must not leave the node.
    """
    row = tx.execute(
        "INSERT INTO computations (id, kind, result, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING RETURNING result",
        (computation, kind, result, now()),
    ).fetchone()
    if row is not None:
        return result
    stored = load_result(tx, computation)
    if stored is None:
        raise FatalError(f"result of computation {computation.hex()} vanished inside a transaction")
    return stored


def load_result(tx: Transaction, computation: bytes) -> bytes | None:
    """The stored result of a computation, None if it was not done yet."""
    row = tx.execute("SELECT result FROM computations WHERE id = ?", (computation,)).fetchone()
    return None if row is None else bytes(row[0])


# Signed messages


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A signed message in its canonical bytes; `sender` is a peer id."""

    digest: bytes
    job: bytes
    kind: str
    sender: bytes
    body: bytes


def stored(envelope: Envelope) -> StoredMessage:
    """An envelope as the store keeps it: one that this node has opened or sealed.

    `reopen_envelope` reads its body back and relies on that.
    """
    return StoredMessage(
        envelope_digest(envelope),
        envelope.context.job,
        type(envelope.body).__name__,
        envelope.sender,
        encode(envelope),
    )


def save_message(tx: Transaction, message: StoredMessage) -> bool:
    """Store a message; False if it was stored already."""
    changed = tx.execute(
        "INSERT INTO messages (digest, job, kind, sender, body, at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (digest) DO NOTHING",
        (message.digest, message.job, message.kind, message.sender, message.body, now()),
    ).rowcount
    return changed > 0


def load_message(tx: Transaction, digest: bytes) -> StoredMessage | None:
    """The message of this digest, None if there is none."""
    row = tx.execute(
        "SELECT digest, job, kind, sender, body FROM messages WHERE digest = ?", (digest,)
    ).fetchone()
    return None if row is None else StoredMessage(*row)


def messages_of(
    tx: Transaction, job: bytes, kind: str | None = None, limit: int = 100_000
) -> list[StoredMessage]:
    """A job's messages, all or of one kind, in the order in which they were stored."""
    rows = tx.execute(
        "SELECT digest, job, kind, sender, body FROM messages"
        " WHERE job = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY rowid LIMIT ?3",
        (job, kind, limit),
    )
    return [StoredMessage(*row) for row in rows]


def count_messages(tx: Transaction, job: bytes, kind: str) -> int:
    """How many messages of one kind are stored of a job."""
    sql = "SELECT COUNT(*) FROM messages WHERE job = ? AND kind = ?"
    return int(tx.execute(sql, (job, kind)).fetchone()[0])


# Job specs


def save_spec(tx: Transaction, digest: bytes, body: bytes) -> None:
    """Store a spec's canonical bytes under its digest; storing it again changes nothing."""
    tx.execute(
        "INSERT INTO specs (digest, body, at) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
        (digest, body, now()),
    )


def load_spec(tx: Transaction, digest: bytes) -> bytes | None:
    """A spec's canonical bytes, None if it was never seen."""
    row = tx.execute("SELECT body FROM specs WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


# Events


@dataclass(frozen=True, slots=True)
class Event:
    """Something the user may look up later; `job` is empty for what belongs to no job."""

    id: int
    at: float
    job: bytes
    kind: str
    facts: dict[str, Any]


def add_event(tx: Transaction, job: bytes, kind: str, facts: Mapping[str, Any]) -> Event:
    """Store an event. `facts` must be JSON; raises `TypeError` or `ValueError` if it is not."""
    text = json.dumps(dict(facts), allow_nan=False, separators=(",", ":"))
    at = now()
    row = tx.execute(
        "INSERT INTO events (at, job, kind, json) VALUES (?, ?, ?, ?) RETURNING id",
        (at, job, kind, text),
    ).fetchone()
    return Event(row[0], at, job, kind, dict(facts))


def events(
    tx: Transaction, after: int = 0, job: bytes | None = None, limit: int = 1000
) -> list[Event]:
    """Events with ids above `after`, oldest first, of all jobs or of one; at most `limit`."""
    rows = tx.execute(
        "SELECT id, at, job, kind, json FROM events"
        " WHERE id > ?1 AND (?2 IS NULL OR job = ?2) ORDER BY id LIMIT ?3",
        (after, job, limit),
    )
    return [Event(row[0], row[1], row[2], row[3], json.loads(row[4])) for row in rows]


def latest_event(tx: Transaction, job: bytes, kinds: tuple[str, ...]) -> Event | None:
    """The newest event of a job that is of one of these kinds."""
    row = tx.execute(
        "SELECT id, at, job, kind, json FROM events WHERE job = ?"
        " AND kind IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT 1",
        (job, json.dumps(kinds)),
    ).fetchone()
    return None if row is None else Event(row[0], row[1], row[2], row[3], json.loads(row[4]))


# Traffic

Direction = Literal["in", "out"]


def count_bytes(tx: Transaction, job: bytes, direction: Direction, kind: str, number: int) -> None:
    """Add `number` bytes to what came in or went out for a job."""
    if number < 0:
        raise ValueError(f"{number} bytes")
    tx.execute(
        "INSERT INTO traffic (job, direction, kind, bytes) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (job, direction, kind) DO UPDATE SET bytes = bytes + excluded.bytes",
        (job, direction, kind, number),
    )


def traffic(tx: Transaction, job: bytes) -> dict[tuple[Direction, str], int]:
    """Bytes of a job by (direction, kind)."""
    rows = tx.execute(
        "SELECT direction, kind, bytes FROM traffic WHERE job = ? ORDER BY direction, kind", (job,)
    )
    return {(row[0], row[1]): row[2] for row in rows}
