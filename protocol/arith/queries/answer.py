"""The seller's side: weights times encrypted features, blinded over the full range.

What an answer tells, whatever the buyer sent. The buyer chooses key and ciphertexts, so that the
packed product V is any function of the weights that it likes, modulo n. The seller adds U, uniform
in [0, n - 2^lanes) with the low `score_bits` of each lane cleared. The clearing maps at most
2^(a b) numbers onto one (a classes of b bits), so that U has log2(n) - a b bits of entropy but for
2^-40; V + U modulo n has log2(n) at most. Hence

    I(weights; V + U) = H(V + U) - H(V + U | V) <= a b + 2^-39 bits

for every prior and every crafted query: an answer tells C numbers of b bits and nothing besides.
The ciphertext's residue is blinded with u^n (paillier/blinding.py), which the key's proof makes
uniform. For an honest query V lies in the cleared bits, and the scores come out exactly.

In the mode `label` nothing is cleared and U is uniform modulo n: V + U is uniform, and tells
nothing (label.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy, checked_seed, from_seed, uniform_below
from protocol.arith.numbers.shape import Kind
from protocol.arith.paillier.batch import encode_batch, read_batch
from protocol.arith.paillier.blinding import FullRange, blind
from protocol.arith.paillier.public_key import PublicKey
from protocol.arith.queries.ask import checked
from protocol.arith.queries.plain import Weights
from protocol.arith.sealed.ciphertexts import raised
from protocol.arith.sealed.matvec import multiply
from protocol.errors import FatalError
from protocol.layout.queries import Mode, QueryLayout


def answer_scores(
    layout: QueryLayout,
    public: PublicKey,
    weights: Weights,
    query: bytes,
    maker: bytes,
    seed: bytes,
) -> bytes:
    """The answer to a query, of which every score can be read. `seed` is 32 secret bytes: with the
    same query it gives the same answer again, which a crash may need, and with another one other
    blinding.

    `public` has passed ask.meet. Raises Malformed, naming the ciphertext, unless the query has the
    layout's shape, names `maker`, and holds units in [1, n^2).
    """
    if layout.mode is not Mode.SCORES:
        raise FatalError("scores for a layout of labels")
    entropy = from_seed(sha256(checked_seed(seed) + query).digest(), "query scores")
    free = public.n - (1 << layout.width * layout.per_group)
    masks = [
        _cleared(layout, group, uniform_below(free, entropy)) for group in range(layout.groups)
    ]
    return blinded(layout, public, weights, query, maker, masks, entropy)


def blinded(
    layout: QueryLayout,
    public: PublicKey,
    weights: Weights,
    query: bytes,
    maker: bytes,
    masks: Sequence[int],
    entropy: Entropy,
) -> bytes:
    """The batch of packed scores plus `masks`, a number modulo n each group. Raises as
    `answer_scores` does."""
    source = FullRange(checked(layout, public), entropy)
    numbers = []
    for packed, mask in zip(product(layout, public, weights, query, maker), masks, strict=True):
        shifted = packed * (1 + mask % public.n * public.n) % public.n_squared
        numbers.append(int(blind(public, shifted, source.draw())))
    return encode_batch(public, numbers, maker, Kind.ANSWER)


def product(
    layout: QueryLayout, public: PublicKey, weights: Weights, query: bytes, maker: bytes
) -> list[mpz]:
    """Ciphertexts of the scores plus `bound`, a group each. NOT blinded: their residues, and of a
    crafted query their plaintexts, tell the weights."""
    if weights.matrix.shape != (layout.classes, layout.features):
        raise FatalError(f"weights {weights.matrix.shape} for another layout")
    sums = np.abs(weights.matrix).sum(axis=1) + np.abs(weights.bias)
    if int(sums.max()) > layout.sum_max:
        raise FatalError(f"a class's weights add up to {int(sums.max())}, beyond the layout")
    numbers = list(read_batch(query, public, layout.features, maker, "query", Kind.QUERY))
    # All entries are taken to have as many bits as the largest may: time does not tell.
    rows = multiply(public.n, numbers, weights.matrix, layout.sum_bits + 1)
    n, n_squared = mpz(public.n), public.n_squared
    packed = []
    for group in range(layout.groups):
        held = layout.classes_of(group)
        total, constant = mpz(1), mpz(0)
        for label in reversed(held):
            total = raised(n, total, layout.width) * rows[label] % n_squared
            score = layout.bound + int(weights.bias[label]) * layout.feature_max
            constant = (constant << layout.width) + score
        packed.append(total * (1 + constant % n * n) % n_squared)
    return packed


def _cleared(layout: QueryLayout, group: int, mask: int) -> int:
    """`mask` with the bits cleared that the group's scores stand in."""
    shown = mpz(0)
    for lane, _ in enumerate(layout.classes_of(group)):
        shown |= ((mpz(1) << layout.score_bits) - 1) << layout.width * lane
    return int(mpz(mask) & ~shown)
