"""Who goes when a node is full."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.rules.worth import (
    ANSWERED_SECONDS,
    GRACE,
    OLD_SECONDS,
    USEFUL_SECONDS,
    Rank,
    Shaking,
    Standing,
    crowded_out,
    group,
    leaving,
    rank,
)

AGES = st.floats(0, 10_000)
STANDING = st.lists(
    st.builds(
        Standing,
        st.integers(),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", ""]),
        AGES,
        st.booleans(),
        st.booleans(),
        st.none() | AGES,
        st.none() | AGES,
    ),
    max_size=40,
    unique_by=lambda each: each.key,
)


@given(STANDING, st.integers(0, 40))
def test_nobody_goes_for_one_that_is_worth_less(standing: list[Standing], most: int) -> None:
    """But for the eighth that is of newcomers, and the address that holds a quarter and more."""
    gone = leaving(standing, most)
    assert len(gone) == len(set(gone)) == max(0, len(standing) - most)
    stay = [each for each in standing if each.key not in gone]
    left = [rank(each) for each in stay]
    shares = Counter(group(each.address) for each in standing if rank(each) < Rank.MEMBER)
    for each in (each for each in standing if each.key in gone):
        # Newcomers within their share of the places are worth as much as company.
        assert all(other >= min(rank(each), Rank.NEW) for other in left)
        if rank(each) > Rank.NEW:
            assert left.count(Rank.NEW) <= max(1, most // 8)
        if rank(each) >= Rank.MEMBER:
            assert all(other >= rank(each) for other in left)
        elif rank(each) > Rank.COMPANY and shares[group(each.address)] <= max(1, most // 4):
            assert sum(other < rank(each) for other in left) <= max(1, most // 8)


#: The lines of an attacker that has made every one of them useful, at few addresses or many.
TAKEN = st.lists(
    st.tuples(st.integers(1, 40), st.floats(10, 10_000), st.floats(0, 60)), min_size=16, max_size=16
)


@given(TAKEN, st.floats(0, GRACE - 1), st.booleans())
def test_whoever_is_new_at_an_address_of_its_own_gets_in(
    lines: list[tuple[int, float, float]], age: float, beside_a_crowd: bool
) -> None:
    """Whatever those who are here have done; and as soon as it answers, it stays."""
    taken = [
        Standing(number, f"192.0.2.{host}", stood, answered=ago, useful=ago)
        for number, (host, stood, ago) in enumerate(lines)
    ]
    crowd = [Standing(-n, "203.0.113.1", age / n) for n in range(1, 10)] if beside_a_crowd else []
    assert "new" not in leaving([*taken, *crowd, Standing("new", "198.51.100.1", age)], 16)
    answers = Standing("new", "198.51.100.1", age + 60, answered=age)
    assert "new" not in leaving([*taken, answers], 16)


def test_an_address_that_is_of_use_128_times_keeps_nobody_out() -> None:
    """It loses one place to each that comes from elsewhere, down to a quarter of the places."""
    here = [Standing(n, "192.0.2.1", 9999, answered=n / 9, useful=n / 9) for n in range(128)]
    for number in range(96):
        newcomer = Standing(f"honest {number}", f"198.51.100.{number}", 0)
        (goes,) = leaving([*here, newcomer], 128)
        assert isinstance(goes, int)
        answered = Standing(newcomer.key, newcomer.address, 60, answered=30)
        here = [*(each for each in here if each.key != goes), answered]
    prefix = [Standing(n, f"2001:db8::{n:x}", 9999, answered=0, useful=0) for n in range(128)]
    assert leaving([*prefix, Standing("new", "2001:db8:1::1", 0)], 128) == [0]


def test_many_honest_ones_behind_one_address_get_in_where_nobody_else_wants_to() -> None:
    here = [Standing(n, "192.0.2.1", 100, answered=9, useful=9) for n in range(99)]
    others = [Standing(-n, f"198.51.100.{n}", 100, answered=9) for n in range(1, 30)]
    assert leaving([*here, *others], 128) == []
    silent = [Standing(f"silent {n}", "198.51.100.1", 100) for n in range(9)]
    gone = leaving([*here, *others, *silent], 128)
    assert all(str(each).startswith("silent") for each in gone)
    # Only a member and whom a person named are worth more than anybody's place.
    members = [Standing(n, "192.0.2.1", 100, member=True) for n in range(128)]
    assert leaving([*members, Standing("new", "198.51.100.1", 0)], 128) == ["new"]


def test_newcomers_of_one_address_leave_places_to_those_of_others() -> None:
    here = [Standing(n, f"192.0.2.{n}", 900, answered=9, useful=9) for n in range(128)]
    flood = [Standing(f"flood {n}", "203.0.113.1", n / 1000) for n in range(40)]
    gone = leaving([*here, *flood, Standing("new", "198.51.100.1", 4)], 128)
    assert "new" not in gone
    assert sum(str(each).startswith("flood") for each in gone) == 25


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (Standing(1, "", GRACE), Rank.SILENT),
        (Standing(1, "", GRACE - 0.1), Rank.NEW),
        (Standing(1, "", 60, answered=50), Rank.COMPANY),
        (Standing(1, "", OLD_SECONDS, answered=50), Rank.USEFUL),
        (Standing(1, "", OLD_SECONDS), Rank.SILENT),
        (Standing(1, "", 9999, answered=ANSWERED_SECONDS), Rank.USEFUL),
        (Standing(1, "", 9999, answered=ANSWERED_SECONDS + 1), Rank.SILENT),
        (Standing(1, "", 1000, useful=USEFUL_SECONDS, answered=0), Rank.USEFUL),
        (Standing(1, "", 1000, useful=USEFUL_SECONDS + 1, answered=0), Rank.COMPANY),
        (Standing(1, "", 1000, member=True), Rank.MEMBER),
        (Standing(1, "", 1000, member=True, chosen=True), Rank.CHOSEN),
    ],
)
def test_ranks(peer: Standing, expected: Rank) -> None:
    assert rank(peer) is expected


def test_a_crowd_of_idle_ones_pays_for_every_newcomer() -> None:
    """126 identities of one address that do nothing, then honest ones from it: all get in."""
    standing = [Standing(f"idle {n}", "192.0.2.1", 100 + n) for n in range(126)]
    standing += [Standing("good", "192.0.2.9", 50, answered=3), Standing("new", "192.0.2.1", 0)]
    for number in range(100):
        newcomer = Standing(f"honest {number}", "192.0.2.1", 0)
        (goes,) = leaving([*standing, newcomer], 128)
        assert str(goes).startswith("idle")
        standing = [each for each in standing if each.key != goes]
        standing.append(newcomer)


def test_a_newcomer_does_not_pay_for_the_company_at_its_address() -> None:
    """Twenty-four that answer and a newcomer share an address; a crowd renews itself at fifty."""
    company = [Standing(f"good {n}", "192.0.2.1", 60, answered=9) for n in range(24)]
    crowd = [Standing(f"idle {n}", f"203.0.113.{n % 50}", n / 30) for n in range(104)]
    (goes,) = leaving([*company, *crowd, Standing("new", "192.0.2.1", 4)], 128)
    assert str(goes).startswith("idle")


def test_company_is_not_pushed_out_by_those_who_come_again_and_again() -> None:
    company = [Standing(f"good {n}", "192.0.2.1", 900, answered=280) for n in range(112)]
    crowd = [Standing(f"idle {n}", "192.0.2.1", n / 10) for n in range(17)]
    assert leaving([*company, *crowd], 128) == ["idle 16"]


def test_company_does_not_keep_newcomers_out() -> None:
    company = [Standing(f"here {n}", "192.0.2.1", 900, answered=n) for n in range(128)]
    assert leaving([*company, Standing("new", "192.0.2.1", 0)], 128) == ["here 127"]


def test_among_equals_the_address_with_most_loses_its_idlest() -> None:
    many = [Standing(n, "192.0.2.1", 100, answered=n) for n in range(3)]
    few = [Standing(n, "192.0.2.2", 100, answered=90) for n in range(10, 12)]
    assert leaving([*many, *few], 4) == [2]
    assert leaving([*many, *few], 3) == [2, 10]


def test_a_newcomer_goes_first_only_where_all_others_are_worth_more() -> None:
    members = [Standing(n, "192.0.2.1", 9, member=True) for n in range(4)]
    assert leaving([*members, Standing("new", "192.0.2.2", 0)], 4) == ["new"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("nowhere", "nowhere", True),
    ],
)
def test_whose_address_it_is(one: str, other: str, same: bool) -> None:
    assert (group(one) == group(other)) is same


SHAKING = st.lists(
    st.builds(
        Shaking,
        st.integers(),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "::1"]),
        AGES,
        st.integers(0, 300),
    ),
    max_size=40,
    unique_by=lambda each: each.key,
)


@given(SHAKING, st.integers(1, 40), st.integers(1, 40))
def test_a_handshake_that_goes_on_is_not_given_up_for_one_that_does_not(
    shaking: list[Shaking], most: int, most_of_one: int
) -> None:
    out = crowded_out(shaking, most, most_of_one)
    crowds = Counter(each.address for each in shaking)
    crowded = len(shaking) > most or max(crowds.values(), default=0) > most_of_one
    assert (out is not None) is crowded
    if out is None:
        return
    goes = next(each for each in shaking if each.key == out)
    assert crowds[goes.address] == max(crowds.values())
    for each in shaking:
        if crowds[each.address] == crowds[goes.address]:
            assert (each.said // 24, -each.quiet) >= (goes.said // 24, -goes.quiet)
    if max(crowds.values()) > 1:
        assert crowded_out(shaking, most, most_of_one, out) != out


def test_a_newcomer_takes_the_place_of_one_that_stopped_after_its_first_word() -> None:
    """Its own first word is unread when room is made for it."""
    stopped = [Shaking(n, "192.0.2.1", n / 10, 20) for n in range(32)]
    far = Shaking("far", "192.0.2.1", 4, 62)
    fresh, newcomer = Shaking("fresh", "192.0.2.1", 0.01, 0), Shaking("new", "192.0.2.1", 0)
    assert crowded_out([*stopped, far, fresh, newcomer], 64, 32, "new") == 31
