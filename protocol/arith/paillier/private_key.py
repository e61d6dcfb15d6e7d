"""A Paillier private key: the factors of n, and decryption. Ordinary and short-order keys."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import gmpy2
from gmpy2 import mpz

from protocol.arith.paillier.public_key import PublicKey, short_exponent_bits
from protocol.errors import FatalError, InputError
from protocol.params import ARITH_KEY_BITS

if TYPE_CHECKING:
    from phe.paillier import PaillierPrivateKey

#: Before a short-order key's numbers: a tag, and bits of the modulus. What follows has an even
#: number of bytes, as has the whole of an ordinary key; so no key is read as one of the other kind.
_SHORT_HEADER: Final = struct.Struct(">BH")
_SHORT_TAG: Final = 1


@dataclass(frozen=True, slots=True, repr=False)
class ShortOrder:
    """The secrets of a short-order key beyond the factors p and q of n: primes u | p - 1 and v | q
    - 1, and the base h, whose order divides 2 u v. (In the paper p, q, u, v are P, Q, p, q.)
    Secret."""

    u: int
    v: int
    base: int


class _Half:
    """Decryption modulo one factor's square (Paillier, section 7)."""

    __slots__ = ("_exponent", "_factor", "_full", "_inverse", "_rest", "_square")

    def __init__(self, factor: mpz, other: mpz, order: mpz | None) -> None:
        """`order` is the short-order prime that divides factor - 1."""
        self._factor, self._square = factor, factor * factor
        self._exponent = factor - 1 if order is None else 2 * order
        self._rest = (factor - 1) // self._exponent
        # L((1 + n)^e mod factor^2) = e x other modulo factor: Paillier's h is its inverse.
        self._inverse = gmpy2.invert(self._exponent * other, factor)
        self._full = gmpy2.invert(-other, factor)

    def residue(self, ciphertext: mpz) -> mpz:
        """The plaintext modulo the factor."""
        # The exponents are the secret: powmod_sec takes the same time for all of one length.
        power = gmpy2.powmod_sec(ciphertext % self._square, self._exponent, self._square)
        quotient, one = gmpy2.t_divmod(power, self._factor)
        if one == 1:
            return quotient * self._inverse % self._factor
        # A short exponent, and an obfuscator from outside the base's group (phe's are): the rest of
        # factor - 1 takes it away. It is an n-th residue, which 1 modulo the factor makes 1 modulo
        # its square; so above nothing was left of it.
        power = gmpy2.powmod_sec(power, self._rest, self._square)
        return power // self._factor * self._full % self._factor


