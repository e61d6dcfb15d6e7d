"""Intents on disk: the few statements that move a row from state to state.

Functions take a connection inside a transaction and neither begin nor commit. Amounts of wei are
TEXT: SQLite's integers end at 9.2 ether.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from protocol.errors import InputError

T = TypeVar("T")

#: Longest id, function name and error kept, characters; longest calldata, bytes: a claim of 32
#: rounds with proofs of 12 nodes takes 11 KiB, whole rounds of 2,048 contributions 61, and geth's
#: pool 128.
MAX_ID: Final = 200
MAX_ERROR: Final = 500
MAX_CALLDATA: Final = 64 * 1024

#: The prefix of ids of transfers that fill a gap between nonces; no other ids begin so.
GAP: Final = "gap/"

#: What an intent waits for whose end a reorganisation took back.
TAKEN_BACK: Final = "its chain block was final, and is reorganised away: it is sent again"

QUEUED, STORED, SENT = "queued", "stored", "sent"
MINED, FINAL, FAILED, SUPERSEDED = "mined", "final", "failed", "superseded"
TERMINAL: Final = frozenset({FINAL, FAILED, SUPERSEDED})


class Store(Protocol):
    """The part of node.store.store.Store that intents need: transactions on a worker thread, in
    order."""

    def run(self, function: Callable[[sqlite3.Connection], T]) -> Awaitable[T]: ...

    def read(self, function: Callable[[sqlite3.Connection], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction as signed. Fees are wei per gas."""

    hash: bytes
    nonce: int
    max_fee: int
    tip: int
    gas: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """An intent as stored; `signed` are the transactions under its present nonce, oldest first.

    `since` is the block at which the present trouble (a refusal, a foreign nonce) was first seen.
    `recipient` is where the transaction goes, if not to the contract `target`. `needs` is the id of
    an intent that must be mined first. `max_fee` bounds what is offered, wei per gas.
    """

    seq: int
    id: str
    function: str
    args: bytes
    value: int
    target: bytes
    state: str
    told: str
    nonce: int | None
    tx_hash: bytes | None
    block: int | None
    gas_used: int | None
    since: int | None
    error: str
    recipient: bytes | None
    needs: str
    max_fee: int | None
    gas_price: int
    signed: tuple[Signed, ...]

    @property
    def to(self) -> bytes:
        """Where the transaction goes."""
        return self.target if self.recipient is None else self.recipient


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose intents: rows of another chain, contract or account are never touched."""

    chain_id: int
    account: bytes
    contract: bytes


_COLUMNS = (
    "seq, id, function, args, value, target, state, told, nonce, tx_hash, block, gas_used,"
    " since, error, recipient, needs, max_fee, gas_price"
)


def _row(tx: sqlite3.Connection, values: tuple[Any, ...]) -> Row:
    seq, nonce = values[0], values[8]
    found: list[tuple[Any, ...]] = []
    if nonce is not None:
        found = tx.execute(
            "SELECT hash, nonce, max_fee, tip, gas, raw FROM intent_transactions"
            " WHERE intent = ? AND nonce = ? ORDER BY rowid",
            (seq, nonce),
        ).fetchall()
    signed = tuple(Signed(h, n, int(fee), int(tip), gas, raw) for h, n, fee, tip, gas, raw in found)
    *plain, max_fee, gas_price = values
    row = Row(*(*plain, int(max_fee) if max_fee else None, int(gas_price or 0), signed))
    return replace(row, value=int(row.value))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call to be stored as an intent; fields as in Row, `max_fee` None for the setting."""

    id: str
    function: str
    args: bytes
    value: int
    recipient: bytes | None = None
    needs: str = ""
    max_fee: int | None = None


def insert(tx: sqlite3.Connection, owner: Owner, wanted: Wanted) -> bool:
    """Add an intent in state queued; False if the same call is there already under this id.

    What it waits for and what it may offer stay as they were first stored. Raises InputError if the
    id stands for another call.
    """
    found = tx.execute(
        "SELECT chain_id, account, target, function, args, value, recipient FROM intents"
        " WHERE id = ?",
        (wanted.id,),
    ).fetchone()
    call = (
        owner.chain_id,
        owner.account,
        owner.contract,
        wanted.function,
        wanted.args,
        str(wanted.value),
        wanted.recipient,
    )
    if found is not None:
        if tuple(found) != call:
            raise InputError(f"{wanted.id!r} already stands for another {found[3]}", "intent")
        return False
    max_fee = "" if wanted.max_fee is None else str(wanted.max_fee)
    tx.execute(
        "INSERT INTO intents (chain_id, account, target, function, args, value, recipient, id,"
        " needs, max_fee) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*call, wanted.id, wanted.needs, max_fee),
    )
    return True


