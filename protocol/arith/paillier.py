"""Paillier's cryptosystem on phe's keys: g = n + 1, private key (p, q). EUROCRYPT 1999, section 7.

Whatever assay encrypts, phe decrypts, and the other way round: a ciphertext is
(1 + m n) rho mod n^2 with rho an n-th residue, however rho was made (obfuscation.py).
Plaintexts are signed here: m in (-n/2, n/2) stands for m modulo n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NoReturn

import gmpy2
from gmpy2 import mpz

from protocol.arith.entropy import Entropy, uniform_below
from protocol.arith.obfuscation import obfuscators
from protocol.errors import FatalError, InputError
from protocol.params import ARITH_KEY_BITS

if TYPE_CHECKING:
    from phe.paillier import PaillierPrivateKey, PaillierPublicKey

#: Every prime below this is tried as a factor of a modulus.
_TRIAL_LIMIT: Final = 1 << 16


@lru_cache(maxsize=1)
def _small_primes() -> mpz:
    """The product of all primes below _TRIAL_LIMIT: one gcd tries them all."""
    return gmpy2.primorial(_TRIAL_LIMIT)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A modulus that passed every check its holder can make without the factors.

    Raises InputError if n is not of a length that arithmetic accepts (whole bytes, within
    params.ARITH_KEY_BITS), even, divisible by a prime below 2^16, a perfect power, or prime.
    That n has exactly two factors of equal length cannot be seen from outside. A requester who
    crafts n harms the secrecy of nothing but what is encrypted to itself. Costs 8 ms at 3072 bits.
    """

    n: int
    n_squared: mpz = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high = ARITH_KEY_BITS
        modulus = mpz(self.n)
        if self.n < 1:
            raise InputError("is not a positive number", "key.n")
        if not low <= self.bits <= high or self.bits % 16:
            raise InputError(
                f"has {self.bits} bits, allowed are multiples of 16 from {low} to {high}", "key.n"
            )
        if gmpy2.gcd(modulus, _small_primes()) != 1:
            raise InputError(f"has a prime factor below {_TRIAL_LIMIT}", "key.n")
        if gmpy2.is_power(modulus):
            raise InputError("is a perfect power", "key.n")
        if gmpy2.is_prime(modulus):
            raise InputError("is prime", "key.n")
        object.__setattr__(self, "n_squared", modulus * modulus)

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a number modulo n^2."""
        return self.bits // 4

    def to_bytes(self) -> bytes:
        """n, big-endian, as long as the modulus: no leading zero byte."""
        return self.n.to_bytes(self.bits // 8, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicKey:
        """The inverse of `to_bytes`. Raises InputError as the class does, before any arithmetic on
        a modulus that is too long, and if the top bit is not set."""
        if len(data) * 8 > ARITH_KEY_BITS[1]:
            raise InputError(f"has {len(data)} bytes, {ARITH_KEY_BITS[1] // 8} fit", "key.n")
        if not data or data[0] < 0x80:
            raise InputError("does not have its top bit set", "key.n")
        return cls(int.from_bytes(data, "big"))

    def to_phe(self) -> PaillierPublicKey:
        """The same key for phe."""
        from phe.paillier import PaillierPublicKey

        return PaillierPublicKey(self.n)


class PrivateKey:
    """The factors of a modulus. Not frozen into a dataclass, so that nothing prints or pickles it:
    `to_bytes` is the one way out.

    Raises InputError if p and q are not two different primes of half the modulus' length, or if
    the modulus is no valid public key.
    """

    __slots__ = ("_hp", "_hq", "_p", "_p_inverse", "_p_squared", "_q", "_q_squared", "public")

    def __init__(self, p: int, q: int) -> None:
        small, large = mpz(min(p, q)), mpz(max(p, q))
        if small == large or small < 3:
            raise InputError("p and q must be two different odd primes", "key")
        public = PublicKey(int(small * large))
        if not small.bit_length() == large.bit_length() == public.bits // 2:
            raise InputError("p and q do not have half the modulus' length each", "key")
        if not (gmpy2.is_prime(small) and gmpy2.is_prime(large)):
            raise InputError("p or q is not prime", "key")
        self.public: Final = public
        self._p, self._q = small, large
        self._p_squared, self._q_squared = small * small, large * large
        self._p_inverse = gmpy2.invert(small, large)
        # L((1 + n)^(p - 1) mod p^2) = (p - 1) q = -q modulo p: Paillier's h_p is its inverse
        self._hp = gmpy2.invert(-large, small)
        self._hq = gmpy2.invert(-small, large)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public.bits} bits>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; carry its to_bytes() by hand")

    def to_bytes(self) -> bytes:
        """p then q, p < q, big-endian, each half as long as the modulus. Secret."""
        half = self.public.bits // 16
        return int(self._p).to_bytes(half, "big") + int(self._q).to_bytes(half, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivateKey:
        """The inverse of `to_bytes`. Raises InputError if the bytes are no such key."""
        if len(data) % 2 or not 0 < len(data) * 8 <= ARITH_KEY_BITS[1]:
            raise InputError(f"{len(data)} bytes are no private key", "key")
        half = len(data) // 2
        p, q = int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big")
        if p >= q:
            raise InputError("p must be the smaller factor", "key")
        return cls(p, q)

    @classmethod
    def from_phe(cls, key: PaillierPrivateKey) -> PrivateKey:
        """The same key from phe."""
        return cls(int(key.p), int(key.q))

    def to_phe(self) -> PaillierPrivateKey:
        """The same key for phe."""
        from phe.paillier import PaillierPrivateKey

        return PaillierPrivateKey(self.public.to_phe(), int(self._p), int(self._q))

    def _residue(self, ciphertext: mpz) -> int:
        """The plaintext in [0, n), by Chinese remainders (Paillier, section 7)."""
        # The exponents are the secret: powmod_sec takes the same time for all of one length.
        p_power = gmpy2.powmod_sec(ciphertext % self._p_squared, self._p - 1, self._p_squared)
        q_power = gmpy2.powmod_sec(ciphertext % self._q_squared, self._q - 1, self._q_squared)
        modulo_p = (p_power - 1) // self._p * self._hp % self._p
        modulo_q = (q_power - 1) // self._q * self._hq % self._q
        return int(modulo_p + (modulo_q - modulo_p) * self._p_inverse % self._q * self._p)

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """Signed plaintexts in (-n/2, n/2). The ciphertexts must have passed batch.py's checks.

        Raises FatalError on one outside [1, n^2).
        """
        n, n_squared = self.public.n, self.public.n_squared
        plaintexts = []
        for index, ciphertext in enumerate(ciphertexts):
            if not 0 < ciphertext < n_squared:
                raise FatalError(f"ciphertext {index} to decrypt lies outside [1, n^2)")
            residue = self._residue(mpz(ciphertext))
            plaintexts.append(residue - n if residue > n // 2 else residue)
        return plaintexts


def generate_key(bits: int, entropy: Entropy) -> PrivateKey:
    """A fresh key whose modulus has exactly `bits` bits.

    p and q are uniform among the primes of bits / 2 bits that have their two top bits set (which
    makes the product's length exact) and are 3 modulo 4, with gcd(p - 1, q - 1) = 2 and at least
    2^(bits/2 - 100) apart (FIPS 186-5, appendix A.1.1: Fermat's method fails). Both conditions on
    p - 1 and q - 1 are what Damgard, Jurik and Nielsen (2010), section 4.2, ask of a key, so that
    minus a random square spans all residues of Jacobi symbol 1 with high probability; phe's keys
    merely lack the promise. Raises InputError on a length that PublicKey refuses.
    """
    low, high = ARITH_KEY_BITS
    if not low <= bits <= high or bits % 16:
        raise InputError(f"is {bits}, allowed are multiples of 16 from {low} to {high}", "key.bits")
    half = bits // 2
    while True:
        p, q = _prime(half, entropy), _prime(half, entropy)
        apart = abs(p - q).bit_length() > half - 100
        if apart and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1:
            return PrivateKey(int(p), int(q))


def _prime(bits: int, entropy: Entropy) -> mpz:
    """A uniform prime of `bits` bits, top two bits set, 3 modulo 4."""
    while True:
        # Fresh candidates, not the next prime after one: that would favour primes after long gaps.
        middle = uniform_below(1 << (bits - 4), entropy)
        candidate = mpz((3 << (bits - 2)) | (middle << 2) | 3)
        if gmpy2.gcd(candidate, _small_primes()) == 1 and gmpy2.is_prime(candidate, 40):
            return candidate


def encrypt(public: PublicKey, plaintexts: Sequence[int], entropy: Entropy) -> list[int]:
    """Fresh ciphertexts of signed plaintexts.

    Raises FatalError if a plaintext is not in (-n, n): it would come back as another number.
    """
    n, n_squared = mpz(public.n), public.n_squared
    ciphertexts = []
    for index, (plaintext, obfuscator) in enumerate(
        zip(plaintexts, obfuscators(n, len(plaintexts), entropy), strict=True)
    ):
        if not -n < plaintext < n:
            raise FatalError(f"plaintext {index} does not fit the key")
        ciphertexts.append(int((1 + plaintext % n * n) * obfuscator % n_squared))
    return ciphertexts


def add(public: PublicKey, a: int, b: int) -> int:
    """A ciphertext of the sum of two ciphertexts' plaintexts, modulo n."""
    return int(mpz(a) * b % public.n_squared)
