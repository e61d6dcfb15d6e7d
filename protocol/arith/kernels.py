"""The kernels of worker processes: bytes in, bytes out, and a few facts.

All arguments and results pickle (pass `secrets.token_bytes` as entropy). Arrays of rows are float64
as models.py states. Blobs are decoded and checked here, so that a caller hands over stored bytes
and nothing else. Every function raises from protocol.errors only, by this rule:

- Malformed: bytes of a peer are wrong: drop them, count it;
- lanes.SumOutOfRange (a PeerError): an opened sum is no honest one: drop the block;
- InputError: local rows or the job's parameters do not fit the model;
- FatalError: the caller broke a contract stated here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.arith.encoding.envelope import Envelope
from protocol.arith.learning import models
from protocol.arith.learning.measures import Measures, measure
from protocol.arith.learning.models import Model
from protocol.arith.learning.pooled import train_to_convergence
from protocol.arith.learning.training import Training, apply_gradient, local_gradient
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.shape import NOBODY
from protocol.arith.numbers.vectors import Kind as VectorKind
from protocol.arith.numbers.vectors import decode_vector, encode_vector
from protocol.arith.paillier.batch import (
    decode_batch,
    decode_residues,
    encode_batch,
    encode_residues,
    read_batch,
    sum_encoded,
)
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt_with
from protocol.arith.paillier.obfuscation import obfuscators
from protocol.arith.paillier.pool import Pool
from protocol.arith.secagg.masked import add_words, centred, decode_words, encode_words, to_words
from protocol.arith.secagg.masks import Binding, Residues, contribution_mask, removal
from protocol.arith.secagg.sharing import Secrets
from protocol.errors import FatalError
from protocol.layout.packing import MASKS

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainFacts:
    """`gradient_norm` and `clipped` (share of records clipped) are for the owner's eyes alone."""

    rows: int
    gradient_norm: float
    clipped: float


@dataclass(frozen=True, slots=True)
class ApplyFacts:
    """Norms of the mean gradient and of the weights' move; how many contributions went in."""

    contributors: int
    gradient_norm: float
    move_norm: float


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """How pooled training ended."""

    iterations: int
    loss: float
    gradient_norm: float


def initial_model(model: Model, seed: bytes) -> bytes:
    """The weights' blob that a job starts from; `seed` (32 bytes) is the spec's, and public."""
    return encode_vector(VectorKind.MODEL, models.initial(model, seed))


def train(
    model: Model,
    weights: bytes,
    x: Rows,
    y: Rows,
    training: Training,
    envelope: Envelope,
    seed: bytes,
    entropy: Entropy,
    longest: float = math.inf,
) -> tuple[Integers, TrainFacts]:
    """An owner's part of a round without noise: train locally, shorten to the norm `longest` (of
    updates: McMahan, Ramage, Talwar and Zhang 2018), quantise.

    Returns (parameter_count,) int64 in [-max_int, max_int] of `envelope.fixed_point`; with noise
    noise.noisy_gradient gives the same. `weights` is the round's model blob, from the requester.
    `seed` (32 secret bytes) fixes the mini-batches, `entropy` feeds rounding. If the weights drive
    training beyond float64's range, the contribution is zeros.
    """
    fixed_point = envelope.fixed_point
    start = decode_vector(VectorKind.MODEL, weights, model.parameter_count)
    features, targets = models.check_rows(model, x, y)
    gradient, clipped = local_gradient(model, start, features, targets, training, seed)
    if not np.isfinite(gradient).all():
        # The requester chooses the weights. Whether one row overflows with them must not be seen
        # outside of a block's sum, and a refusal would show it.
        gradient = np.zeros_like(gradient)
    norm = float(np.linalg.norm(gradient))
    if norm > longest:
        # Shortened, never refused: whether an owner's was too long must not be seen.
        gradient *= longest * (1.0 - 2.0**-40) / norm
    seen = training.local_steps * min(training.batch_rows, len(features))
    return fixed_point.quantise(gradient, entropy), TrainFacts(
        rows=len(features),
        gradient_norm=norm,
        clipped=clipped / seen,
    )


