"""A Paillier public key: a modulus n, and for short-order keys the base h of their obfuscators.

Short-order keys: Ma, Han and Lei, 'Optimized Paillier's Cryptosystem with Fast Encryption and
Decryption', ACSAC 2021 (keygen.py makes them; docs/spec/arithmetic.md states the assumption). The
modulus alone is an ordinary key, for phe and for everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import gmpy2
from gmpy2 import mpz

from protocol.errors import InputError
from protocol.params import ARITH_KEY_BITS

if TYPE_CHECKING:
    from phe.paillier import PaillierPublicKey

#: Every prime below this is tried as a factor of a modulus.
_TRIAL_LIMIT: Final = 1 << 16

#: An h whose order modulo a factor of n is composed of prime powers up to this is refused.
_ORDER_LIMIT: Final = 1 << 12

#: Bits of a short exponent by length of the modulus: 4 for each bit of security, because the
#: order's two primes have half of them each, and a search of square-root time that finds one
#: factors n. 2048, 3072 and 7680 bits are the paper's (112, 128 and 192 bits of security); 4096
#: bits have about 150.
_SHORT_BITS: Final = {2048: 448, 3072: 512, 4096: 640, 7680: 768}


@lru_cache(maxsize=1)
def small_primes() -> mpz:
    """The product of all primes below 2^16: one gcd tries them all."""
    return gmpy2.primorial(_TRIAL_LIMIT)


@lru_cache(maxsize=1)
def _smooth() -> mpz:
    """lcm(1, ..., _ORDER_LIMIT): 5925 bits."""
    product, prime = mpz(1), mpz(2)
    while prime <= _ORDER_LIMIT:
        power = prime
        while power * prime <= _ORDER_LIMIT:
            power *= prime
        product *= power
        prime = gmpy2.next_prime(prime)
    return product


def check_bits(bits: int) -> None:
    """Raises InputError unless arithmetic takes moduli of `bits` bits."""
    low, high = ARITH_KEY_BITS
    if not low <= bits <= high or bits % 16:
        raise InputError(f"is {bits}, allowed are multiples of 16 from {low} to {high}", "key.bits")


def short_exponent_bits(bits: int) -> int:
    """Length of a short exponent for a short-order modulus of `bits` bits, a multiple of 32.

    Below 2048 bits, which only tests and the simulator reach, a quarter of the modulus. Raises
    InputError for a length of which no short-order key is made.
    """
    check_bits(bits)
    if bits < min(_SHORT_BITS):
        return bits // 4 // 32 * 32
    if bits not in _SHORT_BITS:
        raise InputError(
            f"is {bits}, short-order keys have {', '.join(map(str, _SHORT_BITS))}", "key.bits"
        )
    return _SHORT_BITS[bits]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A modulus that passed every check its holder can make without the factors; `base` is a
    short-order key's h, modulo n.

    Raises InputError if n is not of a length that arithmetic accepts (whole bytes, within
    params.ARITH_KEY_BITS), even, divisible by a prime below 2^16, a perfect power, or prime; or if
    the base is out of range, no unit, of Jacobi symbol -1, or of an order, modulo a factor of n,
    that divides lcm(1, ..., 4096). That n has exactly two factors of equal length, or that an order
    has a prime factor that is large and that its maker alone knows, cannot be seen from outside. A
    requester who crafts n or h harms only the secrecy of numbers that are encrypted to itself, and
    these are masked before (docs/adr/0600).

    Costs 8 ms at 3072 bits, 22 with a base.
    """

    n: int
    base: int | None = None
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
        if gmpy2.gcd(modulus, small_primes()) != 1:
            raise InputError(f"has a prime factor below {_TRIAL_LIMIT}", "key.n")
        if gmpy2.is_power(modulus):
            raise InputError("is a perfect power", "key.n")
        if gmpy2.is_prime(modulus):
            raise InputError("is prime", "key.n")
        if self.base is not None:
            short_exponent_bits(self.bits)
            _check_base(mpz(self.base), modulus)
        object.__setattr__(self, "n_squared", modulus * modulus)

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @property
    def exponent_bits(self) -> int:
        """The least length of an obfuscator's exponent: short, or half the modulus'."""
        return -(-self.bits // 2) if self.base is None else short_exponent_bits(self.bits)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a number modulo n^2."""
        return self.bits // 4

    def to_bytes(self) -> bytes:
        """n, big-endian, as long as the modulus: no leading zero byte."""
        return self.n.to_bytes(self.bits // 8, "big")

    def base_bytes(self) -> bytes:
        """h, big-endian, as long as n; empty for an ordinary key."""
        return b"" if self.base is None else self.base.to_bytes(self.bits // 8, "big")

    @classmethod
    def from_bytes(cls, data: bytes, base: bytes = b"") -> PublicKey:
        """The inverse of `to_bytes` and `base_bytes`.

        Raises InputError as the class does, before any arithmetic on a modulus that is too long; if
        the top bit is not set; and if the base is not as long as n.
        """
        if len(data) * 8 > ARITH_KEY_BITS[1]:
            raise InputError(f"has {len(data)} bytes, {ARITH_KEY_BITS[1] // 8} fit", "key.n")
        if not data or data[0] < 0x80:
            raise InputError("does not have its top bit set", "key.n")
        if base and len(base) != len(data):
            raise InputError(f"has {len(base)} bytes, the modulus {len(data)}", "key.base")
        return cls(int.from_bytes(data, "big"), int.from_bytes(base, "big") if base else None)

    def to_phe(self) -> PaillierPublicKey:
        """The same key for phe, which knows no base."""
        from phe.paillier import PaillierPublicKey

        return PaillierPublicKey(self.n)


def _check_base(base: mpz, n: mpz) -> None:
    """Raises InputError unless `base` may be the base of a short-order key with modulus `n`."""
    if not 1 < base < n - 1:
        raise InputError("lies outside (1, n - 1)", "key.base")
    if gmpy2.gcd(base, n) != 1:
        raise InputError("is no unit modulo n", "key.base")
    # Each factor is 3 modulo 4 and h is minus a square, so that its symbol is (-1)(-1).
    if gmpy2.jacobi(base, n) != 1:
        raise InputError("has Jacobi symbol -1, an honest one has 1", "key.base")
    # Against either factor: an order that is tiny modulo one of them shows in a gcd.
    if gmpy2.gcd(gmpy2.powmod(base, _smooth(), n) - 1, n) != 1:
        raise InputError(
            f"is of tiny order: it divides a product of prime powers up to {_ORDER_LIMIT}",
            "key.base",
        )
