"""The first nine steps of the store's schema. They were released: nothing here is edited."""

from __future__ import annotations

from typing import Final

BASE: Final = """
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

INTENTS: Final = """
-- What this node wants done on the chain, by the caller's id. A row is written before anything is
-- signed, and each signed transaction before it is sent: a crash never acts twice.
CREATE TABLE intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    chain_id INTEGER NOT NULL,
    account BLOB NOT NULL,
    target BLOB NOT NULL,
    function TEXT NOT NULL,
    args BLOB NOT NULL,
    value TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN
        ('queued', 'stored', 'sent', 'mined', 'final', 'failed', 'superseded')),
    told TEXT NOT NULL DEFAULT '',
    nonce INTEGER,
    tx_hash BLOB,
    block INTEGER,
    gas_used INTEGER,
    since INTEGER,
    error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX intents_live ON intents (seq)
    WHERE state NOT IN ('final', 'failed', 'superseded') OR told != state;

-- Every transaction ever signed for an intent; replacements share a nonce.
CREATE TABLE intent_transactions (
    hash BLOB PRIMARY KEY,
    intent INTEGER NOT NULL REFERENCES intents (seq),
    nonce INTEGER NOT NULL,
    max_fee TEXT NOT NULL,
    tip TEXT NOT NULL,
    gas INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT;
CREATE INDEX intent_transactions_of ON intent_transactions (intent, nonce);
"""

JOBS: Final = """
-- Jobs known here; the machine of the same key is in machines. holdout: the requester's data set.
CREATE TABLE jobs (
    job BLOB PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('requester', 'owner')),
    spec BLOB NOT NULL REFERENCES specs (digest),
    holdout TEXT NOT NULL,
    seen REAL NOT NULL
) STRICT;

-- What the contract said, of any job. Taken back by block when the chain is reorganised.
CREATE TABLE contract_events (
    block INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    job BLOB NOT NULL,
    kind TEXT NOT NULL,
    tx_hash BLOB NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (block, log_index)
) STRICT;
CREATE INDEX contract_events_of_job ON contract_events (job, block, log_index);
"""

PRIVACY: Final = """
-- Policies now hold a privacy budget: who agreed to one without has not agreed to this one.
DELETE FROM policies;

-- Noisy jobs: how each samples and noises (fixed for good), rounds set aside, and the budget that
-- they were last found to fit. No reference to datasets: a name that comes again keeps its debts.
CREATE TABLE privacy_reserves (
    job BLOB PRIMARY KEY,
    dataset TEXT NOT NULL,
    requester BLOB NOT NULL,
    rate REAL NOT NULL,
    multiplier REAL NOT NULL,
    rounds INTEGER NOT NULL CHECK (rounds > 0),
    limit_epsilon REAL NOT NULL,
    limit_delta REAL NOT NULL,
    at REAL NOT NULL,
    released REAL
) STRICT;
CREATE INDEX privacy_reserves_of_dataset ON privacy_reserves (dataset);

-- One row for each round whose noisy gradient was drawn, or may have been: on which model, and when
-- the draw was kept (from then on it may have left).
CREATE TABLE privacy_charges (
    job BLOB NOT NULL REFERENCES privacy_reserves (job),
    round INTEGER NOT NULL CHECK (round >= 0),
    model BLOB NOT NULL,
    at REAL NOT NULL,
    drawn REAL,
    PRIMARY KEY (job, round)
) STRICT, WITHOUT ROWID;
"""

RELEASES: Final = """
-- Shares that left this node, by whose secret they are of.
CREATE TABLE releases (
    job BLOB NOT NULL,
    round INTEGER NOT NULL,
    member INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('seed', 'key')),
    PRIMARY KEY (job, round, member)
) STRICT, WITHOUT ROWID;
"""

TRUSTED: Final = """
-- Policies now name who is trusted with sealed models without noise: who agreed to one without that
-- has not agreed to this one.
DELETE FROM policies;
"""

JOINS: Final = """
-- Jobs without noise that a data set joined, each before its owner's consent. digest: its bytes,
-- which count under any name. idle: when it was over, where this owner had contributed nothing.
CREATE TABLE noiseless_joins (
    job BLOB NOT NULL,
    dataset TEXT NOT NULL,
    digest BLOB NOT NULL,
    requester BLOB NOT NULL,
    at REAL NOT NULL,
    idle REAL,
    PRIMARY KEY (job, dataset)
) STRICT, WITHOUT ROWID;

-- Policies have three more terms: corrupt_least, finality_least, no_noise_jobs, each 1, which takes
-- no job that was not taken before. A policy is a msgpack array: of 19 fields, and now of 22.
UPDATE policies SET body = CAST(x'dc0016' || substr(body, 4) || x'010101' AS BLOB)
    WHERE substr(body, 1, 3) = x'dc0013';
"""

PEOPLE: Final = """
-- A sealed sketch of each version of a data set. A version without one takes no job. It stays when
-- the data set is removed, because what was told of its rows stays told.
CREATE TABLE sketches (
    dataset TEXT NOT NULL,
    digest BLOB NOT NULL,
    sketch BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (dataset, digest)
) STRICT;

-- Versions that have rows in common: `part` of the smaller one's. Their names share one budget,
-- unless their owner said that they are other people (apart).
CREATE TABLE shared_rows (
    one TEXT NOT NULL,
    one_digest BLOB NOT NULL,
    other TEXT NOT NULL,
    other_digest BLOB NOT NULL,
    part REAL NOT NULL,
    apart INTEGER NOT NULL CHECK (apart IN (0, 1)),
    at REAL NOT NULL,
    PRIMARY KEY (one, one_digest, other, other_digest)
) STRICT;
CREATE INDEX shared_rows_of_other ON shared_rows (other);
"""

CARDS: Final = """
-- Cards of data sets, of all peers, and withdrawals (node/cards/). mark: in the order in which they
-- were learned, for peers that ask what is new. valid_until: of this word; kept_until: the latest
-- of the slot's words, for as long as somebody could say an older one again. Unix seconds.
CREATE TABLE cards (
    mark INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,
    slot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,
    since INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL CHECK (withdrawn IN (0, 1)),
    body BLOB NOT NULL,
    UNIQUE (peer, slot)
) STRICT;

-- Which of this node's slots holds the card of which data set. No reference to datasets: the card
-- of one that is gone is still to be withdrawn.
CREATE TABLE own_cards (
    dataset TEXT PRIMARY KEY,
    slot INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
"""
