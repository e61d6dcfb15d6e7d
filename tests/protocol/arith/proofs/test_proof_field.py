"""Arrays of field elements against plain integers, and sharing against plain polynomials."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.proofs import field, shamir, transform
from protocol.arith.proofs.field import P, elements
from protocol.arith.proofs.stream import Stream
from protocol.errors import FatalError, Malformed

EDGES = [0, 1, 2, 2**32 - 2, 2**32 - 1, 2**32, 2**63 - 1, 2**63, P - 2**32, P - 2, P - 1]
ELEMENT = st.sampled_from(EDGES) | st.integers(0, P - 1)


def plain(found: field.Elements) -> list[int]:
    return [int(value) for value in found.ravel()]


def test_the_field_is_that_of_the_draft() -> None:
    assert P == 18446744069414584321
    assert pow(field.ROOT, 2**32, P) == 1
    assert pow(field.ROOT, 2**31, P) == P - 1
    assert pow(7, 4294967295, P) == field.ROOT


@given(st.lists(st.tuples(ELEMENT, ELEMENT), min_size=1, max_size=30))
def test_elements_add_subtract_and_multiply_as_integers_do(pairs: list[tuple[int, int]]) -> None:
    a, b = (elements(list(side)) for side in zip(*pairs, strict=True))
    assert plain(field.add(a, b)) == [(x + y) % P for x, y in pairs]
    assert plain(field.subtract(a, b)) == [(x - y) % P for x, y in pairs]
    assert plain(field.multiply(a, b)) == [x * y % P for x, y in pairs]
    assert int(field.total(a)) == sum(x for x, _ in pairs) % P


@pytest.mark.parametrize("shape", [(9000,), (3, 5000), (5000, 3), (2, 3, 4100), (4097,)])
def test_large_arrays_are_multiplied_as_small_ones_are(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    a, b = (Stream(bytes([n]) * 32, "test").elements(size).reshape(shape) for n in (1, 2))
    expected = [x * y % P for x, y in zip(plain(a), plain(b), strict=True)]
    assert plain(field.multiply(a, b)) == expected
    last = b[..., :1]
    assert np.array_equal(field.multiply(a, last), field.multiply(a, last + np.zeros_like(a)))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2))
def test_two_words_join_modulo_p(words: list[int]) -> None:
    low, high = (np.array([word], dtype=np.uint64) for word in words)
    assert plain(field.joined(low, high)) == [(words[0] + 2**32 * words[1]) % P]


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 511, 2), (2, 1025, 3)])
def test_products_of_matrices_are_exact_at_their_largest(
    rows: int, inner: int, columns: int
) -> None:
    a = np.full((rows, inner), P - 1, dtype=np.uint64)
    b = np.full((inner, columns), P - 2, dtype=np.uint64)
    assert set(plain(field.product(a, b))) == {inner * (P - 1) * (P - 2) % P}


@given(st.integers(1, 4), st.integers(1, 6), st.data())
def test_products_of_matrices_are_those_of_integers(n: int, k: int, data: st.DataObject) -> None:
    a = data.draw(st.lists(st.lists(ELEMENT, min_size=k, max_size=k), min_size=n, max_size=n))
    b = data.draw(st.lists(st.lists(ELEMENT, min_size=2, max_size=2), min_size=k, max_size=k))
    found = field.product(np.array(a, dtype=np.uint64), np.array(b, dtype=np.uint64))
    for i, j in itertools.product(range(n), range(2)):
        assert int(found[i, j]) == sum(a[i][m] * b[m][j] for m in range(k)) % P


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20))
def test_signed_integers_come_back(numbers: list[int]) -> None:
    found = field.from_integers(np.array(numbers, dtype=np.int64))
    assert plain(found) == [number % P for number in numbers]
    assert field.to_integers(found).tolist() == numbers


def test_the_middle_of_the_field_splits_signs() -> None:
    half = (P - 1) // 2
    assert field.to_integers(elements([half, half + 1, P - 1])).tolist() == [half, -half, -1]


def test_bytes_out_of_the_field_or_of_another_length_are_refused() -> None:
    good = field.encode(elements([0, P - 1]))
    assert plain(field.decode(good, 2, "share")) == [0, P - 1]
    with pytest.raises(Malformed, match="share: element 1 is not below p"):
        field.decode(good[:8] + P.to_bytes(8, "little"), 2, "share")
    with pytest.raises(Malformed, match="share has 15 bytes, 2 elements take 16"):
        field.decode(good[:-1], 2, "share")


@pytest.mark.parametrize("length", [1, 2, 8, 64])
def test_transforms_are_values_at_roots_of_unity(length: int) -> None:
    rows = Stream(bytes(32), "test").elements(3 * length).reshape(3, length)
    w = transform.root(length)
    found = transform.values_of(rows)
    for row, values in zip(rows, found, strict=True):
        expected = [
            sum(int(c) * pow(w, i * k, P) for i, c in enumerate(row)) % P for k in range(length)
        ]
        assert plain(values) == expected
    assert np.array_equal(transform.coefficients_of(found), rows)


def test_no_root_is_made_up() -> None:
    with pytest.raises(FatalError, match="no root of unity of order 24"):
        transform.root(24)


@pytest.mark.parametrize(("members", "threshold"), [(5, 4), (8, 5), (15, 9), (32, 19), (32, 32)])
def test_shares_are_values_of_polynomials(members: int, threshold: int) -> None:
    count = 700  # more than are dealt at a time
    stream = Stream(bytes([members]) * 32, "test")
    secrets = stream.elements(count)
    secrets[:2] = P - 1
    degrees = stream.elements((threshold - 1) * count).reshape(threshold - 1, count)
    degrees[:, :2] = P - 1
    shares = shamir.deal(secrets, degrees, members)
    for place in (0, 1, 2, count - 1):
        poly = [int(secrets[place]), *(int(value) for value in degrees[:, place])]
        expected = [sum(c * x**i for i, c in enumerate(poly)) % P for x in range(1, members + 1)]
        assert plain(shares[:, place]) == expected
    chosen = list(range(members))[-threshold:]
    points = [position + 1 for position in chosen]
    assert np.array_equal(shamir.interpolated(points, shares[chosen], [0])[0], secrets)


def test_streams_are_uniform_within_their_bounds_and_skip_what_is_not() -> None:
    class Crafted(Stream):
        """A stream whose first words are given."""

        def __init__(self, first: list[int]) -> None:
            super().__init__(bytes(32), "test")
            self._first = first

        def words(self, count: int) -> field.Elements:
            given, self._first = self._first[:count], self._first[count:]
            rest = super().words(count - len(given))
            return np.concatenate((np.array(given, dtype=np.uint64), rest))

    assert plain(Crafted([P, P - 1, 2**64 - 1, 5]).elements(4))[:2] == [P - 1, 5]
    top = 2**64 // 7 * 7
    assert Crafted([top, top - 1, 0, 3]).bounded(4, 3).tolist()[:3] == [3, -3, 0]
    many = Stream(bytes(32), "test").bounded(20_000, 2)
    assert {int(v) for v in many} == {-2, -1, 0, 1, 2}
    signs = Stream(bytes(32), "test").signs(1000, 16)
    assert signs.shape == (1000, 16)
    shares = [float(np.mean(signs == sign)) for sign in (-1, 0, 1)]
    assert np.allclose(shares, [0.25, 0.5, 0.25], atol=0.02)


def test_streams_of_other_seeds_or_purposes_have_nothing_in_common() -> None:
    first = Stream(bytes(32), "test")
    assert not np.array_equal(first.words(4), Stream(bytes(32), "other").words(4))
    assert not np.array_equal(first.words(4), Stream(bytes([1]) * 32, "test").words(4))
    parts, whole = Stream(bytes(32), "test"), Stream(bytes(32), "test")
    assert plain(whole.words(9)) == plain(parts.words(4)) + plain(parts.words(5))
