"""Reed-Solomon over vectors: as many wrong ones as are allowed are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.proofs import shamir
from protocol.arith.proofs.correction import correct
from protocol.arith.proofs.field import Elements, P
from protocol.arith.proofs.stream import Stream

COUNT = 7


def dealt(members: int, threshold: int) -> tuple[Elements, Elements]:
    stream = Stream(bytes([members]) * 32, "test")
    secrets = stream.elements(COUNT)
    degrees = stream.elements((threshold - 1) * COUNT).reshape(threshold - 1, COUNT)
    return secrets, shamir.deal(secrets, degrees, members)


@given(
    st.sampled_from([(7, 5, 1), (8, 4, 2), (13, 5, 4), (32, 20, 6), (32, 24, 4)]),
    st.data(),
)
def test_every_wrong_vector_is_found_whatever_it_says(
    terms: tuple[int, int, int], data: st.DataObject
) -> None:
    members, threshold, most = terms
    secrets, shares = dealt(members, threshold)
    wrong = data.draw(st.sets(st.integers(0, members - 1), max_size=most))
    for position in wrong:
        change = data.draw(st.lists(st.integers(0, P - 1), min_size=COUNT, max_size=COUNT))
        lie = np.array(change, dtype=np.uint64)
        lie[0] = (lie[0] + (not change[0])) % P if not any(change) else lie[0]
        shares[position] = (shares[position].astype(object) + lie.astype(object)) % P
    found = correct(range(1, members + 1), shares, threshold, most)
    assert found is not None
    assert found.wrong == wrong
    assert np.array_equal(found.secrets, secrets)


def test_liars_that_agree_on_another_polynomial_are_still_too_few() -> None:
    secrets, shares = dealt(8, 4)
    _, others = dealt(9, 4)
    shares[[1, 6]] = others[[1, 6]]
    found = correct(range(1, 9), shares, 4, 2)
    assert found is not None
    assert (found.wrong, found.secrets.tolist()) == ({1, 6}, secrets.tolist())


def test_liars_that_each_lie_in_a_coordinate_of_their_own_are_all_found() -> None:
    secrets, shares = dealt(13, 5)
    for column, position in enumerate((0, 4, 8, 12)):
        shares[position, column] = (int(shares[position, column]) + 1) % P
    found = correct(range(1, 14), shares, 5, 4)
    assert found is not None
    assert (found.wrong, found.secrets.tolist()) == ({0, 4, 8, 12}, secrets.tolist())


@pytest.mark.parametrize("allowed", [0, 1])
def test_one_more_than_is_allowed_is_no_answer(allowed: int) -> None:
    _, shares = dealt(8, 5)
    for position in range(allowed + 1):
        shares[position, 3] = (int(shares[position, 3]) + 1 + position) % P
    assert correct(range(1, 9), shares, 5, allowed) is None


def test_a_polynomial_of_a_higher_degree_is_no_answer() -> None:
    _, shares = dealt(8, 6)
    assert correct(range(1, 9), shares, 5, 1) is None
    assert correct(range(1, 9), shares, 6, 1) is not None
