"""One signed example of every message, and what must not open: the source of the vectors.

`PYTHONPATH=.:tests python -m kits.message_cases` writes
tests/vectors/messages.json again.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgpack

from kits import paths
from kits.books import CHAIN_ID, CONTRACT, REQUESTER, Person, digest_of
from protocol.wire.cards import Card, CardColumn, ColumnKind, Withdrawn, bucket_of
from protocol.wire.codec import encode
from protocol.wire.envelope import NO_JOB, Context, Envelope, envelope_digest
from protocol.wire.messages import (
    Announce,
    Ask,
    AskCards,
    Body,
    Committed,
    Contribution,
    Dealt,
    Decided,
    Declined,
    DeclinedTerm,
    Enrol,
    Enrolled,
    Finished,
    Freeze,
    Open,
    Ready,
    RefusalCode,
    Refuse,
    Release,
    Result,
    Roster,
    Told,
    ToldCards,
    Verdict,
    Words,
)

VECTORS = paths.VECTORS / "messages.json"

OWNER = Person(1)
JOB = digest_of("job")
_MS = 1_750_000_000_000


CARD = Card(
    slot=3,
    sequence=_MS,
    valid_until=_MS // 1000 + 30 * 86_400,
    title="Lungs, follow-up: Krebsregister Süd",
    rows=bucket_of(228),
    columns=(
        CardColumn("age", ColumnKind.NUMBER, ()),
        CardColumn("sex", ColumnKind.CATEGORY, ("1", "2")),
        CardColumn("ph.ecog", ColumnKind.CATEGORY, ()),
    ),
    purposes=("care", "research"),
    token=bytes(20),
    rate=2 * 10**15,
)


def _each(what: str, size: int) -> tuple[bytes, ...]:
    return tuple((digest_of(what, i) * 3)[:size] for i in range(5))


def examples() -> list[Envelope]:
    """One of every message, by whoever says it."""
    signature = bytes(range(65))
    about = Context(CHAIN_ID, CONTRACT, JOB, 7, 2)
    whole = dataclasses.replace(about, round=0, attempt=0)
    nothing = dataclasses.replace(whole, job=NO_JOB)
    frozen = Freeze(
        digest_of("opening"),
        (Roster(0, digest_of("roster", 0), 4000), Roster(2, digest_of("roster", 2), 3500)),
    )
    said: list[tuple[Person, Context, Body]] = [
        (REQUESTER, whole, Announce(digest_of("spec"), 700)),
        (
            OWNER,
            whole,
            Enrol(OWNER.account, OWNER.payout, 120, OWNER.sealing_key, signature),
        ),
        (REQUESTER, whole, Enrolled(digest_of("enrolment"))),
        (
            REQUESTER,
            about,
            Open(digest_of("cohort"), 2048, digest_of("model"), 5216, _MS, _MS + 20_000),
        ),
        (
            OWNER,
            about,
            Ready(
                digest_of("opening"),
                digest_of("mask key"),
                digest_of("share key"),
                digest_of("seed hash"),
                _each("seed share", 16),
                _each("key share", 16),
                (b"", b"", *_each("box", 64)[2:]),
            ),
        ),
        (REQUESTER, about, frozen),
        (
            OWNER,
            about,
            Contribution(2, 11, digest_of("roster", 2), digest_of("batch"), 70_000),
        ),
        (
            REQUESTER,
            about,
            Dealt(digest_of("opening"), (Roster(2, digest_of("dealt"), 3000),)),
        ),
        (
            OWNER,
            about,
            Words(2, 11, digest_of("dealt"), _each("word", 32), digest_of("words"), 12_000),
        ),
        (
            REQUESTER,
            about,
            Decided(digest_of("opening"), (Verdict(2, digest_of("verdict"), 60_000),)),
        ),
        (
            REQUESTER,
            about,
            Committed(
                digest_of("root"),
                9,
                digest_of("model"),
                1_750_000_600,
                signature,
                digest_of("list"),
                500,
            ),
        ),
        (OWNER, about, Release(digest_of("root"), 2, _each("share", 32))),
        (REQUESTER, about, Result(digest_of("next model"), 5216)),
        (REQUESTER, whole, Finished(digest_of("last model"), 5216, digest_of("evidence"), 900)),
        (REQUESTER, whole, Refuse(RefusalCode.FULL, "12 owners are enrolled, which is the most")),
        (OWNER, whole, Declined((DeclinedTerm.EPSILON, DeclinedTerm.ROUNDS))),
        (OWNER, whole, Ask()),
        (REQUESTER, whole, Told((b"one frame", b"another"))),
        (OWNER, nothing, CARD),
        (OWNER, nothing, Withdrawn(3, CARD.sequence + 60_000, CARD.valid_until)),
        (OWNER, nothing, AskCards(4711)),
        (REQUESTER, nothing, ToldCards(4800, (b"one frame", b"another"))),
    ]
    return [by.say(place, body) for by, place, body in said]


def shown(body: Any) -> dict[str, Any]:
    """The fields of a message as JSON has them."""
    return {f.name: _value(getattr(body, f.name)) for f in dataclasses.fields(body)}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    if isinstance(value, RefusalCode | DeclinedTerm | ColumnKind):
        return value.value
    return shown(value) if dataclasses.is_dataclass(value) else value


def _resigned(envelope: Envelope, by: Person, path: tuple[int, ...], value: Any) -> bytes:
    """Another value at a path of the statement, and a signature that fits it."""
    statement = msgpack.unpackb(encode(envelope))[0]
    at = statement
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    signed = by._peer_key.sign(b"assay/1 message\0" + msgpack.packb(statement))
    return bytes(msgpack.packb([statement, signed]))


def _moved(envelope: Envelope, place: int, value: Any) -> bytes:
    """Another context, under the signature that it had."""
    fields = msgpack.unpackb(encode(envelope))
    fields[0][1][place] = value
    return bytes(msgpack.packb(fields))


def refused() -> list[tuple[str, str, bytes]]:
    """Why, what assay says (a pattern), the bytes."""
    by_kind = {type(e.body).__name__: e for e in examples()}
    opened, ready, frozen = by_kind["Open"], by_kind["Ready"], by_kind["Freeze"]
    data = encode(opened)
    other = dataclasses.replace(opened, signature=by_kind["Result"].signature)
    boxes = [bytes(64)] * 4
    rosters = [[2, bytes(32), 10], [0, bytes(32), 10]]
    longer = data.replace(b"\xcd\x08\x00", b"\xce\x00\x00\x08\x00")
    nobody = _resigned(opened, REQUESTER, (2,), bytes.fromhex("002408011220") + b"\xff" * 32)
    return [
        ("no bytes", "no msgpack", b""),
        ("trailing byte", "no msgpack", data + b"\0"),
        ("cut short", "no msgpack", data[:-1]),
        ("signature of another message", "signature", encode(other)),
        ("moved to another round", "signature", _moved(opened, 3, 8)),
        ("moved to another chain", "signature", _moved(opened, 0, 1)),
        ("another version, signed", "version 2", _resigned(opened, REQUESTER, (0,), 2)),
        ("unknown kind, signed", "unknown kind", _resigned(opened, REQUESTER, (3, 0), "Opened")),
        (
            "a field too many, signed",
            "expected an array",
            _resigned(by_kind["Result"], REQUESTER, (3,), ["Result", bytes(32), 64, 0]),
        ),
        (
            "a digest of 31 bytes, signed",
            "length 31",
            _resigned(opened, REQUESTER, (3, 1), bytes(31)),
        ),
        ("attempt 17, signed", "attempt", _resigned(opened, REQUESTER, (1, 4), 17)),
        ("a sender that is no key", "peer id|signature", nobody),
        ("an integer in a longer form", "not the canonical", longer),
        (
            "a box too few, signed",
            "length 4|not one of each",
            _resigned(ready, OWNER, (3, 7), boxes),
        ),
        (
            "a box of 79 bytes, signed",
            "length 79",
            _resigned(ready, OWNER, (3, 7, 0), bytes(79)),
        ),
        (
            "more hashes than boxes, signed",
            "not one of each",
            _resigned(ready, OWNER, (3, 5), [bytes(16)] * 6),
        ),
        (
            "rosters out of order, signed",
            "blocks must ascend",
            _resigned(frozen, REQUESTER, (3, 2), rosters),
        ),
        (
            "a block's roster twice, signed",
            "blocks must ascend",
            _resigned(frozen, REQUESTER, (3, 2), [rosters[1]] * 2),
        ),
        (
            "a release without shares, signed",
            "length 0",
            _resigned(by_kind["Release"], OWNER, (3, 3), []),
        ),
        *(
            (f"a card with {what}, signed", error, _resigned(by_kind["Card"], OWNER, path, value))
            for what, error, path, value in _BAD_CARDS
        ),
    ]


#: What is wrong, what assay says, where, and the value. Fields of a card follow its name.
_BAD_CARDS: list[tuple[str, str, tuple[int, ...], Any]] = [
    ("a slot too many", "slot", (3, 1), 16),
    ("sequence 0", "sequence", (3, 2), 0),
    ("a bucket past the last", "rows", (3, 5), 12),
    ("no column", "length 0", (3, 6), []),
    ("a column too many", "length 257", (3, 6), [[str(n), "number", []] for n in range(257)]),
    ("a column twice", "twice", (3, 6), [["age", "number", []], ["age", "category", []]]),
    ("an unknown kind", "ColumnKind", (3, 6, 0, 1), "date"),
    ("a number that has words", "is a number", (3, 6, 0, 2), ["1"]),
    ("a word twice", "twice", (3, 6, 1, 2), ["1", "1"]),
    ("words without end", "length 65", (3, 6, 1, 2), [str(n) for n in range(65)]),
    ("a title of 121 bytes", "length 121", (3, 4), "x" * 121),
    ("a line break in its title", "U\\+000A", (3, 4), "Lungs\ncard of another"),
    ("a terminal's escape in its title", "U\\+001B", (3, 4), "\x1b[2J"),
    ("a right-to-left override", "U\\+202E", (3, 6, 0, 0), "age\u202etset"),
    ("an isolate in a word", "U\\+2066", (3, 6, 1, 2), ["1", "\u20662"]),
    ("a zero-width space", "U\\+200B", (3, 6, 0, 0), "a\u200bge"),
    ("a tag character", "U\\+E0041", (3, 4), "Lungs\U000e0041"),
    ("five marks on a letter", "five marks", (3, 4), "a" + "\u0301" * 5),
    ("a space behind a name", "space", (3, 6, 0, 0), "age "),
    ("purposes out of order", "ascend", (3, 7), ["research", "care"]),
    ("a purpose in capitals", "lower-case", (3, 7), ["Research"]),
    ("a rate of 33 bytes", "length 33", (3, 9), bytes(33)),
]


def document() -> str:
    """The vectors' file."""
    told = [
        {
            "kind": type(envelope.body).__name__,
            "chain_id": envelope.context.chain_id,
            "contract": envelope.context.contract.hex(),
            "job": envelope.context.job.hex(),
            "round": envelope.context.round,
            "attempt": envelope.context.attempt,
            "sender": envelope.sender.hex(),
            "body": shown(envelope.body),
            "digest": envelope_digest(envelope).hex(),
            "envelope": encode(envelope).hex(),
        }
        for envelope in examples()
    ]
    about = (
        "Signed envelopes (docs/spec/messages.md): body fields in hex where they are bytes; digest "
        'is the message digest. "refused" must not open; "error" is what assay says.'
    )
    bad = [{"why": why, "error": error, "envelope": d.hex()} for why, error, d in refused()]
    return json.dumps({"about": about, "messages": told, "refused": bad}, indent=1) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(document())
