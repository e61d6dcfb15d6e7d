"""What a worker process runs: bytes in, bytes out, and a few facts.

All arguments and results pickle (pass `secrets.token_bytes` as entropy). Arrays of rows are float64
as models.py states. Blobs are decoded and checked here, so that a caller hands over what it stored
and nothing else. Every function raises from protocol.errors only, by this rule:

- Malformed: bytes that came from a peer are not what they must be: drop them, count it;
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

from protocol.arith import models
from protocol.arith.batch import (
    add_batches,
    batch_bytes,
    decode_batch,
    encode_batch,
    encode_header,
    read_batch,
)
from protocol.arith.entropy import Entropy
from protocol.arith.fixedpoint import FixedPoint
from protocol.arith.lanes import Lanes
from protocol.arith.models import Model
from protocol.arith.paillier import PrivateKey, PublicKey, encrypt
from protocol.arith.pooled import train_to_convergence
from protocol.arith.training import Training, apply_gradient, local_gradient
from protocol.arith.vectors import Kind, decode_vector, encode_vector
from protocol.errors import FatalError, Malformed

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a job's values are encrypted, all from its spec: the modulus (big-endian, key bits / 8
    bytes), bits of a value, the clip that the largest value stands for (training.clip_norm), and
    how many contributions one sum may hold (the block's size)."""

    n: bytes
    value_bits: int
    clip: float
    summands: int

    @property
    def fixed_point(self) -> FixedPoint:
        """Raises InputError as FixedPoint does."""
        return FixedPoint(self.value_bits, self.clip)

    @property
    def lanes(self) -> Lanes:
        """Raises InputError as Lanes does. Touches no big integer: cheap enough anywhere."""
        return Lanes(self.value_bits, self.summands, 8 * len(self.n))

    def ciphertexts(self, model: Model) -> int:
        """How many ciphertexts a contribution to `model` has."""
        return self.lanes.ciphertexts(model.parameter_count)

    def batch_bytes(self, model: Model) -> int:
        """The exact size of a contribution to `model`."""
        return batch_bytes(PublicKey.from_bytes(self.n), self.ciphertexts(model))


@dataclass(frozen=True, slots=True)
class ContributeFacts:
    """`gradient_norm` and `clipped` (share of records clipped) are for the owner's eyes alone."""

    ciphertexts: int
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
class EvaluateFacts:
    """`accuracy` in [0, 1]; for the linear family R^2, at most 1. `loss` without ridge."""

    accuracy: float
    loss: float
    rows: int


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """How pooled training ended."""

    iterations: int
    loss: float
    gradient_norm: float


def initial_model(model: Model, seed: bytes) -> bytes:
    """The weights' blob that a job starts from; `seed` (32 bytes) is the spec's, and public."""
    return encode_vector(Kind.MODEL, models.initial(model, seed))


def contribute(
    model: Model,
    weights: bytes,
    x: Rows,
    y: Rows,
    training: Training,
    envelope: Envelope,
    seed: bytes,
    entropy: Entropy,
) -> tuple[bytes, ContributeFacts]:
    """An owner's part of a round: train locally, quantise, pack, encrypt.

    `weights` is the round's model blob, from the requester. `seed` (32 secret bytes) fixes the
    mini-batches, `entropy` feeds rounding and encryption: two calls never give the same batch, and
    one round's must be stored and sent, never made anew.
    """
    public = PublicKey.from_bytes(envelope.n)
    lanes, fixed_point = envelope.lanes, envelope.fixed_point
    start = decode_vector(Kind.MODEL, weights, model.parameter_count)
    features, targets = models.check_rows(model, x, y)
    gradient, clipped = local_gradient(model, start, features, targets, training, seed)
    if not np.isfinite(gradient).all():
        raise Malformed("the model's weights drive training beyond float64's range")
    ciphertexts = encrypt(public, lanes.pack(fixed_point.quantise(gradient, entropy)), entropy)
    seen = training.local_steps * min(training.batch_rows, len(features))
    return encode_batch(public, ciphertexts), ContributeFacts(
        ciphertexts=len(ciphertexts),
        rows=len(features),
        gradient_norm=float(np.linalg.norm(gradient)),
        clipped=clipped / seen,
    )


