"""The proof that gcd(n, phi(n)) = 1, which a sealed job's key carries and owners check once.

Goldberg, Reyzin, Sagga and Baldimtsi, 'Efficient Noninteractive Certification of RSA Moduli and
Beyond' (ASIACRYPT 2019, ePrint 2018/057), section 3.2: the key's holder shows n-th roots modulo n
of numbers that nobody chose. Fiat and Shamir's hash takes the verifier's place.

*Why it convinces.* If a prime l divides both n and phi(n), some prime factor f of n has l | f - 1,
or l^2 divides n. Either way x -> x^n on the units modulo n has a kernel of at least l elements, so
at most one unit in l has a root. Nothing below KEY_PROOF_ALPHA divides n (public_key.py), so a bad
n answers one challenge with probability at most 1 / ALPHA and all with ALPHA^-ROOTS = 2^-128. The
challenges hang on n alone: a forger who wants others must take another n, and pays a hash for each.

*What it gives away.* Roots of numbers that are as good as random, which anybody could have made in
the other order (root first, then its power): nothing about the factors. For an honest key each
challenge has exactly one root, so that a key has exactly one proof.

*What it does not show*: that n has two factors, that they are of equal length, or anything about
the structure of p - 1. blinding.py needs none of it.
"""

from __future__ import annotations

import hashlib
from typing import Final

import gmpy2
from gmpy2 import mpz

from protocol.arith.paillier.private_key import PrivateKey
from protocol.arith.paillier.public_key import PublicKey
from protocol.errors import FatalError, InputError
from protocol.params import KEY_PROOF_ROOTS

_LABEL: Final = b"assay/1 key proof\x00"

#: Bytes of hash beyond the modulus' length: a challenge is within 2^-128 of uniform.
_SLACK_BYTES: Final = 16

_FIELD: Final = "key.proof"


def proof_bytes(key_bits: int) -> int:
    """Bytes of a proof for a modulus of `key_bits` bits, a multiple of 8: KEY_PROOF_ROOTS numbers
    of its length."""
    return KEY_PROOF_ROOTS * (key_bits // 8)


def challenge(n: int, index: int) -> mpz:
    """The number modulo n whose n-th root is asked for at `index`: SHAKE-256 of the label, the
    index as u32 and n, read as a big-endian number 16 bytes longer than n, modulo n."""
    modulus = n.to_bytes((n.bit_length() + 7) // 8, "big")
    digest = hashlib.shake_256(_LABEL + index.to_bytes(4, "big") + modulus)
    return mpz.from_bytes(digest.digest(len(modulus) + _SLACK_BYTES), "big") % n


def prove(key: PrivateKey) -> bytes:
    """The proof for `key`: its challenges' roots, big-endian, each as long as n. It says nothing
    secret and is the same each time. Takes some 75 ms at 3072 bits.

    Every key that PrivateKey takes has one: its two primes have equal length, so neither divides
    the other less one. Raises FatalError if a root comes out wrong: one that is wrong modulo a
    single factor would give both away (Boneh, DeMillo and Lipton, EUROCRYPT '97), so that nothing
    leaves unchecked.
    """
    public = key.public
    n, size = mpz(public.n), public.bits // 8
    p, q = map(mpz, key.factors())
    p_inverse = gmpy2.invert(p, q)
    halves = [(factor, gmpy2.invert(n, factor - 1)) for factor in (p, q)]
    parts = []
    for index in range(KEY_PROOF_ROOTS):
        rho = challenge(public.n, index)
        # The exponents are the secret: powmod_sec takes the same time for all of one length.
        at_p, at_q = (gmpy2.powmod_sec(rho % factor, root, factor) for factor, root in halves)
        sigma = at_p + (at_q - at_p) * p_inverse % q * p
        parts.append(int(sigma).to_bytes(size, "big"))
    proof = b"".join(parts)
    try:
        verify(public, proof)
    except InputError as error:
        raise FatalError(f"a key proof that was just made does not hold: {error}") from error
    return proof


def verify(public: PublicKey, proof: bytes) -> None:
    """Raises InputError, saying what is wrong, unless `proof` shows that gcd(n, phi(n)) = 1.

    `public` has already shown that no prime below KEY_PROOF_ALPHA divides n, on which the number of
    roots rests. Its base plays no part. Takes some 60 ms at 3072 bits; a proof of the wrong length
    or with roots out of range costs nothing.
    """
    n, size = mpz(public.n), public.bits // 8
    if len(proof) != proof_bytes(public.bits):
        raise InputError(
            f"has {len(proof)} bytes; {KEY_PROOF_ROOTS} roots for {public.bits} bits have "
            f"{proof_bytes(public.bits)}",
            _FIELD,
        )
    roots = [
        mpz.from_bytes(proof[start : start + size], "big") for start in range(0, len(proof), size)
    ]
    for index, sigma in enumerate(roots):
        if not 0 < sigma < n:
            raise InputError(f"root {index} lies outside [1, n)", _FIELD)
    product, challenges = mpz(1), [challenge(public.n, index) for index in range(KEY_PROOF_ROOTS)]
    for rho in challenges:
        product = product * rho % n
    # The bound above is about units. An honest modulus never meets another challenge, so that no
    # second one is drawn in its place.
    if gmpy2.gcd(product, n) != 1:
        raise InputError("a challenge has a factor in common with n: n has a small one", _FIELD)
    for index, (sigma, rho) in enumerate(zip(roots, challenges, strict=True)):
        if gmpy2.powmod(sigma, n, n) != rho:
            raise InputError(
                f"root {index} is none: the proof is another key's, or n and phi(n) have a common "
                "factor",
                _FIELD,
            )
