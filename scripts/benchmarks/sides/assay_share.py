"""What a worker encrypts when a batch is shared out: a function that workers can import."""

from __future__ import annotations

import os
import secrets
from functools import cache

from protocol.arith.paillier.cryptosystem import PublicKey
from protocol.arith.paillier.pool import Pool


@cache
def _pool(n: bytes, base: bytes) -> Pool:
    return Pool(PublicKey.from_bytes(n, base), secrets.token_bytes, os.getpid)


def encrypted(n: bytes, base: bytes, plaintexts: list[int]) -> list[bytes]:
    """Ciphertexts as bytes, big-endian. A process builds its table when it is first called."""
    pool = _pool(n, base)
    size = pool.public.ciphertext_bytes
    return [int(number).to_bytes(size, "big") for number in pool.encrypt(plaintexts)]
