"""The books share the pot by worth, and show all that is needed to share it again."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from protocol.books.enrolment import Cohort, Member
from protocol.books.evidence import (
    Evidence,
    close_books,
    counts_of,
    decode_evidence,
    encode_evidence,
    merit_tree,
    payouts,
)
from protocol.books.lists import Leaf
from protocol.books.merit import merit_shares
from protocol.requester.state import GroupRecord, RequesterState

OWNERS = 12
POT = 10**18 + 7

rounds_of = st.lists(st.lists(st.integers(0, OWNERS - 1), max_size=OWNERS, unique=True), max_size=6)
worths_of = st.none() | st.lists(st.floats(-1e9, 1e9), min_size=OWNERS, max_size=OWNERS)
withheld_of = st.frozensets(st.integers(0, OWNERS - 1)).map(lambda members: tuple(sorted(members)))


def cohort() -> Cohort:
    members = tuple(
        Member(bytes([m]) * 38, bytes([m]) * 20, bytes([200 - m]) * 20, 1, bytes(32), bytes(32))
        for m in range(1, OWNERS + 1)
    )
    return Cohort(members, (bytes(32),), (OWNERS,))


def close(
    rounds: list[list[int]], pot: int, worths: list[float] | None, withheld: tuple[int, ...]
) -> Evidence:
    state = RequesterState(
        groups=(GroupRecord(OWNERS, bytes(32), 1, True, bytes(32)),),
        adopted=1,
        cohort_digest=bytes(32),
        model_digest=bytes(32),
    )
    leaves = leaves_of(rounds)
    return close_books(bytes(32), bytes(32), pot, state, cohort(), leaves, worths, withheld)


def leaves_of(rounds: list[list[int]]) -> list[list[Leaf]]:
    return [[Leaf(m, m // 5, bytes(32), bytes(32)) for m in sorted(each)] for each in rounds]


@given(rounds_of, st.integers(0, 2**128 - 1), worths_of, withheld_of)
def test_merit_is_what_the_shown_weights_give_again(
    rounds: list[list[int]], pot: int, worths: list[float] | None, withheld: tuple[int, ...]
) -> None:
    shown = decode_evidence(encode_evidence(close(rounds, pot, worths, withheld)))
    counts = Counter(member for each in rounds for member in each)
    by_member = [counts[member] for member in range(OWNERS)]
    again = merit_shares(pot, by_member, shown.weights or None, shown.withheld)
    assert again == merit_shares(pot, by_member, worths, withheld)
    accounts = [member.payout for member in cohort().members]
    expected = [(accounts[m], share) for m, share in enumerate(again) if share]
    assert [(share.account, share.amount) for share in shown.merit] == expected
    if any(rounds) and pot:
        assert merit_tree(shown).root.total == pot
    else:
        assert shown.merit == ()


def test_a_worthless_and_a_withholding_member_have_no_entry_and_still_their_rate() -> None:
    rounds = [list(range(OWNERS))] * 3
    worths = [1.0] * OWNERS
    worths[2] = -1.0
    books = close(rounds, POT, worths, (7,))
    paid = {share.account for share in books.merit}
    accounts = [member.payout for member in cohort().members]
    assert paid == {account for m, account in enumerate(accounts) if m not in (2, 7)}
    assert set(payouts(cohort(), leaves_of(rounds))) == set(accounts)
    assert counts_of(leaves_of(rounds)) == dict.fromkeys(range(OWNERS), 3)


def test_equal_worth_shows_no_weights() -> None:
    assert close([[0, 1]], POT, None, ()).weights == ()
