"""What worker processes run: read blobs, compute with protocol.arith, write a blob, say its name.

Arguments are small: paths, digests, the spec's bytes. A result's bytes go to the blob directory and
only its name comes back. Functions raise InputError (the local data set does not fit), Malformed
(a peer's bytes), SumOutOfRange (a block's sum is no honest one).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.blobs import BlobRef, Blobs
from protocol.noise_scale import noise_clip
from protocol.packing import PAILLIER
from protocol.spec import Envelope, JobSpec, Terms, decode_spec

if TYPE_CHECKING:
    from protocol.arith import kernels
    from protocol.arith.fixedpoint import Integers
    from protocol.arith.models import Floats, Model
    from protocol.arith.training import Training

Facts = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Where a worker reads and writes, and for which job."""

    blobs: Path
    spec: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """A local data set: its imported copy, and what messages call it."""

    directory: Path
    digest: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came out: a blob, others beside it, and numbers for the local user."""

    blob: BlobRef | None
    extra: BlobRef | None = None
    facts: Facts = ()
    worth: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class JobKey:
    """A new Paillier key: what the spec says of it, big-endian, and the secret for the vault."""

    modulus: bytes
    base: bytes
    private: bytes = field(repr=False)


def generate_key(bits: int) -> JobKey:
    """A short-order key (docs/adr/0600). Seconds at 3072 bits."""
    from protocol.arith.paillier import generate_short_key

    key = generate_short_key(bits, secrets.token_bytes)
    return JobKey(key.public.to_bytes(), key.public.base_bytes(), key.to_bytes())


def fits(rows: Rows, terms: Terms) -> None:
    """Raises InputError, for the data's owner alone, unless a job could train on these rows and,
    where it is posted already, encrypt to its key."""
    from node.datasets import load_matrix

    if isinstance(terms, JobSpec) and terms.encryption.envelope is Envelope.PAILLIER:
        _ = envelope_of(terms).public  # n and h: what the spec's own checks leave open
    load_matrix(rows.directory, rows.digest, rows.name, terms)


def initial_model(work: Work) -> Result:
    """The model that the spec's public seed gives."""
    from protocol.arith import kernels

    spec = spec_of(work)
    return Result(put(work, kernels.initial_model(model_of(spec), spec.seed)))


@dataclass(frozen=True, slots=True)
class Gradient:
    """Where one round's integers come from: a stored noisy draw, or training.

    Without noise `seed` (32 secret bytes) fixes the mini-batches and the coins of rounding, so that
    every attempt of a round, and every try at one, has the same integers: two batches under one
    mask, should they ever be made, differ in nothing.
    """

    rows: Rows
    model: BlobRef
    seed: bytes = field(repr=False)
    noisy: bytes | None = field(default=None, repr=False)


def integers_of(work: Work, gradient: Gradient) -> tuple[Integers, Facts]:
    """An owner's integers for one round, still to be masked."""
    import numpy as np

    from protocol.arith import kernels
    from protocol.arith.entropy import from_seed

    spec = spec_of(work)
    if gradient.noisy is not None:
        return np.frombuffer(gradient.noisy, dtype="<i8").astype(np.int64), ()
    x, y = _matrix(work.spec, gradient.rows)
    integers, facts = kernels.train(
        model_of(spec),
        get(work, gradient.model),
        x,
        y,
        training_of(spec),
        envelope_of(spec),
        gradient.seed,
        from_seed(gradient.seed, "rounding"),
    )
    return integers, (("gradient_norm", facts.gradient_norm), ("clipped", facts.clipped))


def add(work: Work, batches: tuple[BlobRef, ...]) -> Result:
    """The sum of a block's checked batches."""
    from protocol.arith import kernels

    spec = spec_of(work)
    parts = [get(work, batch) for batch in batches]
    total = kernels.sum_batches(envelope_of(spec), parts, spec.parameter_count)
    return Result(put(work, total))


@dataclass(frozen=True, slots=True)
class Block:
    """A block's sum, what takes its masks off, and whose contributions are in it."""

    sum: BlobRef
    unmask: BlobRef
    members: tuple[int, ...]


def apply(
    work: Work,
    private_key: bytes,
    round_: int,
    model: BlobRef,
    momentum: BlobRef | None,
    worth: BlobRef | None,
    blocks: tuple[Block, ...],
    holdout: Rows | None,
) -> Result:
    """Open the blocks' sums, measure what each is worth, move the model, evaluate it.

    A block whose sum is out of range is dropped and counted; if none is left the model stays as it
    is, under another digest.
    """
    from protocol.arith import kernels
    from protocol.arith.lanes import SumOutOfRange
    from protocol.arith.paillier import PrivateKey

    spec = spec_of(work)
    opened: list[tuple[bytes, tuple[int, ...]]] = []
    dropped: list[tuple[int, ...]] = []
    envelope, architecture, training = envelope_of(spec), model_of(spec), training_of(spec)
    key = PrivateKey.from_bytes(private_key) if envelope.kind == PAILLIER else None
    for block in blocks:
        summands = len(block.members)
        try:
            sums = kernels.open_sum(
                key,
                get(work, block.sum),
                get(work, block.unmask),
                envelope,
                summands,
                spec.parameter_count,
            )
        except SumOutOfRange:
            dropped.append(block.members)
        else:
            opened.append((kernels.mean_gradient(envelope, sums, summands), block.members))
    weights, before = get(work, model), None if momentum is None else get(work, momentum)
    facts: list[tuple[str, float]] = [("blocks_dropped", float(len(dropped)))]
    extra, measured = momentum, worth
    if opened:
        rows = None if holdout is None else _matrix(work.spec, holdout)
        if rows is not None:
            measured = _measure(work, spec, round_, weights, before, worth, opened, dropped, rows)
        gradients = [(gradient, len(members)) for gradient, members in opened]
        weights, after, moved = kernels.apply(
            architecture, weights, before, gradients, training, round_ + 1
        )
        extra = put(work, after)
        facts += [("contributors", float(moved.contributors)), ("move", moved.move_norm)]
    else:
        weights = kernels.keep(architecture, weights, round_ + 1)
    if holdout is not None:
        seen = kernels.evaluate(architecture, weights, *_matrix(work.spec, holdout))
        facts += [("accuracy", seen.accuracy), ("loss", seen.loss)]
    return Result(put(work, weights), extra, tuple(facts), measured)


