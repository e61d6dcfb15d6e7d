"""pypaillier's side: (1 + m n) h^r with a table for h, in Rust over GMP, one thread.

It takes any modulus as a public key and derives h from it, so all keys are the same; a private key
it makes only by itself, of safe primes, which takes a minute: what it encrypts is decrypted here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import paillier

PACKAGES = ("pypaillier",)


@cache
def public_key(n: int) -> paillier.PublicKey:
    """The key for the modulus, with its table: made once."""
    return paillier.PublicKey.from_n(n.to_bytes((n.bit_length() + 7) // 8, "big"))


def decrypted(p: int, q: int, blob: bytes) -> int:
    """The plaintext in [0, n) of its form: a byte of scale, then the ciphertext, big-endian."""
    n, order = p * q, (p - 1) * (q - 1)
    residue = pow(int.from_bytes(blob[1:], "big"), order, n * n)
    return (residue - 1) // n * pow(order, -1, n) % n


def obfuscate(p: int, q: int, plaintexts: Sequence[int]) -> dict[str, object]:
    """One encryption: the mean of `plaintexts`, of magnitude below n / 2^21, in one call.

    Raises ValueError if one does not decrypt to what it was.
    """
    key = public_key(p * q)
    began = time.perf_counter()
    blobs = paillier.encrypt_integers(key, plaintexts)
    seconds = time.perf_counter() - began
    # Plain integers are slow at this: the first and the last stand for all.
    for index in (0, len(plaintexts) - 1):
        if decrypted(p, q, bytes(blobs[index])) != plaintexts[index] % (p * q):
            raise ValueError(f"ciphertext {index} does not decrypt to its plaintext")
    return {
        "seconds": seconds / len(plaintexts),
        "counts": {"exponent bits": key.exponent_bits},
    }


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"obfuscate": obfuscate}
