"""The store's schema, as numbered steps. A step that was released is never edited: add another.

Step n brings a store of version n - 1 to version n (SQLite's `user_version`). Tables are STRICT:
a wrong type is refused at the door and not met later as a surprise.
"""

from __future__ import annotations

from typing import Final

from node.chain import intent_rows
from node.privacy import ledger as privacy_ledger
from node.store import jobs, releases

_BASE: Final = """
-- State machines, in their canonical bytes. seq counts the effects that each has ever wanted.
CREATE TABLE machines (
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    seq INTEGER NOT NULL,
    state BLOB NOT NULL,
    updated REAL NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;

-- Effects, stored in the transaction that stored the state which wants them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    seq INTEGER NOT NULL,
    effect BLOB NOT NULL,
    created REAL NOT NULL,
    done REAL,
    UNIQUE (kind, key, seq)
) STRICT;
CREATE INDEX outbox_pending ON outbox (id) WHERE done IS NULL;
CREATE INDEX outbox_done ON outbox (done) WHERE done IS NOT NULL;

-- Results of computations: what is here is never computed again.
CREATE TABLE computations (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    result BLOB NOT NULL,
    at REAL NOT NULL
) STRICT;

-- Signed messages, as they came or left: what an audit reads and a peer that was away asks for.
CREATE TABLE messages (
    digest BLOB PRIMARY KEY,
    job BLOB NOT NULL,
    kind TEXT NOT NULL,
    sender BLOB NOT NULL,
    body BLOB NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX messages_of_job ON messages (job, kind, at);

-- Jobs seen: the spec's bytes by the spec's digest.
CREATE TABLE specs (
    digest BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    at REAL NOT NULL
) STRICT;

-- How far the chain was read, and the trail back (node/chain/cursor.py).
CREATE TABLE chain_cursor (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
) STRICT;

-- What the user can look up later. The id is the event's place for ever (AUTOINCREMENT).
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    job BLOB NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_job ON events (job, id);

-- Private data of this node: `digest` names the imported copy under datasets/.
CREATE TABLE datasets (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    digest BLOB NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    columns TEXT NOT NULL,
    added REAL NOT NULL
) STRICT;

-- A dataset without a row here takes no job: its owner has not said yes yet.
CREATE TABLE policies (
    name TEXT PRIMARY KEY REFERENCES datasets (name) ON DELETE CASCADE,
    body BLOB NOT NULL,
    updated REAL NOT NULL
) STRICT;

-- What left and what came, by job.
CREATE TABLE traffic (
    job BLOB NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, direction, kind)
) STRICT;
"""

_TRUSTED: Final = """
-- Policies now name who is trusted with sealed models without noise: who agreed to one without that
-- has not agreed to this one.
DELETE FROM policies;
"""

#: Step n stands at index n - 1.
MIGRATIONS: Final[tuple[str, ...]] = (
    _BASE,
    intent_rows.MIGRATION,
    jobs.MIGRATION,
    privacy_ledger.MIGRATION,
    releases.MIGRATION,
    _TRUSTED,
)
