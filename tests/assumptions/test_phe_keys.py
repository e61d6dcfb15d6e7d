"""What protocol/arith believes of phe 1.5: g = n + 1, raw calls that bend nothing, no sleight."""

from __future__ import annotations

import pytest
from phe import paillier

KEY_BITS = 512


@pytest.fixture(scope="module")
def keys() -> tuple[paillier.PaillierPublicKey, paillier.PaillierPrivateKey]:
    public, private = paillier.generate_paillier_keypair(n_length=KEY_BITS)
    return public, private


def test_a_key_is_two_primes_of_half_the_length(keys) -> None:
    public, private = keys
    assert public.n.bit_length() == KEY_BITS
    assert private.p * private.q == public.n
    assert private.p != private.q
    assert private.p.bit_length() == private.q.bit_length() == KEY_BITS // 2


def test_the_generator_is_n_plus_one(keys) -> None:
    public, _ = keys
    assert public.g == public.n + 1
    assert public.nsquare == public.n**2


@pytest.mark.parametrize("plaintext", [0, 1, 2**200, -1])
def test_a_ciphertext_is_what_the_paper_says(keys, plaintext: int) -> None:
    """(1 + m n) r^n mod n^2, with the r that was given: what vectors rest on."""
    public, private = keys
    n, m = public.n, plaintext % public.n
    r = 1234567
    ciphertext = public.raw_encrypt(m, r_value=r)
    assert ciphertext == (1 + m * n) * pow(r, n, n * n) % (n * n)
    assert private.raw_decrypt(ciphertext) == m


def test_large_plaintexts_take_a_shortcut_with_the_same_meaning(keys) -> None:
    """Near n, phe encrypts the negative and inverts: another way to the same number."""
    public, private = keys
    n = public.n
    for m in (n - 1, n - n // 3 + 1, n // 2 + 1):
        ciphertext = public.raw_encrypt(m, r_value=1)
        assert ciphertext == (1 + m * n) % (n * n)
        assert private.raw_decrypt(ciphertext) == m


def test_products_of_ciphertexts_are_sums(keys) -> None:
    public, private = keys
    a, b = public.raw_encrypt(20), public.raw_encrypt(public.n - 5)
    assert private.raw_decrypt(a * b % public.nsquare) == 15


def test_a_fresh_ciphertext_is_random(keys) -> None:
    public, _ = keys
    assert public.raw_encrypt(7) != public.raw_encrypt(7)


def test_phe_checks_no_ciphertext(keys) -> None:
    """Nothing is refused: a peer's ciphertext is checked by arith's paillier/batch.py alone."""
    public, private = keys
    for bad in (0, public.n, public.nsquare + 5):
        private.raw_decrypt(bad)


def test_numbers_travel_with_their_exponent_in_the_open(keys) -> None:
    """Why assay packs fixed point itself: phe's exponent tells the magnitude."""
    public, _ = keys
    assert public.encrypt(0.5).exponent != public.encrypt(1e-9).exponent


def test_a_key_of_equal_factors_is_refused(keys) -> None:
    public, private = keys
    with pytest.raises(ValueError, match="p and q"):
        paillier.PaillierPrivateKey(paillier.PaillierPublicKey(private.p**2), private.p, private.p)
    with pytest.raises(ValueError, match="match"):
        paillier.PaillierPrivateKey(public, private.p, private.q + 2)
