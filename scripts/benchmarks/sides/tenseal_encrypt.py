"""TenSEAL's side: CKKS, as many values in a ciphertext as it has slots.

The owners encrypt with the public key, as assay's do: the symmetric form, which is half the size,
would let each open the others'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import tenseal

from scripts.benchmarks.sides.parts import gradient

PACKAGES = ("tenseal", "numpy")


@cache
def context(degree: int, chain: tuple[int, ...], scale_bits: int) -> tenseal.Context:
    """A key, for a chain of primes of so many bits; the last one only serves the keys."""
    made = tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=list(chain))
    made.global_scale = 2**scale_bits
    return made


def ckks(
    values: int, clip: float, degree: int, chain: Sequence[int], scale_bits: int, within: float
) -> dict[str, object]:
    """Encrypts a gradient, adds it to another's, decrypts the sum.

    Seconds are those of encrypting, serialised; bytes those of the one contribution. Raises
    ValueError if a decrypted sum is further than `within` from the true one.
    """
    made, half = context(degree, tuple(chain), scale_bits), degree // 2
    mine, other = gradient(0, values, clip), gradient(1, values, clip)
    began = time.perf_counter()
    blobs = [
        tenseal.ckks_vector(made, mine[start : start + half]).serialize()
        for start in range(0, values, half)
    ]
    encrypted = time.perf_counter() - began
    total = [
        tenseal.ckks_vector(made, other[start : start + half]) for start in range(0, values, half)
    ]
    began = time.perf_counter()
    for chunk, blob in zip(total, blobs, strict=True):
        chunk.add_(tenseal.ckks_vector_from(made, blob))
    added = time.perf_counter() - began
    began = time.perf_counter()
    opened = [value for chunk in total for value in chunk.decrypt()]
    decrypted = time.perf_counter() - began
    error = float(np.abs(np.array(opened) - mine - other).max())
    if len(opened) != values or error > within:
        raise ValueError(f"the opened sum is {error} from the true one, at most {within} is right")
    return {
        "seconds": encrypted,
        "parts": {"encrypt": encrypted, "add": added, "decrypt": decrypted},
        "counts": {"bytes": sum(map(len, blobs)), "ciphertexts": len(blobs), "error": error},
    }


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"ckks": ckks}
