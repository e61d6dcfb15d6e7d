"""A coalition of `corrupt` members and the requester learns of a vector what it may, by rank.

What it holds is its members' pieces, all words and, in the end, the sums of shares. All of it is
linear in a dealer's secrets and its sharing's coefficients, which are uniform. So two vectors look
alike if what tells them apart lies in the image of the coefficients: that is an equation of ranks,
and no matter of samples.
"""

from __future__ import annotations

import numpy as np
import pytest
from kits.dealers import BINDING, challenge, honest

from protocol.arith.proofs import field, shamir, transform
from protocol.arith.proofs.challenge import Challenge, _points
from protocol.arith.proofs.field import Elements, P
from protocol.arith.proofs.statement import POINTS, Statement
from protocol.arith.proofs.stream import Stream

ROWS = 8


def tiny(values: int = 3) -> Statement:
    """A statement with few projections: each is one row of what is looked at, like any other."""
    statement = Statement(values, 4, 5, 4, 1)
    statement.__dict__["rows"] = ROWS
    return statement


def asked(statement: Statement, number: int = 0) -> Challenge:
    return Challenge(statement, BINDING, bytes([number]) * 32 * statement.members)


def matrix(of: Challenge) -> Elements:
    """The matrix that makes a piece's word."""
    units = np.eye(of.statement.elements, dtype=np.uint64)
    return np.stack([of.word(unit) for unit in units], axis=1)


def reduced(rows: Elements) -> tuple[Elements, list[int]]:
    """The reduced row echelon form, and its pivots' columns."""
    found, pivots = rows.copy(), []
    for column in range(found.shape[1]):
        top = len(pivots)
        below = np.flatnonzero(found[top:, column])
        if not below.size:
            continue
        found[[top, top + below[0]]] = found[[top + below[0], top]]
        inverse = np.uint64(pow(int(found[top, column]), -1, P))
        found[top] = field.multiply(found[top], inverse)
        factors = found[:, column].copy()
        factors[top] = 0
        there = np.flatnonzero(factors)
        if there.size:
            change = field.multiply(factors[there].reshape(-1, 1), found[top].reshape(1, -1))
            found[there] = field.subtract(found[there], change)
        pivots.append(column)
        if len(pivots) == found.shape[0]:
            break
    return found, pivots


def rank(rows: Elements) -> int:
    return len(reduced(rows)[1])


def kernel(rows: Elements) -> Elements:
    """Columns that span what `rows` takes to 0."""
    found, pivots = reduced(rows)
    free = [column for column in range(rows.shape[1]) if column not in pivots]
    basis = np.zeros((rows.shape[1], len(free)), dtype=np.uint64)
    zero = np.zeros(len(free), dtype=np.uint64)
    for index, column in enumerate(free):
        basis[column, index] = 1
    for row, pivot in enumerate(pivots):
        basis[pivot] = field.subtract(zero, found[row, free])
    return basis


def view(
    word: Elements, statement: Statement, coalition: list[int], secrets: Elements
) -> tuple[Elements, Elements]:
    """What the coalition sees: (as columns of `secrets`, as columns of all coefficients)."""
    size, degree = statement.elements, statement.threshold - 1
    known = np.eye(size, dtype=np.uint64)
    on_secrets, on_coefficients = [], []
    for position in range(statement.members):
        parts = [word, known] if position in coalition else [word]
        for part in parts:
            on_secrets.append(field.product(part, secrets))
            powers = [np.uint64((position + 1) ** i) for i in range(1, degree + 1)]
            columns = [field.multiply(part, power) for power in powers]
            on_coefficients.append(np.concatenate(columns, axis=1))
    return np.concatenate(on_secrets), np.concatenate(on_coefficients)


@pytest.mark.parametrize("values", [3, 11])
def test_words_are_linear(values: int) -> None:
    of = asked(tiny(values))
    table = matrix(of)
    piece = np.arange(1, of.statement.elements + 1, dtype=np.uint64)
    piece[0] = P - 1
    assert np.array_equal(field.product(table, piece.reshape(-1, 1))[:, 0], of.word(piece))


@pytest.mark.parametrize(("coalition", "hidden"), [([0], True), ([4], True), ([0, 1, 2], True)])
def test_pieces_and_words_tell_of_the_secrets_what_their_own_word_tells(
    coalition: list[int], hidden: bool
) -> None:
    """Of secrets with one word, none is told from another, by up to threshold - 1 members."""
    statement = tiny()
    word = matrix(asked(statement))
    on_secrets, on_coefficients = view(word, statement, coalition, kernel(word))
    both = np.concatenate((on_coefficients, on_secrets), axis=1)
    assert (rank(both) == rank(on_coefficients)) is hidden


