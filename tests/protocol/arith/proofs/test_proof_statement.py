"""A statement's limits, what follows from it, and the bound that honest vectors keep."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.arith.proofs.field import P
from protocol.arith.proofs.statement import POINTS, Statement, honest_bound
from protocol.errors import InputError
from protocol.params import (
    MAX_PROVEN_BOUND,
    MAX_PROVEN_VALUES,
    PROOF_SOUNDNESS_BITS,
    PROOF_TRIES_BITS,
)

GOOD = {"values": 650, "bound": 33_000, "members": 8, "threshold": 5, "corrupt": 1}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("values", MAX_PROVEN_VALUES, MAX_PROVEN_VALUES + 1),
        ("values", 1, 0),
        ("bound", MAX_PROVEN_BOUND, MAX_PROVEN_BOUND + 1),
        ("bound", 1, 0),
        ("members", 8, 33),
        ("members", 8, 4),
        ("threshold", 7, 8),
        ("threshold", 5, 4),
        ("corrupt", 1, -1),
    ],
)
def test_each_limit_holds_at_itself_and_not_one_past_it(field: str, good: int, bad: int) -> None:
    assert getattr(Statement(**{**GOOD, field: good}), field) == good
    with pytest.raises(InputError, match=f"^{field}: is {bad}"):
        Statement(**{**GOOD, field: bad})


def test_the_largest_bound_is_the_last_that_cannot_wrap_around() -> None:
    """docs/spec/proofs.md: vectors of a norm of 9 windows fail; below that squares sum below p."""
    terms = {**GOOD, "bound": MAX_PROVEN_BOUND}
    assert 81 * Statement(**terms).window ** 2 < P
    assert 81 * (8 * 127 * (MAX_PROVEN_BOUND + 1)) ** 2 >= P


def test_bits_make_every_square_up_to_the_bound_and_no_other() -> None:
    for bound in (1, 2, 3, 7, 10):
        weights = Statement(**{**GOOD, "bound": bound}).weights
        made = {sum(chosen) for n in range(len(weights) + 1) for chosen in _choices(weights, n)}
        assert made == set(range(bound**2 + 1))


def _choices(weights: tuple[int, ...], count: int) -> itertools.combinations[Any]:
    return itertools.combinations(weights, count)


@pytest.mark.parametrize(
    ("members", "threshold", "corrupt"), [(5, 4, 1), (8, 5, 1), (16, 9, 1), (32, 19, 4)]
)
@pytest.mark.parametrize("values", [1, 650, 19_210, 100_000, MAX_PROVEN_VALUES])
def test_no_false_proof_passes_but_with_the_chance_that_is_stated(
    values: int, members: int, threshold: int, corrupt: int
) -> None:
    """The sum of docs/spec/proofs.md, 'Soundness', term by term, in bits."""
    statement = Statement(values, MAX_PROVEN_BOUND, members, threshold, corrupt)
    points = P - statement.length - 64 - POINTS
    degree = 2 * statement.length + 2 * POINTS - 2
    each = 2.0**-statement.rows + 2 * (max(degree, 134) / points) ** POINTS
    each += members * (degree / points) ** POINTS
    chance = math.comb(members, threshold) * each * 2.0**PROOF_TRIES_BITS
    assert math.log2(chance) <= -PROOF_SOUNDNESS_BITS


def test_allowance_is_what_liars_cannot_make_up() -> None:
    statement = Statement(**GOOD)
    assert [statement.allowance(m) for m in range(4, 9)] == [-2, -1, 0, 1, 1]
    wide = Statement(10, 10, 32, 19, 4)
    assert [wide.allowance(m) for m in (22, 23, 24, 27, 32)] == [-1, 0, 1, 4, 4]


def test_parts_of_a_piece_and_of_a_word_take_what_they_say() -> None:
    statement = Statement(**{**GOOD, "values": 19_210})
    assert statement.piece_bytes == 8 * statement.elements == 8 * (19_210 + 1_065)
    assert (statement.length, statement.wires, statement.word_elements) == (256, 76, 453)
    assert statement.wires * statement.length >= 19_210 > (statement.wires - 1) * statement.length


def test_an_honest_vector_keeps_its_bound_however_it_is_rounded() -> None:
    point, rng = FixedPoint(16, 1.0), np.random.default_rng(1)
    values = 650
    bound = honest_bound(point.max_int, values)
    assert bound == math.ceil(32_767 + math.sqrt(650))
    for _ in range(20):
        vector = rng.normal(size=values)
        vector /= np.linalg.norm(vector)
        integers = point.quantise(vector, lambda n: rng.bytes(n))
        assert np.linalg.norm(integers.astype(float)) <= bound


def test_a_noisy_vector_keeps_the_bound_of_vector_and_noise() -> None:
    rng, values, deviation = np.random.default_rng(2), 650, 900.0
    bound = honest_bound(2_000.0, values, deviation)
    vector = np.zeros(values)
    vector[0] = 2_000.0
    for _ in range(500):
        noisy = np.rint(vector + rng.normal(scale=deviation, size=values))
        assert np.linalg.norm(noisy) <= bound
    assert bound < 1.7 * (2_000 + deviation * math.sqrt(values))


def test_a_grid_too_fine_to_be_proven_is_refused_with_what_to_change() -> None:
    with pytest.raises(InputError, match=r"469703 can be proven: fewer encryption.value_bits"):
        honest_bound(2.0**23, 10)
