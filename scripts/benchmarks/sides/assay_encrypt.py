"""assay's side of encryption: protocol/arith, called as the daemon's workers call it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from gmpy2 import mpz

from protocol.arith.encoding.lanes import Integers, Lanes
from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.arith.numbers.shape import NOBODY
from protocol.arith.paillier import cryptosystem as paillier
from protocol.arith.paillier.batch import add_batches, encode_batch, read_batch, sum_encoded
from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey
from protocol.arith.paillier.obfuscation import Source
from protocol.arith.paillier.pool import Pool
from scripts.benchmarks.sides import peak
from scripts.benchmarks.sides.parts import Parts, gradient

PACKAGES = ("gmpy2", "numpy")

_ENTROPY = secrets.token_bytes

#: What tables are shaped for, as a pool's is.
_EXPECTED = 10_000


@cache
def private_key(key: str) -> PrivateKey:
    """A key of the bench's, from its bytes in hexadecimal digits."""
    return PrivateKey.from_bytes(bytes.fromhex(key))


@cache
def source(key: str) -> Source:
    """Obfuscators with their table standing."""
    return Source(private_key(key).public, _ENTROPY, _EXPECTED)


def emptied(public: PublicKey) -> tuple[Pool, float]:
    """A pool that is empty and whose table stands, and the seconds that took."""
    pool = Pool(public, _ENTROPY, os.getpid)
    began = time.perf_counter()
    pool.fill(1)
    seconds = time.perf_counter() - began
    for _ in pool.take(1):
        pass
    if len(pool):
        raise ValueError(f"{len(pool)} obfuscators are in a pool that is to be empty")
    return pool, seconds


def send(
    pool: Pool, lanes: Lanes, values: int, clip: float, parts: Parts
) -> tuple[bytes, Integers]:
    """A gradient from floats to the bytes that are sent, and what they are to hold."""
    whole, fixed_point = gradient(0, values, clip), FixedPoint(lanes.value_bits, clip)
    with parts("quantise"):
        integers = fixed_point.quantise(whole, _ENTROPY)
    with parts("pack"):
        plaintexts = lanes.pack(integers)
    with parts("encrypt"):
        ciphertexts = list(pool.encrypt(plaintexts))
    with parts("encode"):
        batch = encode_batch(pool.public, ciphertexts, NOBODY)
    return batch, integers


def check(private: PrivateKey, lanes: Lanes, batch: bytes, integers: Integers) -> None:
    """Raises ValueError if a batch does not decrypt to `integers`."""
    count = lanes.ciphertexts(integers.size)
    read = [int(number) for number in read_batch(batch, private.public, count, NOBODY)]
    if not np.array_equal(lanes.unpack(private.decrypt(read), integers.size), integers):
        raise ValueError("the batch does not decrypt to what went in")


def cold(key: str, values: int, value_bits: int, summands: int, clip: float) -> dict[str, object]:
    """A whole gradient, the table built, the pool empty. Raises ValueError as `check` does."""
    private, parts = private_key(key), Parts()
    lanes = Lanes(value_bits, summands, private.public.bits)
    pool, table_seconds = emptied(private.public)
    batch, integers = send(pool, lanes, values, clip, parts)
    check(private, lanes, batch, integers)
    counts = {
        "ciphertexts": lanes.ciphertexts(values),
        "bytes": len(batch),
        "table seconds": table_seconds,
    }
    return {**parts.reply(), "counts": counts}


@cache
def kept_pool(key: str) -> Pool:
    """A pool that stays from run to run, as in a daemon."""
    return Pool(private_key(key).public, _ENTROPY, os.getpid)


def warm(key: str, values: int, value_bits: int, summands: int, clip: float) -> dict[str, object]:
    """A whole gradient with a pool that holds enough. Raises ValueError as `check` does."""
    private, pool, parts = private_key(key), kept_pool(key), Parts()
    lanes = Lanes(value_bits, summands, private.public.bits)
    count = lanes.ciphertexts(values)
    began = time.perf_counter()
    pool.fill(count - len(pool))
    fill_seconds = time.perf_counter() - began
    if len(pool) < count:
        raise ValueError(f"the pool holds {len(pool)} obfuscators, {count} are needed")
    batch, integers = send(pool, lanes, values, clip, parts)
    check(private, lanes, batch, integers)
    return {**parts.reply(), "counts": {"ciphertexts": count, "fill seconds": fill_seconds}}


