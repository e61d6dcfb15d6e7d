"""Full-range blinders: n-th residues of uniform units, ahead of need, each once."""

from __future__ import annotations

import math

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.blinding import FullRange, blind
from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, add, encrypt
from protocol.arith.paillier.obfuscation import Obfuscator, Source
from protocol.arith.paillier.pool import Pool
from protocol.errors import FatalError


def whole(public: PublicKey, blinder: Obfuscator) -> mpz:
    assert 0 < blinder.residue < public.n
    assert 0 <= blinder.quotient < public.n
    return blinder.residue + blinder.quotient * public.n


def given_in_turn(*draws: bytes) -> Entropy:
    """An entropy that gives these bytes, one a call."""
    left = iter(draws)

    def entropy(count: int) -> bytes:
        data = next(left)
        assert len(data) == count
        return data

    return entropy


@given(n=st.integers(3, 2000).filter(lambda n: n % 2))
def test_why_it_takes_the_proof(n: int) -> None:
    """u -> u^n reaches every unit exactly when gcd(n, phi(n)) = 1."""
    units = {u for u in range(1, n) if math.gcd(u, n) == 1}
    reached = {pow(u, n, n) for u in units}
    assert (reached == units) == (math.gcd(n, len(units)) == 1)


def test_a_blinder_is_the_nth_power_of_what_was_drawn(small_key: PrivateKey) -> None:
    public = small_key.public
    u = public.n - 12345
    source = FullRange(public, given_in_turn(u.to_bytes(32, "big")))
    assert whole(public, source.draw()) == pow(u, public.n, public.n**2)


def test_each_is_another_and_means_zero(short_key: PrivateKey, entropy_from) -> None:
    public = short_key.public
    source = FullRange(public, entropy_from(1))
    drawn = [whole(public, source.draw()) for _ in range(50)]
    assert len(set(drawn)) == 50
    assert short_key.decrypt([int(each) for each in drawn]) == [0] * 50


def test_they_leave_the_group_of_the_base(short_key: PrivateKey, entropy_from) -> None:
    """An obfuscator of a short-order key dies when it is raised to 2u modulo p; a blinder lives."""
    short = short_key._short
    assert short is not None
    p, order = short_key.factors()[0], 2 * short.u
    base, full = (
        Source(short_key.public, entropy_from(1), 10),
        FullRange(short_key.public, entropy_from(1)),
    )
    assert all(gmpy2.powmod(base.draw().residue, order, p) == 1 for _ in range(10))
    assert all(gmpy2.powmod(full.draw().residue, order, p) != 1 for _ in range(10))


def test_jacobi_symbols_are_of_both_kinds(short_key: PrivateKey, entropy_from) -> None:
    """Powers of h = -y^2 all have the symbol 1; uniform units have it half the time."""
    source = FullRange(short_key.public, entropy_from(2))
    ones = sum(gmpy2.jacobi(source.draw().residue, short_key.public.n) == 1 for _ in range(400))
    assert 150 < ones < 250


def test_numbers_that_are_no_units_are_drawn_again() -> None:
    factor = 65537
    public = PublicKey(factor * int(gmpy2.next_prime(mpz(7) << 237)))
    wanted = 5
    draws = [0, factor, public.n - factor, public.n, wanted]
    source = FullRange(public, given_in_turn(*(d.to_bytes(32, "big") for d in draws)))
    assert whole(public, source.draw()) == pow(wanted, public.n, public.n**2)


def test_entropy_that_runs_short(small_key: PrivateKey) -> None:
    with pytest.raises(FatalError, match="entropy"):
        FullRange(small_key.public, lambda count: bytes(count - 1)).draw()


def test_blinding_keeps_the_plaintext_and_nothing_else(short_key: PrivateKey, entropy_from) -> None:
    public, entropy = short_key.public, entropy_from(3)
    source = FullRange(public, entropy)
    plaintexts = [0, 1, -1, 10**30, public.n // 2]
    for plaintext, ciphertext in zip(plaintexts, encrypt(public, plaintexts, entropy), strict=True):
        seen = {int(blind(public, mpz(ciphertext), source.draw())) for _ in range(5)}
        assert len(seen) == 5
        assert ciphertext % public.n not in {each % public.n for each in seen}
        assert short_key.decrypt(list(seen)) == [plaintext] * 5


def test_any_unit_can_be_blinded(small_key: PrivateKey, entropy_from) -> None:
    """Each unit modulo n^2 has a plaintext, whoever made it and however; it stays."""
    public = small_key.public
    source = FullRange(public, entropy_from(4))
    for unit in (mpz(1), mpz(2), public.n_squared - 1, mpz(public.n + 1)):
        blinder = source.draw()
        blinded = blind(public, unit, blinder)
        assert blinded == add(public, unit, whole(public, blinder))
        assert small_key.decrypt([int(blinded)]) == small_key.decrypt([int(unit)])


class Process:
    """Says which process this is: a fork, without one."""

    def __init__(self) -> None:
        self.number = 1

    def __call__(self) -> int:
        return self.number


def test_a_pool_of_them(short_key: PrivateKey, entropy_from) -> None:
    public = short_key.public
    pool = Pool(public, entropy_from(5), Process(), source=FullRange)
    assert pool.fill(4) == 4
    drawn = [*pool.take(2), *pool.take(4)]  # two more than there are
    assert len(pool) == 0
    assert len(set(drawn)) == 6
    p, n = short_key.factors()[0], public.n
    order = 2 * short_key._short.u
    for blinder in drawn:
        assert gmpy2.powmod(blinder.residue, order, p) != 1  # none is a power of h
        assert short_key.decrypt([int(blinder.residue + blinder.quotient * n)]) == [0]


def test_a_pool_of_them_encrypts_as_well(small_key: PrivateKey, entropy_from) -> None:
    pool = Pool(small_key.public, entropy_from(6), Process(), source=FullRange)
    pool.fill(1)
    assert small_key.decrypt(list(pool.encrypt([7, -8]))) == [7, -8]


def test_a_fork_makes_its_source_afresh(small_key: PrivateKey, entropy_from) -> None:
    made: list[PublicKey] = []

    def source(public: PublicKey, entropy: Entropy) -> FullRange:
        made.append(public)
        return FullRange(public, entropy)

    process = Process()
    pool = Pool(small_key.public, entropy_from(7), process, source=source)
    assert made == []  # nothing is made before it is wanted
    pool.fill(3)
    pool.fill(3)
    assert len(made) == 1
    inherited = list(pool._stock)
    process.number = 2
    assert len(pool) == 0
    assert not set(inherited) & set(pool.take(6))
    assert made == [small_key.public] * 2
