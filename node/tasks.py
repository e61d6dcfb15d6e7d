"""What worker processes run: read blobs, compute with protocol.arith, write a blob, say its name.

Arguments are small: paths, digests, the spec's bytes. A result's bytes go to the blob directory and
only its name comes back. Functions raise InputError (the local data set does not fit), Malformed
(a peer's bytes), SumOutOfRange (a block's sum is no honest one).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.blobs import BlobRef, Blobs
from protocol.spec import JobSpec, Terms, decode_spec

if TYPE_CHECKING:
    from protocol.arith.kernels import Envelope
    from protocol.arith.models import Floats, Model
    from protocol.arith.training import Training


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
    """What came out: a blob, a second one, and numbers for the local user."""

    blob: BlobRef | None
    extra: BlobRef | None = None
    facts: tuple[tuple[str, float], ...] = ()


def generate_key(bits: int) -> tuple[bytes, bytes]:
    """A new Paillier key: (modulus, big-endian; private key, secret). Seconds at 3072 bits."""
    from protocol.arith.paillier import generate_key

    key = generate_key(bits, secrets.token_bytes)
    return key.public.to_bytes(), key.to_bytes()


def fits(rows: Rows, terms: Terms) -> None:
    """Raises InputError, for the data's owner alone, unless a job could train on these rows."""
    from node.datasets import load_matrix

    load_matrix(rows.directory, rows.digest, rows.name, terms)


def initial_model(work: Work) -> Result:
    """The model that the spec's public seed gives."""
    from protocol.arith import kernels

    spec = _spec(work.spec)
    return Result(_put(work, kernels.initial_model(model_of(spec), spec.seed)))


def contribution(work: Work, rows: Rows, model: BlobRef, seed: bytes) -> Result:
    """An owner's batch for one round; `seed` (32 secret bytes) fixes its mini-batches."""
    from protocol.arith import kernels

    spec = _spec(work.spec)
    x, y = _matrix(work.spec, rows)
    batch, facts = kernels.contribute(
        model_of(spec),
        _get(work, model),
        x,
        y,
        training_of(spec),
        envelope_of(spec),
        seed,
        secrets.token_bytes,
    )
    told = (("gradient_norm", facts.gradient_norm), ("clipped", facts.clipped))
    return Result(_put(work, batch), facts=told)


def check(work: Work, batch: BlobRef) -> Result:
    """Raises Malformed unless a received batch is well formed."""
    from protocol.arith import kernels

    spec = _spec(work.spec)
    kernels.check_batch(spec.modulus, _get(work, batch), _ciphertexts(spec))
    return Result(None)


def add(work: Work, batches: tuple[BlobRef, ...]) -> Result:
    """The encrypted sum of a block's batches."""
    from protocol.arith import kernels

    spec = _spec(work.spec)
    parts = [_get(work, batch) for batch in batches]
    return Result(_put(work, kernels.sum_batches(spec.modulus, parts, _ciphertexts(spec))))


def apply(
    work: Work,
    private_key: bytes,
    model: BlobRef,
    momentum: BlobRef | None,
    sums: tuple[tuple[BlobRef, int], ...],
    holdout: Rows | None,
) -> Result:
    """Open the blocks' sums, move the model, measure it. A block whose sum is out of range is
    dropped and counted; if none is left the model stays as it is."""
    from protocol.arith import kernels
    from protocol.arith.lanes import SumOutOfRange

    spec, gradients, dropped = _spec(work.spec), [], 0
    for ref, count in sums:
        try:
            opened = kernels.open_sum(
                private_key, _get(work, ref), envelope_of(spec), count, spec.parameter_count
            )
        except SumOutOfRange:
            dropped += 1
        else:
            gradients.append((opened, count))
    before = None if momentum is None else _get(work, momentum)
    facts: list[tuple[str, float]] = [("blocks_dropped", float(dropped))]
    weights = _get(work, model)
    if gradients:
        weights, after, moved = kernels.apply(
            model_of(spec), weights, before, gradients, training_of(spec)
        )
        extra: BlobRef | None = _put(work, after)
        facts += [("contributors", float(moved.contributors)), ("move", moved.move_norm)]
    else:
        extra = momentum
    if holdout is not None:
        seen = kernels.evaluate(model_of(spec), weights, *_matrix(work.spec, holdout))
        facts += [("accuracy", seen.accuracy), ("loss", seen.loss)]
    return Result(_put(work, weights), extra, tuple(facts))


def export_model(work: Work, model: BlobRef, target: Path) -> None:
    """Write a model as .npz: its weights as float64, layer by layer."""
    import numpy as np

    from protocol.arith import models
    from protocol.arith.vectors import Kind, decode_vector

    spec = _spec(work.spec)
    architecture = model_of(spec)
    vector = decode_vector(Kind.MODEL, _get(work, model), architecture.parameter_count)
    arrays = {"weights": vector}
    for number, (matrix, bias) in enumerate(models.layers(architecture, vector)):
        arrays |= {f"layer{number}_weights": matrix, f"layer{number}_bias": bias}
    with target.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _get(work: Work, ref: BlobRef) -> bytes:
    return Blobs(work.blobs).get(ref)


def _put(work: Work, content: bytes) -> BlobRef:
    return Blobs(work.blobs).put(content)


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


def envelope_of(spec: JobSpec) -> Envelope:
    """How the spec's values are encrypted, as the kernels take it."""
    from protocol.arith.kernels import Envelope

    return Envelope(
        spec.modulus,
        spec.encryption.value_bits,
        spec.training.clip_norm,
        spec.cohort.largest_block,
    )


def _ciphertexts(spec: JobSpec) -> int:
    return spec.packing.ciphertexts(spec.parameter_count)


@lru_cache(maxsize=2)
def _matrix(spec_bytes: bytes, rows: Rows) -> tuple[Floats, Floats]:
    """A job's rows, scaled by its declared ranges; kept, since every round reads the same.

    Those of two jobs at most: one matrix may take a GiB, and a worker lives as long as its daemon.
    """
    from node.datasets import load_matrix

    spec = _spec(spec_bytes)
    return load_matrix(rows.directory, rows.digest, rows.name, spec)
