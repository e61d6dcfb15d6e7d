"""Dealers who cheat and members who lie: who is caught, and that nobody else is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import dealers
from kits.dealers import Forged, Spoil, challenge, changed, forged, honest
from kits.examples import examples

from protocol.arith.proofs import field
from protocol.arith.proofs.field import Elements, P
from protocol.arith.proofs.prove import share_and_prove
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.verify import Fault, Outcome, decide, fault, off_words, verify_word
from protocol.errors import FatalError, InputError, Malformed

BOUND = 30
#: 8 members of whom one lies and two may be silent; 7 of the largest share of liars that all words
#: correct; 5 of whom three decide.
WIDE = Statement(40, BOUND, 8, 5, 1)
MANY = Statement(40, BOUND, 16, 10, 2)
SMALL = Statement(5, BOUND, 5, 3, 0)

AT_BOUND = [18, -24, 0, 0, 0]
ONE_OVER = [30, 1, 0, 0, 0]
ROOT_OF_MINUS_1 = pow(7, (P - 1) // 4, P)


def vector(statement: Statement, start: Sequence[int]) -> list[int]:
    return [*start, *[0] * (statement.values - len(start))]


GOOD = {
    statement: honest(statement, vector(statement, AT_BOUND)) for statement in (WIDE, MANY, SMALL)
}


# Honest dealers ---------------------------------------------------------------------------------


@given(st.lists(st.integers(-13, 13), min_size=5, max_size=5), st.integers(0, 2**32))
def test_every_vector_within_the_bound_passes(numbers: list[int], number: int) -> None:
    assert honest(SMALL, numbers, number).verdict().outcome is Outcome.PASSED


def test_the_bound_itself_passes_and_one_more_is_not_dealt() -> None:
    assert GOOD[SMALL].verdict().outcome is Outcome.PASSED
    for over in (ONE_OVER, [31, 0, 0, 0, 0], [0, 0, 0, 0, -(2**62)]):
        with pytest.raises(InputError, match="norm above 30"):
            honest(SMALL, over)


def test_a_vector_of_another_shape_is_the_callers_fault() -> None:
    for wrong in (np.zeros(4, dtype=np.int64), np.zeros(5, dtype=np.int32)):
        with pytest.raises(FatalError, match="to share"):
            share_and_prove(SMALL, wrong, dealers.BINDING, dealers.entropy(1))


# Members who lie --------------------------------------------------------------------------------


@examples(0.5)
@given(st.sampled_from([WIDE, MANY]), st.data())
def test_liars_are_found_and_nobody_else_is(statement: Statement, data: st.DataObject) -> None:
    good = GOOD[statement]
    words = dict(good.words())
    liars = data.draw(st.sets(st.sampled_from(sorted(words)), max_size=statement.corrupt))
    for position in liars:
        place = data.draw(st.integers(0, statement.word_elements - 1))
        words[position] = changed(words[position], place, data.draw(st.integers(1, P - 1)))
    found = good.verdict(list(words.items()))
    assert (found.outcome, found.differing, found.liars) == (Outcome.PASSED, liars, frozenset())
    for position in liars:
        piece = good.dealing.pieces[position]
        assert _fault(good, position, words[position], piece) is Fault.MEMBER


@pytest.mark.parametrize("statement", [WIDE, MANY])
def test_liars_who_agree_with_each_other_accuse_nobody(statement: Statement) -> None:
    good, other = GOOD[statement], honest(statement, vector(statement, [7]), 2)
    words, others = dict(good.words()), dict(other.words())
    liars = set(range(statement.corrupt))
    words.update((position, others[position]) for position in liars)
    found = good.verdict(list(words.items()))
    assert (found.outcome, found.differing) == (Outcome.PASSED, liars)


def test_liars_cannot_pass_a_cheat() -> None:
    """They say what honest words would be, were the dealer honest, and are named for it."""
    cheat = forged(MANY, vector(MANY, ONE_OVER), BOUND**2)
    words = dict(cheat.words())
    for position in range(MANY.corrupt):
        words[position] = changed(words[position], 4 * (MANY.wires + 3), 1)
    found = cheat.verdict(list(words.items()))
    assert (found.outcome, found.differing) == (Outcome.FAILED, {0, 1})


def test_silence_is_borne_until_too_few_are_left() -> None:
    good = GOOD[WIDE]
    words = good.words()
    for silent in itertools.combinations(range(8), 2):
        rest = [(position, word) for position, word in words if position not in silent]
        assert good.verdict(rest).outcome is Outcome.PASSED
    found = good.verdict(words[:5])
    assert (found.outcome, found.reason) == (Outcome.OPEN, "5 words, 6 are needed")
    assert good.verdict([]).outcome is Outcome.OPEN


def test_with_too_few_to_correct_a_lie_nobody_is_named() -> None:
    good = GOOD[WIDE]
    words = good.words()[:6]
    words[3] = (3, changed(words[3][1], 0))
    found = good.verdict(words)
    assert (found.outcome, found.differing, found.liars) == (Outcome.OPEN, set(), set())
    assert "7 are needed to tell who is wrong" in found.reason
    assert good.verdict([*words, good.words()[7]]).differing == {3}


def test_a_dealer_tells_who_lied_where_words_are_too_few_to() -> None:
    """Five members without noise: all words are needed, and one lie leaves it open."""
    five = Statement(5, BOUND, 5, 4, 1)
    good = honest(five, AT_BOUND)
    words = dict(good.words())
    words[3] = changed(words[3], 2)
    found = good.verdict(list(words.items()))
    assert (found.outcome, found.differing, found.liars) == (Outcome.OPEN, set(), set())
    said = off_words(five, good.binding, good.dealing, words.items())
    assert said == {3}
    piece = good.dealing.pieces[3]
    assert _fault(good, 3, words[3], piece) is Fault.MEMBER
    words[3] = verify_word(five, good.binding, good.dealing.commitments, 3, piece)
    assert good.verdict(list(words.items())).outcome is Outcome.PASSED
    # A dealer that names an honest member instead is at fault itself.
    assert _fault(good, 1, words[1], good.dealing.pieces[1]) is Fault.DEALER


def test_two_words_of_one_member_name_it_and_the_same_word_twice_does_not() -> None:
    good = GOOD[WIDE]
    words = good.words()
    assert good.verdict([*words, words[2]]).liars == frozenset()
    found = good.verdict([*words, (2, changed(words[2][1], 5))])
    assert (found.outcome, found.liars, found.differing) == (Outcome.PASSED, {2}, set())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda word: word[:-1],
        lambda word: word + b"\0",
        lambda word: b"",
        lambda word: P.to_bytes(8, "little") + word[8:],
    ],
)
def test_a_word_that_cannot_be_read_names_its_member(spoil: Callable[[bytes], bytes]) -> None:
    words = GOOD[WIDE].words()
    words[1] = (1, spoil(words[1][1]))
    found = GOOD[WIDE].verdict(words)
    assert (found.outcome, found.liars) == (Outcome.PASSED, {1})


def test_more_liars_than_the_block_was_made_for_are_no_verdict_on_the_honest() -> None:
    """Two of 8, where one was counted on: no member is named, though the dealer is."""
    words = GOOD[WIDE].words()
    for position in (0, 1):
        words[position] = (position, changed(words[position][1], 0, 5 + position))
    found = GOOD[WIDE].verdict(words)
    assert (found.outcome, found.differing, found.liars) == (Outcome.FAILED, set(), set())


# Dealers who cheat with shares ------------------------------------------------------------------


def test_different_vectors_to_different_members_lie_on_no_polynomial() -> None:
    other = honest(WIDE, vector(WIDE, [1, 2, 3]), 2)
    mixed = [*GOOD[WIDE].dealing.pieces[:4], *other.dealing.pieces[4:]]
    found = GOOD[WIDE].with_pieces(mixed).verdict()
    assert found.outcome is Outcome.FAILED
    assert found.reason == "its shares lie on no polynomial of the degree"
    assert found.differing | found.liars == frozenset()


@pytest.mark.parametrize("part", [name for name, _ in WIDE.parts])
def test_a_wrong_degree_in_any_part_of_a_piece_is_seen(part: str) -> None:
    place = WIDE.places[part].stop - 1
    pieces = [
        changed(piece, place, (position + 1) ** WIDE.threshold)
        for position, piece in enumerate(GOOD[WIDE].dealing.pieces)
    ]
    found = GOOD[WIDE].with_pieces(pieces).verdict()
    assert found.reason == "its shares lie on no polynomial of the degree"


@pytest.mark.parametrize("part", [name for name, _ in WIDE.parts])
def test_a_bad_piece_for_one_member_is_its_dealers_fault(part: str) -> None:
    """The word is off, and the piece shows that its member did not lie."""
    pieces = list(GOOD[WIDE].dealing.pieces)
    pieces[6] = changed(pieces[6], WIDE.places[part].start)
    bad = GOOD[WIDE].with_pieces(pieces)
    words = dict(bad.words())
    found = bad.verdict(list(words.items()))
    assert (found.outcome, found.differing) == (Outcome.PASSED, {6})
    assert _fault(bad, 6, words[6], pieces[6]) is Fault.DEALER
    assert _fault(bad, 6, changed(words[6], 0), pieces[6]) is Fault.MEMBER
    # Another piece than it got is no excuse.
    assert _fault(bad, 6, words[6], GOOD[WIDE].dealing.pieces[6]) is Fault.MEMBER
    assert _fault(bad, 6, words[6], b"") is Fault.MEMBER
    assert _fault(bad, 6, words[6], bytes(WIDE.piece_bytes + 1)) is Fault.MEMBER


def test_a_piece_out_of_the_field_or_of_another_length_is_refused_and_its_dealers_fault() -> None:
    good = GOOD[WIDE]
    for spoiled, what in (
        (P.to_bytes(8, "little") + good.dealing.pieces[2][8:], "element 0 is not below p"),
        (good.dealing.pieces[2][:-8], f"piece has {WIDE.piece_bytes - 8} bytes"),
        (good.dealing.pieces[2][:-1], f"piece has {WIDE.piece_bytes - 1} bytes"),
        (b"", "piece has 0 bytes"),
    ):
        bad = good.with_pieces([*good.dealing.pieces[:2], spoiled, *good.dealing.pieces[3:]])
        with pytest.raises(Malformed, match=what):
            verify_word(WIDE, bad.binding, bad.dealing.commitments, 2, spoiled)
        assert _fault(bad, 2, bytes(WIDE.word_bytes), spoiled) is Fault.DEALER


def test_a_piece_that_was_not_committed_to_is_refused() -> None:
    good = GOOD[WIDE]
    for position, piece in (
        (1, good.dealing.pieces[0]),
        (0, changed(good.dealing.pieces[0], WIDE.values)),
        (0, changed(good.dealing.pieces[0], WIDE.elements - 1)),
        (0, bytes(WIDE.piece_bytes + 1)),
    ):
        with pytest.raises(Malformed, match=r"commitment covers|bytes"):
            verify_word(WIDE, good.binding, good.dealing.commitments, position, piece)


def test_commitments_of_another_length_and_other_positions_are_refused() -> None:
    good = GOOD[WIDE]
    for commitments in (good.dealing.commitments[:-1], good.dealing.commitments + bytes(32), b""):
        with pytest.raises(Malformed, match="8 digests take 256"):
            decide(WIDE, good.binding, commitments, good.words())
    with pytest.raises(FatalError, match="a word of member 8 of 8"):
        good.verdict([(8, b"")])
    with pytest.raises(FatalError, match="no commitment to a piece of member 8"):
        verify_word(WIDE, good.binding, good.dealing.commitments, 8, good.dealing.pieces[0])
    with pytest.raises(FatalError, match="a binding has 32 bytes"):
        decide(WIDE, b"", good.dealing.commitments, [])


# Dealers who cheat with proofs ------------------------------------------------------------------


def test_a_proof_of_another_attempt_is_no_proof() -> None:
    good, again = GOOD[WIDE], bytes(range(1, 33))
    with pytest.raises(Malformed, match="not what its commitment covers"):
        verify_word(WIDE, again, good.dealing.commitments, 0, good.dealing.pieces[0])
    replayed = replace(good, binding=again).verdict(good.words())
    assert replayed.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "other",
    [
        replace(WIDE, bound=BOUND + 1),
        replace(WIDE, values=39),
        replace(WIDE, threshold=6),
        replace(WIDE, corrupt=0),
    ],
)
def test_a_challenge_is_of_one_statement(other: Statement) -> None:
    commitments, binding = GOOD[WIDE].dealing.commitments, dealers.BINDING
    points = dealers.Challenge(other, binding, commitments).points
    assert not np.array_equal(points, challenge(GOOD[WIDE]).points)


def test_a_proof_of_another_vector_is_no_proof() -> None:
    other = honest(WIDE, vector(WIDE, [1, 2, 3]), 2)
    swapped = [
        theirs[: 8 * WIDE.values] + mine[8 * WIDE.values :]
        for mine, theirs in zip(GOOD[WIDE].dealing.pieces, other.dealing.pieces, strict=True)
    ]
    assert GOOD[WIDE].with_pieces(swapped).verdict().outcome is Outcome.FAILED


def moved(part: str, index: int, by: int) -> Spoil:
    """A cheat's change of one secret."""

    def spoil(statement: Statement, secrets: Elements) -> Elements:
        found = secrets.copy()
        place = range(*statement.places[part].indices(secrets.size))[index]
        found[place] = (int(found[place]) + by) % P
        return found

    return spoil


