"""Randomness comes in from outside: a callable for secrets, a 32-byte seed for replayed draws.

Nothing under protocol/ draws randomness of its own, except two libraries that take it from the
system (docs/spec/arithmetic.md, 'Randomness').
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from protocol.errors import FatalError

#: n -> n bytes that nobody else can guess; `secrets.token_bytes` in the daemon.
Entropy: TypeAlias = Callable[[int], bytes]

SEED_BYTES: Final = 32


def draw(entropy: Entropy, count: int) -> bytes:
    """`count` bytes from `entropy`.

    Raises FatalError if the source returns another number of bytes: a short read would otherwise
    become a short exponent or a biased rounding.
    """
    data = entropy(count)
    if len(data) != count:
        raise FatalError(f"the entropy source gave {len(data)} bytes where {count} were asked for")
    return data


def uniform_below(bound: int, entropy: Entropy) -> int:
    """A uniform integer in [0, bound), by rejection: at most two draws are expected."""
    if bound < 1:
        raise FatalError(f"no integer lies in [0, {bound})")
    bits = (bound - 1).bit_length()
    size = (bits + 7) // 8
    while True:
        value = int.from_bytes(draw(entropy, size), "big") >> (8 * size - bits)
        if value < bound:
            return value


def generator(seed: bytes, purpose: str) -> np.random.Generator:
    """A numpy generator that `seed` determines; another `purpose` gives an unrelated stream.

    Philox keyed by SHA-256: enough for shuffling rows, never used where secrecy of the stream
    itself matters beyond that of the seed.
    """
    digest = hashlib.sha256(b"assay/" + purpose.encode() + b"\0" + checked_seed(seed)).digest()
    key = np.frombuffer(digest[:16], dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


def uniform_from_seed(
    seed: bytes, purpose: str, count: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """`count` float64 in [0, 1) that any implementation reproduces bit for bit.

    SHAKE-256 of ('assay/' purpose 0x00 seed), read as little-endian 64-bit words, whose upper 53
    bits make one number each. numpy's distributions may change between its versions (NEP 19), and
    this stream stands under a model's digest.
    """
    material = b"assay/" + purpose.encode() + b"\0" + checked_seed(seed)
    words = np.frombuffer(hashlib.shake_256(material).digest(8 * count), dtype="<u8")
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def from_seed(seed: bytes, purpose: str) -> Entropy:
    """An entropy that a secret seed determines, for computations that must give the same result
    when they are done again. Each call gives other bytes: SHAKE-256 of ('assay/' purpose 0x00 seed,
    the call's number as u32)."""
    start = b"assay/" + purpose.encode() + b"\0" + checked_seed(seed)
    calls = itertools.count()

    def entropy(count: int) -> bytes:
        return hashlib.shake_256(start + next(calls).to_bytes(4, "big")).digest(count)

    return entropy


def checked_seed(seed: bytes) -> bytes:
    """`seed` itself; FatalError unless it holds SEED_BYTES bytes."""
    if len(seed) != SEED_BYTES:
        raise FatalError(f"a seed has {SEED_BYTES} bytes, this one {len(seed)}")
    return seed
