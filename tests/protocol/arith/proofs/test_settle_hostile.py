"""Whatever words a requester leaves out, and whatever `corrupt` members say: no cheat counts, and
no honest dealer is proven to cheat. All subsets of the words are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from kits.dealers import Forged, challenge, forged, honest

from protocol.arith.proofs import field
from protocol.arith.proofs.field import Elements
from protocol.arith.proofs.prove import proven
from protocol.arith.proofs.settle import settle
from protocol.arith.proofs.shamir import interpolated
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.stream import Stream
from protocol.arith.proofs.verify import Outcome

SIX = Statement(5, 30, 6, 4, 1)
EIGHT = Statement(5, 30, 8, 5, 1)
TEN = Statement(5, 30, 10, 7, 2)
BLOCKS = [SIX, EIGHT, pytest.param(TEN, marks=pytest.mark.ci)]


def towards(of: Forged, wanted: Elements, liars: tuple[int, ...]) -> Iterator[dict[int, bytes]]:
    """Words of the liars that lie on a polynomial with `wanted` at 0 and as many honest words as it
    takes, for several choices of these."""
    words = dict(of.words())
    others = [member for member in words if member not in liars]
    size = of.statement.word_elements
    for known in itertools.islice(itertools.combinations(others, of.statement.threshold - 1), 3):
        rows = [field.decode(words[member], size, "word") for member in known]
        points = [0, *(member + 1 for member in known)]
        at = [liar + 1 for liar in liars]
        found = interpolated(points, np.stack([wanted, *rows]), at)
        lies = {liar: field.encode(row) for liar, row in zip(liars, found, strict=True)}
        yield {**words, **lies}


def outcomes(of: Forged, words: dict[int, bytes], silent: int = 0) -> set[Outcome]:
    """What any subset of the words comes to; `silent` more members say that they have none."""
    found = set()
    for count in range(len(words) + 1):
        for chosen in itertools.combinations(words.items(), count):
            told = settle(
                of.statement, of.binding, of.dealing.commitments, chosen, len(chosen) + silent
            )
            found.add(told.outcome)
    return found


@pytest.mark.parametrize("statement", BLOCKS)
def test_no_choice_of_words_passes_a_cheat(statement: Statement) -> None:
    cheat = forged(statement, [31, 0, 0, 0, 0], 900, masks=[0] * statement.rows)
    nothing = np.zeros(5, dtype=np.int64)
    zeros = proven(statement, nothing, 0, Stream(bytes(32), "word of zeros"))
    word = challenge(cheat).word(np.concatenate((zeros, np.zeros(statement.rows, np.uint64))))
    assert challenge(cheat).holds(word) == ""
    for words in towards(cheat, word, tuple(range(statement.corrupt))):
        assert Outcome.PASSED not in outcomes(cheat, words)


@pytest.mark.parametrize("statement", BLOCKS)
def test_no_choice_of_words_fails_an_honest_dealer(statement: Statement) -> None:
    good = honest(statement, [18, -24, 0, 0, 0])
    bad = np.ones(statement.word_elements, dtype=np.uint64)
    assert challenge(good).holds(bad)
    for words in towards(good, bad, tuple(range(statement.corrupt))):
        for silent in (0, statement.corrupt):
            assert Outcome.FAILED not in outcomes(good, words, silent)


def test_one_liar_more_than_was_counted_on_can_do_both() -> None:
    """What is promised ends at `corrupt`: with two liars, of six words five that the requester
    picks pass a cheat, and fail an honest dealer."""
    good = honest(SIX, [18, -24, 0, 0, 0])
    bad = np.ones(SIX.word_elements, dtype=np.uint64)
    assert any(Outcome.FAILED in outcomes(good, words) for words in towards(good, bad, (0, 1)))
