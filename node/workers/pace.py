"""How fast this machine computes with Paillier ciphertexts: single operations, timed here and now.

`assay job check` multiplies them by a sealed job's exact counts (protocol/cost/sealed.py). Nothing
here is secret and nothing is kept. The modulus is any number of the right length.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import gmpy2
import numpy as np
from gmpy2 import mpz

from protocol.arith.numbers.shape import NOBODY
from protocol.arith.paillier.batch import encode_batch, read_batch
from protocol.arith.paillier.blinding import FullRange
from protocol.arith.paillier.obfuscation import Source
from protocol.arith.paillier.public_key import PublicKey, short_exponent_bits, small_primes
from protocol.arith.sealed import matvec
from protocol.arith.secagg.masks import Residues
from protocol.cost.sealed import ENTRY_BITS, Pace
from protocol.errors import InputError

#: Each operation is timed so many times and the fastest counts, because other work only slows it.
_TRIES: Final = 3

_SIDE: Final = 24  # of the matrix that is multiplied
_CIPHERTEXTS: Final = 16  # that are read, encrypted, masked at a time


def measure_pace(key_bits: int, ciphertexts: int) -> Pace:
    """Seconds of single operations with keys of `key_bits`, on one core of this machine; tables as
    models of so many `ciphertexts` have them.

    Takes about a second at 3072 bits, ten at 7680.
    """
    public = _public(key_bits)
    numbers = [mpz(secrets.randbelow(int(public.n_squared))) | 1 for _ in range(_SIDE)]
    bound = 1 << (ENTRY_BITS - 1)
    matrix = np.random.default_rng(0).integers(-bound, bound, (_SIDE, _SIDE))
    blob = encode_batch(public, numbers[:_CIPHERTEXTS], NOBODY)
    source = Source(public, secrets.token_bytes, ciphertexts)
    full_range = FullRange(public, secrets.token_bytes)
    residues, total = Residues(public.n), [mpz(0)] * _CIPHERTEXTS
    # Decryption is two powers, one modulo each factor's square: a number of n's length.
    square, order = mpz(public.n), mpz(1) << short_exponent_bits(key_bits) // 2
    return Pace(
        step=_fastest(lambda: matvec.multiply(public.n, numbers, matrix, ENTRY_BITS))
        / matvec.cost(_SIDE, _SIDE, ENTRY_BITS),
        blinder=_fastest(full_range.draw),
        table=_fastest(lambda: Source(public, secrets.token_bytes, ciphertexts)),
        encrypt=_fastest(source.draw),
        decrypt=2 * _fastest(lambda: gmpy2.powmod_sec(numbers[0] % square, order, square)),
        read=_fastest(lambda: deque(read_batch(blob, public, _CIPHERTEXTS, NOBODY), maxlen=0))
        / _CIPHERTEXTS,
        mask=_fastest(lambda: residues.mix(total, bytes(32), 1)) / _CIPHERTEXTS,
    )


def _fastest(operation: Callable[[], object]) -> float:
    """Seconds of this thread's processor, of the fastest of a few runs."""
    found = []
    for _ in range(_TRIES):
        start = time.thread_time()
        operation()
        found.append(time.thread_time() - start)
    return min(found)


def _public(key_bits: int) -> PublicKey:
    """Some modulus of that length with a short-order key's base. It has whatever factors above
    2^16 it happens to have: arithmetic takes as long with it as with a key."""
    while True:
        n = mpz(secrets.randbits(key_bits)) | (mpz(1) << key_bits - 1) | 1
        if gmpy2.gcd(n, small_primes()) != 1:
            continue
        try:
            return PublicKey(int(n), int(mpz(secrets.randbelow(int(n))) ** 2 % n))
        except InputError:  # about one in a hundred is prime
            continue
