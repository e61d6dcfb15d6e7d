"""Private predictions in the store: channels of both sides, their parts, keys, answers.

States and secrets come sealed (node/sale/sealing.py); nothing here opens them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from node.store.store import Transaction, now

Side: TypeAlias = Literal["buyer", "seller"]


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as it is stored. `state` is sealed; `over`: nothing is left to be done in it."""

    side: Side
    channel: bytes
    offer: bytes
    offer_body: bytes
    peer: bytes
    key: bytes
    state: bytes
    expiry: int
    over: int = 0


@dataclass(frozen=True, slots=True)
class PartRow:
    """Bytes of a query. `word`: of what a seller answered, as it signed it; empty otherwise. What
    does not open is kept with it (docs/spec/sale.md)."""

    digest: bytes
    body: bytes
    word: bytes = b""


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """A channel that is being opened. `expiry` in seconds, `deposit` in the token's unit."""

    ident: str
    offer_body: bytes
    peer: bytes
    deposit: int
    expiry: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key under which this node asks a seller; `secret` is sealed."""

    secret: bytes = field(repr=False)
    introduction: bytes


def save_channel(tx: Transaction, row: ChannelRow) -> None:
    """Enter a channel; one that is there stays."""
    tx.execute(
        "INSERT INTO sale_channels (side, channel, offer, offer_body, peer, key, body, expiry,"
        " over, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            row.side,
            row.channel,
            row.offer,
            row.offer_body,
            row.peer,
            row.key,
            row.state,
            row.expiry,
            row.over,
            now(),
        ),
    )


def save_state(tx: Transaction, side: Side, channel: bytes, state: bytes, over: bool) -> None:
    """A channel's next state, sealed."""
    tx.execute(
        "UPDATE sale_channels SET body = ?, over = ? WHERE side = ? AND channel = ?",
        (state, int(over), side, channel),
    )


def load_channel(tx: Transaction, side: Side, channel: bytes) -> ChannelRow | None:
    """A channel of one side."""
    rows = _channels(tx, "side = ? AND channel = ?", (side, channel))
    return rows[0] if rows else None


def channels(tx: Transaction, side: Side, *, live: bool = False) -> list[ChannelRow]:
    """All channels of a side, the oldest first; `live`: without those that are over."""
    return _channels(tx, "side = ? AND over <= ?", (side, 0 if live else 1))


def _channels(tx: Transaction, where: str, given: tuple[object, ...]) -> list[ChannelRow]:
    rows = tx.execute(
        "SELECT side, channel, offer, offer_body, peer, key, body, expiry, over"  # noqa: S608 - ours
        f" FROM sale_channels WHERE {where} ORDER BY rowid",
        given,
    )
    return [ChannelRow(*row) for row in rows]


def save_part(tx: Transaction, side: Side, channel: bytes, part: PartRow) -> None:
    """Keep bytes that the open query rests on."""
    tx.execute(
        "INSERT INTO sale_parts (side, channel, digest, body, word) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (side, channel, part.digest, part.body, part.word),
    )


def load_part(tx: Transaction, side: Side, channel: bytes, digest: bytes) -> bytes | None:
    """Kept bytes, None where there are none of this digest."""
    row = tx.execute(
        "SELECT body FROM sale_parts WHERE side = ? AND channel = ? AND digest = ?",
        (side, channel, digest),
    ).fetchone()
    return None if row is None else row[0]


def keep_parts(tx: Transaction, side: Side, channel: bytes, wanted: Iterable[bytes]) -> None:
    """Forget all parts of a channel but these."""
    kept = list(wanted)
    marks = ", ".join("?" for _ in kept)
    tx.execute(
        f"DELETE FROM sale_parts WHERE side = ? AND channel = ? AND digest NOT IN ({marks})",  # noqa: S608 - marks alone
        (side, channel, *kept),
    )


def save_key(tx: Transaction, seller: bytes, bits: int, key: KeyRow) -> None:
    """Keep the key for a seller; one that is there stays."""
    tx.execute(
        "INSERT INTO sale_keys (seller, bits, secret, introduction) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (seller, bits, key.secret, key.introduction),
    )


def load_key(tx: Transaction, seller: bytes, bits: int) -> KeyRow | None:
    """The key for a seller."""
    row = tx.execute(
        "SELECT secret, introduction FROM sale_keys WHERE seller = ? AND bits = ?", (seller, bits)
    ).fetchone()
    return None if row is None else KeyRow(*row)


def save_opening(tx: Transaction, opening: OpeningRow) -> None:
    """A channel is to be opened: stored before the chain hears of it."""
    tx.execute(
        "INSERT INTO sale_openings (id, offer_body, peer, deposit, expiry) VALUES (?, ?, ?, ?, ?)",
        (
            opening.ident,
            opening.offer_body,
            opening.peer,
            str(opening.deposit),
            opening.expiry,
        ),
    )


def delete_opening(tx: Transaction, ident: str) -> None:
    """It is open, or failed for good."""
    tx.execute("DELETE FROM sale_openings WHERE id = ?", (ident,))


def openings(tx: Transaction) -> list[OpeningRow]:
    """Channels that are being opened."""
    rows = tx.execute("SELECT id, offer_body, peer, deposit, expiry FROM sale_openings")
    return [OpeningRow(i, body, peer, int(deposit), at) for i, body, peer, deposit, at in rows]


def save_answer(tx: Transaction, offer: bytes, row: bytes, result: tuple[int, ...]) -> None:
    """What was bought for a row; what is there stays."""
    tx.execute(
        "INSERT INTO sale_answers (offer, row, result, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (offer, row, struct.pack(f"<{len(result)}q", *result), now()),
    )


def answers(tx: Transaction, offer: bytes) -> dict[bytes, tuple[int, ...]]:
    """All that was bought of an offer, by the row's digest."""
    rows = tx.execute("SELECT row, result FROM sale_answers WHERE offer = ?", (offer,))
    return {row: struct.unpack(f"<{len(result) // 8}q", result) for row, result in rows}


def save_spec(tx: Transaction, digest: bytes, body: bytes) -> None:
    """Keep a spec of what is on sale."""
    tx.execute("INSERT INTO sale_specs VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, body))


def load_spec(tx: Transaction, digest: bytes) -> bytes | None:
    """A spec of what is on sale."""
    row = tx.execute("SELECT body FROM sale_specs WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else row[0]
