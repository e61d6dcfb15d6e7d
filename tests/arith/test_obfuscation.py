"""Fixed-base powers against gmpy2's, and that obfuscators are what they must be."""

from __future__ import annotations

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.arith.obfuscation import Comb, FixedBase, obfuscators
from protocol.arith.paillier import PrivateKey


@given(
    bits=st.integers(2, 200),
    count=st.integers(1, 1000),
    base=st.integers(2, 10**30),
    material=st.binary(min_size=200, max_size=200),
)
@settings(deadline=None)
def test_powers_are_powers(bits: int, count: int, base: int, material: bytes) -> None:
    modulus = mpz(10**40 + 121)
    comb = Comb.cheapest(bits, count)
    assert comb.columns == comb.blocks * comb.depth
    assert comb.teeth * comb.columns >= bits
    table = FixedBase(mpz(base), modulus, comb)
    digits = material[: comb.columns]
    exponent = table.exponent(digits)
    assert exponent < 1 << (comb.teeth * comb.columns)
    assert table.power(digits) == gmpy2.powmod(base, exponent, modulus)


def test_every_exponent_is_reached_once() -> None:
    """Uniform digits are a uniform exponent: the map from one to the other is a bijection."""
    table = FixedBase(mpz(3), mpz(1009), Comb(teeth=2, columns=4, blocks=2, depth=2))
    seen = {
        table.exponent(bytes([a, b, c, d]))
        for a in range(4)
        for b in range(4)
        for c in range(4)
        for d in range(4)
    }
    assert seen == set(range(256))


def test_bits_above_the_teeth_are_ignored() -> None:
    table = FixedBase(mpz(3), mpz(1009), Comb(teeth=3, columns=2, blocks=1, depth=2))
    assert table.power(b"\xff\xf8") == table.power(b"\x07\x00")
    assert table.exponent(b"\xff\xf8") == table.exponent(b"\x07\x00")


def test_the_shape_follows_the_count() -> None:
    few, many = Comb.cheapest(1536, 3), Comb.cheapest(1536, 132)
    assert few.blocks << few.teeth < many.blocks << many.teeth <= 8192
    # what the docstring claims: about 220 multiplications at 132 ciphertexts, below 6000 for 5
    assert many.columns + many.depth < 260
    assert Comb.cheapest(1536, 5).multiplications(5) < 6000


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_obfuscators_are_distinct_encryptions_of_zero(
    small_key: PrivateKey, entropy_from, count: int
) -> None:
    n = mpz(small_key.public.n)
    drawn = list(obfuscators(n, count, entropy_from(count)))
    assert len(set(drawn)) == count
    assert all(gmpy2.gcd(value, n) == 1 for value in drawn)
    assert small_key.decrypt([int(value) for value in drawn]) == [0] * count


def test_batches_share_no_base(small_key: PrivateKey, entropy_from) -> None:
    n = mpz(small_key.public.n)
    first, second = (set(obfuscators(n, 30, entropy_from(seed))) for seed in (1, 2))
    assert not first & second
