"""Merit: integers that add up to the pot, by worth; the weights that are shown give the same."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.books.merit import MAX_WEIGHT, merit_shares, merit_weights
from protocol.errors import FatalError

pots = st.integers(0, 2**128 - 1)
worths_of = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[int, list[int], list[float] | None, frozenset[int]]:
    """A pot, counts, worths or None, and who withheld."""
    size = draw(st.integers(1, 12))
    counts = draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
    worths = draw(st.none() | st.lists(worths_of, min_size=size, max_size=size))
    withheld = draw(st.frozensets(st.integers(0, size - 1)))
    return draw(pots), counts, worths, withheld


@given(cases())
def test_shares_are_the_pot_exactly(
    case: tuple[int, list[int], list[float] | None, frozenset[int]],
) -> None:
    pot, counts, _, _ = case
    shares = merit_shares(*case)
    assert len(shares) == len(counts)
    assert min(shares) >= 0
    assert sum(shares) == (pot if any(counts) else 0)
    assert all(count or not share for count, share in zip(counts, shares, strict=True))


@given(cases())
def test_who_withheld_has_none_while_anybody_did_not(
    case: tuple[int, list[int], list[float] | None, frozenset[int]],
) -> None:
    pot, counts, _, withheld = case
    shares = merit_shares(*case)
    if any(count for member, count in enumerate(counts) if member not in withheld):
        assert all(shares[member] == 0 for member in withheld)
    else:
        assert shares == merit_shares(pot, counts, None)


@given(cases())
def test_shares_follow_weight_and_count_to_a_unit(
    case: tuple[int, list[int], list[float] | None, frozenset[int]],
) -> None:
    pot, counts, worths, withheld = case
    weights = merit_weights(worths) if worths is not None else (1,) * len(counts)
    parts = [0 if m in withheld else c * weights[m] for m, c in enumerate(counts)]
    if not any(parts):
        return
    for part, share in zip(parts, merit_shares(*case), strict=True):
        exact = Fraction(pot * part, sum(parts))
        assert math.floor(exact) <= share <= math.floor(exact) + 1
        assert part or not share


@given(cases())
def test_the_weights_that_the_evidence_shows_give_the_same_shares(
    case: tuple[int, list[int], list[float] | None, frozenset[int]],
) -> None:
    pot, counts, worths, withheld = case
    if worths is None:
        return
    weights = merit_weights(worths)
    assert merit_weights(weights) == weights
    assert merit_shares(pot, counts, weights, withheld) == merit_shares(*case)


@given(st.lists(worths_of, min_size=1, max_size=12))
def test_weights_are_exact_fractions_of_the_largest_worth(worths: list[float]) -> None:
    weights = merit_weights(worths)
    top = Fraction(max(worths))
    for worth, weight in zip(worths, weights, strict=True):
        exact = MAX_WEIGHT * Fraction(worth) / top if min(worth, top) > 0 else Fraction(0)
        assert weight == math.floor(exact)
    assert (max(weights) == MAX_WEIGHT) == (top > 0)


@pytest.mark.parametrize(
    ("worths", "withheld", "shares"),
    [
        (None, set(), (25, 50, 25)),  # equal for each contribution
        ([1.0, 1.0, 1.0], set(), (25, 50, 25)),  # which equal worths are
        ([1.0, 0.5, 2.0], set(), (25, 25, 50)),
        ([1.0, 0.5, -9.0], set(), (50, 50, 0)),  # negative is nothing
        ([-1.0, 0.0, -9.0], set(), (25, 50, 25)),  # nobody of worth: equal
        ([1.0, 0.5, 2.0], {2}, (50, 50, 0)),
        ([0.0, 0.0, 2.0], {2}, (34, 66, 0)),  # who is left is of no worth: equal among them
        ([1.0, 0.5, 2.0], {0, 1, 2}, (25, 50, 25)),  # nobody is left: the pot must go somewhere
        (None, {1}, (50, 0, 50)),
    ],
)
def test_the_rules_one_by_one(
    worths: list[float] | None, withheld: set[int], shares: tuple[int, ...]
) -> None:
    assert merit_shares(100, (1, 2, 1), worths, withheld) == shares


def test_what_is_left_over_goes_to_the_first() -> None:
    assert merit_shares(11, (0, 1, 1, 1, 1), None) == (0, 3, 3, 3, 2)
    assert merit_shares(2, (1, 1, 1), [0.0, 1.0, 1.0]) == (0, 1, 1)
    assert merit_shares(1, (1, 1, 1), [0.0, 1.0, 1.0]) == (0, 1, 0)


def test_nobody_contributed_or_nobody_is_there() -> None:
    assert merit_shares(100, (0, 0), [1.0, 2.0]) == (0, 0)
    assert merit_shares(100, (), None) == ()
    assert merit_weights(()) == ()


def test_nonsense_is_refused() -> None:
    for worth in (math.nan, math.inf, -math.inf):
        with pytest.raises(FatalError, match="worth of member 1"):
            merit_shares(1, (1, 1), [1.0, worth])
    with pytest.raises(FatalError, match="1 worths for 2"):
        merit_shares(1, (1, 1), [1.0])
    for withheld in (-1, 2):
        with pytest.raises(FatalError, match="withheld"):
            merit_shares(1, (1, 1), None, {withheld})
    with pytest.raises(FatalError, match="negative"):
        merit_shares(-1, (1, 1), None)
    with pytest.raises(FatalError, match="negative"):
        merit_shares(1, (1, -1), None)
