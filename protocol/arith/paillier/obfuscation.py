"""Obfuscators: random n-th residues modulo n^2, the factor that hides a Paillier plaintext.

Paillier's own r^n costs an exponentiation of the modulus' length each. Here they are powers of one
base h_n = h^n mod n^2, with a short random exponent, from a table (comb method, Lim and Lee,
CRYPTO '94). Where h comes from, and how long exponents are, is the key's kind:

*Short-order keys* (Ma, Han and Lei, ACSAC 2021) bring h, of order 2uv with u, v secret primes;
exponents have that order's length, 512 bits at 3072. public_key.py says what is checked of h.

*Ordinary keys* bring none. Damgard, Jurik and Nielsen ('A generalization of Paillier's public-key
system with applications to electronic voting', Int. J. Inf. Secur. 9, 2010, section 4.2) take h =
-x^2 mod n for a random x and exponents of half the modulus' length. The encrypting owner draws x
afresh for each batch or pool: any n-th residue is a valid obfuscator and decryption does not know
h, so it need not be part of the key, and one's own h needs no proof that it is not of tiny order.
Knowing x gives its owner nothing beyond the plaintexts that it already holds.

What both rest on: docs/spec/arithmetic.md.

*Arithmetic.* Every unit x modulo n^2 is a (1 + b n) with a = x mod n, and (1 + b n)(1 + c n) is
1 + (b + c) n. A table that holds (a, b) needs, for each step, a product with a number of n's length
and an addition: 1.8 times faster at 3072 bits than multiplying numbers modulo n^2.

Not for sealed models: there the ciphertext is a function of the requester's, and its residue must
be drowned by u^n with u uniform (docs/design.md, section 6). Here every ciphertext is built from
nothing but the plaintext, and the residue is independent of it: the key's holder learns no more
than m.

Table look-ups follow the exponent's bits: this is not constant-time against a program that shares
the owner's cache. docs/threat-model.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import gmpy2
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy, draw, uniform_below
from protocol.arith.paillier.public_key import PublicKey

#: Below this many, plain r^n is cheaper than a base and its table.
_TABLE_FROM: Final = 3

#: Entries of a table: some 15 MB at 3072 bits. Twice as many gain 6 % an obfuscator, and lose it to
#: cache misses beside other work.
_MAX_ENTRIES: Final = 1 << 14

#: Tables of short-order keys that are kept, of some megabytes each.
_KEPT: Final = 4

#: A product of two numbers modulo n^2 (a squaring, an entry of the table) over a table's step.
_FULL_PRODUCT: Final = 1.8

#: Bits of an exponent are read from 16-bit digits.
_MAX_TEETH: Final = 12


class Obfuscator(NamedTuple):
    """residue + quotient n: an n-th residue modulo n^2, to be used once. Secret."""

    residue: mpz
    quotient: mpz


@dataclass(frozen=True, slots=True)
class Comb:
    """The shape of a Lim-Lee table: an exponent's bits in `teeth` rows of `columns` bits, each row
    cut into `blocks` of `depth` bits."""

    teeth: int
    columns: int
    blocks: int
    depth: int

    @classmethod
    @lru_cache(maxsize=64)
    def cheapest(cls, exponent_bits: int, count: int) -> Comb:
        """The shape that costs least for table and `count` powers together."""
        shapes = []
        for teeth in range(2, _MAX_TEETH + 1):
            row = math.ceil(exponent_bits / teeth)
            for depth in range(1, row + 1):
                blocks = math.ceil(row / depth)
                if blocks << teeth <= _MAX_ENTRIES:
                    shapes.append(cls(teeth, blocks * depth, blocks, depth))
        return min(shapes, key=lambda shape: shape.table_cost + count * shape.power_cost)

    @property
    def table_cost(self) -> float:
        """The cost of the table, in steps of a power."""
        return _FULL_PRODUCT * (self.teeth * self.columns + (self.blocks << self.teeth))

    @property
    def power_cost(self) -> float:
        """The cost of a power, in steps: products with an entry, and squarings."""
        return self.columns + _FULL_PRODUCT * (self.depth - 1)


class FixedBase:
    """Powers of one unit modulo n^2, from a comb's table."""

    def __init__(self, base: mpz, n: mpz, comb: Comb) -> None:
        self.comb = comb
        self._n, self._n_squared = n, n * n
        self._digits = struct.Struct(f"<{comb.columns}H")
        self._mask = sum(((1 << comb.teeth) - 1) << (16 * i) for i in range(comb.columns))
        self._table: list[list[tuple[mpz, mpz]]] = []
        rows = [base]
        for _ in range(comb.teeth - 1):
            rows.append(gmpy2.powmod(rows[-1], mpz(1) << comb.columns, self._n_squared))
        for block in range(comb.blocks):
            if block:
                rows = [gmpy2.powmod(row, mpz(1) << comb.depth, self._n_squared) for row in rows]
            self._table.append(self._products(rows))

    @property
    def digit_bytes(self) -> int:
        """How many bytes are one exponent."""
        return self._digits.size

    def power(self, digits: bytes) -> Obfuscator:
        """The base to the exponent whose columns are `digits`, two bytes each, little-endian, top
        bits ignored.

        The digit at depth * block + k holds, as its bit i, the exponent's bit
        i * columns + block * depth + k: uniform bytes make a uniform exponent of
        teeth * columns bits, and no bits have to be gathered.
        """
        depth, n_squared, table = self.comb.depth, self._n_squared, self._table
        columns = self._columns(digits)
        product, exponent = mpz(1), mpz(0)  # product (1 + exponent n)
        for k in reversed(range(depth)):
            if k != depth - 1:
                product = product * product % n_squared
                exponent *= 2
            for entries, digit in zip(table, columns[k::depth], strict=True):
                residue, part = entries[digit]
                product = product * residue % n_squared
                exponent += part
        quotient, residue = gmpy2.t_divmod(product, self._n)
        return Obfuscator(residue, (quotient + residue * exponent) % self._n)

    def exponent(self, digits: bytes) -> int:
        """The exponent that `power` raises to (for tests and vectors)."""
        return sum(
            1 << (tooth * self.comb.columns + column)
            for column, digit in enumerate(self._columns(digits))
            for tooth in range(self.comb.teeth)
            if digit >> tooth & 1
        )

    def _columns(self, digits: bytes) -> tuple[int, ...]:
        masked = int.from_bytes(digits, "little") & self._mask
        return self._digits.unpack(masked.to_bytes(self._digits.size, "little"))

    def _products(self, rows: list[mpz]) -> list[tuple[mpz, mpz]]:
        """(a, b) of the products of all subsets of `rows`, the subset's bits its index.

        a (1 + b n) A (1 + B n) = (r + q n)(1 + (b + B) n), r + q n the integer a A: its b is
        b + B + q / r modulo n. Inverses come along by multiplying them too.
        """
        n = self._n
        products, inverses = [(mpz(1), mpz(0))], [mpz(1)]
        for row in rows:
            quotient, a = gmpy2.t_divmod(row, n)
            inverse = gmpy2.invert(a, n)
            b = quotient * inverse % n
            for index in range(len(products)):
                left, part = products[index]
                quotient, residue = gmpy2.t_divmod(left * a, n)
                inverses.append(inverses[index] * inverse % n)
                products.append((residue, (part + b + quotient * inverses[-1]) % n))
        return products


