"""Messages of every kind, each with what a judge knows and the verdict: the source of the vectors.

`PYTHONPATH=.:tests python -m kits.gossip_cases` writes tests/vectors/gossip.json again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import msgpack

from kits import paths
from kits.books import CHAIN_ID, CONTRACT, REQUESTER, Person, digest_of
from kits.message_cases import CARD
from protocol import params
from protocol.wire.blobs import blob_digest
from protocol.wire.cards import Card, CardColumn, ColumnKind, Withdrawn
from protocol.wire.codec import encode
from protocol.wire.envelope import NO_JOB, Context, Envelope, Frame
from protocol.wire.gossip import JobView, Judged, Place, Seen, judge
from protocol.wire.messages import (
    Announce,
    Ask,
    AskCards,
    Body,
    Committed,
    Contribution,
    Enrol,
    Finished,
    Freeze,
    Open,
    Ready,
    Result,
    Roster,
)
from protocol.wire.topics import CARDS_TOPIC, JOBS_TOPIC, block_topic, job_topic
from protocol.wire.verdict import Verdict

VECTORS = paths.VECTORS / "gossip.json"

PLACE = Place(CHAIN_ID, CONTRACT)
JOB, OTHER_JOB = digest_of("job"), digest_of("other job")
MEMBERS = tuple(Person(number) for number in range(1, 6))
STRANGER = Person(99)
#: The job as its participants know it, and as a node does that only relays.
KNOWN = JobView(REQUESTER.peer, frozenset(member.peer for member in MEMBERS))
RELAYED = JobView(REQUESTER.peer, None)

SPEC = b"a spec, which gossip does not look into"
BATCH = b"a batch, which gossip does not look into"


@dataclass(frozen=True)
class Case:
    """One message, what the node that judges it knows, and what comes of it."""

    name: str
    topic: str
    data: bytes
    verdict: Verdict
    reason: str = ""
    view: JobView | None = None
    seen: tuple[bytes, ...] = field(default=())
    #: Why the table of cards does not take it; empty where it does.
    card: str = ""

    def judge(self) -> Judged:
        seen = Seen()
        for digest in self.seen:
            seen.add(digest)
        refusal = lambda envelope: self.card  # noqa: E731
        return judge(self.topic, self.data, PLACE, self.lookup, seen, refusal)

    def lookup(self, job: bytes) -> JobView | None:
        return self.view if job == JOB else None

    def to_json(self) -> dict[str, Any]:
        view = None
        if self.view is not None:
            members = self.view.members
            view = {
                "requester": self.view.requester.hex(),
                "members": None if members is None else sorted(m.hex() for m in members),
            }
        large = len(self.data) > params.MAX_GOSSIP_BYTES
        data = {"byte": "00", "count": len(self.data)} if large else self.data.hex()
        return {
            "name": self.name,
            "topic": self.topic,
            "data": data,
            "card": self.card,
            "job": view,
            "seen": [digest.hex() for digest in self.seen],
            "verdict": self.verdict.value,
            "reason": self.reason,
        }


def place(job: bytes = JOB, round_: int = 0, **changes: Any) -> Context:
    fields = {"chain_id": CHAIN_ID, "contract": CONTRACT, "attempt": 0} | changes
    return Context(job=job, round=round_, **fields)


def frame(envelope: Envelope, attachment: bytes = b"") -> bytes:
    return encode(Frame(encode(envelope), attachment))


def said(
    body: Body, by: Person = REQUESTER, attachment: bytes = b"", at: Context | None = None
) -> bytes:
    return frame(by.say(place() if at is None else at, body), attachment)


def altered(data: bytes, path: tuple[int, ...], value: Any) -> bytes:
    """A frame whose envelope has another value at a path, under the signature that it had."""
    envelope, attachment = msgpack.unpackb(data)
    fields = msgpack.unpackb(envelope)
    at = fields
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return bytes(msgpack.packb([msgpack.packb(fields), attachment]))


def lengthened(data: bytes) -> bytes:
    """A frame in whose envelope the integer 2000 stands in five bytes where three do."""
    envelope, attachment = msgpack.unpackb(data)
    longer = envelope.replace(b"\xcd\x07\xd0", b"\xce\x00\x00\x07\xd0")
    return bytes(msgpack.packb([longer, attachment]))


ANNOUNCE = Announce(blob_digest(SPEC), len(SPEC))
OPEN = Open(digest_of("cohort"), 2000, digest_of("model"), 64, 1_000, 2_000)
FREEZE = Freeze(digest_of("opening"), (Roster(0, digest_of("roster"), 1500),))
COMMITTED = Committed(
    digest_of("root"), 5, digest_of("model"), 1_900_000_000, bytes(65), digest_of("list"), 1800
)
READY = Ready(
    digest_of("opening"),
    digest_of("mask key"),
    digest_of("share key"),
    digest_of("seed hash"),
    (bytes(16),) * 5,
    (bytes(16),) * 5,
    (bytes(64),) * 5,
)
RESULT = Result(digest_of("next model"), 64)
FINISHED = Finished(digest_of("last model"), 64, digest_of("evidence"), 900)


WITHDRAWN = Withdrawn(CARD.slot, CARD.sequence + 1, CARD.valid_until)


def contribution(block: int = 0, member: int = 0) -> Contribution:
    return Contribution(block, member, digest_of("roster"), blob_digest(BATCH), len(BATCH))


def build_cases() -> list[Case]:
    accept, ignore, reject = Verdict.ACCEPT, Verdict.IGNORE, Verdict.REJECT
    topic, block = job_topic(JOB), block_topic(JOB, 0)
    announced = said(ANNOUNCE, attachment=SPEC)
    opened = said(OPEN)
    contributed = said(contribution(), MEMBERS[0], BATCH)
    forged = MEMBERS[0].say(place(), OPEN)
    return [
        Case("a new job, its spec attached", JOBS_TOPIC, announced, accept),
        Case("a new job, its spec by digest", JOBS_TOPIC, said(ANNOUNCE), accept),
        Case("a new job of anybody", JOBS_TOPIC, said(ANNOUNCE, STRANGER), accept),
        Case("a known job, announced again", JOBS_TOPIC, announced, accept, view=KNOWN),
        Case("an opening", topic, opened, accept, view=KNOWN),
        Case("an opening, relayed", topic, opened, accept, view=RELAYED),
        Case("a frozen roster", topic, said(FREEZE), accept, view=KNOWN),
        Case("a commitment", topic, said(COMMITTED), accept, view=KNOWN),
        Case("a result", topic, said(RESULT, at=place(round_=254)), accept, view=KNOWN),
        Case("the end", topic, said(FINISHED), accept, view=KNOWN),
        Case("a contribution", block, contributed, accept, view=KNOWN),
        Case(
            "a contribution by digest",
            block,
            said(contribution(), MEMBERS[0]),
            accept,
            view=KNOWN,
        ),
        Case(
            "a contribution, relayed",
            block,
            said(contribution(), STRANGER, BATCH),
            accept,
            view=RELAYED,
        ),
        # 1: too large
        Case(
            "one byte too many",
            JOBS_TOPIC,
            bytes(params.MAX_GOSSIP_BYTES + 1),
            reject,
            "61441 bytes, at most 61440",
        ),
        # 2: seen
        Case(
            "the same again",
            topic,
            opened,
            ignore,
            "seen before",
            KNOWN,
            (hashlib.sha256(opened).digest(),),
        ),
        # 3: form and signature
        Case("nothing", topic, b"", reject, "no msgpack", KNOWN),
        Case("garbage", topic, b"\xc1garbage", reject, "no msgpack", KNOWN),
        Case("a byte after the frame", topic, opened + b"\0", reject, "no msgpack", KNOWN),
        Case(
            "an integer in a longer form",
            topic,
            lengthened(opened),
            reject,
            "Envelope: not the canonical encoding",
            KNOWN,
        ),
        Case(
            "a field too few",
            topic,
            altered(opened, (0, 3), ["Result", bytes(32)]),
            reject,
            "an array of 2 fields",
            KNOWN,
        ),
        Case(
            "an unknown kind",
            topic,
            altered(opened, (0, 3), ["Opened", bytes(32), 64]),
            reject,
            "unknown kind 'Opened'",
            KNOWN,
        ),
        Case(
            "a round past the last",
            topic,
            altered(opened, (0, 1, 3), 256),
            reject,
            "Context.round",
            KNOWN,
        ),
        Case("another version", topic, altered(opened, (0, 0), 2), reject, "version 2", KNOWN),
        Case(
            "signed by another peer",
            topic,
            altered(opened, (0, 2), STRANGER.peer),
            reject,
            "signature",
            KNOWN,
        ),
        Case(
            "moved to another attempt",
            topic,
            altered(opened, (0, 1, 4), 1),
            reject,
            "signature",
            KNOWN,
        ),
        Case(
            "moved to another chain",
            topic,
            altered(opened, (0, 1, 0), 1),
            reject,
            "signature",
            KNOWN,
        ),
        Case(
            "a peer id of another kind of key",
            topic,
            altered(opened, (0, 2), b"\x12\x20" + bytes(36)),
            reject,
            "peer id",
            KNOWN,
        ),
        # 4: place
        Case(
            "of another chain",
            topic,
            said(OPEN, at=place(chain_id=1)),
            ignore,
            "another chain",
            KNOWN,
        ),
        Case(
            "of another contract",
            topic,
            said(OPEN, at=place(contract=bytes(20))),
            ignore,
            "another chain or contract",
            KNOWN,
        ),
        Case(
            "of another chain and on the wrong topic",
            JOBS_TOPIC,
            said(OPEN, at=place(chain_id=1)),
            ignore,
            "another chain",
            KNOWN,
        ),
        # 5: topic
        Case(
            "of an unknown job and on the wrong topic",
            JOBS_TOPIC,
            opened,
            reject,
            "Open does not belong",
        ),
        Case("an opening for all", JOBS_TOPIC, opened, reject, "Open does not belong", KNOWN),
        Case(
            "an announcement to a job",
            topic,
            announced,
            reject,
            "Announce does not belong",
            KNOWN,
        ),
        Case(
            "an opening on another job's topic",
            job_topic(OTHER_JOB),
            opened,
            reject,
            "does not belong",
            KNOWN,
        ),
        Case(
            "a contribution on another block's topic",
            block_topic(JOB, 1),
            contributed,
            reject,
            "does not belong",
            KNOWN,
        ),
        Case(
            "a contribution on the job's topic",
            topic,
            contributed,
            reject,
            "does not belong",
            KNOWN,
        ),
        Case(
            "a private message",
            topic,
            said(READY, MEMBERS[0]),
            reject,
            "Ready does not belong",
            KNOWN,
        ),
        Case("a question", topic, said(Ask(), MEMBERS[0]), reject, "Ask does not belong", KNOWN),
        Case(
            "an enrolment for all to hear",
            JOBS_TOPIC,
            said(Enrol(bytes(20), bytes(20), 1, bytes(32), bytes(65)), MEMBERS[0]),
            reject,
            "Enrol does not belong",
            KNOWN,
        ),
        # 6: attachment
        Case(
            "another spec attached",
            JOBS_TOPIC,
            said(ANNOUNCE, attachment=BATCH),
            reject,
            "not what it names",
        ),
        Case(
            "another batch attached",
            block,
            said(contribution(), MEMBERS[0], SPEC),
            reject,
            "not what it names",
            KNOWN,
        ),
        Case(
            "an attachment to what names none",
            topic,
            said(OPEN, attachment=SPEC),
            reject,
            "not what it names",
            KNOWN,
        ),
        Case(
            "of an unknown job with another batch attached",
            block,
            said(contribution(), MEMBERS[0], SPEC),
            reject,
            "not what it names",
        ),
        # 7: sender
        Case("of an unknown job", topic, opened, ignore, "not known here"),
        Case(
            "an opening by a member",
            topic,
            frame(forged),
            reject,
            "not from the job's requester",
            KNOWN,
        ),
        Case(
            "a known job announced by another",
            JOBS_TOPIC,
            said(ANNOUNCE, STRANGER),
            ignore,
            "not from the job's requester",
            KNOWN,
        ),
        Case(
            "a contribution from outside",
            block,
            said(contribution(), STRANGER, BATCH),
            ignore,
            "not known to be enrolled",
            KNOWN,
        ),
        *card_cases(),
    ]


def card_cases() -> list[Case]:
    """Cards and withdrawals. No job is asked about for them."""
    accept, ignore, reject = Verdict.ACCEPT, Verdict.IGNORE, Verdict.REJECT
    about = place(NO_JOB)
    card = said(CARD, STRANGER, at=about)
    gone = said(WITHDRAWN, STRANGER, at=about)
    old = "not newer than what is known"
    return [
        Case("a card", CARDS_TOPIC, card, accept),
        Case("a card taken back", CARDS_TOPIC, gone, accept),
        Case("a card of the largest size", CARDS_TOPIC, said(card_of(8192), at=about), accept),
        Case("a card again", CARDS_TOPIC, card, ignore, "seen before", None, (digest_in(card),)),
        Case("an old card", CARDS_TOPIC, card, ignore, old, card=old),
        Case("an old withdrawal", CARDS_TOPIC, gone, ignore, old, card=old),
        Case(
            "a card of one byte too many",
            CARDS_TOPIC,
            said(card_of(8193), at=about),
            reject,
            "a card of 8193 bytes, at most 8192",
        ),
        Case(
            "a large card that is old too",
            CARDS_TOPIC,
            said(card_of(8193), at=about),
            reject,
            "8193 bytes",
            card=old,
        ),
        Case(
            "a card of another chain",
            CARDS_TOPIC,
            said(CARD, STRANGER, at=place(NO_JOB, chain_id=1)),
            ignore,
            "another chain",
        ),
        Case(
            "a card moved to another chain",
            CARDS_TOPIC,
            altered(card, (0, 1, 0), 1),
            reject,
            "signature",
        ),
        Case(
            "a card under another's name",
            CARDS_TOPIC,
            altered(card, (0, 2), MEMBERS[0].peer),
            reject,
            "signature",
        ),
        Case(
            "a card whose price was changed",
            CARDS_TOPIC,
            altered(card, (0, 3, 9), bytes(32)),
            reject,
            "signature",
        ),
        Case("a card among jobs", JOBS_TOPIC, card, reject, "Card does not belong"),
        Case(
            "a card about a job",
            CARDS_TOPIC,
            said(CARD, STRANGER),
            reject,
            "Card does not belong",
        ),
        Case(
            "a card of a round",
            CARDS_TOPIC,
            said(CARD, STRANGER, at=place(NO_JOB, 1)),
            reject,
            "Card does not belong",
        ),
        Case("a card on a job's topic", job_topic(JOB), card, reject, "does not belong"),
        Case("an opening among cards", CARDS_TOPIC, said(OPEN), reject, "Open does not belong"),
        Case(
            "a question for cards, for all to hear",
            CARDS_TOPIC,
            said(AskCards(0), STRANGER, at=about),
            reject,
            "AskCards does not belong",
        ),
        Case(
            "a card with something attached",
            CARDS_TOPIC,
            said(CARD, STRANGER, SPEC, about),
            reject,
            "not what it names",
        ),
    ]


def digest_in(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def card_of(size: int) -> Card:
    """A card whose envelope, by the requester, has so many bytes."""
    columns = tuple(CardColumn(f"{n:060}", ColumnKind.NUMBER, ()) for n in range(110))
    card = dataclasses.replace(CARD, columns=columns)

    def length() -> int:
        return len(encode(REQUESTER.say(place(NO_JOB), card)))

    while length() + 64 < size:
        name = CardColumn(f"{len(card.columns):052}", ColumnKind.NUMBER, ())
        card = dataclasses.replace(card, columns=(*card.columns, name))
    card = dataclasses.replace(card, title="x" * (len(CARD.title.encode()) + size - length()))
    assert length() == size
    return card


CASES = build_cases()


def document() -> str:
    """The vectors' file."""
    place_ = {"chain_id": PLACE.chain_id, "contract": PLACE.contract.hex(), "job": JOB.hex()}
    whole = {"place": place_, "cases": [case.to_json() for case in CASES]}
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(document())
