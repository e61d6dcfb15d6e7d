"""Sums of shares: they open to the sum, wrong ones are corrected and named, and too few say so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.dealers import changed, forged, honest

from protocol.arith.proofs.field import P
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.sums import open_sum, sum_shares
from protocol.errors import FatalError, Malformed

WIDE = Statement(40, 30, 8, 5, 1)
VECTORS = [[n, -n, 5, *[0] * 36, 1] for n in (3, -7, 11)]
DEALT = [honest(WIDE, vector, number).dealing for number, vector in enumerate(VECTORS)]
TRUTH = np.sum(VECTORS, axis=0).tolist()
SUMS = [
    (position, sum_shares(WIDE, [dealing.pieces[position] for dealing in DEALT]))
    for position in range(8)
]


@given(st.data())
def test_sums_of_enough_members_open_to_the_sum_of_vectors(data: st.DataObject) -> None:
    there = data.draw(st.permutations(SUMS))[: data.draw(st.integers(6, 8))]
    opened = open_sum(WIDE, there, 3)
    assert opened.integers is not None
    assert opened.integers.tolist() == TRUTH
    assert (opened.liars, opened.certain) == (frozenset(), True)


@given(st.integers(0, 7), st.integers(0, 39), st.integers(1, P - 1))
def test_a_wrong_sum_is_corrected_and_named(liar: int, place: int, by: int) -> None:
    said = list(SUMS)
    said[liar] = (liar, changed(said[liar][1], place, by))
    opened = open_sum(WIDE, said, 3)
    assert opened.integers is not None
    assert (opened.integers.tolist(), opened.liars) == (TRUTH, {liar})


def test_a_sum_over_another_set_of_dealers_is_a_wrong_one() -> None:
    said = list(SUMS)
    said[2] = (2, sum_shares(WIDE, [dealing.pieces[2] for dealing in DEALT[:2]]))
    opened = open_sum(WIDE, said, 3)
    assert opened.integers is not None
    assert (opened.integers.tolist(), opened.liars) == (TRUTH, {2})


def test_too_few_sums_say_how_many_are_needed() -> None:
    opened = open_sum(WIDE, SUMS[:4], 3)
    assert (opened.integers, opened.reason) == (None, "4 sums, 5 are needed")
    assert open_sum(WIDE, [], 3).integers is None


def test_a_threshold_of_sums_opens_but_is_not_certain() -> None:
    opened = open_sum(WIDE, SUMS[3:], 3)
    assert opened.integers is not None
    assert (opened.integers.tolist(), opened.certain) == (TRUTH, False)
    # One lie among so few is not seen; its size is. The last of the points 4 to 8 weighs 35.
    lied = open_sum(WIDE, [*SUMS[3:7], (7, changed(SUMS[7][1], 0))], 3)
    assert lied.integers is not None
    assert (lied.integers[0] - TRUTH[0], lied.certain) == (35, False)
    more = open_sum(WIDE, [*SUMS[3:7], (7, changed(SUMS[7][1], 0, 3))], 3)
    assert more.integers is None
    assert more.reason == "the sum is beyond what was proven of its parts"


def test_sums_that_contradict_each_other_beyond_correction_name_nobody() -> None:
    said = [*SUMS[:5], (5, changed(SUMS[5][1], 0))]
    opened = open_sum(WIDE, said, 3)
    assert (opened.integers, opened.liars) == (None, frozenset())
    assert opened.reason == "6 sums contradict each other"


def test_what_cannot_be_read_and_two_sums_of_one_member_name_it() -> None:
    cut = open_sum(WIDE, [(0, SUMS[0][1][:-1]), *SUMS[1:]], 3)
    out = open_sum(WIDE, [(0, P.to_bytes(8, "little") + SUMS[0][1][8:]), *SUMS[1:]], 3)
    two = open_sum(WIDE, [(0, changed(SUMS[0][1], 3)), *SUMS], 3)
    for opened in (cut, out, two):
        assert opened.integers is not None
        assert (opened.integers.tolist(), opened.liars) == (TRUTH, {0})


def test_a_sum_is_held_to_the_norm_and_not_to_its_values_alone() -> None:
    flat = forged(WIDE, [60, 60, *[0] * 38], 900).dealing
    said = [(position, sum_shares(WIDE, [piece])) for position, piece in enumerate(flat.pieces)]
    assert open_sum(WIDE, said, 2).integers is None  # 84.9, of 60
    assert open_sum(WIDE, said, 3).integers is not None


def test_a_sum_beyond_what_its_parts_have_proven_is_none() -> None:
    over = forged(WIDE, [91, *[0] * 39], 900).dealing
    said = [(position, sum_shares(WIDE, [piece])) for position, piece in enumerate(over.pieces)]
    opened = open_sum(WIDE, said, 3)
    assert (opened.integers, opened.liars) == (None, frozenset())
    assert opened.reason == "the sum is beyond what was proven of its parts"
    assert open_sum(WIDE, said, 4).integers is not None


def test_a_caller_that_adds_nothing_or_what_it_did_not_verify_is_told() -> None:
    with pytest.raises(FatalError, match="no piece to add"):
        sum_shares(WIDE, [])
    with pytest.raises(FatalError, match=f"a piece of 8 bytes, {WIDE.piece_bytes} are expected"):
        sum_shares(WIDE, [bytes(8)])
    with pytest.raises(Malformed, match="element 0 is not below p"):
        sum_shares(WIDE, [b"\xff" * WIDE.piece_bytes])
    with pytest.raises(FatalError, match="a sum of member 8 of 8"):
        open_sum(WIDE, [(8, b"")], 3)