class Source:
    """Fresh obfuscators of one key; its table stands when it is made, for about `expected` draws.

    Building takes 0.1 to 0.3 s at 3072 bits. Holds no secret but, of an ordinary key, its base's x.
    `kept`: a short-order key's table, which follows from the key, is built once and serves the next
    source of the same key; an ordinary key's base is fresh each time.
    """

    def __init__(
        self, public: PublicKey, entropy: Entropy, expected: int, *, kept: bool = False
    ) -> None:
        n = mpz(public.n)
        self._entropy = entropy
        comb = Comb.cheapest(public.exponent_bits, max(expected, 1))
        if public.base is None:
            x = uniform_unit(n, entropy)
            self._base = _powers_of(int(n - x * x % n), public.n, comb)
        else:
            make = _kept_powers_of if kept else _powers_of
            self._base = make(public.base, public.n, comb)

    @property
    def comb(self) -> Comb:
        """The table's shape."""
        return self._base.comb

    def draw(self) -> Obfuscator:
        """One more, to be used once."""
        return self._base.power(draw(self._entropy, self._base.digit_bytes))


def _powers_of(base: int, n: int, comb: Comb) -> FixedBase:
    """Powers of the n-th residue that `base` makes."""
    return FixedBase(gmpy2.powmod(base, n, mpz(n) ** 2), mpz(n), comb)


_kept_powers_of = lru_cache(maxsize=_KEPT)(_powers_of)


def obfuscators(public: PublicKey, count: int, entropy: Entropy) -> Iterator[Obfuscator]:
    """`count` fresh obfuscators. Each is to be used once."""
    if count < _TABLE_FROM:
        n = mpz(public.n)
        for _ in range(count):
            power = gmpy2.powmod(uniform_unit(n, entropy), n, public.n_squared)
            quotient, residue = gmpy2.t_divmod(power, n)
            yield Obfuscator(residue, quotient)
        return
    source = Source(public, entropy, count)
    for _ in range(count):
        yield source.draw()


def uniform_unit(n: mpz, entropy: Entropy) -> mpz:
    """A uniform unit modulo n. (A number that is none would be a factor of n: never seen.)"""
    while True:
        candidate = mpz(uniform_below(int(n), entropy))
        if gmpy2.gcd(candidate, n) == 1:
            return candidate
