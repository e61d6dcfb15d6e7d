"""Fixed-base powers against gmpy2's, and that obfuscators are what they must be."""

from __future__ import annotations

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey
from protocol.arith.paillier.obfuscation import Comb, FixedBase, Obfuscator, Source, obfuscators


def whole(obfuscator: Obfuscator, n: int) -> int:
    residue, quotient = obfuscator
    assert 0 < residue < n
    assert 0 <= quotient < n
    return int(residue + quotient * n)


@given(
    bits=st.integers(2, 200),
    count=st.integers(1, 20000),
    base=st.integers(2, 10**30),
    material=st.binary(min_size=400, max_size=400),
)
def test_powers_are_powers(bits: int, count: int, base: int, material: bytes) -> None:
    n = 10**20 + 39  # prime, so that every base is a unit
    comb = Comb.cheapest(bits, count)
    assert comb.columns == comb.blocks * comb.depth
    assert comb.teeth * comb.columns >= bits
    table = FixedBase(mpz(base), mpz(n), comb)
    digits = material[: table.digit_bytes]
    exponent = table.exponent(digits)
    assert exponent < 1 << (comb.teeth * comb.columns)
    assert whole(table.power(digits), n) == gmpy2.powmod(base, exponent, n * n)


@pytest.mark.parametrize(
    "comb", [Comb(2, 4, 2, 2), Comb(12, 6, 3, 2), Comb(5, 7, 7, 1), Comb(3, 9, 1, 9)], ids=str
)
def test_every_kind_of_shape(comb: Comb, entropy_from) -> None:
    n, entropy = 10**20 + 39, entropy_from(1)
    table = FixedBase(mpz(5), mpz(n), comb)
    for digits in (bytes(table.digit_bytes), b"\xff" * table.digit_bytes, entropy(99)):
        digits = digits[: table.digit_bytes]
        power = gmpy2.powmod(5, table.exponent(digits), n * n)
        assert whole(table.power(digits), n) == power


def test_every_exponent_is_reached_once() -> None:
    """Uniform digits are a uniform exponent: the map from one to the other is a bijection."""
    table = FixedBase(mpz(3), mpz(1009), Comb(teeth=2, columns=4, blocks=2, depth=2))
    seen = {
        table.exponent(bytes([a, 0, b, 0, c, 0, d, 0]))
        for a in range(4)
        for b in range(4)
        for c in range(4)
        for d in range(4)
    }
    assert seen == set(range(256))


def test_bits_above_the_teeth_are_ignored() -> None:
    table = FixedBase(mpz(3), mpz(1009), Comb(teeth=3, columns=2, blocks=1, depth=2))
    assert table.power(b"\xff\xff\xf8\xff") == table.power(b"\x07\0\0\0")
    assert table.exponent(b"\xff\xff\xf8\xff") == table.exponent(b"\x07\0\0\0")


def test_the_shape_follows_the_count() -> None:
    shapes = [Comb.cheapest(512, count) for count in (3, 132, 685, 10_000)]
    entries = [shape.blocks << shape.teeth for shape in shapes]
    costs = [shape.power_cost for shape in shapes]
    assert entries == sorted(entries)
    assert entries[-1] <= 1 << 14
    assert costs == sorted(costs, reverse=True)
    # what the specification says: fewer than 70 steps each for a gradient of 100,000 values
    assert costs[2] < 70
    assert Comb.cheapest(1536, 132).power_cost < 260


def test_short_order_keys_have_short_exponents(short_key: PrivateKey, entropy_from) -> None:
    public = short_key.public
    ordinary = PublicKey(public.n)
    assert (public.exponent_bits, ordinary.exponent_bits) == (128, 256)
    for key in (public, ordinary):
        comb = Source(key, entropy_from(1), 100).comb
        assert key.exponent_bits <= comb.teeth * comb.columns < key.exponent_bits + 16


def test_a_short_order_key_s_obfuscators_lie_in_its_base_s_group(
    short_key: PrivateKey, entropy_from
) -> None:
    n = short_key.public.n
    source = Source(short_key.public, entropy_from(1), 20)
    h = gmpy2.powmod(short_key.public.base, n, n * n)
    digits = entropy_from(1)(source._base.digit_bytes)
    assert whole(source.draw(), n) == gmpy2.powmod(h, source._base.exponent(digits), n * n)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("kind", ["small_key", "short_key"])
def test_obfuscators_are_distinct_encryptions_of_zero(
    request: pytest.FixtureRequest, kind: str, entropy_from, count: int
) -> None:
    key: PrivateKey = request.getfixturevalue(kind)
    n = key.public.n
    drawn = [whole(each, n) for each in obfuscators(key.public, count, entropy_from(count))]
    assert len(set(drawn)) == count
    assert all(gmpy2.gcd(value, n) == 1 for value in drawn)
    assert key.decrypt(drawn) == [0] * count


def test_ordinary_batches_share_no_base(small_key: PrivateKey, entropy_from) -> None:
    first, second = (set(obfuscators(small_key.public, 30, entropy_from(seed))) for seed in (1, 2))
    assert not first & second
