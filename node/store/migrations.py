"""The store's schema, as numbered steps. A step that was released is never edited: add another.

Step n brings a store of version n - 1 to version n (SQLite's `user_version`). Tables are STRICT:
a wrong type is refused at the door and not met later as a surprise.
"""

from __future__ import annotations

from typing import Final

from node.store.steps import first
from node.store.steps.sales import SALES

_EXPLAINED: Final = """
-- Policies have one more term, explain_refusals, which is false. Owners' machines remember whether
-- they told why a job is not taken, requesters' machines who did. All are msgpack arrays.
UPDATE policies SET body = CAST(x'dc0017' || substr(body, 4) || x'c2' AS BLOB)
    WHERE substr(body, 1, 3) = x'dc0016';
UPDATE machines SET state = CAST(x'dc0022' || substr(state, 4) || x'c2' AS BLOB)
    WHERE kind = 'owner' AND substr(state, 1, 3) = x'dc0021';
UPDATE machines SET state = CAST(x'dc001f' || substr(state, 4) || x'90' AS BLOB)
    WHERE kind = 'requester' AND substr(state, 1, 3) = x'dc001e';
"""

_VERSIONS: Final = """
-- holdout: it measures this node's own jobs and is offered to none. renames: its owner's column
-- map, as node.data.maps writes it. format: how its file was read, as pairs of words.
ALTER TABLE datasets ADD COLUMN holdout INTEGER NOT NULL DEFAULT 0;
ALTER TABLE datasets ADD COLUMN renames TEXT NOT NULL DEFAULT '';
ALTER TABLE datasets ADD COLUMN format TEXT NOT NULL DEFAULT '[]';

-- A hold-out was a data set like any other, and was offered to jobs once it had a policy.
UPDATE datasets SET holdout = 1 WHERE name IN (SELECT holdout FROM jobs)
    AND name NOT IN (SELECT name FROM policies);

-- Which version of a data set each job was joined, or posted, with: it stays, whatever becomes of
-- the name. over: when nothing of it can be asked for any more.
CREATE TABLE dataset_uses (
    job BLOB PRIMARY KEY,
    dataset TEXT NOT NULL,
    digest BLOB NOT NULL,
    rows INTEGER NOT NULL,
    renames TEXT NOT NULL,
    at REAL NOT NULL,
    over REAL
) STRICT;

-- Every copy that a name has ever had. No reference to datasets: what was told stays told.
CREATE TABLE dataset_digests (
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (name, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO dataset_digests (name, digest, at) SELECT name, digest, added FROM datasets;

-- How many rows of a data set a job can use, for the owner's eyes alone.
CREATE TABLE dataset_fits (
    job BLOB NOT NULL,
    dataset TEXT NOT NULL,
    rows INTEGER NOT NULL,
    usable INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (job, dataset)
) STRICT, WITHOUT ROWID;
"""

_MONEY: Final = """
-- Where an intent's transaction goes, if not to the contract; what must be mined first; the most
-- that it offers, wei per gas, if not the setting; what a unit of gas cost once it was mined, wei.
ALTER TABLE intents ADD COLUMN recipient BLOB;
ALTER TABLE intents ADD COLUMN needs TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN max_fee TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN gas_price TEXT NOT NULL DEFAULT '';

-- Policies have one more term, payout, which is empty. A policy is a msgpack array.
UPDATE policies SET body = CAST(x'dc0018' || substr(body, 4) || x'c400' AS BLOB)
    WHERE substr(body, 1, 3) = x'dc0017';
"""

_PARTS: Final = """
-- Entries of the tables in a machine's state, each a part: a step writes the ones that it changed.
-- In machines.state their tables are empty. field: as protocol.wire.parts names it.
CREATE TABLE machine_parts (
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    field TEXT NOT NULL,
    place INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, key, field, place)
) STRICT, WITHOUT ROWID;
INSERT INTO machine_parts (kind, key, field, place, body)
    SELECT machines.kind, machines.key, json_extract(part.value, '$[0]'),
        json_extract(part.value, '$[1]'), bytes_of_hex(json_extract(part.value, '$[2]'))
    FROM machines, json_each(machine_parts_json(machines.kind, machines.state)) AS part;
UPDATE machines SET state = machine_head(kind, state);
"""

_CLOCK: Final = """
-- By how many seconds this machine's clock was ahead of the chain's when they were last compared.
CREATE TABLE clock (ahead REAL NOT NULL) STRICT;
"""

_PUBLISHED: Final = """
-- Policies have one more term, published_sums, which is false. A policy is a msgpack array.
UPDATE policies SET body = CAST(x'dc0019' || substr(body, 4) || x'c2' AS BLOB)
    WHERE substr(body, 1, 3) = x'dc0018';
"""

_UNSURE: Final = """
-- Chain blocks that were read and showed no logs though they may hold some: read again.
CREATE TABLE chain_unsure (number INTEGER PRIMARY KEY) STRICT;
"""

_PROOFS: Final = """
-- Words on an attempt's dealings, and a round's one sum, that may have left (node/store/proofs.py).
CREATE TABLE words (job BLOB NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    dealt BLOB NOT NULL, words BLOB NOT NULL, PRIMARY KEY (job, round, attempt)) STRICT;
CREATE TABLE sums (job BLOB NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    root BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (job, round)) STRICT;
-- Owners' machines follow proofs, requesters' the present attempt's and who cheated: none so far.
UPDATE machines SET state = CAST(x'dc0023' || substr(state, 4) || x'90' AS BLOB)
    WHERE kind = 'owner' AND substr(state, 1, 3) = x'dc0022';
UPDATE machines SET state = CAST(x'dc0021' || substr(state, 4) || x'c090' AS BLOB)
    WHERE kind = 'requester' AND substr(state, 1, 3) = x'dc001f';
"""

_HELD: Final = """
-- Since when this node's owner takes no job and begins no attempt; no row while it does.
CREATE TABLE paused (since REAL NOT NULL) STRICT;
-- Jobs whose attempts this owner begins no more, with the reason that is shown to it. restored:
-- the job was known when this store was saved in a backup (node/store/backup/).
CREATE TABLE left_jobs (job BLOB PRIMARY KEY, why TEXT NOT NULL, at REAL NOT NULL,
    restored INTEGER NOT NULL DEFAULT 0 CHECK (restored IN (0, 1))) STRICT;
"""

_OWED_SUMS: Final = """
-- What a member owes has one more field, the sum that it says it serves, which is none so far.
UPDATE machine_parts SET body = CAST(x'9a' || substr(body, 2) || x'c0' AS BLOB)
    WHERE kind = 'requester' AND field = 'owed' AND substr(body, 1, 1) = x'99';
"""

_ENCODERS: Final = """
-- Policies have one more term, encoders, which is empty. A policy is a msgpack array.
UPDATE policies SET body = CAST(x'dc001a' || substr(body, 4) || x'90' AS BLOB)
    WHERE substr(body, 1, 3) = x'dc0019';
"""

#: Step n stands at index n - 1.
MIGRATIONS: Final[tuple[str, ...]] = (
    first.BASE,
    first.INTENTS,
    first.JOBS,
    first.PRIVACY,
    first.RELEASES,
    first.TRUSTED,
    first.JOINS,
    first.PEOPLE,
    first.CARDS,
    _EXPLAINED,
    _VERSIONS,
    _MONEY,
    _PARTS,
    _CLOCK,
    _PUBLISHED,
    _UNSURE,
    _PROOFS,
    _HELD,
    SALES,
    _OWED_SUMS,
    _ENCODERS,
)