def test_a_threshold_of_members_sees_everything() -> None:
    """The test above can fail."""
    statement = tiny()
    word = matrix(asked(statement))
    on_secrets, on_coefficients = view(word, statement, [0, 1, 2, 3], kernel(word))
    both = np.concatenate((on_coefficients, on_secrets), axis=1)
    assert rank(both) > rank(on_coefficients)


@pytest.mark.parametrize("values", [3, 20])
def test_the_word_of_the_secrets_is_blinded_wherever_it_is_not_implied(values: int) -> None:
    """Wires and bits at the points are uniform: their blinders have full rank there. Squares and
    quotient at the points follow from them, the sum is 0, and masked projections are next."""
    statement = tiny(values)
    table = matrix(asked(statement))[: POINTS * (statement.wires + 3)]
    by_point = table.reshape(POINTS, statement.wires + 3, -1)
    wires = by_point[:, : statement.wires].reshape(POINTS * statement.wires, -1)
    assert rank(wires[:, statement.places["wire blinders"]]) == POINTS * statement.wires
    bits = by_point[:, statement.wires + 1]
    assert rank(bits[:, statement.places["bit blinders"]]) == POINTS
    # Blinders do not reach across: a wire's are no other's.
    together = np.concatenate((wires, bits))
    columns = np.r_[statement.places["wire blinders"], statement.places["bit blinders"]]
    assert rank(together[:, columns]) == POINTS * (statement.wires + 1)


def test_no_point_is_one_where_blinders_count_nothing_and_none_comes_twice() -> None:
    class Crafted(Stream):
        """A stream whose elements are given."""

        def __init__(self, given: list[int]) -> None:
            self._given = given

        def elements(self, count: int) -> Elements:
            return field.elements([self._given.pop(0) for _ in range(count)])

    on_wires, on_bits = transform.root(256), transform.root(64)
    given = [on_wires, 5, on_bits, 5, 1, 6, P - 1, 7, 6, 8, 9]  # 8 to the 64th is 1
    assert _points(Crafted(given), 256).tolist() == [5, 6, 7, 9]


def test_masked_projections_are_uniform_in_their_window_whatever_is_masked() -> None:
    """Each value of the window has one mask that leads there, for every honest projection."""
    statement = Statement(3, 1, 5, 4, 1)
    masks = np.arange(-statement.spread, statement.spread + 1)
    for projection in range(-statement.tail, statement.tail + 1):
        seen = masks + projection
        inside = seen[np.abs(seen) <= statement.window]
        assert inside.tolist() == list(range(-statement.window, statement.window + 1))


def test_what_an_honest_dealer_shows_lies_in_its_window() -> None:
    statement = Statement(20, 10, 5, 4, 1)
    for number in range(10):
        dealing = honest(statement, [10, *[0] * 19], number)
        words = np.stack(
            [field.decode(word, statement.word_elements, "word") for _, word in dealing.words()]
        )
        secrets = shamir.interpolated([1, 2, 3, 4], words[:4], [0])[0]
        assert challenge(dealing).holds(secrets) == ""


def test_sums_of_two_dealers_tell_neither_from_the_other() -> None:
    """What one honest vector has more, and the other less, is not seen in pieces, words and sums:
    it lies in the image of the two dealers' coefficients."""
    statement, coalition = tiny(2), [0]
    size, degree = statement.elements, statement.threshold - 1
    vector = statement.places["vector"]
    words = [matrix(asked(statement, number)) for number in (0, 1)]
    # Pairs of secrets that both words take to 0, and whose vectors cancel.
    both = np.zeros((2 * words[0].shape[0] + statement.values, 2 * size), dtype=np.uint64)
    count = words[0].shape[0]
    both[:count, :size], both[count : 2 * count, size:] = words
    for value in range(statement.values):
        both[2 * count + value, [value, size + value]] = 1
    exchanged = kernel(both)
    assert rank(exchanged[vector]) == statement.values  # any vector can be exchanged
    seen = [
        view(word, statement, coalition, part)
        for word, part in zip(words, (exchanged[:size], exchanged[size:]), strict=True)
    ]
    sums = np.eye(size, dtype=np.uint64)[vector]
    rows = [
        np.concatenate([field.multiply(sums, np.uint64(x**i)) for i in range(1, degree + 1)], 1)
        for x in range(1, statement.members + 1)
    ]
    released = np.concatenate(rows)
    zeros = np.zeros_like(seen[0][1])
    coefficients = np.concatenate(
        (
            np.concatenate((seen[0][1], zeros), axis=1),
            np.concatenate((zeros, seen[1][1]), axis=1),
            np.concatenate((released, released), axis=1),
        )
    )
    secrets = np.concatenate(
        (
            seen[0][0],
            seen[1][0],
            np.zeros((released.shape[0], exchanged.shape[1]), dtype=np.uint64),
        )
    )
    assert rank(np.concatenate((coefficients, secrets), axis=1)) == rank(coefficients)
