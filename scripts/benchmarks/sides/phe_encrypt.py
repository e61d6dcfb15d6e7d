"""phe's side: values one by one, as its users encrypt them, with gmpy2 beneath (it is much slower
without)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from phe import util
from phe.paillier import EncryptedNumber, PaillierPrivateKey, PaillierPublicKey

from scripts.benchmarks.sides.parts import gradient

PACKAGES = ("phe", "gmpy2", "numpy")

if not util.HAVE_GMP:
    raise RuntimeError("phe does not find gmpy2: its figures would be those of Python's integers")


@cache
def private_key(p: int, q: int) -> PaillierPrivateKey:
    """The key that all sides share."""
    return PaillierPrivateKey(PaillierPublicKey(p * q), p, q)


def encrypt(p: int, q: int, values: int, clip: float, sample: int) -> dict[str, object]:
    """Seconds for a whole gradient, from `sample` of its values, evenly spread.

    Raises ValueError if one does not decrypt to what it was.
    """
    key = private_key(p, q)
    whole = gradient(0, values, clip)
    chosen = [float(value) for value in whole[:: values // sample][:sample]]
    encrypt_one = key.public_key.encrypt
    began = time.perf_counter()
    encrypted = [encrypt_one(value) for value in chosen]
    seconds = time.perf_counter() - began
    if [key.decrypt(number) for number in encrypted] != chosen:
        raise ValueError("a value does not decrypt to what it was")
    sizes = [(number.ciphertext(False).bit_length() + 7) // 8 for number in encrypted]
    return {
        "seconds": seconds * values / len(chosen),
        "counts": {"bytes a value": float(np.mean(sizes))},
    }


def decrypt(
    p: int, q: int, ciphertexts: Sequence[int], plaintexts: Sequence[int]
) -> dict[str, object]:
    """One ciphertext: the mean of `ciphertexts`. Raises ValueError on another plaintext."""
    key = private_key(p, q)
    began = time.perf_counter()
    found = [key.raw_decrypt(ciphertext) for ciphertext in ciphertexts]
    seconds = time.perf_counter() - began
    if found != [plaintext % key.public_key.n for plaintext in plaintexts]:
        raise ValueError("a ciphertext does not decrypt to its plaintext")
    return {"seconds": seconds / len(found)}


def add(p: int, q: int, ciphertexts: Sequence[int], plaintexts: Sequence[int]) -> dict[str, object]:
    """One addition: the mean over all but the first, each to the sum so far.

    Raises ValueError if the sum does not decrypt to the plaintexts' sum.
    """
    key = private_key(p, q)
    numbers = [EncryptedNumber(key.public_key, ciphertext) for ciphertext in ciphertexts]
    began = time.perf_counter()
    total = numbers[0]
    for number in numbers[1:]:
        total = total + number
    seconds = time.perf_counter() - began
    if key.raw_decrypt(total.ciphertext(False)) != sum(plaintexts) % key.public_key.n:
        raise ValueError("the sum does not decrypt to the plaintexts' sum")
    return {"seconds": seconds / (len(numbers) - 1)}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "encrypt": encrypt,
    "decrypt": decrypt,
    "add": add,
}
