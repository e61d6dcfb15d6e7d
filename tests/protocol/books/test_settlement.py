"""A settlement's list: vectors made elsewhere, places in it, and what it leaves out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.paths import TESTS

from node.chain.replies import MAX_LOG_DATA
from protocol.books.settlement import (
    LEAF_BYTES,
    MAX_LEAVES,
    MAX_PARTS,
    LeftOut,
    SettledAccount,
    Settlement,
    decode_leaves,
    left_out,
    settle,
)
from protocol.errors import Malformed
from protocol.params import MAX_COHORT

VECTORS = json.loads((TESTS / "vectors" / "settlement.json").read_text())["settlements"]
A, B, C = (bytes([n]) * 20 for n in (1, 2, 3))

accounts = st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(len(vector["accounts"])))
def test_lists_are_the_vectors(vector: dict[str, list[object]]) -> None:
    settled = Settlement(
        [
            SettledAccount(bytes.fromhex(str(who)), int(rounds), int(merit))
            for who, rounds, merit in vector["accounts"]  # type: ignore[misc]
        ]
    )
    assert [part.hex() for part in settled.parts] == vector["parts"]
    assert [root.hex() for root in settled.roots] == vector["roots"]
    for expected in vector["places"]:
        assert isinstance(expected, dict)
        place = settled.place(bytes.fromhex(expected["account"]))
        assert (place.position, place.proof.hex()) == (expected["position"], expected["proof"])
    assert decode_leaves(b"".join(settled.parts)) == settled.accounts


def test_the_honest_list_names_every_round_and_all_merit_by_account() -> None:
    settled = settle([(0, [C, A, A]), (2, [A])], {B: 5, C: 1})
    assert settled.accounts == (
        SettledAccount(A, 0b101, 0),
        SettledAccount(B, 0, 5),
        SettledAccount(C, 0b001, 1),
    )


def test_what_is_left_out_is_found() -> None:
    honest = settle([(0, [A, B]), (1, [A])], {B: 5})
    assert left_out(honest, honest) == ()
    bad = Settlement([SettledAccount(A, 0b01, 0), SettledAccount(C, 0b11, 5)])
    assert left_out(bad, honest) == (LeftOut(A, 0b10, 0), LeftOut(B, 0b01, 5))
    twice = Settlement([SettledAccount(A, 0b01, 0), SettledAccount(A, 0b11, 0)])
    assert left_out(twice, settle([(1, [A])], {})) == (LeftOut(A, 0b10, 0),)


@given(accounts, st.binary(min_size=20, max_size=20))
def test_whoever_is_missing_has_a_place_in_any_order(listed: list[bytes], who: bytes) -> None:
    settled = Settlement([SettledAccount(each, 1, 0) for each in listed])
    place = settled.place(who)
    first = settled.leaf_and_proof(place.position)
    assert place.proof.startswith(first)
    shown = settled.accounts[place.position].account
    if who in listed:
        assert shown == who
    elif shown > who:
        assert place.position == 0
    elif place.proof == first:
        assert place.position == len(listed) - 1
    else:
        after = settled.leaf_and_proof(place.position + 1)
        assert place.proof == first + after
        assert after[:20] > who


@given(st.binary(max_size=3 * LEAF_BYTES))
def test_hostile_leaves_are_read_or_refused(data: bytes) -> None:
    try:
        found = decode_leaves(data)
    except Malformed:
        return
    assert b"".join(each.leaf for each in found) == data


def test_limits() -> None:
    assert MAX_LEAVES * MAX_PARTS == MAX_COHORT
    # The log of a whole part: part, moment, offset, length, leaves.
    assert MAX_LOG_DATA == 4 * 32 + MAX_LEAVES * LEAF_BYTES
    for count in (0, MAX_COHORT + 1):
        with pytest.raises(ValueError, match="accounts, not"):
            Settlement([SettledAccount(A, 0, 0)] * count)
    SettledAccount(A, 2**255 - 1, 2**128 - 1)
    for rounds, merit in ((2**255, 0), (-1, 0), (0, 2**128), (0, -1)):
        with pytest.raises(ValueError, match="not"):
            SettledAccount(A, rounds, merit)
    with pytest.raises(ValueError, match="20 bytes"):
        SettledAccount(A[1:], 0, 0)
