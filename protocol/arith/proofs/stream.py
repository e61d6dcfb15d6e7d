"""Numbers that a seed of 32 bytes stands for: field elements, bounded integers, signs.

AES-256 in counter mode under a key of its own for every purpose (HKDF-Expand, RFC 5869): the
stream of secagg/masks.py, from its counter block 2 on. All of it is uniform: what does not fit is
skipped, and the next word taken.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol.arith.numbers.entropy import checked_seed
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs.field import Elements, P

Bits = npt.NDArray[np.int8]

_TAG: Final = b"assay/1 proof stream\x00"

#: Keystream made at a time: it stays in a core's cache.
_CHUNK: Final = 1 << 18
_ZEROS: Final = bytes(_CHUNK)


class Stream:
    """The stream of one seed and purpose. Each call goes on where the last one ended."""

    def __init__(self, seed: bytes, purpose: str) -> None:
        info = _TAG + purpose.encode()
        key = HKDFExpand(SHA256(), 32, info).derive(checked_seed(seed))
        # GCM's tag is never asked for: its path through OpenSSL is the fast one (secagg/masks.py).
        self._cipher = Cipher(algorithms.AES256(key), modes.GCM(bytes(12))).encryptor()

    def words(self, count: int) -> Elements:
        """The next `count` words of 64 bits, little-endian."""
        found = np.empty(count, dtype="<u8")
        data = found.view(np.uint8).data
        for start in range(0, 8 * count, _CHUNK):
            part = data[start : start + _CHUNK]
            self._cipher.update_into(_ZEROS[: len(part)], part)
        return found.astype(np.uint64, copy=False)

    def elements(self, count: int) -> Elements:
        """The next `count` words that are below p: one in 2^32 is not."""
        return self._below(count, P)

    def bounded(self, count: int, bound: int) -> Integers:
        """`count` integers, uniform in [-bound, bound]: words below the largest multiple of
        2 bound + 1, modulo 2 bound + 1, less bound."""
        width = 2 * bound + 1
        words = self._below(count, (1 << 64) // width * width)
        return np.asarray((words % np.uint64(width)).astype(np.int64) - bound)

    def signs(self, count: int, rows: int) -> Bits:
        """(count, rows) of -1, 0 and 1 with chances 1/4, 1/2 and 1/4; `rows` is a multiple of 8.

        For each of `count`: rows / 8 bytes of bits a, then as many of bits b, the highest bit of a
        byte first; a - b.
        """
        size = rows // 8
        data = self._cipher.update(bytes(2 * size * count))
        bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8)).view(np.int8)
        pairs = bits.reshape(count, 2, rows)
        return np.asarray(pairs[:, 0] - pairs[:, 1])

    def _below(self, count: int, limit: int) -> Elements:
        found = self.words(count)
        top = np.uint64(limit - 1)
        while np.any(found > top):
            kept = found[found <= top]
            found = np.concatenate((kept, self.words(count - kept.size)))
        return found