class PrivateKey:
    """The factors of a modulus. Not frozen into a dataclass, so that nothing prints or pickles it:
    `to_bytes` is the one way out.

    Raises InputError if p and q are not two different primes of half the modulus' length, if the
    modulus is no valid public key, or if `short` does not fit them: u and v two different primes of
    half an exponent's length that divide p - 1 and q - 1 (for p < q), and h^(2uv) = 1 modulo n.
    """

    __slots__ = ("_halves", "_p", "_p_inverse", "_q", "_short", "public")

    def __init__(self, p: int, q: int, short: ShortOrder | None = None) -> None:
        small, large = mpz(min(p, q)), mpz(max(p, q))
        if small == large or small < 3:
            raise InputError("p and q must be two different odd primes", "key")
        public = PublicKey(int(small * large), None if short is None else short.base)
        if not small.bit_length() == large.bit_length() == public.bits // 2:
            raise InputError("p and q do not have half the modulus' length each", "key")
        if not (gmpy2.is_prime(small) and gmpy2.is_prime(large)):
            raise InputError("p or q is not prime", "key")
        if short is not None:
            _check_short(small, large, public, short)
        self.public: Final = public
        self._p, self._q, self._short = small, large, short
        self._p_inverse = gmpy2.invert(small, large)
        self._halves = (
            _Half(small, large, None if short is None else mpz(short.u)),
            _Half(large, small, None if short is None else mpz(short.v)),
        )

    def __repr__(self) -> str:
        kind = "" if self._short is None else ", short-order"
        return f"<PrivateKey of {self.public.bits} bits{kind}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; carry its to_bytes() by hand")

    def to_bytes(self) -> bytes:
        """Secret. p then q, p < q, big-endian, each half as long as the modulus; of a short-order
        key, behind a header (tag 1, bits of n), followed by u and v and by h."""
        half = self.public.bits // 16
        factors = int(self._p).to_bytes(half, "big") + int(self._q).to_bytes(half, "big")
        if self._short is None:
            return factors
        size = short_exponent_bits(self.public.bits) // 16
        return b"".join(
            (
                _SHORT_HEADER.pack(_SHORT_TAG, self.public.bits),
                factors,
                self._short.u.to_bytes(size, "big"),
                self._short.v.to_bytes(size, "big"),
                self.public.base_bytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivateKey:
        """The inverse of `to_bytes`. Raises InputError if the bytes are no such key."""
        if len(data) % 2:
            return cls._short_from_bytes(data)
        if not 0 < len(data) * 8 <= ARITH_KEY_BITS[1]:
            raise InputError(f"{len(data)} bytes are no private key", "key")
        half = len(data) // 2
        return cls(*_ascending(data[:half], data[half:]))

    @classmethod
    def _short_from_bytes(cls, data: bytes) -> PrivateKey:
        if len(data) < _SHORT_HEADER.size:
            raise InputError(f"{len(data)} bytes are no private key", "key")
        tag, bits = _SHORT_HEADER.unpack_from(data)
        if tag != _SHORT_TAG:
            raise InputError(f"an odd number of bytes that begin with {tag} are no key", "key")
        half, size = bits // 16, short_exponent_bits(bits) // 16
        if len(data) != _SHORT_HEADER.size + 4 * half + 2 * size:
            raise InputError(f"{len(data)} bytes are no short-order key of {bits} bits", "key")
        at = _SHORT_HEADER.size
        p, q = _ascending(data[at : at + half], data[at + half : at + 2 * half])
        at += 2 * half
        u, v = (int.from_bytes(data[at + i * size : at + (i + 1) * size], "big") for i in (0, 1))
        return cls(p, q, ShortOrder(u, v, int.from_bytes(data[at + 2 * size :], "big")))

    def to_phe(self) -> PaillierPrivateKey:
        """The same key for phe, which decrypts with the factors alone."""
        from phe.paillier import PaillierPrivateKey

        return PaillierPrivateKey(self.public.to_phe(), int(self._p), int(self._q))

    def factors(self) -> tuple[int, int]:
        """p and q, p < q. Secret."""
        return int(self._p), int(self._q)

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """Signed plaintexts in (-n/2, n/2). The ciphertexts must have passed batch.py's checks.
        Anybody may have encrypted them, with this key's base or without.

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

    def _residue(self, ciphertext: mpz) -> int:
        """The plaintext in [0, n), by Chinese remainders."""
        modulo_p, modulo_q = (half.residue(ciphertext) for half in self._halves)
        return int(modulo_p + (modulo_q - modulo_p) * self._p_inverse % self._q * self._p)


def _ascending(first: bytes, second: bytes) -> tuple[int, int]:
    p, q = int.from_bytes(first, "big"), int.from_bytes(second, "big")
    if p >= q:
        raise InputError("p must be the smaller factor", "key")
    return p, q


def _check_short(p: mpz, q: mpz, public: PublicKey, short: ShortOrder) -> None:
    half = short_exponent_bits(public.bits) // 2
    u, v = mpz(short.u), mpz(short.v)
    if u == v or min(u, v) < 3:
        raise InputError("u and v must be two different odd primes", "key")
    if not u.bit_length() == v.bit_length() == half:
        raise InputError(f"u and v do not have {half} bits each", "key")
    if not (gmpy2.is_prime(u) and gmpy2.is_prime(v)):
        raise InputError("u or v is not prime", "key")
    if (p - 1) % (2 * u) or (q - 1) % (2 * v):
        raise InputError("2u does not divide p - 1, or 2v not q - 1", "key")
    if gmpy2.powmod(short.base, 2 * u * v, public.n) != 1:
        raise InputError("the order of h does not divide 2uv", "key.base")
