"""Sealed models, bytes in and bytes out: weights encrypted by their requester, replies by owners.

A model is Paillier ciphertexts of integer weights under the requester's key. An owner's step is
w -> (M - I) w + b, an integer matrix and offset that its noised statistic gives (affine.py): it is
computed on the ciphertexts, packed again, masked as any contribution, and blinded. A reply is a
batch like others: kernels.check_batch, sum_batches, unmask_vector and open_sum take it, with an
Envelope whose `sealed` is the model's layout. docs/spec/sealed-ciphertexts.md.

Errors follow the rule that stands in kernels.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.sealed import SealedLanes
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import Floats, Integers
from protocol.arith.numbers.shape import Kind
from protocol.arith.paillier.batch import ciphertexts, encode_batch, read_batch
from protocol.arith.paillier.blinding import FullRange, blind
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt
from protocol.arith.paillier.obfuscation import Obfuscator
from protocol.arith.paillier.pool import Pool
from protocol.arith.sealed.matvec import multiply, signed_bits
from protocol.arith.secagg.masks import Binding, Residues, contribution_mask
from protocol.arith.secagg.sharing import Secrets
from protocol.errors import FatalError, Malformed
from protocol.layout.sealed import SEALED_HEADER_BYTES, SealedLayout
from protocol.params import SEALED_FRACTION_BITS

#: Bits of an entry of M - I in two's complement, without 1 itself, which no step has. All entries
#: are taken to have so many, so that the time of a product does not tell the largest.
_ENTRY_BITS: Final = SEALED_FRACTION_BITS + 1


@dataclass(frozen=True, slots=True)
class EncryptFacts:
    """`clipped`: weights beyond the limit, which were encrypted as the limit."""

    clipped: int


def quantise_weights(envelope: Envelope, weights: Floats) -> tuple[Integers, int]:
    """The nearest integers to weights / unit, halves to even, clipped to +-weight_max; and how many
    were clipped. unit = clip / weight_max.

    Not rounded at random: no one's average hangs on it, and the requester keeps the floats. Raises
    FatalError unless `weights` are (p C,) finite float64.
    """
    layout = _layout(envelope)
    if weights.shape != (layout.values,) or weights.dtype != np.float64:
        raise FatalError(f"weights to seal are {weights.dtype} of shape {weights.shape}")
    if not np.isfinite(weights).all():
        raise FatalError("a weight to seal is not finite")
    top = layout.weight_max
    with np.errstate(over="ignore"):  # beyond float64 is beyond the limit
        scaled = np.rint(weights / envelope.fixed_point.step)
    clipped = int(np.count_nonzero(np.abs(scaled) > top))
    return np.clip(scaled, -top, top).astype(np.int64), clipped


def encrypt_model(
    envelope: Envelope, weights: Floats, entropy: Entropy
) -> tuple[bytes, EncryptFacts]:
    """The blob that owners fetch: `weights`, (p C,) row by row, encrypted under the requester's own
    key. Twice the same weights give different bytes."""
    integers, clipped = quantise_weights(envelope, weights)
    public = envelope.public
    plain = _lanes(envelope).pack_model(integers)
    field = _layout(envelope).field
    blob = encode_batch(public, encrypt(public, plain, entropy), field, Kind.SEALED_MODEL)
    return blob, EncryptFacts(clipped)


def read_model(envelope: Envelope, blob: bytes) -> list[mpz]:
    """The ciphertexts of a sealed model from a peer, in the order of the layout.

    Raises Malformed, naming what is wrong, unless length, header and declared layout are the job's,
    and every ciphertext lies in [1, n^2), is a unit modulo n and stands there once: encryption does
    not give one number twice.
    """
    layout, public = _layout(envelope), envelope.public
    count, kind = layout.model_ciphertexts, Kind.SEALED_MODEL
    ciphertexts(public, count, kind).check(blob, None, "sealed model")
    layout.check_field(blob[SEALED_HEADER_BYTES - len(layout.field) : SEALED_HEADER_BYTES])
    numbers = list(read_batch(blob, public, count, None, "sealed model", kind))
    seen: dict[mpz, int] = {}
    for index, number in enumerate(numbers):
        if (first := seen.setdefault(number, index)) != index:
            raise Malformed(f"sealed model: ciphertexts {first} and {index} are the same")
    return numbers


def check_model(envelope: Envelope, blob: bytes) -> None:
    """Raises Malformed as `read_model` does."""
    read_model(envelope, blob)


def decrypt_model(key: PrivateKey, envelope: Envelope, blob: bytes) -> Integers:
    """The integer weights of a sealed model, (p C,), for the holder of its key; 1 stands for
    `envelope.fixed_point.step`. Raises Malformed, or lanes.SumOutOfRange on plaintexts that are no
    weights; FatalError on another key."""
    if key.public.to_bytes() != envelope.n:
        raise FatalError("the private key is not the envelope's")
    numbers = [int(number) for number in read_model(envelope, blob)]
    return _lanes(envelope).unpack_model(key.decrypt(numbers))


def product(envelope: Envelope, blob: bytes, matrix: npt.NDArray[np.int64]) -> list[mpz]:
    """Ciphertexts of `matrix` times the model's weights, laid out as a reply. NOT blinded: their
    residues tell the key's holder of the matrix, so that they may leave only as part of a `reply`.

    `matrix` is (p, p), row i the output's. Raises Malformed as `read_model` does, and FatalError
    unless the matrix is int64 of that shape with rows within the layout's `row_max`.
    """
    layout = _layout(envelope)
    _check_matrix(layout, matrix)
    numbers = read_model(envelope, blob)
    bits = max(signed_bits(matrix), _ENTRY_BITS)
    n = mpz(envelope.public.n)
    packed: list[mpz] = []
    for group in range(layout.groups):
        part = numbers[group * layout.features : (group + 1) * layout.features]
        packed += _repack(layout, n, multiply(int(n), part, matrix, bits))
    return packed


def reply(
    envelope: Envelope,
    blob: bytes,
    matrix: npt.NDArray[np.int64],
    offset: Integers,
    secrets: Secrets,
    me: int,
    roster: Sequence[tuple[int, bytes]],
    binding: Binding,
    maker: bytes,
    entropy: Entropy,
    blinders: Pool | None = None,
) -> bytes:
    """The batch that carries matrix w + offset, w the integer weights of the model `blob`, under
    this attempt's masks; blinded from `blinders`, a pool of full-range ones, or with fresh ones.

    `matrix` is (p, p) and `offset` (p, C), int64, in units of 2^-SEALED_FRACTION_BITS weights. The
    key's proof (key_proof.py) must have been checked: without it blinders do not cover. All other
    arguments, and what is to be done with the outcome, are as of kernels.close. Raises Malformed as
    `read_model` does, or naming the member as masks.contribution_mask does; FatalError on a matrix
    or an offset beyond the layout's bounds, or on another kind of pool.
    """
    layout, public = _layout(envelope), envelope.public
    if binding.n != envelope.n:
        raise FatalError("the masks are bound to another modulus than the envelope's")
    added = _offset_plaintexts(envelope, offset)
    residues = Residues(public.n)
    keys = (secrets.mask_private, secrets.seed, me, roster, binding)
    masks = contribution_mask(residues, layout.reply_ciphertexts, *keys)
    drawn = _blinders(envelope, entropy, blinders)
    numbers = []
    for number, plain in zip(
        product(envelope, blob, matrix), residues.add(added, masks), strict=True
    ):
        masked = number * (1 + plain * public.n) % public.n_squared
        numbers.append(blind(public, masked, next(drawn)))
    return encode_batch(public, numbers, maker)


def restore(envelope: Envelope, sums: Integers) -> Floats:
    """An opened sum of replies (p C,) in weights: float64, row by row."""
    return sums.astype(np.float64) * (envelope.fixed_point.step * 2.0**-SEALED_FRACTION_BITS)


def _repack(layout: SealedLayout, n: mpz, rows: Sequence[mpz]) -> list[mpz]:
    """One group's rows, `rows_per_reply` of them in one ciphertext, by Horner's rule: a row costs
    `row_bits` squarings. (To shift the matrix' entries instead costs the same squarings, and to
    shift the bases a great many more.)"""
    n_squared, packed = n * n, []
    for index in range(layout.replies_per_group):
        held = layout.rows_of(index)
        total = rows[held[-1]]
        for row in reversed(held[:-1]):
            total = raised(n, total, layout.row_bits) * rows[row] % n_squared
        packed.append(total)
    return packed


def raised(n: mpz, ciphertext: mpz, bits: int) -> mpz:
    """ciphertext^(2^bits) modulo n^2: the plaintext, `bits` higher.

    (a + y n)^2 = a^2 + 2 a y n modulo n^2: two products of n's length instead of one of n^2's, and
    1.4 times faster than squaring that.
    """
    y, a = gmpy2.t_divmod(ciphertext, n)
    for _ in range(bits):
        carry, square = gmpy2.t_divmod(a * a, n)
        y = (carry + (a * y << 1)) % n
        a = square
    return a + y * n


def _check_matrix(layout: SealedLayout, matrix: npt.NDArray[np.int64]) -> None:
    p, top = layout.features, layout.row_max
    if matrix.shape != (p, p) or matrix.dtype != np.int64:
        raise FatalError(f"a step's matrix is {matrix.dtype} of shape {matrix.shape}")
    # Entries first: within them the sums below cannot wrap.
    if max(int(matrix.max()), -int(matrix.min())) > top:
        raise FatalError(f"an entry of a step's matrix is beyond {top}")
    sums = np.abs(matrix).sum(axis=1)
    if int(sums.max()) > top:
        row = int(sums.argmax())
        raise FatalError(f"row {row} of a step's matrix sums to {int(sums[row])}, beyond {top}")


def _offset_plaintexts(envelope: Envelope, offset: Integers) -> list[mpz]:
    layout = _layout(envelope)
    if offset.shape != (layout.features, layout.outputs) or offset.dtype != np.int64:
        raise FatalError(f"a step's offset is {offset.dtype} of shape {offset.shape}")
    if max(int(offset.max()), -int(offset.min())) > layout.bound:
        raise FatalError(f"a step's offset is beyond {layout.bound}")
    return _lanes(envelope).pack(offset.reshape(-1))


def _blinders(envelope: Envelope, entropy: Entropy, pool: Pool | None) -> Iterator[Obfuscator]:
    """Full-range blinders. Any other obfuscators would let a crafted key read the matrix."""
    public = envelope.public
    if pool is None:
        source = FullRange(public, entropy)
        while True:
            yield source.draw()
    if pool.public != public:
        raise FatalError("the blinders are of another key than the envelope's")
    if pool.origin is not FullRange:
        raise FatalError("the pool's obfuscators are no full-range blinders")
    while True:
        yield from pool.take(1)


def _layout(envelope: Envelope) -> SealedLayout:
    if envelope.sealed is None:
        raise FatalError("the envelope is of no sealed model")
    return envelope.sealed


def _lanes(envelope: Envelope) -> SealedLanes:
    return SealedLanes(_layout(envelope))
