"""Encrypted matrix-vector products against powers one by one, and their count against the plan."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt
from protocol.arith.sealed.matvec import MAX_ENTRY_BITS, Plan, cost, multiply, signed_bits
from protocol.errors import FatalError

#: Prime, so that every number below its square that it does not divide is a unit.
PRIME = 10**20 + 39

Matrix = npt.NDArray[np.int64]


def one_by_one(n: int, ciphertexts: list[mpz], matrix: Matrix) -> list[mpz]:
    """Power by power, each negative one by an inverse of its own."""
    products = []
    for row in matrix.tolist():
        product = mpz(1)
        for ciphertext, entry in zip(ciphertexts, row, strict=True):
            product = product * gmpy2.powmod(ciphertext, entry, n * n) % (n * n)
        products.append(product)
    return products


def units(n: int, count: int, seed: int) -> list[mpz]:
    """For an n that is prime, or whose factors nobody meets by chance."""
    chosen = random.Random(seed)
    return [mpz(chosen.randrange(1, n) + n * chosen.randrange(n)) for _ in range(count)]


def entries(rows: int, columns: int, bits: int, seed: int) -> Matrix:
    high = 1 << (bits - 1)
    return np.random.default_rng(seed).integers(-high, high, (rows, columns), dtype=np.int64)


@given(
    rows=st.integers(0, 7),
    columns=st.integers(0, 24),
    bits=st.integers(1, MAX_ENTRY_BITS),
    wider=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_products_are_products_of_powers(
    rows: int, columns: int, bits: int, wider: int, seed: int
) -> None:
    ciphertexts, matrix = units(PRIME, columns, seed), entries(rows, columns, bits, seed)
    expected = one_by_one(PRIME, ciphertexts, matrix)
    assert multiply(PRIME, ciphertexts, matrix) == expected
    allowed = min(bits + wider, MAX_ENTRY_BITS)
    assert multiply(PRIME, ciphertexts, matrix, allowed) == expected


@given(
    matrix=st.lists(
        st.lists(
            st.sampled_from([0, 1, -1, 2, -2, 2**15, -(2**15), 2**40 - 1, 1 - 2**40, -(2**40)]),
            min_size=6,
            max_size=6,
        ),
        min_size=1,
        max_size=5,
    ),
    strips=st.integers(1, 6),
)
def test_extremes_however_the_columns_are_cut(matrix: list[list[int]], strips: int) -> None:
    whole, ciphertexts = np.array(matrix, dtype=np.int64), units(PRIME, 6, strips)
    expected = one_by_one(PRIME, ciphertexts, whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "cheapest", lambda *shape: Plan(*shape, strips=strips))
        assert multiply(PRIME, ciphertexts, whole) == expected


@pytest.mark.parametrize("entry", [0, -1, 1, 2**61 - 1, -(2**61)])
def test_matrices_of_one_entry(entry: int) -> None:
    ciphertexts, matrix = units(PRIME, 11, 1), np.full((3, 11), entry, dtype=np.int64)
    assert multiply(PRIME, ciphertexts, matrix) == one_by_one(PRIME, ciphertexts, matrix)
    assert multiply(PRIME, ciphertexts, matrix, MAX_ENTRY_BITS) == one_by_one(
        PRIME, ciphertexts, matrix
    )


def test_nothing_to_multiply() -> None:
    assert multiply(PRIME, [], np.empty((3, 0), np.int64)) == [1, 1, 1]
    assert multiply(PRIME, units(PRIME, 4, 1), np.empty((0, 4), np.int64)) == []


def test_ciphertexts_beyond_the_modulus_are_reduced() -> None:
    ciphertexts, matrix = units(PRIME, 3, 1), entries(2, 3, 9, 1)
    larger = [ciphertext + PRIME**2 for ciphertext in ciphertexts]
    assert multiply(PRIME, larger, matrix) == multiply(PRIME, ciphertexts, matrix)


def test_2048_bits() -> None:
    prime = gmpy2.next_prime(3 << 1022)
    n = int(prime * gmpy2.next_prime(prime))
    assert n.bit_length() == 2048
    ciphertexts, matrix = units(n, 19, 2048), entries(5, 19, 16, 2048)
    assert multiply(n, ciphertexts, matrix, 16) == one_by_one(n, ciphertexts, matrix)


def test_ciphertexts_hold_the_product(medium_key: PrivateKey, entropy_from: Any) -> None:
    vector, matrix = entries(1, 40, 16, 3)[0], entries(9, 40, 16, 4)
    sealed = encrypt(medium_key.public, [int(value) for value in vector], entropy_from(5))
    products = multiply(medium_key.public.n, [mpz(number) for number in sealed], matrix)
    opened = medium_key.decrypt([int(product) for product in products])
    assert opened == (matrix @ vector).tolist()


class Counted:
    """A number that counts what is done with it and whatever comes of it."""

    def __init__(self, value: mpz, counts: Counter[str]) -> None:
        self.value, self.counts = value, counts

    def _with(self, value: mpz) -> Counted:
        return Counted(value, self.counts)

    def __add__(self, other: Counted | mpz) -> Counted:
        return self._with(self.value + plain(other))

    def __mul__(self, other: Counted | mpz) -> Counted:
        return self._with(self.value * plain(other))

    __radd__, __rmul__ = __add__, __mul__

    def __lshift__(self, bits: int) -> Counted:
        return self._with(self.value << bits)

    def __mod__(self, modulus: mpz) -> Counted:
        self.counts[f"modulo {modulus}"] += 1
        return self._with(self.value % modulus)

    def __divmod__(self, modulus: mpz) -> tuple[Counted, Counted]:
        self.counts[f"divmod {modulus}"] += 1
        quotient, remainder = divmod(self.value, modulus)
        return self._with(quotient), self._with(remainder)

    def __pow__(self, exponent: int, modulus: mpz) -> Counted:
        self.counts["inverses"] += 1
        return self._with(pow(self.value, exponent, modulus))


def plain(number: Counted | mpz) -> mpz:
    return number.value if isinstance(number, Counted) else number


def counted(matrix: Matrix, bits: int) -> Counter[str]:
    """How often what was done, the result checked."""
    counts: Counter[str] = Counter()
    ciphertexts = units(PRIME, matrix.shape[1], 6)
    products: Any = multiply(PRIME, [Counted(c, counts) for c in ciphertexts], matrix, bits)
    assert [plain(product) for product in products] == one_by_one(PRIME, ciphertexts, matrix)
    del counts[f"modulo {PRIME}"]  # of exponents: an empty product's is a plain 0, and not seen
    return counts


@pytest.mark.parametrize(("rows", "columns", "bits"), [(20, 30, 16), (1, 5, 3), (40, 1, 8)])
def test_the_work_is_what_the_plan_says_whatever_the_entries(
    rows: int, columns: int, bits: int
) -> None:
    plan = Plan.cheapest(rows, columns, bits)
    counts = counted(entries(rows, columns, bits, 7), bits)
    # One product of all ciphertexts comes before the steps, and in tables each base and each
    # subset of two bases or more is cut by n; so is each row at its end.
    assert counts[f"modulo {PRIME**2}"] == plan.steps + columns
    grown = plan.entries - plan.strips - columns
    assert counts[f"divmod {PRIME}"] == columns + grown + plan.squarings + rows
    assert counts["inverses"] == plan.strips + 1
    for entry in (0, -1, (1 << (bits - 1)) - 1, -(1 << (bits - 1))):
        assert counted(np.full((rows, columns), entry, np.int64), bits) == counts


@given(
    rows=st.integers(1, 500),
    columns=st.integers(1, 60),
    bits=st.integers(1, MAX_ENTRY_BITS),
    strips=st.integers(1, 60),
)
def test_no_other_plan_is_cheaper(rows: int, columns: int, bits: int, strips: int) -> None:
    plan = Plan.cheapest(rows, columns, bits)
    other = Plan(rows, columns, bits, min(strips, columns))
    assert plan.cost <= other.cost or columns > 16 * other.strips
    assert cost(rows, columns, bits) == plan.cost


def test_tables_stay_small_and_steps_few() -> None:
    large = Plan.cheapest(2000, 2000, 40)
    assert large.entries <= 1 << 17
    assert large.steps < 2000 * 2000 * 40 / 8
    assert Plan.cheapest(10**6, 3 * 10**5, 2).entries == 6 * 10**5  # no table fits: pairs
    usual = Plan.cheapest(257, 257, 16)
    assert 9 <= 257 / usual.strips <= 11
    assert cost(0, 0, 1) == 0


def test_signed_bits() -> None:
    for number, bits in [(0, 1), (-1, 1), (1, 2), (-2, 2), (-3, 3), (127, 8), (-128, 8), (128, 9)]:
        assert signed_bits(np.array([[0, number]], np.int64)) == bits
    assert signed_bits(np.empty((0, 3), np.int64)) == 1


@pytest.mark.parametrize(
    ("matrix", "bits", "says"),
    [
        (np.zeros((2, 4), np.int64), None, "does not multiply 3 ciphertexts"),
        (np.zeros(3, np.int64), None, "two dimensions"),
        (np.zeros((2, 3), np.int32), None, "int32"),
        (np.zeros((2, 3)), None, "float64"),
        (np.full((1, 3), 8, np.int64), 4, "entries of 5 signed bits, 4 allowed"),
        (np.full((1, 3), 1, np.int64), 63, "expected are 2 to 62"),
        (np.full((1, 3), 2**62, np.int64), None, "64 signed bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(matrix: Any, bits: int | None, says: str) -> None:
    with pytest.raises(FatalError, match=says):
        multiply(PRIME, units(PRIME, 3, 1), matrix, bits)


def test_a_ciphertext_that_is_no_unit_is_refused() -> None:
    with pytest.raises(FatalError, match="no unit"):
        multiply(PRIME, [mpz(5), mpz(7 * PRIME)], entries(2, 2, 4, 1))