def get(tx: sqlite3.Connection, ident: str) -> Row | None:
    values = tx.execute(f"SELECT {_COLUMNS} FROM intents WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    return None if values is None else _row(tx, values)


def live(tx: sqlite3.Connection, owner: Owner) -> list[Row]:
    """Intents that are not settled, or whose outcome was not told, in the order of submission."""
    found = tx.execute(
        f"SELECT {_COLUMNS} FROM intents"  # noqa: S608
        " WHERE (state NOT IN ('final', 'failed', 'superseded') OR told != state)"
        " AND chain_id = ? AND account = ? AND target = ? ORDER BY seq",
        (owner.chain_id, owner.account, owner.contract),
    ).fetchall()
    return [_row(tx, values) for values in found]


def taken_back(tx: sqlite3.Connection, owner: Owner, count: int) -> list[Row]:
    """Intents that ended in a chain block, by nonces that the account has not used any more."""
    found = tx.execute(
        f"SELECT {_COLUMNS} FROM intents"  # noqa: S608
        " WHERE state IN ('final', 'failed') AND nonce >= ? AND tx_hash IS NOT NULL"
        " AND chain_id = ? AND account = ? AND target = ? ORDER BY nonce",
        (count, owner.chain_id, owner.account, owner.contract),
    ).fetchall()
    return [_row(tx, values) for values in found]


def reopen(tx: sqlite3.Connection, owner: Owner, above: int) -> int:
    """Follow again what ended in chain blocks above `above`, which are gone; how many intents."""
    return tx.execute(
        "UPDATE intents SET state = 'sent', tx_hash = NULL, block = NULL, gas_used = NULL,"
        " since = NULL, error = ? WHERE state IN ('final', 'failed') AND block > ?"
        " AND chain_id = ? AND account = ? AND target = ?",
        (TAKEN_BACK, above, owner.chain_id, owner.account, owner.contract),
    ).rowcount


def put_signed(tx: sqlite3.Connection, seq: int, signed: Signed, expected: str) -> bool:
    """Store a signed transaction and point the intent at its nonce; this comes before any sending.

    False, and nothing stored, if the intent is no longer in the `expected` state (given up).
    """
    new = STORED if expected == QUEUED else expected
    changed = tx.execute(
        "UPDATE intents SET state = ?, nonce = ?, since = NULL, error = ''"
        " WHERE seq = ? AND state = ?",
        (new, signed.nonce, seq, expected),
    ).rowcount
    if changed:
        tx.execute(
            "INSERT INTO intent_transactions"
            " (hash, intent, nonce, max_fee, tip, gas, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            # The same call under the same nonce is the same transaction: it is this intent's now.
            " ON CONFLICT (hash) DO UPDATE SET intent = excluded.intent",
            (
                signed.hash,
                seq,
                signed.nonce,
                str(signed.max_fee),
                str(signed.tip),
                signed.gas,
                signed.raw,
            ),
        )
    return bool(changed)


def set_sent(tx: sqlite3.Connection, seq: int, error: str = "") -> None:
    """Sent, or sent again because the chain block that held it is gone."""
    tx.execute(
        "UPDATE intents SET state = 'sent', tx_hash = NULL, block = NULL, gas_used = NULL,"
        " since = NULL, error = ? WHERE seq = ?",
        (error[:MAX_ERROR], seq),
    )


def set_mined(
    tx: sqlite3.Connection,
    seq: int,
    state: str,
    tx_hash: bytes,
    block: int,
    gas_used: int,
    gas_price: int,
    error: str,
) -> None:
    """Mined, final or failed, by the transaction that a block holds."""
    tx.execute(
        "UPDATE intents SET state = ?, tx_hash = ?, block = ?, gas_used = ?, gas_price = ?,"
        " since = NULL, error = ? WHERE seq = ?",
        (state, tx_hash, block, gas_used, str(gas_price), error[:MAX_ERROR], seq),
    )


def set_trouble(tx: sqlite3.Connection, seq: int, since: int | None, error: str) -> None:
    """Note why the intent does not move on, for a person, and since which chain block."""
    tx.execute(
        "UPDATE intents SET since = ?, error = ? WHERE seq = ?", (since, error[:MAX_ERROR], seq)
    )


def set_refused(tx: sqlite3.Connection, seq: int, error: str) -> None:
    """Failed before a nonce was used."""
    tx.execute(
        "UPDATE intents SET state = 'failed', since = NULL, error = ?"
        " WHERE seq = ? AND state = 'queued'",
        (error[:MAX_ERROR], seq),
    )


def set_queued(tx: sqlite3.Connection, seq: int, error: str) -> None:
    """Back to the start: its nonce was used elsewhere, and its transactions can never be mined."""
    tx.execute(
        "UPDATE intents SET state = 'queued', nonce = NULL, tx_hash = NULL, block = NULL,"
        " gas_used = NULL, since = NULL, error = ? WHERE seq = ?",
        (error[:MAX_ERROR], seq),
    )


def set_superseded(tx: sqlite3.Connection, ident: str, error: str) -> bool:
    """Give an intent up while nothing of it can be mined; False from its signature on."""
    changed = tx.execute(
        "UPDATE intents SET state = 'superseded', error = ? WHERE id = ? AND state = 'queued'",
        (error[:MAX_ERROR], ident),
    ).rowcount
    return bool(changed)


def set_told(tx: sqlite3.Connection, seq: int, state: str) -> None:
    tx.execute("UPDATE intents SET told = ? WHERE seq = ?", (state, seq))