def obfuscate(key: str, plaintexts: Sequence[int]) -> dict[str, object]:
    """One encryption: the mean of `plaintexts`. Raises ValueError if one does not come back."""
    private, drawn = private_key(key), source(key)
    public, comb = private.public, drawn.comb
    began = time.perf_counter()
    ciphertexts = list(
        paillier.encrypt_with(public, plaintexts, (drawn.draw() for _ in plaintexts))
    )
    seconds = time.perf_counter() - began
    if private.decrypt([int(number) for number in ciphertexts]) != list(plaintexts):
        raise ValueError("a ciphertext does not decrypt to its plaintext")
    counts = {
        "exponent bits": comb.teeth * comb.columns,
        "table bytes": (comb.blocks << comb.teeth) * public.ciphertext_bytes,
    }
    return {"seconds": seconds / len(ciphertexts), "counts": counts}


def decrypt(key: str, ciphertexts: Sequence[int], plaintexts: Sequence[int]) -> dict[str, object]:
    """One ciphertext: the mean of `ciphertexts`. Raises ValueError on another plaintext."""
    private = private_key(key)
    began = time.perf_counter()
    found = private.decrypt(ciphertexts)
    seconds = time.perf_counter() - began
    if found != list(plaintexts):
        raise ValueError("a ciphertext does not decrypt to its plaintext")
    return {"seconds": seconds / len(found)}


def add(key: str, ciphertexts: Sequence[int], plaintexts: Sequence[int]) -> dict[str, object]:
    """One addition: the mean over all but the first, each to the sum so far.

    Raises ValueError if the sum does not decrypt to the plaintexts' sum.
    """
    private = private_key(key)
    public, add_one = private.public, paillier.add
    numbers = [mpz(ciphertext) for ciphertext in ciphertexts]
    began = time.perf_counter()
    total = numbers[0]
    for number in numbers[1:]:
        total = add_one(public, total, number)
    seconds = time.perf_counter() - began
    if private.decrypt([int(total)]) != [sum(plaintexts)]:
        raise ValueError("the sum does not decrypt to the plaintexts' sum")
    return {"seconds": seconds / (len(numbers) - 1)}


@cache
def contribution(
    key: str, owner: int, values: int, value_bits: int, summands: int
) -> tuple[bytes, Integers]:
    """An owner's batch, and what it holds."""
    public, high = private_key(key).public, FixedPoint(value_bits, 1.0).max_int
    integers = np.rint(gradient(owner, values, float(high))).astype(np.int64)
    plaintexts = Lanes(value_bits, summands, public.bits).pack(integers)
    drawn = (source(key).draw() for _ in plaintexts)
    ciphertexts = list(paillier.encrypt_with(public, plaintexts, drawn))
    return encode_batch(public, ciphertexts, NOBODY), integers


def aggregate(key: str, values: int, value_bits: int, summands: int) -> dict[str, object]:
    """What a contribution takes to be added, where a block's are summed from their bytes as the
    requester does; and, counted, one alone with all checks, and one in memory with none.

    Two owners' contributions take turns at being the block's. Raises ValueError if the sum does not
    decrypt to the sum of what went in.
    """
    private = private_key(key)
    public, lanes = private.public, Lanes(value_bits, summands, private.public.bits)
    count = lanes.ciphertexts(values)
    (first, a), (second, b) = (
        contribution(key, owner, values, value_bits, summands) for owner in (0, 1)
    )
    half = summands // 2
    began = time.perf_counter()
    total = list(sum_encoded(public, [first, second] * half, count))
    # The first is there; each of the others is added.
    seconds = (time.perf_counter() - began) / (2 * half - 1)
    opened = lanes.unpack(private.decrypt([int(number) for number in total]), values)
    if not np.array_equal(opened, half * (a + b)):
        raise ValueError("the sum does not decrypt to the sum of what went in")

    began = time.perf_counter()
    list(add_batches(public, [iter(total), read_batch(second, public, count, NOBODY)]))
    checked = time.perf_counter() - began
    in_memory = list(read_batch(second, public, count, NOBODY))
    began = time.perf_counter()
    list(add_batches(public, [iter(total), iter(in_memory)]))
    bare = time.perf_counter() - began
    counts = {"ciphertexts": count, "alone": checked, "in memory": bare}
    return {"seconds": seconds, "counts": counts}