def close(
    envelope: Envelope,
    integers: Integers,
    secrets: Secrets,
    me: int,
    roster: Sequence[tuple[int, bytes]],
    binding: Binding,
    maker: bytes,
    entropy: Entropy,
    pool: Pool | None = None,
) -> bytes:
    """The batch that carries `integers` (as `train` gives them) under this attempt's masks; with
    obfuscators from `pool`, of the envelope's key, or fresh ones.

    `roster` are (position in the block, mask key) of the frozen roster, this member at `me` among
    them; `maker` is packing.batch_maker's. The outcome is to be stored before any of it leaves, and
    never made again from other integers: two batches under one mask tell their difference. Raises
    Malformed, naming the member, as masks.contribution_mask does.
    """
    _check_binding(envelope, binding)
    shape = envelope.shape(integers.size)
    keys = (shape.count, secrets.mask_private, secrets.seed, me, roster, binding)
    if envelope.kind == MASKS:
        words = envelope.words
        plain = to_words(integers, words, envelope.lanes.max_int)
        mask = contribution_mask(words, *keys)
        return encode_words(words.add(plain, mask), shape, maker)
    public = envelope.public
    residues = Residues(public.n)
    masked = residues.add(envelope.lanes.pack(integers), contribution_mask(residues, *keys))
    if pool is not None and pool.public != public:
        raise FatalError("the obfuscators are of another key than the envelope's")
    drawn = obfuscators(public, len(masked), entropy) if pool is None else pool.take(len(masked))
    return encode_batch(public, encrypt_with(public, masked, drawn), maker)


def check_batch(envelope: Envelope, batch: bytes, values: int, maker: bytes) -> None:
    """Raises Malformed unless `batch` is a well-formed contribution of `values` values by `maker`:
    length, header, and of ciphertexts every one in range and a unit. Any word is a masked word."""
    shape = envelope.shape(values)
    if envelope.kind == MASKS:
        shape.check(batch, maker)
        return
    for _ in read_batch(batch, envelope.public, shape.count, maker):
        pass


def sum_batches(envelope: Envelope, batches: Sequence[bytes], values: int) -> bytes:
    """The sum of peers' batches of `values` values each, in their form, made by nobody.

    Raises Malformed, naming the batch by its position in `batches`, as `check_batch` does, except
    for the makers, which it takes as checked; FatalError if there is no batch.
    """
    shape = envelope.shape(values)
    if envelope.kind == MASKS:
        return encode_words(add_words(batches, shape), shape, NOBODY)
    public = envelope.public
    return encode_batch(public, sum_encoded(public, batches, shape.count), NOBODY)


def unmask_vector(
    envelope: Envelope,
    values: int,
    binding: Binding,
    present: Sequence[tuple[int, bytes, bytes]],
    dropped: Sequence[tuple[int, bytes]],
) -> bytes:
    """The removal that takes the masks off a block's sum, for `open_sum`.

    `present` are (position, mask key, seed) of the members whose batches are in the sum, `dropped`
    (position, private mask key) of the others of the frozen roster, rebuilt from shares. Raises
    Malformed as masks.removal does.
    """
    _check_binding(envelope, binding)
    shape = envelope.removal_shape(values)
    if envelope.kind == MASKS:
        left = removal(envelope.words, shape.count, binding, present, dropped)
        return encode_words(left, shape, NOBODY)
    residues = Residues(int.from_bytes(envelope.n, "big"))
    numbers = removal(residues, shape.count, binding, present, dropped)
    return encode_residues(shape, numbers)


