"""The attack `residue`: read an owner's matrix from the residues of its masked replies.

A sealed reply is prod_j c_j^M_ij, masked in its plaintext. The requester chose the c_j and knows
the factors of n. It puts elements of known small order into their residues, takes the mask away by
reducing modulo n, whatever else was multiplied on by a power that kills it, and reads M_ij from a
discrete logarithm in a group whose order is smooth: Pohlig and Hellman (1978).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence

import gmpy2
import numpy as np
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy, uniform_below
from protocol.arith.paillier import key_proof
from protocol.arith.paillier.blinding import FullRange, blind
from protocol.arith.paillier.cryptosystem import PublicKey, add, encrypt_with
from protocol.arith.paillier.obfuscation import Obfuscator, Source
from protocol.arith.paillier.pool import Drawing
from protocol.arith.sealed.matvec import multiply
from protocol.errors import InputError
from protocol.params import KEY_PROOF_ALPHA, KEY_PROOF_ROOTS
from scripts.attacks.crafted import SharedKey, SmoothKey, forged_proof, shared_key, smooth_key
from scripts.attacks.table import Row, Table

Matrix = list[list[int]]

#: Test keys: the attack takes seconds. A real key's residues carry three times as much.
BITS = 1024

#: An owner's matrix. 16 columns of 16-bit entries fit the residue of one 1024-bit reply.
ROWS, COLUMNS = 8, 16

#: Matrices that are tried for each cell of the table.
TRIALS = 5

#: The largest entry of a 16-bit matrix, and the digits to base 3 that hold one.
_LARGE, _LARGE_DIGITS = (1 << 15) - 1, 11

#: Standard deviations above chance, and one, that count as having read something: one run in some
#: hundred thousand gets there by luck.
_SIGMAS = 5.0


def run(entropy: Entropy = secrets.token_bytes, bits: int = BITS, trials: int = TRIALS) -> Table:
    """The whole table, on fresh keys of `bits` bits (1024 or more)."""
    smooth = smooth_key(bits, entropy)
    shared = shared_key(bits, _primes_above(KEY_PROOF_ALPHA, COLUMNS), entropy)
    key_proof.verify(smooth.private.public, key_proof.prove(smooth.private))
    rows = [
        read_valid_key("16-bit entries", smooth, _LARGE, _LARGE_DIGITS, trials, entropy),
        read_valid_key("entries of -1, 0 or 1", smooth, 1, 1, trials, entropy),
        read_shared_key(shared, trials, entropy),
        no_proof(smooth),
    ]
    notes = [
        f"Keys of {bits} bits; {trials} matrices a cell, {ROWS} x {COLUMNS}, one masked reply a "
        "row. Both keys pass the checks of a public key; the valid one's proof, too.",
    ]
    return Table("residue", "Reading an owner's matrix from its replies' residues", rows, notes)


def read_valid_key(
    what: str, key: SmoothKey, largest: int, digits: int, trials: int, entropy: Entropy
) -> Row:
    """Replies under a key with gcd(n, phi(n)) = 1, refreshed as contributions are encrypted (the
    requester's base, short exponents), and with u^n. Column j's ciphertext has the residue
    g^(3^(digits j)); entries are uniform in [-largest, largest]."""
    public = key.private.public
    weights = planted(
        public, [gmpy2.powmod(key.element, 3 ** (digits * j), public.n) for j in range(COLUMNS)]
    )

    def read(replies: Sequence[mpz]) -> Matrix:
        return [read_smooth(key, reply, digits) for reply in replies]

    expected = trials * ROWS * COLUMNS / 3**digits  # a uniform logarithm has uniform digits
    short = Source(public, entropy, trials * ROWS)
    total = trials * ROWS * COLUMNS
    without = _right(public, weights, largest, short, read, trials, entropy)
    with_it = _right(public, weights, largest, FullRange(public, entropy), read, trials, entropy)
    spread = math.sqrt(expected * (1 - 1 / 3**digits))
    stopped = with_it <= 1 + expected + _SIGMAS * spread
    return Row(
        f"{what}, a valid key: replies refreshed with its base h and short exponents, or with u^n",
        f"{without} of {total} read",
        f"{with_it} of {total} right, {expected:.3g} by chance",
        without == total and stopped,
    )


def read_shared_key(key: SharedKey, trials: int, entropy: Entropy) -> Row:
    """Replies refreshed with u^n under a key with gcd(n, phi(n)) > 1: u^n keeps to a subgroup, and
    what is planted beside it is read. The proof is what such a key cannot bring."""
    public = key.public
    weights = planted(public, key.elements)

    def read(replies: Sequence[mpz]) -> Matrix:
        return [read_shared(key, reply) for reply in replies]

    total = trials * ROWS * COLUMNS
    source = FullRange(public, entropy)
    without = _right(public, weights, _LARGE, source, read, trials, entropy)
    forged, roots = forged_proof(key)
    refusal = _refusal(public, forged)
    return Row(
        "16-bit entries, gcd(n, phi(n)) > 1, replies refreshed with u^n: no proof asked for, or "
        f"the best forgery brought ({roots} of {KEY_PROOF_ROOTS} roots right)",
        f"{without} of {total} read",
        f"refused: {refusal}" if refusal else "the forgery is taken",
        without == total and refusal is not None,
    )


def no_proof(key: SmoothKey) -> Row:
    """A key as such passes; asked for its proof, it does not without one."""
    public = PublicKey.from_bytes(key.private.public.to_bytes(), key.private.public.base_bytes())
    refusal = _refusal(public, b"")
    return Row(
        "a key that brings no proof: none asked for, or asked for",
        "taken",
        f"refused: {refusal}" if refusal else "taken",
        refusal is not None,
    )


def planted(public: PublicKey, residues: Sequence[mpz]) -> list[mpz]:
    """Encrypted weights that are these numbers modulo n: fine ciphertexts by every check that an
    owner can make. Their plaintexts are no matter: the reply's is masked."""
    return list(
        encrypt_with(public, range(len(residues)), (Obfuscator(r, mpz(0)) for r in residues))
    )


def answered(
    public: PublicKey,
    weights: Sequence[mpz],
    matrix: Matrix,
    source: Drawing,
    entropy: Entropy,
) -> Iterator[mpz]:
    """An owner's replies: the encrypted product, a uniform mask on each plaintext, a fresh factor
    from `source` on each residue."""
    for product in multiply(public.n, weights, np.array(matrix, np.int64)):
        mask = uniform_below(public.n, entropy)
        yield blind(public, add(public, product, mpz(1 + mask * public.n)), source.draw())


def read_smooth(key: SmoothKey, reply: mpz, digits: int) -> list[int]:
    """What a reply's residue modulo p says of one row: its logarithm to g, in balanced digits to
    the base 3^digits."""
    p, cofactor = key.p, (key.p - 1) // mpz(3) ** key.digits
    base = gmpy2.powmod(key.element, cofactor, p)
    logarithm = _logarithm_to_3(gmpy2.powmod(reply, cofactor, p), base, p, key.digits)
    size, entries = 3**digits, []
    for _ in range(COLUMNS):
        entry = _balanced(logarithm, size)
        entries.append(entry)
        logarithm = (logarithm - entry) // size
    return entries


def read_shared(key: SharedKey, reply: mpz) -> list[int]:
    """What a reply's residue modulo q says of one row: for each column a logarithm in a group of
    prime order l_j. (q - 1) / l_j times n is a multiple of q - 1: u^n is gone."""
    entries = []
    for prime, element in zip(key.shared, key.elements, strict=True):
        cofactor = (key.q - 1) // prime
        base, power = (gmpy2.powmod(each, cofactor, key.q) for each in (element, reply))
        entries.append(_balanced(_logarithm(power, base, key.q, int(prime)), int(prime)))
    return entries


def _right(
    public: PublicKey,
    weights: Sequence[mpz],
    largest: int,
    source: Drawing,
    read: Callable[[Sequence[mpz]], Matrix],
    trials: int,
    entropy: Entropy,
) -> int:
    """How many entries of fresh matrices are read right."""
    right = 0
    for _ in range(trials):
        matrix = [
            [uniform_below(2 * largest + 1, entropy) - largest for _ in range(COLUMNS)]
            for _ in range(ROWS)
        ]
        guess = read(list(answered(public, weights, matrix, source, entropy)))
        for guessed, row in zip(guess, matrix, strict=True):
            right += sum(a == b for a, b in zip(guessed, row, strict=True))
    return right


def _refusal(public: PublicKey, proof: bytes) -> str | None:
    """Why an owner refuses the key with this proof; None if it does not."""
    try:
        key_proof.verify(public, proof)
    except InputError as error:
        return str(error)
    return None


def _balanced(number: int, size: int) -> int:
    """The number modulo `size`, odd, that lies nearest to 0."""
    rest = int(number) % size
    return rest - size if rest > size // 2 else rest


def _logarithm_to_3(power: mpz, base: mpz, modulus: mpz, digits: int) -> int:
    """The logarithm of `power` to `base`, which has order 3^digits: a digit at a time."""
    third = gmpy2.powmod(base, mpz(3) ** (digits - 1), modulus)
    values = {mpz(1): 0, third: 1, third * third % modulus: 2}
    logarithm, step, inverse = 0, 1, gmpy2.invert(base, modulus)
    for digit in range(digits):
        value = values[gmpy2.powmod(power, mpz(3) ** (digits - 1 - digit), modulus)]
        power = power * gmpy2.powmod(inverse, value * step, modulus) % modulus
        logarithm += value * step
        step *= 3
    return logarithm


def _logarithm(power: mpz, base: mpz, modulus: mpz, order: int) -> int:
    """The logarithm of `power` to `base`, which has the small order `order`: Shanks' two tables."""
    width = math.isqrt(order) + 1
    small, element = {}, mpz(1)
    for index in range(width):
        small[element] = index
        element = element * base % modulus
    back = gmpy2.invert(element, modulus)
    for jump in range(width):
        if power in small:
            return jump * width + small[power]
        power = power * back % modulus
    raise ValueError("there is no logarithm to this base")


def _primes_above(number: int, count: int) -> list[int]:
    primes = []
    for _ in range(count):
        number = int(gmpy2.next_prime(number))
        primes.append(number)
    return primes
