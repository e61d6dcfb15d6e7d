"""Keys that a requester crafts for its own ends, and forged proofs: material for residue.py.

Both kinds pass every check that PublicKey makes. Sizes are a test key's; nothing here depends on
them but the number of entries that one reply carries, which grows with the key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import gmpy2
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy, uniform_below
from protocol.arith.paillier import key_proof
from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, ShortOrder
from protocol.arith.paillier.public_key import short_exponent_bits
from protocol.params import KEY_PROOF_ROOTS

#: Bits of a factor that fill it up to its length, beside the structure that it was given.
_FILLING = 24


@dataclass(frozen=True, slots=True)
class SmoothKey:
    """A valid short-order key, gcd(n, phi(n)) = 1, whose p - 1 has a large power of 3 beside the
    prime that the base's order has there.

    `element` is of order 3^digits modulo p, and 1 modulo q. A private key in full: it decrypts.
    """

    private: PrivateKey
    element: mpz
    digits: int

    @property
    def p(self) -> mpz:
        """The factor that carries the data."""
        return mpz(self.private.factors()[0])


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A modulus with gcd(n, phi(n)) = l_1 ... l_k > 1: n = l_1 ... l_k q, and each l divides q - 1.

    `elements[j]` is of order l_j modulo q, and 1 modulo every l.
    """

    public: PublicKey
    shared: Sequence[mpz]
    q: mpz
    elements: Sequence[mpz]


def smooth_key(bits: int, entropy: Entropy) -> SmoothKey:
    """p = 2 u 3^e r + 1 and q likewise, u prime: the base's order is 2 u modulo p, as an honest
    key's is, so that raising to 2 u takes every obfuscator away and leaves 3^e."""
    half, size = bits // 2, short_exponent_bits(bits) // 2
    digits = int((half - size - 1 - _FILLING) / math.log2(3))
    (p, u), (q, v) = sorted(_smooth_prime(half, size, digits, entropy) for _ in range(2))
    n, s, t = p * q, (p - 1) // (2 * u), (q - 1) // (2 * v)
    y = mpz(uniform_below(int(n - 2), entropy) + 2)
    base = n - gmpy2.powmod(y, 2 * s * t, n)
    private = PrivateKey(int(p), int(q), ShortOrder(int(u), int(v), int(base)))
    return SmoothKey(private, _combine([(_of_order(mpz(3), digits, p), p), (mpz(1), q)]), digits)


def shared_key(bits: int, shared: Sequence[int], entropy: Entropy) -> SharedKey:
    """A modulus of `bits` bits whose factors `shared` (distinct primes) divide phi(n) too."""
    common = math.prod(shared)
    low, high = (3 << (bits - 2)) // common, (1 << bits) // common
    while True:
        r = low // (2 * common) + 1 + uniform_below((high - low) // (2 * common) - 1, entropy)
        q = mpz(2 * common * r + 1)
        if math.gcd(r, common) == 1 and gmpy2.is_prime(q):
            break
    primes = [mpz(prime) for prime in shared]
    elements = [
        _combine([(_of_order(prime, 1, q), q), *((mpz(1), other) for other in primes)])
        for prime in primes
    ]
    return SharedKey(PublicKey(int(q) * common), primes, q, elements)


def forged_proof(key: SharedKey) -> tuple[bytes, int]:
    """The best proof there is for a key that has none, and how many of its roots are right.

    Modulo each factor f the exponent 1 / n is taken modulo what of f - 1 is prime to n: right
    exactly for challenges that have a root.
    """
    n = mpz(key.public.n)
    exponents = []
    for factor in (*key.shared, key.q):
        order = factor - 1
        while (common := gmpy2.gcd(order, n)) != 1:
            order //= common
        exponents.append((factor, gmpy2.invert(n, order)))
    parts, right = [], 0
    for index in range(KEY_PROOF_ROOTS):
        rho = key_proof.challenge(key.public.n, index)
        root = _combine([(gmpy2.powmod(rho, d, factor), factor) for factor, d in exponents])
        right += gmpy2.powmod(root, n, n) == rho
        parts.append(int(root).to_bytes(key.public.bits // 8, "big"))
    return b"".join(parts), right


def _smooth_prime(bits: int, order_bits: int, digits: int, entropy: Entropy) -> tuple[mpz, mpz]:
    """Primes p = 2 u 3^digits r + 1 of `bits` bits and u of `order_bits`, r odd and prime to 3; p
    is at least 7/8 of 2^bits, so that products have their full length."""
    while True:
        top = 7 << (order_bits - 3)
        u = mpz(top | uniform_below(1 << (order_bits - 3), entropy) | 1)
        if not gmpy2.is_prime(u):
            continue
        step = 2 * u * mpz(3) ** digits
        low, high = (mpz(7) << (bits - 3)) // step + 1, (mpz(1) << bits) // step
        for _ in range(bits):
            r = low + uniform_below(int(high - low), entropy)
            if r % 2 and r % 3 and gmpy2.is_prime(p := step * r + 1):
                return p, u


def _of_order(prime: mpz, power: int, modulus: mpz) -> mpz:
    """The first element of order prime^power modulo `modulus`, a prime."""
    candidate = mpz(2)
    while True:
        element = gmpy2.powmod(candidate, (modulus - 1) // prime**power, modulus)
        if gmpy2.powmod(element, prime ** (power - 1), modulus) != 1:
            return element
        candidate += 1


def _combine(residues: Sequence[tuple[mpz, mpz]]) -> mpz:
    """The number with these (residue, modulus), by Chinese remainders."""
    number, modulus = mpz(0), mpz(1)
    for residue, other in residues:
        number += (residue - number) * gmpy2.invert(modulus, other) % other * modulus
        modulus *= other
    return number