def open_batch(key: str, values: int, value_bits: int, summands: int) -> dict[str, object]:
    """Decrypting a contribution and reading its lanes. Raises ValueError as `check` does."""
    private = private_key(key)
    lanes = Lanes(value_bits, summands, private.public.bits)
    batch, integers = contribution(key, 0, values, value_bits, summands)
    began = time.perf_counter()
    check(private, lanes, batch, integers)
    return {"seconds": time.perf_counter() - began, "counts": {"bytes": len(batch)}}


def engine(key: str, count: int) -> dict[str, object]:
    """Encrypting `count` plaintexts, the table built, none prepared; and what it multiplies.

    Raises ValueError if one does not come back.
    """
    private, drawn = private_key(key), source(key)
    public, comb = private.public, drawn.comb
    plaintexts = [int(number) for number in _numbers(count, 2 ** (public.bits - 8))]
    began = time.perf_counter()
    ciphertexts = list(
        paillier.encrypt_with(public, plaintexts, (drawn.draw() for _ in plaintexts))
    )
    seconds = time.perf_counter() - began
    if private.decrypt([int(number) for number in ciphertexts]) != plaintexts:
        raise ValueError("a ciphertext does not decrypt to its plaintext")
    counts = {"blocks": comb.blocks, "depth": comb.depth, "entries": 1 << comb.teeth}
    return {"seconds": seconds, "counts": counts}


def multiplications(
    key: str, count: int, blocks: int, depth: int, entries: int
) -> dict[str, object]:
    """The products of `count` encryptions by gmpy2 and nothing else: `depth` times one of a number
    modulo n^2 with a random entry of each block of a table, squarings modulo n^2 between, and the
    two modulo n that join obfuscator and plaintext. The entries are looked up beforehand."""
    public = private_key(key).public
    n, n_squared, table = mpz(public.n), public.n_squared, table_like(key, blocks, entries)
    chosen = [
        [[block[secrets.randbelow(entries)] for block in table] for _ in range(depth)]
        for _ in range(count)
    ]
    product = n_squared // 3
    began = time.perf_counter()
    for columns in chosen:
        for index, column in enumerate(columns):
            if index:
                product = product * product % n_squared
            for entry in column:
                product = product * entry % n_squared
        for column in columns[0], columns[-1]:
            column[0] * column[-1] % n
    return {"seconds": time.perf_counter() - began}


@cache
def table_like(key: str, blocks: int, entries: int) -> list[list[mpz]]:
    """Random numbers modulo n, as many as a table has."""
    n = private_key(key).public.n
    return [_numbers(entries, n) for _ in range(blocks)]


def _numbers(count: int, bound: int) -> list[mpz]:
    """Random numbers below `bound`, for what their size and nothing else matters."""
    size = (bound.bit_length() + 7) // 8
    return [mpz(int.from_bytes(secrets.token_bytes(size), "big") % bound) for _ in range(count)]


def memory(key: str, values: int, value_bits: int, summands: int, clip: float) -> dict[str, object]:
    """The most memory that this process ever had, before it encrypts a gradient and after, the
    table counted in the second. Raises ValueError as `check` does."""
    private, parts = private_key(key), Parts()
    lanes = Lanes(value_bits, summands, private.public.bits)
    before = peak.resident()
    pool, _ = emptied(private.public)
    batch, integers = send(pool, lanes, values, clip, parts)
    most = peak.resident()
    check(private, lanes, batch, integers)
    return {**parts.reply(), "counts": {"bytes": most, "bytes before": before}}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "cold": cold,
    "warm": warm,
    "obfuscate": obfuscate,
    "decrypt": decrypt,
    "add": add,
    "aggregate": aggregate,
    "open": open_batch,
    "engine": engine,
    "multiplications": multiplications,
    "memory": memory,
}