def _measure(
    work: Work,
    spec: JobSpec,
    round_: int,
    weights: bytes,
    momentum: bytes | None,
    record: BlobRef | None,
    opened: list[tuple[bytes, tuple[int, ...]]],
    dropped: list[tuple[int, ...]],
    rows: tuple[Floats, Floats],
) -> BlobRef:
    """The record of worth with this round's blocks in it; a dropped one is worth nothing."""
    from protocol.arith import worth
    from protocol.arith.vectors import Kind, decode_vector
    from protocol.arith.worth_record import append

    count = spec.parameter_count
    values = worth.measure(
        model_of(spec),
        decode_vector(Kind.MODEL, weights, count),
        None if momentum is None else decode_vector(Kind.MOMENTUM, momentum, count),
        training_of(spec),
        [(decode_vector(Kind.GRADIENT, g, count), len(members)) for g, members in opened],
        *rows,
        spec.seed,
    )
    entries = [(members, value) for (_, members), value in zip(opened, values, strict=True)]
    entries += [(members, 0.0) for members in dropped]
    before = None if record is None else get(work, record)
    return put(work, append(before, round_, entries))


def worths(work: Work, record: BlobRef, members: int) -> tuple[float, ...] | None:
    """Each member's worth over all rounds; None where nothing tells them apart."""
    from protocol.arith.worth import worth_of_members

    return worth_of_members(get(work, record), members, spec_of(work).cohort.shuffle)


def export_model(work: Work, model: BlobRef, target: Path) -> None:
    """Write a model as .npz: its weights as float64, layer by layer."""
    import numpy as np

    from protocol.arith import models
    from protocol.arith.vectors import Kind, decode_vector

    spec = spec_of(work)
    architecture = model_of(spec)
    vector = decode_vector(Kind.MODEL, get(work, model), architecture.parameter_count)
    arrays = {"weights": vector}
    for number, (matrix, bias) in enumerate(models.layers(architecture, vector)):
        arrays |= {f"layer{number}_weights": matrix, f"layer{number}_bias": bias}
    with target.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def get(work: Work, ref: BlobRef) -> bytes:
    """A blob's bytes."""
    return Blobs(work.blobs).get(ref)


def put(work: Work, content: bytes) -> BlobRef:
    """Store a blob: on disk when this returns."""
    return Blobs(work.blobs).put(content)


def spec_of(work: Work) -> JobSpec:
    """The job's spec, read once a worker."""
    return _spec(work.spec)


@cache
def _spec(data: bytes) -> JobSpec:
    return decode_spec(data)


def model_of(spec: JobSpec) -> Model:
    """The spec's architecture as the kernels take it."""
    from protocol.arith.models import Family, Model

    return Model(Family(spec.model.family.value), spec.inputs, spec.outputs, spec.model.hidden)


def training_of(spec: JobSpec) -> Training:
    """The spec's training as the kernels take it."""
    from protocol.arith.training import Training

    told = spec.training
    return Training(
        local_steps=told.local_steps,
        batch_rows=told.batch_rows,
        rate=told.rate,
        clip_norm=told.clip_norm,
        ridge=told.ridge,
        server_rate=told.server_rate,
        momentum=told.momentum,
    )


def envelope_of(spec: JobSpec) -> kernels.Envelope:
    """How the spec's values travel, as the kernels take it."""
    from protocol.arith import kernels

    training, privacy = spec.training, spec.privacy
    clip = noise_clip(
        training.clip_norm, training.batch_rows, training.rounds, privacy.epsilon, privacy.delta
    )
    return kernels.Envelope(
        spec.modulus,
        spec.encryption.value_bits,
        clip,
        spec.cohort.largest_block,
        str(spec.encryption.envelope),
        spec.base,
    )


@lru_cache(maxsize=2)
def _matrix(spec_bytes: bytes, rows: Rows) -> tuple[Floats, Floats]:
    """A job's rows, scaled by its declared ranges; kept, since every round reads the same.

    Those of two jobs at most: one matrix may take a GiB, and a worker lives as long as its daemon.
    """
    from node.datasets import load_matrix

    spec = _spec(spec_bytes)
    return load_matrix(rows.directory, rows.digest, rows.name, spec)
