"""The buyer's side: a key of its own, a query under it, scores out of an answer.

The key is fresh for every seller, so that two of them cannot tell that one buyer asked both. It is
a short-order key: the buyer encrypts from a table, which a process makes once a key. The seller is
given n and the proof alone; the base is the buyer's own business, because a seller never encrypts
with it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import Floats, Integers
from protocol.arith.numbers.shape import Kind
from protocol.arith.paillier.batch import encode_batch, read_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt_with
from protocol.arith.paillier.key_proof import proof_bytes, prove, verify
from protocol.arith.paillier.obfuscation import Source
from protocol.arith.paillier.pool import Pool
from protocol.arith.paillier.public_key import PublicKey
from protocol.arith.queries.plain import quantise_features
from protocol.errors import FatalError, InputError, Malformed
from protocol.layout.queries import Mode, QueryLayout

#: Ciphertexts that a key's table is shaped for. Fixed, so that the same seed makes the same query
#: whatever was asked before: a table of 4 MB at 3072 bits, made in 0.1 s.
_EXPECTED: Final = 1_000


def introduction_bytes(key_bits: int) -> int:
    """Bytes of what introduces a key: n, and the proof."""
    return key_bits // 8 + proof_bytes(key_bits)


def introduce(private: PrivateKey) -> bytes:
    """n, big-endian, then the proof that gcd(n, phi(n)) = 1 (key_proof.py)."""
    return private.public.to_bytes() + prove(private)


def meet(introduction: bytes, key_bits: int) -> PublicKey:
    """The key that a buyer introduces, for its seller, checked once a key: length, small factors,
    and the proof, without which full-range blinders do not cover. Takes 70 ms at 3072 bits.

    Raises Malformed, saying what is wrong.
    """
    if len(introduction) != introduction_bytes(key_bits):
        raise Malformed(
            f"a key's introduction has {len(introduction)} bytes, {key_bits} bits take "
            f"{introduction_bytes(key_bits)}"
        )
    try:
        public = PublicKey.from_bytes(introduction[: key_bits // 8])
        verify(public, introduction[key_bits // 8 :])
    except InputError as error:
        raise Malformed(f"the buyer's {error}") from error
    return public


def ask(
    layout: QueryLayout,
    private: PrivateKey,
    features: Floats,
    maker: bytes,
    entropy: Entropy,
    pool: Pool | None = None,
) -> bytes:
    """The query: a batch of p ciphertexts, a feature each. `maker`, 32 bytes, names it: an answer
    has to name the same. `pool` has obfuscators made ahead.

    Raises InputError as quantise_features does; FatalError on a key of another length than the
    layout's, or a pool of another key's or of full-range blinders.
    """
    public = checked(layout, private.public)
    integers = quantise_features(layout, features)
    if pool is None:
        source = Source(public, entropy, _EXPECTED, kept=True)
        numbers = encrypt_with(public, integers, (source.draw() for _ in integers))
        return encode_batch(public, map(int, numbers), maker, Kind.QUERY)
    if pool.public != public or pool.origin is not None:
        raise FatalError("the pool's obfuscators are not of the query's key")
    return encode_batch(public, map(int, pool.encrypt(integers)), maker, Kind.QUERY)


def open_scores(layout: QueryLayout, private: PrivateKey, answer: bytes, maker: bytes) -> Integers:
    """The scores of an answer, (C,) int64.

    Raises Malformed unless `answer` is a batch of the layout's shape for this query, and every
    number within the layout's bound. That the scores are the model's nobody can see.
    """
    if layout.mode is not Mode.SCORES:
        raise FatalError("an answer of labels has no scores")
    public = checked(layout, private.public)
    numbers = read_batch(answer, public, layout.groups, maker, "answer", Kind.ANSWER)
    plain = private.decrypt([int(number) for number in numbers])
    found = np.empty(layout.classes, np.int64)
    mask, n = (1 << layout.score_bits) - 1, public.n
    for group, number in enumerate(plain):
        for lane, label in enumerate(layout.classes_of(group)):
            found[label] = ((number % n >> layout.width * lane) & mask) - layout.bound
    for label, score in enumerate(found.tolist()):
        if score > layout.bound:
            raise Malformed(
                f"answer: class {label} has the score {score}, {layout.bound} is the largest"
            )
    return found


def checked(layout: QueryLayout, public: PublicKey) -> PublicKey:
    """`public`. Raises FatalError if it has another length than the layout says."""
    if public.bits != layout.key_bits:
        raise FatalError(f"a key of {public.bits} bits for a layout of {layout.key_bits}")
    return public