def squares_that_sum(missing: int) -> Spoil:
    """The constant coefficient makes up for what the bits do not say."""
    return moved("squares", 0, -missing * pow(SMALL.length, -1, P))


#: One bit over the bound, in every way there is to write it down; what gives it away.
WAYS: dict[str, tuple[list[int], Spoil | None, str]] = {
    "bits of the bound": (ONE_OVER, None, "do not sum up"),
    "squares that sum": (ONE_OVER, squares_that_sum(1), "are not those of the vector"),
    "a bit that is 2": (ONE_OVER, moved("bits", 0, 1), "neither 0 nor 1"),
    "a last coefficient": (
        ONE_OVER,
        moved("squares", 2 * SMALL.length, -pow(SMALL.length, -1, P)),
        "are not those of the vector",
    ),
    "a blinder that is no longer one": (AT_BOUND, moved("wire blinders", 0, 1), "not those of"),
    "a bit blinder": (AT_BOUND, moved("bit blinders", 1, 1), "neither 0 nor 1"),
    "a quotient": (AT_BOUND, moved("quotient", 70, 1), "neither 0 nor 1"),
    "a vector": (AT_BOUND, moved("vector", 4, 1), "not those of the vector"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_cheat_of_one_bit_is_caught_by_what_it_breaks(way: str) -> None:
    integers, spoil, reason = WAYS[way]
    found = forged(SMALL, integers, BOUND**2, spoil=spoil, masks=[0] * SMALL.rows).verdict()
    assert found.outcome is Outcome.FAILED
    assert reason in found.reason


def test_the_same_without_a_cheat_passes() -> None:
    assert forged(SMALL, AT_BOUND, 900, masks=[0] * SMALL.rows).verdict().outcome is Outcome.PASSED


def _caught(tries: int) -> int:
    ways = [WAYS[way] for way in ("bits of the bound", "squares that sum", "a bit that is 2")]
    caught = 0
    for number, (integers, spoil, _) in zip(range(tries), itertools.cycle(ways), strict=False):
        cheat = forged(SMALL, integers, BOUND**2, number, spoil, masks=[0] * SMALL.rows)
        words = cheat.words()[: SMALL.threshold]
        caught += cheat.verdict(words).outcome is Outcome.FAILED
    return caught


def test_a_cheat_of_one_bit_is_caught_every_time() -> None:
    assert _caught(150) == 150


@pytest.mark.long
def test_a_cheat_of_one_bit_is_caught_in_10000_of_10000_tries() -> None:
    assert _caught(10_000) == 10_000


# Vectors that wrap around -----------------------------------------------------------------------

HALF = (P + 1) // 2

#: Vectors whose squares sum to little modulo p, and their sums.
WRAPPING = {
    "a root of -1": ([ROOT_OF_MINUS_1, 2, 0, 0, 0], 3),
    "halves": ([HALF, HALF, HALF, HALF, 0], 1),
    "two of each sign": ([HALF, -HALF, HALF, -HALF, 3], 10),
    "just above the root of p": ([2**32, 0, 0, 0, 0], None),
}


def wrapping(name: str) -> tuple[list[int], int]:
    integers, squared = WRAPPING[name]
    if squared is not None:
        return integers, squared
    # 2^64 = 2^32 - 1: three squares more, the last of roots modulo p, bring it to 4.
    rest = (4 - (2**32 - 1)) % P
    for a in range(100):
        left = (rest - a * a) % P
        if pow(left, (P - 1) // 2, P) == 1:
            root = _root_of(left)
            return [2**32, a, root if root < 2**63 else root - P, 0, 0], 4
    raise AssertionError("no square was found")


def _root_of(square: int) -> int:
    """A root modulo p (Tonelli and Shanks)."""
    odd, twos = (P - 1) >> 32, 32
    found, rest, generator = pow(square, (odd + 1) // 2, P), pow(square, odd, P), field.ROOT
    while rest != 1:
        order = next(i for i in range(twos) if pow(rest, 1 << i, P) == 1)
        step = pow(generator, 1 << (twos - order - 1), P)
        found, generator = found * step % P, step * step % P
        rest, twos = rest * generator % P, order
    return found


@pytest.mark.parametrize("name", WRAPPING)
def test_a_vector_that_wraps_around_is_caught_by_projections_alone(name: str) -> None:
    integers, squared = wrapping(name)
    assert sum(x * x for x in integers) % P == squared <= BOUND**2 < sum(x * x for x in integers)
    for number in range(10):
        found = forged(SMALL, integers, squared, number, masks=[0] * SMALL.rows).verdict()
        assert found.reason == "a projection is out of its window"


@pytest.mark.parametrize("name", [*WRAPPING, "a spike of three windows", "many of a window"])
@pytest.mark.parametrize("mask", [0, 1, HALF])
def test_a_projection_of_a_false_vector_is_in_its_window_half_the_time_at_most(
    name: str, mask: int
) -> None:
    """docs/spec/proofs.md, 'Soundness': whatever its mask is. 6,800 projections of each."""
    statement = Statement(100, BOUND, 5, 3, 0)
    if name in WRAPPING:
        integers = wrapping(name)[0]
    else:
        integers = [3 * statement.window] if name.startswith("a spike") else []
        integers = integers or [statement.window] * 81
    padded = field.elements(vector(statement, integers))
    hidden = np.full(statement.rows, mask % P, dtype=np.uint64)
    inside = 0
    for number in range(50):
        binding = number.to_bytes(32, "big")
        asked = dealers.Challenge(statement, binding, bytes(32 * 5))
        masked = field.to_integers(field.add(asked.projections(padded), hidden))
        inside += int(np.count_nonzero(np.abs(masked) <= statement.window))
    assert inside / (50 * statement.rows) <= 0.5 + 5 * 0.5 / (50 * statement.rows) ** 0.5


def _fault(of: Forged, position: int, word: bytes, piece: bytes) -> Fault:
    return fault(of.statement, of.binding, of.dealing.commitments, position, word, piece)
