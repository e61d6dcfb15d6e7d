"""The record of worth: what is appended reads back, and nothing else is a record."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.learning.worth_record import MAX_VALUE, append, decode
from protocol.errors import FatalError, Malformed
from protocol.params import MAX_BLOB_BYTES, MAX_COHORT, MAX_RECORD_BYTES, MAX_ROUNDS

Entries = list[tuple[tuple[int, ...], tuple[float, float]]]

#: What was measured of a block that only its place in a record matters of.
ONE = (1.0, 1.0)

worths = st.floats(-MAX_VALUE, MAX_VALUE).map(lambda v: v + 0.0)


@st.composite
def measured(draw: st.DrawFn) -> Entries:
    members = draw(st.lists(st.integers(0, MAX_COHORT - 1), min_size=1, max_size=24, unique=True))
    cuts = draw(st.lists(st.integers(1, len(members)), unique=True).map(sorted))
    edges = [0, *(c for c in cuts if c < len(members)), len(members)]
    return [
        (tuple(sorted(members[a:b])), (draw(worths), draw(worths)))
        for a, b in itertools.pairwise(edges)
    ]


records = st.dictionaries(st.integers(0, MAX_ROUNDS - 1), measured(), min_size=1, max_size=6).map(
    lambda rounds: sorted(rounds.items())
)


def build(rounds: list[tuple[int, Entries]]) -> bytes:
    data: bytes | None = None
    for number, entries in rounds:
        data = append(data, number, entries)
    assert data is not None
    return data


@given(records)
def test_what_was_appended_reads_back(rounds: list[tuple[int, Entries]]) -> None:
    found = decode(build(rounds))
    assert [(each.number, list(each.entries)) for each in found] == rounds


@given(records, st.binary(min_size=1, max_size=4))
def test_nothing_may_be_missing_or_follow(rounds: list[tuple[int, Entries]], more: bytes) -> None:
    data = build(rounds)
    with pytest.raises(Malformed):
        decode(data + more)
    with pytest.raises(Malformed):
        decode(data[: -len(more)])


@given(records, st.data())
@examples(2)
def test_other_bytes_are_refused_or_canonical(
    rounds: list[tuple[int, Entries]], data: st.DataObject
) -> None:
    changed = bytearray(build(rounds))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(changed))
    except Malformed:
        return
    again: bytes | None = None
    for each in found:
        again = append(again, each.number, list(each.entries), each.sums, each.sums_bytes)
    assert again == changed, "what is taken has one encoding"


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)
    with pytest.raises(Malformed):
        decode(build([(0, [((1,), ONE)])])[:8] + data)


def test_the_layout_is_the_specifications() -> None:
    first = append(None, 1, [((3, 7), (0.5, 0.25)), ((2,), (-0.0, -0.0))])
    data = append(first, 300 - 50, [((0,), (2.0, -1.0))], b"\x07" * 32, 1000)
    assert data == (
        b"assay\x01W\x00"
        + struct.pack(">I", 2)
        + struct.pack(">HH", 1, 2)
        + bytes(36)
        + struct.pack(">HH", 2, 1)
        + struct.pack("<dd", 0.5, 0.0)
        + struct.pack("<dd", 0.25, 0.0)
        + struct.pack(">HHH", 3, 7, 2)
        + struct.pack(">HH", 250, 1)
        + b"\x07" * 32
        + struct.pack(">IH", 1000, 1)
        + struct.pack("<dd", 2.0, -1.0)
        + struct.pack(">H", 0)
    )


@pytest.mark.parametrize(
    ("round_", "entries", "why"),
    [
        (4, [((1,), ONE)], "round 4 after round 4"),
        (MAX_ROUNDS, [((1,), ONE)], f"5 to {MAX_ROUNDS - 1} may follow"),
        (5, [], "0 blocks"),
        (5, [((1,), ONE), ((), ONE)], "block 1 has no member"),
        (5, [((1, 2), ONE), ((2, 3), ONE)], "stands in it twice"),
        (5, [((2, 1), ONE)], "do not ascend"),
        (5, [((4,), ONE), ((2, 1), ONE)], "do not ascend"),
        (5, [((1, MAX_COHORT), ONE)], "outside 0 to 4095"),
        (5, [((-1,), ONE)], "outside 0 to 4095"),
        (5, [((1,), ONE), ((2,), (float("nan"), 0.0))], "block 1 is worth nan"),
        (5, [((1,), (0.0, float("-inf")))], "block 0 is worth -inf"),
        (5, [((1,), (2 * MAX_VALUE, 0.0))], "1e\\+100 bounds it"),
    ],
)
def test_a_round_that_cannot_be_is_not_recorded(round_: int, entries: Entries, why: str) -> None:
    record = append(None, 4, [((1,), ONE)])
    with pytest.raises(FatalError, match=why):
        append(record, round_, entries)


@pytest.mark.parametrize(
    ("sums", "size"),
    [(bytes(32), 1), (b"\x01" * 32, 0), (b"\x01" * 31, 1), (b"\x01" * 32, MAX_BLOB_BYTES + 1)],
)
def test_sums_have_a_name_and_a_size_or_neither(sums: bytes, size: int) -> None:
    with pytest.raises(FatalError, match="do not fit their digest"):
        append(None, 0, [((1,), ONE)], sums, size)
    assert append(None, 0, [((1,), ONE)], b"\x01" * 32, MAX_BLOB_BYTES)


def test_a_block_may_follow_one_of_higher_members() -> None:
    entries = [((8, 9), ONE), ((1, 2), (2.0, 2.0))]
    assert list(decode(append(None, 0, entries))[0].entries) == entries


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, b"x", "does not begin"),
        (5, b"\x02", "of version 2"),
        (6, b"V", "does not begin"),
        (7, b"\x01", "does not begin"),
        (8, b"\x00\x00\x00\x00", "of 0 rounds"),
        (8, b"\x00\x00\x01\x00", "of 256 rounds"),
        (8, b"\xff\xff\xff\xff", "of 4294967295 rounds"),
        (8, b"\x00\x00\x00\x02", "short"),
        (14, b"\xff\xff", "short"),
        (16, b"\x01", "sums of 0 bytes"),
        (51, b"\x01", "sums of 1 bytes"),
        (54, struct.pack("<d", -0.0), "negative zero"),
        (62, struct.pack("<d", -0.0), "negative zero"),
    ],
)
def test_a_header_that_lies_is_named(at: int, value: bytes, why: str) -> None:
    data = append(None, 0, [((1,), ONE)])
    with pytest.raises(Malformed, match=why):
        decode(data[:at] + value + data[at + len(value) :])


def test_the_longest_record_fits_and_a_longer_one_is_not_looked_at() -> None:
    members = [((member,), ONE) for member in range(MAX_COHORT)]
    one = append(None, 0, members)
    rounds = b"".join(struct.pack(">H", number) + one[14:] for number in range(MAX_ROUNDS))
    longest = one[:8] + struct.pack(">I", MAX_ROUNDS) + rounds
    assert len(longest) == MAX_RECORD_BYTES
    found = decode(longest)
    assert len(found) == MAX_ROUNDS
    assert np.array_equal(found[-1].members, np.arange(MAX_COHORT))
    with pytest.raises(Malformed, match=f"has {MAX_RECORD_BYTES + 1} bytes"):
        decode(longest + b"\0")
