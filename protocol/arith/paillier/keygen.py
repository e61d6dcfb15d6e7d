"""Fresh Paillier keys: ordinary ones, and short-order ones (Ma, Han and Lei, ACSAC 2021)."""

from __future__ import annotations

import gmpy2
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy, uniform_below
from protocol.arith.paillier.private_key import PrivateKey, ShortOrder
from protocol.arith.paillier.public_key import check_bits, short_exponent_bits, small_primes


def generate_key(bits: int, entropy: Entropy) -> PrivateKey:
    """A fresh ordinary key whose modulus has exactly `bits` bits.

    p and q are uniform among the primes of bits / 2 bits that have their two top bits set (which
    makes the product's length exact) and are 3 modulo 4, with gcd(p - 1, q - 1) = 2 and at least
    2^(bits/2 - 100) apart (FIPS 186-5, appendix A.1.1: Fermat's method fails). Both conditions on
    p - 1 and q - 1 are what Damgard, Jurik and Nielsen (2010), section 4.2, ask of a key, so that
    minus a random square spans all residues of Jacobi symbol 1 with high probability; phe's keys
    merely lack the promise. Raises InputError on a length that PublicKey refuses.
    """
    check_bits(bits)
    half = bits // 2
    while True:
        # 3 modulo 4, so that -1 is no square modulo either
        p, q = (_prime(half, entropy, top=0b11, bottom=0b11) for _ in range(2))
        apart = abs(p - q).bit_length() > half - 100
        if apart and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1:
            return PrivateKey(int(p), int(q))


def generate_short_key(bits: int, entropy: Entropy) -> PrivateKey:
    """A fresh short-order key whose modulus has exactly `bits` bits.

    p = 2 u s + 1 and q = 2 v t + 1 with primes u, v of half an exponent's length (public_key.py's
    table) and primes s, t that fill p and q up; all four different, p and q as far apart as above.
    The base is h = -y^(2 s t) modulo n for a random unit y: of order 2 u v; the few y that miss a
    factor are drawn again. Takes about 2 s at 3072 bits. Raises InputError on a length of which no
    short-order key is made.
    """
    size = short_exponent_bits(bits) // 2
    half = bits // 2
    while True:
        (p, u, s), (q, v, t) = (_short_prime(half, size, entropy) for _ in range(2))
        if len({u, v, s, t}) == 4 and abs(p - q).bit_length() > half - 100:
            break
    if p > q:
        (p, u, s), (q, v, t) = (q, v, t), (p, u, s)
    n = p * q
    while True:
        y = mpz(uniform_below(int(n), entropy))
        base = n - gmpy2.powmod(y, 2 * s * t, n)
        # base^(2u) is 1 modulo p and u is prime: unless base^2 is 1 too, u divides its order
        if gmpy2.gcd(y, n) == 1 and all(gmpy2.powmod(base, 2, each) != 1 for each in (p, q)):
            return PrivateKey(int(p), int(q), ShortOrder(int(u), int(v), int(base)))


def _prime(bits: int, entropy: Entropy, top: int, bottom: int) -> mpz:
    """A uniform prime of `bits` bits: those of `top` first, those of `bottom` last."""
    above, below = top.bit_length(), bottom.bit_length()
    while True:
        # Fresh candidates, not the next prime after one: that would favour primes after long gaps.
        middle = uniform_below(1 << (bits - above - below), entropy)
        candidate = mpz((top << (bits - above)) | (middle << below) | bottom)
        # A prime below 2^16 is among the small ones itself.
        sieved = bits <= 16 or gmpy2.gcd(candidate, small_primes()) == 1
        if sieved and gmpy2.is_prime(candidate, 40):
            return candidate


def _short_prime(bits: int, order_bits: int, entropy: Entropy) -> tuple[mpz, mpz, mpz]:
    """Primes (p, u, s) with p = 2 u s + 1 of `bits` bits, u of `order_bits`.

    u and s begin with three bits set, so that p exceeds 49/64 of 2^bits, and the product of two
    such primes half of 2^(2 bits): its length is exact. p is 3 modulo 4, since u and s are odd.
    """
    s = _prime(bits - order_bits - 1, entropy, top=0b111, bottom=0b1)
    while True:
        u = _prime(order_bits, entropy, top=0b111, bottom=0b1)
        p = 2 * u * s + 1
        if gmpy2.gcd(p, small_primes()) == 1 and gmpy2.is_prime(p, 40):
            return p, u, s
