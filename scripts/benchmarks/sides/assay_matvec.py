"""assay's side of the encrypted product, and the same from gmpy2's powers, one an entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import gmpy2
from gmpy2 import mpz

from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed.matvec import Plan, multiply
from scripts.benchmarks.sides import product
from scripts.benchmarks.sides.product import Integers

PACKAGES = ("gmpy2", "numpy")

Multiply = Callable[[int, Sequence[mpz], Integers, int], list[mpz]]


def by_powers(n: int, ciphertexts: Sequence[mpz], matrix: Integers, _entry_bits: int) -> list[mpz]:
    """A power for each entry, as gmpy2 takes it: a negative one by an inverse and a power."""
    n_squared, powmod = mpz(n) * n, gmpy2.powmod
    products = []
    for row in matrix.tolist():
        total = mpz(1)
        for ciphertext, entry in zip(ciphertexts, row, strict=True):
            total = total * powmod(ciphertext, entry, n_squared) % n_squared
        products.append(total)
    return products


def timed(
    compute: Multiply,
    key: str,
    ciphertexts: Sequence[int],
    lane_bits: int,
    rows: int,
    columns: int,
    classes: int,
    entry_bits: int,
) -> dict[str, object]:
    """One product, all classes in the lanes of one ciphertext a column.

    Raises ValueError if it does not decrypt to the product of what went in.
    """
    private = PrivateKey.from_bytes(bytes.fromhex(key))
    entries = product.matrix(rows, columns, entry_bits)
    numbers = [mpz(ciphertext) for ciphertext in ciphertexts]
    began = time.perf_counter()
    products = compute(private.public.n, numbers, entries, entry_bits)
    seconds = time.perf_counter() - began
    expected = entries @ product.weights(columns, classes, entry_bits)
    opened = private.decrypt([int(number) for number in products])
    if opened != product.packed(expected, lane_bits):
        raise ValueError("the product does not decrypt to the product of what went in")
    counts = {
        "digest": product.digest(expected),
        "multiplications": Plan.cheapest(rows, columns, entry_bits).steps,
    }
    return {"seconds": seconds, "counts": counts}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "multiply": partial(timed, multiply),
    "powers": partial(timed, by_powers),
}
