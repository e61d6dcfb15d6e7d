"""Who of a block counts in a round: what settle adds to decide."""

from __future__ import annotations

import numpy as np
import pytest
from kits.dealers import BINDING, Forged, changed, entropy, forged, honest

from protocol.arith.encoding.boxes import open_piece, seal_piece
from protocol.arith.proofs.prove import share_and_prove
from protocol.arith.proofs.settle import Settled, settle
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.sums import open_sum, sum_shares
from protocol.arith.proofs.verify import Outcome
from protocol.arith.secagg.agreement import new_key
from protocol.errors import Malformed

SIX = Statement(values=40, bound=1000, members=6, threshold=4, corrupt=1)
FIVE = Statement(values=40, bound=1000, members=5, threshold=3, corrupt=0)


def settled(of: Forged, words: list[tuple[int, bytes]], speakers: int = 6) -> Settled:
    return settle(of.statement, of.binding, of.dealing.commitments, words, speakers)


def test_an_honest_dealer_passes_whatever_one_member_says() -> None:
    dealt = honest(SIX, [3] * 40)
    words = dealt.words()
    assert settled(dealt, words).outcome is Outcome.PASSED
    for liar in range(6):
        rest = [each for each in words if each[0] != liar]
        for lie in ([], [(liar, changed(words[liar][1], 0))], [(liar, b"short")]):
            found = settled(dealt, rest + lie)
            assert found.outcome is Outcome.PASSED
            assert found.stand == frozenset(range(6)) - {liar}


def test_a_cheat_fails_whatever_one_member_says() -> None:
    cheat = forged(SIX, [9999] * 40, SIX.bound**2)
    words = cheat.words()
    for liar in range(6):
        rest = [each for each in words if each[0] != liar]
        for lie in ([], [(liar, changed(words[liar][1], 0))]):
            assert settled(cheat, rest + lie).outcome is Outcome.FAILED


def test_a_dealer_that_keeps_pieces_from_two_is_undecided() -> None:
    """They could not add, and the block would not open."""
    dealt = honest(SIX, [3] * 40)
    found = settled(dealt, dealt.words()[2:])
    assert found.outcome is Outcome.OPEN
    assert not found.stand


def test_where_nobody_lies_one_liar_accuses_nobody() -> None:
    dealt = honest(FIVE, [3] * 40)
    words = dealt.words()
    lie = [(0, changed(words[0][1], 0)), *words[1:]]
    assert settled(dealt, lie, 5).outcome is Outcome.OPEN
    # Three words lie on a polynomial always: one of them could make the others fail.
    assert settled(dealt, lie[:3], 5).outcome is Outcome.OPEN
    assert settled(dealt, words, 5).outcome is Outcome.PASSED


def test_where_nobody_lies_a_cheat_fails_by_more_than_the_threshold() -> None:
    cheat = forged(FIVE, [9999] * 40, FIVE.bound**2)
    assert settled(cheat, cheat.words(), 5).outcome is Outcome.FAILED
    assert settled(cheat, cheat.words()[:4], 5).outcome is Outcome.FAILED
    assert settled(cheat, cheat.words()[:3], 5).outcome is Outcome.OPEN


def test_who_stands_behind_everybody_that_passed_can_add() -> None:
    vectors = [np.full(40, number, dtype=np.int64) for number in range(3)]
    dealings = [
        share_and_prove(SIX, vector, BINDING, entropy(number))
        for number, vector in enumerate(vectors)
    ]
    sums = [(at, sum_shares(SIX, [each.pieces[at] for each in dealings])) for at in range(6)]
    wrong = [(0, changed(sums[0][1], 3)), *sums[1:]]
    opened = open_sum(SIX, wrong, 3)
    assert opened.liars == {0}
    assert opened.integers is not None
    assert opened.integers.tolist() == [3] * 40


def test_a_box_opens_to_its_member_from_its_dealer_in_its_attempt_alone() -> None:
    (dealer, public), (private, recipient) = new_key(entropy(1)), new_key(entropy(2))
    said = bytes(31) + b"s"
    box = seal_piece(dealer, recipient, BINDING, 2, b"a piece", said)
    assert open_piece(private, public, BINDING, 2, box, said) == b"a piece"
    other, _ = new_key(entropy(3))
    for wrong in (
        (other, public, BINDING, 2, box, said),
        (private, recipient, BINDING, 2, box, said),
        (private, public, bytes(32), 2, box, said),
        (private, public, BINDING, 3, box, said),
        (private, public, BINDING, 2, box[:-1] + b"x", said),
        (private, public, BINDING, 2, b"", said),
        (private, bytes(32), BINDING, 2, box, said),
        (private, public, BINDING, 2, box, bytes(32)),
    ):
        with pytest.raises(Malformed):
            open_piece(*wrong)
