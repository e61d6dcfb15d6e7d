"""Every message: one encoding, its limits, and published vectors."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import message_cases
from kits.books import REQUESTER, digest_of
from simulator.strategies import smallest, wire

from protocol import params
from protocol.errors import Malformed
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.wire import messages
from protocol.wire.cards import Card, CardColumn, ColumnKind, bucket_of, bucket_span
from protocol.wire.codec import Range, Size, decode_tagged, encode, encode_tagged
from protocol.wire.envelope import Context, Envelope, Frame, envelope_digest, open_envelope
from protocol.wire.messages import Body, Freeze, Roster

KINDS: tuple[type[Any], ...] = typing.get_args(Body)
VECTORS = json.loads(message_cases.VECTORS.read_text())


@given(st.one_of([wire(kind) for kind in KINDS]))
def test_every_message_round_trips(body: Body) -> None:
    data = encode_tagged(body)
    assert decode_tagged(KINDS, data, MAX_STREAM_MESSAGE_BYTES) == body


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_tagged(KINDS, data, MAX_STREAM_MESSAGE_BYTES)


@given(st.one_of([wire(kind) for kind in KINDS]), st.data())
def test_a_changed_byte_is_another_message_or_malformed(body: Body, data: st.DataObject) -> None:
    encoded = bytearray(encode_tagged(body))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_tagged(KINDS, bytes(encoded), MAX_STREAM_MESSAGE_BYTES)
    except Malformed:
        return
    assert other != body
    assert encode_tagged(other) == bytes(encoded)


def _limits() -> list[tuple[type[Any], str, Any]]:
    found = []
    for kind in KINDS:
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            if typing.get_origin(hint) is Annotated:
                found += [(kind, field.name, limit) for limit in typing.get_args(hint)[1:]]
    return found


#: Lists whose entries differ from each other, and an amount; they have tests of their own.
APART = (
    (Freeze, "rosters"),
    (messages.Dealt, "lists"),
    (messages.Decided, "verdicts"),
    (Card, "columns"),
    (Card, "purposes"),
    (Card, "rate"),
    *((messages.Ready, name) for name in ("share_key", "seed_hash")),
    *((messages.Ready, name) for name in ("seed_hashes", "key_hashes", "boxes")),
)


@pytest.mark.parametrize(
    ("kind", "name", "limit"),
    [each for each in _limits() if (each[0], each[1]) not in APART],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_field_holds_its_limit_and_not_one_more(
    kind: type[Any], name: str, limit: Size | Range
) -> None:
    example = smallest(kind)
    held = getattr(example, name)
    if isinstance(limit, Range):
        low, high = int(limit.low), int(limit.high)
        fitting, refused = [low, high], [low - 1, high + 1]
    else:
        high = limit.low if limit.high is None else limit.high
        one: Any = {bytes: b"\0", str: "x", tuple: ELEMENTS.get((kind, name))}[type(held)]
        fitting = [one * limit.low, one * high]
        refused = [one * (high + 1)] + ([one * (limit.low - 1)] if limit.low else [])
    for value in fitting:
        dataclasses.replace(example, **{name: value})
    for value in refused:
        with pytest.raises(Malformed, match=name):
            dataclasses.replace(example, **{name: value})


#: What a list of a message holds, by its field.
ELEMENTS: dict[tuple[type[Any], str], tuple[Any, ...]] = {
    (messages.Ask, "held"): (bytes(8),),
    (messages.Declined, "terms"): (messages.DeclinedTerm.PRICE,),
    (messages.Told, "frames"): (b"\0",),
    (messages.ToldCards, "frames"): (b"\0",),
    (messages.Words, "words"): (bytes(32),),
    (messages.Release, "shares"): (bytes(32),),
}


def ready(members: int, share_key: bytes = bytes(32), boxes: int | None = None) -> messages.Ready:
    short, box = (bytes(16),) * members, (bytes(64),) * (members if boxes is None else boxes)
    return messages.Ready(bytes(32), bytes(32), share_key, share_key, short, short, box)


def test_ready_shares_among_a_whole_block_or_not_at_all() -> None:
    """Whose contributions prove their norm have nothing to share yet."""
    for fine in (params.MIN_BLOCK, params.MAX_BLOCK):
        ready(fine)
    ready(0, share_key=b"")
    for members, key in ((0, bytes(32)), (5, b""), (5, bytes(31)), (4, bytes(32)), (33, bytes(32))):
        with pytest.raises(Malformed, match="Ready"):
            ready(members, key)
    with pytest.raises(Malformed, match="one of each"):
        ready(5, boxes=6)


@pytest.mark.parametrize("kind", [messages.Dealt, messages.Decided])
def test_blocks_of_lists_ascend_each_once(kind: type[Any]) -> None:
    entry = Roster if kind is messages.Dealt else messages.Verdict
    one, two = entry(1, bytes(32), 9), entry(2, bytes(32), 9)
    assert kind(bytes(32), (one, two)).of(2) == two
    assert kind(bytes(32), (one,)).of(2) is None
    for bad in ((two, one), (one, one), ()):
        with pytest.raises(Malformed, match=kind.__name__):
            kind(bytes(32), bad)


def rosters(count: int) -> tuple[Roster, ...]:
    return tuple(Roster(block, digest_of("roster", block), 2**20) for block in range(count))


def test_as_many_blocks_are_frozen_as_the_largest_cohort_has() -> None:
    """And they fit into one gossip message."""
    most = Freeze(bytes(32), rosters(params.MAX_BLOCKS))
    envelope = REQUESTER.say(Context(2**63, bytes(20), bytes(32), 255, 16), most)
    assert len(encode(Frame(encode(envelope), b""))) <= params.MAX_GOSSIP_BYTES
    for bad in (rosters(params.MAX_BLOCKS + 1), ()):
        with pytest.raises(Malformed, match="rosters"):
            Freeze(bytes(32), bad)


def test_a_card_holds_its_limits_and_not_one_more() -> None:
    card = smallest(Card)
    column = smallest(CardColumn)
    names = [f"{number:064}" for number in range(params.MAX_CARD_COLUMNS + 1)]
    columns = tuple(dataclasses.replace(column, name=name) for name in names)
    purposes = tuple(f"{number:032}" for number in range(params.MAX_CARD_PURPOSES + 1))
    words = tuple(f"{number:064}" for number in range(params.MAX_CARD_WORDS + 1))
    dataclasses.replace(card, columns=columns[:-1], purposes=purposes[:-1], rate=2**256 - 1)
    dataclasses.replace(column, kind=ColumnKind.CATEGORY, words=words[:-1])
    for changes in ({"columns": columns}, {"columns": ()}, {"purposes": purposes}):
        with pytest.raises(Malformed, match="length"):
            dataclasses.replace(card, **changes)
    for name in ("x" * 65, ""):
        with pytest.raises(Malformed, match="length"):
            dataclasses.replace(column, name=name)
    with pytest.raises(Malformed, match="length"):
        dataclasses.replace(column, kind=ColumnKind.CATEGORY, words=words)
    with pytest.raises(Malformed, match="256 bits"):
        dataclasses.replace(card, rate=2**256)


def test_buckets_are_half_powers_of_ten() -> None:
    """A row count shows only in which of them it lies: ends are as close as they can be."""
    ends = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 10**6, 3 * 10**6, 10**7]
    assert [bucket_of(end) - bucket_of(end - 1) for end in ends] == [1] * len(ends)
    assert (bucket_of(0), bucket_of(2**62)) == (0, params.MAX_ROWS_BUCKET)
    spans = [bucket_span(bucket) for bucket in range(params.MAX_ROWS_BUCKET + 1)]
    assert spans == list(zip([0, *ends], [*ends, None], strict=True))


@pytest.mark.parametrize("order", [(1, 0), (0, 0)], ids=["descending", "twice"])
def test_frozen_blocks_ascend(order: tuple[int, ...]) -> None:
    with pytest.raises(Malformed, match="ascend"):
        Freeze(bytes(32), tuple(rosters(2)[block] for block in order))


def test_a_blocks_roster_is_found() -> None:
    freeze = Freeze(bytes(32), rosters(3)[1:])
    assert freeze.of(2) == rosters(3)[2]
    assert freeze.of(0) is None


def test_the_largest_ready_fits_a_private_message() -> None:
    assert len(encode_tagged(ready(params.MAX_BLOCK))) < 4096


def test_there_is_a_vector_of_every_message() -> None:
    assert {vector["kind"] for vector in VECTORS["messages"]} == {k.__name__ for k in KINDS}


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["kind"])
def test_published_messages_open(vector: dict[str, Any]) -> None:
    envelope = open_envelope(bytes.fromhex(vector["envelope"]))
    assert type(envelope.body).__name__ == vector["kind"]
    assert message_cases.shown(envelope.body) == vector["body"]
    context = Context(
        vector["chain_id"],
        bytes.fromhex(vector["contract"]),
        bytes.fromhex(vector["job"]),
        vector["round"],
        vector["attempt"],
    )
    assert envelope.context == context
    assert envelope_digest(envelope).hex() == vector["digest"]
    assert envelope.sender.hex() == vector["sender"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_published_garbage_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=vector["error"]):
        open_envelope(bytes.fromhex(vector["envelope"]))


def test_the_vectors_are_what_the_cases_make() -> None:
    assert message_cases.VECTORS.read_text() == message_cases.document()


def test_an_envelope_has_one_schema() -> None:
    assert [f.name for f in dataclasses.fields(Envelope)] == ["statement", "signature"]
