"""Paillier's cryptosystem on phe's keys: g = n + 1, private key (p, q). EUROCRYPT 1999, section 7.

Whatever assay encrypts, phe decrypts, and the other way round: a ciphertext is
(1 + m n) rho mod n^2 with rho an n-th residue, however rho was made (obfuscation.py).
Plaintexts are signed here: m in (-n/2, n/2) stands for m modulo n.

The entrance to the engine: `generate_key`, `generate_short_key`, `PublicKey`, `PrivateKey`,
`encrypt`, `add`; pool.Pool encrypts with obfuscators made ahead, batch.py reads, adds and writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.keygen import generate_key, generate_short_key
from protocol.arith.paillier.obfuscation import Obfuscator, obfuscators
from protocol.arith.paillier.private_key import PrivateKey, ShortOrder
from protocol.arith.paillier.public_key import PublicKey
from protocol.errors import FatalError

__all__ = (
    "PrivateKey",
    "PublicKey",
    "ShortOrder",
    "add",
    "encrypt",
    "encrypt_with",
    "generate_key",
    "generate_short_key",
)


def encrypt(public: PublicKey, plaintexts: Sequence[int], entropy: Entropy) -> list[int]:
    """Fresh ciphertexts of signed plaintexts, all of them as int.

    Raises FatalError if a plaintext is not in (-n, n): it would come back as another number.
    """
    drawn = obfuscators(public, len(plaintexts), entropy)
    return [int(ciphertext) for ciphertext in encrypt_with(public, plaintexts, drawn)]


def encrypt_with(
    public: PublicKey, plaintexts: Iterable[int], drawn: Iterable[Obfuscator]
) -> Iterator[mpz]:
    """Ciphertexts of signed plaintexts, one by one; as many obfuscators as plaintexts, each used
    nowhere else. Raises FatalError as `encrypt` does.

    (1 + m n)(a + y n) = a + (y + a m) n modulo n^2: one product modulo n and one with n, a third
    of what multiplying modulo n^2 takes.
    """
    n = mpz(public.n)
    for index, (plaintext, (residue, quotient)) in enumerate(zip(plaintexts, drawn, strict=True)):
        if not -n < plaintext < n:
            raise FatalError(f"plaintext {index} does not fit the key")
        yield residue + (quotient + residue * plaintext) % n * n


def add(public: PublicKey, a: mpz, b: mpz) -> mpz:
    """A ciphertext of the sum of two ciphertexts' plaintexts, modulo n.

    mpz in, mpz out, as the engine keeps them; int is taken too, and costs a conversion.
    """
    return a * b % public.n_squared