def check_batch(n: bytes, batch: bytes, expected: int) -> None:
    """Raises Malformed unless `batch` is well formed: length, header, every ciphertext in range and
    a unit. `expected` is the number of ciphertexts."""
    for _ in read_batch(batch, PublicKey.from_bytes(n), expected):
        pass


def sum_batches(n: bytes, batches: Sequence[bytes], expected: int) -> bytes:
    """The batch that encrypts the sum of peers' batches of `expected` ciphertexts each.

    Raises Malformed, naming the batch by its position in `batches`, as `check_batch` does, and
    FatalError if there is none.
    """
    public = PublicKey.from_bytes(n)
    readers = [
        read_batch(batch, public, expected, f"batch {position}")
        for position, batch in enumerate(batches)
    ]
    size = public.ciphertext_bytes
    total = bytearray(encode_header(public, expected))
    for ciphertext in add_batches(public, readers):
        total += int(ciphertext).to_bytes(size, "big")
    return bytes(total)


def open_sum(private: bytes, batch: bytes, envelope: Envelope, summands: int, values: int) -> bytes:
    """The mean gradient's blob of `summands` contributions of `values` values each.

    Raises SumOutOfRange if a lane holds what `summands` honest values cannot add up to, or anything
    stands outside the lanes: the block is dropped. Raises FatalError if `private` is not the key
    of `envelope` or the lanes have no room for so many.
    """
    key, lanes = PrivateKey.from_bytes(private), envelope.lanes
    if key.public.to_bytes() != envelope.n:
        raise FatalError("the private key is not the envelope's")
    lanes.check_summands(summands)
    plaintexts = key.decrypt(decode_batch(batch, key.public, lanes.ciphertexts(values), "sum"))
    sums = lanes.unpack(plaintexts, values)
    lanes.check_sum(sums, summands)
    return encode_vector(Kind.GRADIENT, envelope.fixed_point.restore(sums, summands))


def apply(
    model: Model,
    weights: bytes,
    momentum: bytes | None,
    gradients: Sequence[tuple[bytes, int]],
    training: Training,
) -> tuple[bytes, bytes, ApplyFacts]:
    """The requester's step: (new weights' blob, new momentum's blob, facts).

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
        mean += decode_vector(Kind.GRADIENT, blob, count) * (number / contributors)
    old = decode_vector(Kind.MODEL, weights, count)
    state = None if momentum is None else decode_vector(Kind.MOMENTUM, momentum, count)
    with np.errstate(over="ignore", invalid="ignore"):  # encode_vector refuses what comes of it
        new, state = apply_gradient(model, old, mean, training, state)
    return (
        encode_vector(Kind.MODEL, new),
        encode_vector(Kind.MOMENTUM, state),
        ApplyFacts(
            contributors=contributors,
            gradient_norm=float(np.linalg.norm(mean)),
            move_norm=float(np.linalg.norm(new - old)),
        ),
    )


def evaluate(model: Model, weights: bytes, x: Rows, y: Rows) -> EvaluateFacts:
    """How good the model is on rows that the caller holds."""
    features, targets = models.check_rows(model, x, y)
    vector = decode_vector(Kind.MODEL, weights, model.parameter_count)
    return EvaluateFacts(
        accuracy=models.accuracy(model, vector, features, targets),
        loss=models.loss(model, vector, features, targets),
        rows=len(features),
    )


def train_pooled(
    model: Model, seed: bytes, x: Rows, y: Rows, ridge: float
) -> tuple[bytes, PoolFacts]:
    """The yardstick: the same family trained to convergence on pooled rows in the clear."""
    features, targets = models.check_rows(model, x, y)
    if not (math.isfinite(ridge) and ridge >= 0.0):
        raise FatalError(f"ridge is {ridge}")
    end = train_to_convergence(model, models.initial(model, seed), features, targets, ridge=ridge)
    return encode_vector(Kind.MODEL, end.weights), PoolFacts(
        iterations=end.iterations, loss=end.loss, gradient_norm=end.gradient_norm
    )