def open_sum(
    key: PrivateKey | None,
    batch: bytes,
    unmask: bytes,
    envelope: Envelope,
    summands: int,
    values: int,
) -> Integers:
    """The sum of `summands` contributions of `values` values each: (values,) int64.

    `unmask` is `unmask_vector`'s; `key`, opened once for all blocks of a round, is not looked at
    where the envelope is that of masks. Raises SumOutOfRange if a lane holds what `summands` honest
    values cannot add up to, or anything stands outside the lanes: somebody sent nonsense, or masked
    otherwise than the others (for another model, another roster), and the block is dropped. Raises
    FatalError if `key` is not that of `envelope` or the lanes have no room for so many.
    """
    lanes, shape = envelope.lanes, envelope.shape(values)
    lanes.check_summands(summands)
    removal_shape = envelope.removal_shape(values)
    if envelope.kind == MASKS:
        words = envelope.words
        left = decode_words(unmask, removal_shape, NOBODY, "removal")
        sums = centred(words.subtract(decode_words(batch, shape, NOBODY, "sum"), left), words)
    else:
        if key is None or key.public.to_bytes() != envelope.n:
            raise FatalError("the private key is not the envelope's")
        n = key.public.n
        masked = key.decrypt(decode_batch(batch, key.public, shape.count, NOBODY, "sum"))
        opened = Residues(n).subtract(masked, decode_residues(unmask, removal_shape, n))
        signed = [int(number) - n if number > n // 2 else int(number) for number in opened]
        sums = lanes.unpack(signed, values)
    lanes.check_sum(sums, summands)
    return sums


def mean_gradient(envelope: Envelope, sums: Integers, summands: int) -> bytes:
    """The blob of the mean gradient of `summands` contributions, from their opened sum. Raises
    FatalError for a sealed model's: those are weighted moves, and sealed.restore scales them."""
    if envelope.sealed is not None:
        raise FatalError("replies to a sealed model are no gradients")
    return encode_vector(VectorKind.GRADIENT, envelope.fixed_point.restore(sums, summands))


def apply(
    model: Model,
    weights: bytes,
    momentum: bytes | None,
    gradients: Sequence[tuple[bytes, int]],
    training: Training,
    turn: int,
) -> tuple[bytes, bytes, ApplyFacts]:
    """The requester's step: (new weights' blob, new momentum's blob, facts).

    `turn` is how many rounds have led to the new model.

    `gradients` are blocks' mean gradients, each with the number of its contributors, by which it is
    weighed. `momentum` is None before the first round. Raises FatalError if there is no block, or
    the step leaves float64's range.
    """
    count = model.parameter_count
    contributors = sum(number for _, number in gradients)
    if not gradients or min(number for _, number in gradients) < 1:
        raise FatalError("there is no contribution to apply")
    mean = np.zeros(count)
    for blob, number in gradients:
        mean += decode_vector(VectorKind.GRADIENT, blob, count) * (number / contributors)
    old = decode_vector(VectorKind.MODEL, weights, count)
    state = None if momentum is None else decode_vector(VectorKind.MOMENTUM, momentum, count)
    with np.errstate(over="ignore", invalid="ignore"):  # encode_vector refuses what comes of it
        new, state = apply_gradient(model, old, mean, training, state)
    return (
        encode_vector(VectorKind.MODEL, new, turn),
        encode_vector(VectorKind.MOMENTUM, state),
        ApplyFacts(
            contributors=contributors,
            gradient_norm=float(np.linalg.norm(mean)),
            move_norm=float(np.linalg.norm(new - old)),
        ),
    )


def keep(model: Model, weights: bytes, turn: int) -> bytes:
    """The model after a round that could not be applied: the same weights under another turn."""
    vector = decode_vector(VectorKind.MODEL, weights, model.parameter_count)
    return encode_vector(VectorKind.MODEL, vector, turn)


def evaluate(model: Model, weights: bytes, x: Rows, y: Rows) -> Measures:
    """How good the model is on rows that the caller holds."""
    features, targets = models.check_rows(model, x, y)
    vector = decode_vector(VectorKind.MODEL, weights, model.parameter_count)
    return measure(model, vector, features, targets)


def train_pooled(
    model: Model, seed: bytes, x: Rows, y: Rows, ridge: float
) -> tuple[bytes, PoolFacts]:
    """The yardstick: the same family trained to convergence on pooled rows in the clear."""
    features, targets = models.check_rows(model, x, y)
    if not (math.isfinite(ridge) and ridge >= 0.0):
        raise FatalError(f"ridge is {ridge}")
    end = train_to_convergence(model, models.initial(model, seed), features, targets, ridge=ridge)
    return encode_vector(VectorKind.MODEL, end.weights), PoolFacts(
        iterations=end.iterations, loss=end.loss, gradient_norm=end.gradient_norm
    )


def _check_binding(envelope: Envelope, binding: Binding) -> None:
    if binding.n != envelope.n:
        raise FatalError("the masks are bound to another modulus than the envelope's")
