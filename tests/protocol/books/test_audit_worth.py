"""The audit of merit: weights against what was measured again, by what the spec says of a pot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import HOLDOUT, Books, make_books, make_job

from protocol.books.audit import Check, audit
from protocol.books.merit import MAX_WEIGHT, merit_shares, merit_weights
from protocol.books.remeasured import (
    NOT_MEASURED,
    TOLERANCE,
    Remeasured,
    agree,
    wronged,
)
from protocol.spec.job import MeritBy

POT = 1_000_000
WORTHS = [3.0] * 5 + [2.0] * 5 + [-1.0] * 5
NAME = "merit weights: measured again"


def books_by(by: MeritBy, worths: list[float] | None, pot: int = POT) -> Books:
    """Fifteen owners in three blocks, in three rounds; what is published is named."""
    job = make_job(15, merit=pot, min_owners=15, merit_by=by)
    books = make_books(job, [(0, 1, 2)] * 3, worths)
    named = by is MeritBy.WORTH and pot > 0
    return books.with_evidence(holdout_digest=HOLDOUT, holdout_size=9) if named else books


def merit_checks(books: Books, remeasured: Remeasured = NOT_MEASURED) -> dict[str, Check]:
    """The checks that say something of weights, by name; the others hold."""
    found = audit(
        books.job.spec,
        books.job.spec_digest,
        books.job.id,
        books.job.cohort,
        books.evidence,
        books.evidence_digest,
        books.lists,
        books.chain,
        remeasured=remeasured,
    )
    said = {c.name: c for c in found if c.name.startswith(("merit weights", "hold-out"))}
    assert [c for c in found if not c.ok and c.name not in said] == []
    return said


def by_block(books: Books) -> list[float]:
    """Members' worths by their blocks: 3, 2 and less than nothing."""
    return [(3.0, 2.0, -1.0)[block] for block in books.job.blocks]


def test_weights_that_are_measured_again_hold() -> None:
    books = books_by(MeritBy.WORTH, None)
    worths = by_block(books)
    books = books_by(MeritBy.WORTH, worths)
    said = merit_checks(books, Remeasured(merit_weights(worths)))
    assert all(check.ok for check in said.values())
    assert set(said) == {"hold-out in the evidence", NAME}
    near = tuple(max(0, w - TOLERANCE) for w in merit_weights(worths))
    assert merit_checks(books, Remeasured(near))[NAME].ok
    far = tuple(max(0, w - TOLERANCE - 1) for w in merit_weights(worths))
    assert not merit_checks(books, Remeasured(far))[NAME].ok


def test_invented_weights_are_found_with_who_is_wronged_and_by_how_much() -> None:
    """The requester gives the worst block what the best one earned."""
    true = by_block(books_by(MeritBy.WORTH, None))
    invented = [{3.0: -1.0, 2.0: 2.0, -1.0: 3.0}[each] for each in true]
    books = books_by(MeritBy.WORTH, invented)
    check = merit_checks(books, Remeasured(merit_weights(true)))[NAME]
    assert not check.ok
    members = books.job.cohort.members
    due = merit_shares(POT, [3] * 15, merit_weights(true))
    for member, worth in enumerate(true):
        account = f"0x{members[member].payout.hex()} is wronged by {due[member]} wei"
        assert (account in check.detail) == (worth == 3.0)


def test_equal_shares_where_worth_was_promised_are_found_and_so_is_the_reverse() -> None:
    true = by_block(books_by(MeritBy.WORTH, None))
    equal = books_by(MeritBy.WORTH, None)
    assert not merit_checks(equal, Remeasured(merit_weights(true)))[NAME].ok
    assert not merit_checks(books_by(MeritBy.WORTH, true), Remeasured(()))[NAME].ok
    assert merit_checks(equal, Remeasured(()))[NAME].ok


def test_a_hold_out_that_is_not_the_specs_is_found() -> None:
    books = books_by(MeritBy.WORTH, None).with_evidence(holdout_digest=b"\x07" * 32)
    check = merit_checks(books, Remeasured(()))["hold-out in the evidence"]
    assert not check.ok
    assert f"0x{HOLDOUT.hex()[:16]}… expected" in check.detail
    none = books_by(MeritBy.WORTH, None).with_evidence(holdout_digest=b"", holdout_size=0)
    assert not merit_checks(none)["hold-out in the evidence"].ok


@pytest.mark.parametrize("fault", [NOT_MEASURED.fault, "round 3: more sums than blocks"])
def test_what_cannot_be_measured_is_a_fault_in_its_own_words(fault: str) -> None:
    check = merit_checks(books_by(MeritBy.WORTH, None), Remeasured((), fault))[NAME]
    assert (check.ok, check.detail) == (False, fault)


def test_weights_in_a_job_of_equal_shares_are_found() -> None:
    assert all(check.ok for check in merit_checks(books_by(MeritBy.EQUAL, None)).values())
    said = merit_checks(books_by(MeritBy.EQUAL, WORTHS))
    assert [check.ok for check in said.values()] == [False]


def test_a_closed_hold_out_is_called_the_requesters_discretion() -> None:
    """An auditor that measured all the same changes nothing: the spec promised no more."""
    [check] = merit_checks(books_by(MeritBy.DISCRETION, WORTHS), Remeasured(())).values()
    assert check.ok
    assert "discretion" in check.detail


@pytest.mark.parametrize("by", list(MeritBy))
def test_without_a_pot_there_is_nothing_to_say(by: MeritBy) -> None:
    assert merit_checks(books_by(by, None, pot=0)) == {}


weights = st.lists(st.integers(0, MAX_WEIGHT), min_size=1, max_size=9)


@given(weights, st.integers(0, 10**24), st.data())
def test_who_is_wronged_lacks_what_others_have_too_much(
    claimed: list[int], pot: int, data: st.DataObject
) -> None:
    count = len(claimed)
    measured = data.draw(st.lists(st.integers(0, MAX_WEIGHT), min_size=count, max_size=count))
    found = wronged(pot, [1] * count, claimed, measured, ())
    assert all(each.due > each.given for each in found)
    assert list(found) == sorted(found, key=lambda each: each.given - each.due)
    if agree(claimed, measured):
        assert found == ()
        return
    due = merit_shares(pot, [1] * count, measured)
    given_ = merit_shares(pot, [1] * count, claimed)
    lacking = sum(max(0, a - b) for a, b in zip(due, given_, strict=True))
    assert sum(each.due - each.given for each in found) == lacking
