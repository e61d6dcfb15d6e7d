"""sf-heu's side of the encrypted product: `matmul` of its arrays, under a key of its own.

Its arrays hold a value a ciphertext. Its encoder of two values in one is exact only where no entry
is negative: lanes borrow from each other. What else can be had of it, its caller does: make entries
positive and take off what that added, put lanes into its big integers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache

import heu.numpy as hnp
import numpy as np
from heu import phe

from scripts.benchmarks.sides import product
from scripts.benchmarks.sides.product import Integers

PACKAGES = ("sf-heu", "numpy")


@cache
def kit(bits: int) -> hnp.HeKit:
    """A key, and the table of its base: made once."""
    return hnp.setup(phe.SchemaType.ZPaillier, bits)


def opened(bits: int, result: hnp.CiphertextArray) -> list[int]:
    """What a result decrypts to, row by row."""
    return [int(value) for value in kit(bits).decryptor().decrypt(result).to_numpy().ravel()]


def multiply(
    bits: int, rows: int, columns: int, classes: int, entry_bits: int
) -> dict[str, object]:
    """Encrypted weights times the matrix: all classes in one call, or a call a class, whichever is
    faster. Raises ValueError if one does not decrypt to the product of what went in."""
    entries = product.matrix(rows, columns, entry_bits)
    weights = product.weights(columns, classes, entry_bits)
    tools = kit(bits)
    encrypt, matmul = tools.encryptor().encrypt, tools.evaluator().matmul
    plain, whole = tools.array(entries), encrypt(tools.array(weights))
    each = [encrypt(tools.array(weights[:, k].copy())) for k in range(classes)]

    began = time.perf_counter()
    at_once = matmul(plain, whole)
    whole_seconds = time.perf_counter() - began
    began = time.perf_counter()
    by_class = [matmul(plain, one) for one in each]
    each_seconds = time.perf_counter() - began

    expected = entries @ weights
    found = np.array(opened(bits, at_once)).reshape(rows, classes)
    columnwise = np.array([opened(bits, one) for one in by_class]).T
    if not (np.array_equal(found, expected) and np.array_equal(columnwise, expected)):
        raise ValueError("the product does not decrypt to the product of what went in")
    return {
        "seconds": min(whole_seconds, each_seconds),
        "counts": {
            "digest": product.digest(found),
            "at once": whole_seconds,
            "by class": each_seconds,
        },
    }


def helped(
    bits: int, lane_bits: int, rows: int, columns: int, classes: int, entry_bits: int
) -> dict[str, object]:
    """The same where its caller makes all entries positive and takes off what that added: a call a
    class (the seconds), and all classes in lanes that the caller packed.

    Raises ValueError as `multiply` does.
    """
    entries = product.matrix(rows, columns, entry_bits)
    weights = product.weights(columns, classes, entry_bits)
    expected = entries @ weights
    seconds = 0.0
    for k in range(classes):
        one, took = shifted(bits, entries, weights[:, k].copy(), entry_bits)
        if one != expected[:, k].tolist():
            raise ValueError("the shifted product is not the product of what went in")
        seconds += took
    lanes = np.array(product.packed(weights, lane_bits), dtype=object)
    together, took = shifted(bits, entries, lanes, entry_bits)
    if together != product.packed(expected, lane_bits):
        raise ValueError("the product of lanes is not the product of what went in")
    return {"seconds": seconds, "counts": {"lanes": took}}


def shifted(
    bits: int, entries: Integers, vector: np.ndarray, entry_bits: int
) -> tuple[list[int], float]:
    """(M + 2^(b-1)) x - 2^(b-1) sum(x), decrypted, and the seconds before that."""
    tools, half = kit(bits), 1 << (entry_bits - 1)
    evaluator = tools.evaluator()
    matmul = evaluator.matmul
    ciphertexts = tools.encryptor().encrypt(tools.array(vector))
    rows, columns = entries.shape
    positive = tools.array(entries + half)
    ones = tools.array(np.ones((1, columns), np.int64))
    minus, spread = tools.array(np.array([[-half]])), tools.array(np.ones((rows, 1), np.int64))
    began = time.perf_counter()
    excess = matmul(spread, matmul(minus, matmul(ones, ciphertexts)))
    result = evaluator.add(matmul(positive, ciphertexts), excess)
    seconds = time.perf_counter() - began
    return opened(bits, result), seconds


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "multiply": multiply,
    "helped": helped,
}
