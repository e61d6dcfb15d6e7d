"""Obfuscators: random n-th residues modulo n^2, the factor that hides a Paillier plaintext.

Paillier's own r^n costs an exponentiation of the modulus' length each. Damgard, Jurik and Nielsen
('A generalization of Paillier's public-key system with applications to electronic voting', Int. J.
Inf. Secur. 9, 2010, section 4.2) draw them from one base instead: h = -x^2 mod n for a random x,
h_n = h^n mod n^2, obfuscator h_n^a for a random a of half the modulus' length. A fixed base allows
a table (comb method, Lim and Lee, CRYPTO '94): about 220 multiplications an obfuscator at 3072
bits instead of 3700, once the table stands.

What it rests on. (1) Decisional composite residuosity, in the subgroup that h_n spans; for keys of
paillier.generate_key (p, q = 3 mod 4, gcd(p - 1, q - 1) = 2) that is, up to the few x that miss a
factor of the group's order, all residues of Jacobi symbol 1, where the problem is as hard as in
general because everybody can compute that symbol. (2) Exponents of half the modulus' length look
like full ones: for g^a modulo n that follows from the hardness of factoring (Hastad, Schrift and
Shamir, JCSS 47, 1993; Goldreich and Rosen, J. Cryptology 16, 2003). For keys made by phe the
subgroup may be a smaller part of the whole; the assumption is then made for it.

Who chooses h: whoever encrypts, afresh for every batch. In the paper it is part of the public key,
but nothing in the scheme needs two parties to share it: any n-th residue is a valid obfuscator,
and the key's holder decrypts without knowing h. An h of one's own needs no proof that it is not of
tiny order (a hostile h = 1 would publish every plaintext), and batches of one owner share no base
by which they could be tied together. Knowing x gives its owner nothing beyond the plaintexts that
it already holds; x and the table are dropped with the batch.

Not for sealed models: there the ciphertext is a function of the requester's, and its residue must
be drowned by u^n with u uniform (DESIGN.md, section 6). Here every ciphertext is built from nothing
but the plaintext, and the residue is independent of it: the key's holder learns no more than m.

Table look-ups follow the exponent's bits: this is not constant-time against someone who shares the
owner's cache. docs/threat-model.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import gmpy2
from gmpy2 import mpz

from protocol.arith.entropy import Entropy, draw, uniform_below

#: Below this many, plain r^n is cheaper than a base and its table.
_TABLE_FROM = 3

#: Entries of a table: 6 MB at 3072 bits. More would pay from some 10,000 ciphertexts on.
_MAX_ENTRIES = 8192


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
        """The shape with the fewest multiplications for table and `count` powers together."""
        shapes = []
        for teeth in range(2, 9):
            row = math.ceil(exponent_bits / teeth)
            for depth in range(1, row + 1):
                blocks = math.ceil(row / depth)
                if blocks << teeth <= _MAX_ENTRIES:
                    shapes.append(cls(teeth, blocks * depth, blocks, depth))
        return min(shapes, key=lambda shape: shape.multiplications(count))

    def multiplications(self, count: int) -> int:
        """How many the table and `count` powers take, squarings included."""
        table = self.teeth * self.columns + (self.blocks << self.teeth)
        return table + count * (self.columns + self.depth)


class FixedBase:
    """Powers of one base modulo `modulus`, from a comb's table."""

    def __init__(self, base: mpz, modulus: mpz, comb: Comb) -> None:
        self.comb = comb
        self._modulus = modulus
        self._table: list[list[mpz]] = []
        rows = [base]
        for _ in range(comb.teeth - 1):
            rows.append(gmpy2.powmod(rows[-1], mpz(1) << comb.columns, modulus))
        for block in range(comb.blocks):
            if block:
                rows = [gmpy2.powmod(row, mpz(1) << comb.depth, modulus) for row in rows]
            products = [mpz(1)]
            for row in rows:
                products += [row, *(entry * row % modulus for entry in products[1:])]
            self._table.append(products)

    def power(self, digits: bytes) -> mpz:
        """The base to the exponent whose columns are `digits`, one byte each, top bits ignored.

        The digit at depth * block + k holds, as its bit i, the exponent's bit
        i * columns + block * depth + k: uniform bytes make a uniform exponent of
        teeth * columns bits, and no bits have to be gathered.
        """
        comb, modulus, mask = self.comb, self._modulus, (1 << self.comb.teeth) - 1
        result = mpz(1)
        for k in reversed(range(comb.depth)):
            result = result * result % modulus
            for block, products in enumerate(self._table):
                result = result * products[digits[block * comb.depth + k] & mask] % modulus
        return result

    def exponent(self, digits: bytes) -> int:
        """The exponent that `power` raises to (for tests and vectors)."""
        return sum(
            1 << (tooth * self.comb.columns + column)
            for column, digit in enumerate(digits[: self.comb.columns])
            for tooth in range(self.comb.teeth)
            if digit >> tooth & 1
        )


def obfuscators(n: mpz, count: int, entropy: Entropy) -> Iterator[mpz]:
    """`count` fresh obfuscators modulo n^2. Each is to be used once."""
    n_squared = n * n
    if count < _TABLE_FROM:
        for _ in range(count):
            yield gmpy2.powmod(_unit(n, entropy), n, n_squared)
        return
    x = _unit(n, entropy)
    comb = Comb.cheapest(-(-n.bit_length() // 2), count)
    base = FixedBase(gmpy2.powmod(n - x * x % n, n, n_squared), n_squared, comb)
    for _ in range(count):
        yield base.power(draw(entropy, comb.columns))


def _unit(n: mpz, entropy: Entropy) -> mpz:
    """A uniform unit modulo n. (A number that is none would be a factor of n: never seen.)"""
    while True:
        candidate = mpz(uniform_below(int(n), entropy))
        if gmpy2.gcd(candidate, n) == 1:
            return candidate
