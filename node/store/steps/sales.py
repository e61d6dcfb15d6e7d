"""The tables of private predictions: one step of node/store/migrations.py."""

from __future__ import annotations

from typing import Final

SALES: Final = """
-- Private predictions sold and bought (node/sale/). Times in milliseconds where they are INTEGER.
-- What sellers have on sale: the newest word of each, by the seller's peer. mark: in the order in
-- which they were learned, for peers that ask what is new. bearer: the peer that told it first.
CREATE TABLE sale_catalogues (
    mark INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    until INTEGER NOT NULL,
    bearer BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- What this node sells. model: the weights, sealed. withdrawn: no longer on sale, and served still
-- over channels that were opened for it.
CREATE TABLE sale_offers (
    offer BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    spec BLOB NOT NULL,
    model BLOB NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1)),
    at REAL NOT NULL
) STRICT;

-- Channels of both sides, each with its machine's state, sealed. peer: the other side's. key: a
-- seller's, what the buyer introduced; a buyer's, empty.
CREATE TABLE sale_channels (
    side TEXT NOT NULL CHECK (side IN ('buyer', 'seller')),
    channel BLOB NOT NULL,
    offer BLOB NOT NULL,
    offer_body BLOB NOT NULL,
    peer BLOB NOT NULL,
    key BLOB NOT NULL,
    body BLOB NOT NULL,
    expiry INTEGER NOT NULL,
    over INTEGER NOT NULL DEFAULT 0 CHECK (over IN (0, 1)),
    at REAL NOT NULL,
    PRIMARY KEY (side, channel)
) STRICT;

-- Bytes that an open query rests on, until the next is taken. word: of a seller's answer, the word
-- that it signed; empty otherwise. An answer that does not open stays, with its word.
CREATE TABLE sale_parts (
    side TEXT NOT NULL,
    channel BLOB NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    word BLOB NOT NULL,
    PRIMARY KEY (side, channel, digest)
) STRICT;

-- Keys under which this node asks, one a seller's account; sealed. introduction: what that seller
-- is given of it.
CREATE TABLE sale_keys (
    seller BLOB NOT NULL,
    bits INTEGER NOT NULL,
    secret BLOB NOT NULL,
    introduction BLOB NOT NULL,
    PRIMARY KEY (seller, bits)
) STRICT;

-- Channels that are being opened: what was decided, until the channel is there.
CREATE TABLE sale_openings (
    id TEXT PRIMARY KEY,
    offer_body BLOB NOT NULL,
    peer BLOB NOT NULL,
    deposit TEXT NOT NULL,
    expiry INTEGER NOT NULL
) STRICT;

-- What was bought: the answer to a row of features, by the row's digest. Asked once an offer.
CREATE TABLE sale_answers (
    offer BLOB NOT NULL,
    row BLOB NOT NULL,
    result BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (offer, row)
) STRICT, WITHOUT ROWID;

-- Specs of what is on sale, fetched from sellers, by digest.
CREATE TABLE sale_specs (digest BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT;
"""
