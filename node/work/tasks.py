"""What worker processes run: read blobs, compute with protocol.arith, write a blob, say its name.

Arguments are small: paths, digests, the spec's bytes. A result's bytes go to the blob directory and
only its name comes back. Functions raise InputError (the local data set does not fit), Malformed
(a peer's bytes), SumOutOfRange (a block's sum is no honest one).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from node.data.datasets import load_kept_rows, load_matrix, load_owned_rows
from node.store.blobs import BlobRef, Blobs
from node.work.embedding import Encoders
from protocol import params
from protocol.errors import InputError
from protocol.layout.noise import noise_clip
from protocol.spec.encoder import column_rules
from protocol.spec.gaps import Missing
from protocol.spec.job import Envelope, JobSpec, Terms, decode_spec

if TYPE_CHECKING:
    from protocol.arith.encoding import envelope
    from protocol.arith.learning.feature_map import FeatureMap
    from protocol.arith.learning.models import Floats, Model
    from protocol.arith.learning.training import Training
    from protocol.arith.noise.mechanism import Flags
    from protocol.arith.numbers.fixedpoint import Integers

Facts = tuple[tuple[str, float], ...]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """Where a worker reads and writes, and for which job."""

    blobs: Path
    spec: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """A local data set: its imported copy, what messages call it, its owner's column map, and the
    encoders that may make its features (None: none can)."""

    directory: Path
    digest: bytes
    name: str
    renames: str = ""
    encoders: Encoders | None = None

    def load(self, by: Callable[..., T], terms: Terms) -> T:
        """A job's view of them, `by` a function of node.data.datasets that loads one. An encoder is
        run, and what it makes is kept."""
        given = self.directory, self.digest, self.name, terms, self.renames
        if terms.encoder is None or self.encoders is None:
            return by(*given)
        return by(*given, embed=self.encoders.keeping(self.directory, self.digest))


@dataclass(frozen=True, slots=True)
class Result:
    """What came out: a blob, others beside it, and numbers for the local user."""

    blob: BlobRef | None
    extra: BlobRef | None = None
    facts: Facts = ()
    worth: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class JobKey:
    """A new Paillier key: what the spec says of it, big-endian, with the proof of a sealed job's
    (else empty), and the secret for the vault."""

    modulus: bytes
    base: bytes
    proof: bytes
    private: bytes = field(repr=False)


def generate_key(bits: int, sealed: bool) -> JobKey:
    """A short-order key (docs/adr/0600). Seconds at 3072 bits."""
    from protocol.arith.paillier import key_proof
    from protocol.arith.paillier.cryptosystem import generate_short_key

    key = generate_short_key(bits, secrets.token_bytes)
    proof = key_proof.prove(key) if sealed else b""
    return JobKey(key.public.to_bytes(), key.public.base_bytes(), proof, key.to_bytes())


@dataclass(frozen=True, slots=True)
class Fitted:
    """How many of a data set's rows a job can use, and why not the others; empty if it can all."""

    rows: int
    usable: int
    why: str


def fits(rows: Rows, terms: Terms, owner: bool, place: Path | None = None) -> Fitted:
    """Check that a job could train on these rows and, if it is posted already, encrypt to its key.
    Raises InputError, which is for the data's owner alone.

    An owner in a job with noise takes part whatever its rows hold (node.data.matrix.owned_rows).
    Without noise every row must fit, but for those that the spec leaves out for their gaps. What
    comes back tells the owner alone how many rows are used, and why not the others.

    Leaves lines of how far it is at `place` (node.workers.progress): an encoder takes its time.
    """
    if rows.encoders is not None:
        rows = replace(rows, encoders=replace(rows.encoders, told=place))
    if isinstance(terms, JobSpec) and terms.encryption.envelope is Envelope.PAILLIER:
        _ = envelope_of(terms).public  # n and h: what the spec's own checks leave open
    if isinstance(terms, JobSpec) and terms.privacy.sealed:
        from protocol.arith.paillier import key_proof

        key_proof.verify(envelope_of(terms).public, terms.proof)
    why, unused = "", 0
    if owner and terms.privacy.noisy:
        held = rows.load(load_owned_rows, terms)
        x = held.features
        unused = int(held.unused.sum())
        if held.why:
            why = f"{unused} of {len(x)} rows cannot be used: {held.why}"
    else:
        kept = rows.load(load_kept_rows, terms)
        x, unused = kept.features, int(kept.left_out.sum())
        if kept.why:
            count = len(kept.left_out)
            why = f"{unused} of {count} rows are left out: {kept.why}"
    if terms.privacy.sealed and len(x) * terms.feature_count > params.MAX_MATRIX_CELLS:
        raise InputError(
            f"{len(x)} rows of {terms.feature_count} features are more numbers than the "
            f"{params.MAX_MATRIX_CELLS} that are allowed",
            "data",
        )
    return Fitted(len(x), len(x) - unused, why)


def initial_model(work: Work) -> Result:
    """The model that the spec's public seed gives."""
    from protocol.arith import kernels

    spec = spec_of(work)
    return Result(put(work, kernels.initial_model(model_of(spec), spec.seed)))


def check_model(work: Work, model: BlobRef) -> None:
    """Raises Malformed unless a received model is one of the job's. This is checked before noise is
    charged for it, because otherwise a requester could have it charged for nothing."""
    from protocol.arith.numbers.vectors import Kind, decode_vector
    from protocol.arith.sealed import ciphertexts as sealed

    spec = spec_of(work)
    if spec.privacy.sealed:
        sealed.check_model(envelope_of(spec), get(work, model))
    else:
        decode_vector(Kind.MODEL, get(work, model), spec.parameter_count)


@dataclass(frozen=True, slots=True)
class Gradient:
    """Where one round's integers come from: a stored noisy draw, or training.

    Without noise `seed` (32 secret bytes) fixes the mini-batches and the coins of rounding, so that
    every attempt of a round, and every try at one, has the same integers. If two batches were ever
    made under one mask, they would not differ.
    """

    rows: Rows
    model: BlobRef
    seed: bytes = field(repr=False)
    noisy: bytes | None = field(default=None, repr=False)


def integers_of(work: Work, gradient: Gradient) -> tuple[Integers, Facts]:
    """An owner's integers for one round, still to be masked."""
    import numpy as np

    from protocol.arith import kernels
    from protocol.arith.numbers.entropy import from_seed

    spec = spec_of(work)
    if gradient.noisy is not None:
        return np.frombuffer(gradient.noisy, dtype="<i8").astype(np.int64), ()
    x, y = matrix_of(work.spec, gradient.rows)
    integers, facts = kernels.train(
        model_of(spec),
        get(work, gradient.model),
        x,
        y,
        training_of(spec),
        envelope_of(spec),
        gradient.seed,
        from_seed(gradient.seed, "rounding"),
        spec.training.clip_norm / spec.encryption.envelope.part if spec.proves else math.inf,
    )
    return integers, (("gradient_norm", facts.gradient_norm), ("clipped", facts.clipped))


def add(work: Work, batches: tuple[BlobRef, ...]) -> Result:
    """The sum of a block's checked batches."""
    from protocol.arith import kernels

    spec = spec_of(work)
    parts = [get(work, batch) for batch in batches]
    total = kernels.sum_batches(envelope_of(spec), parts, spec.parameter_count)
    return Result(put(work, total))


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


def model_of(spec: Terms) -> Model:
    """The spec's architecture as the kernels take it; a sealed one's inputs are its features, and
    its biases stay 0."""
    from protocol.arith.learning.models import Family, Model

    if spec.privacy.sealed:
        return Model(Family(spec.model.family.value), spec.feature_count, spec.outputs)
    return Model(Family(spec.model.family.value), spec.inputs, spec.outputs, spec.model.hidden)


def feature_map_of(spec: JobSpec) -> FeatureMap:
    """A sealed spec's public map from scaled inputs to features, as the kernels take it."""
    from protocol.arith.learning.feature_map import FeatureMap, MapKind

    model = spec.model
    return FeatureMap(
        MapKind(model.map.value),
        spec.inputs,
        model.map_width,
        model.map_scale,
        model.center,
        model.bias,
        spec.training.clip_norm,
        spec.seed,
    )


def mapped(spec: JobSpec, x: Floats) -> Floats:
    """What a spec's model is trained on: the features of a sealed model, which its public map makes
    of the inputs; inputs themselves of an open one, an encoder's scaled down to norm 1."""
    if spec.privacy.sealed:
        return feature_map_of(spec).rows(x)
    return x if spec.encoder is None else in_ball(x)


def in_ball(x: Floats) -> Floats:
    """Rows of an encoder's numbers, each scaled down to norm 1 where it is longer."""
    from protocol.arith.learning.feature_map import FeatureMap, MapKind

    return FeatureMap(MapKind.ENCODER, x.shape[1], 0, 0.0, 0.0, 0.0, 1.0, b"").rows(x)


def training_of(spec: JobSpec) -> Training:
    """The spec's training as the kernels take it. Sealed contributions are moves: the requester
    takes them as they are."""
    from protocol.arith.learning.training import Training

    told = spec.training
    if spec.privacy.sealed:
        server = {"server_rate": told.server_rate, "momentum": told.momentum}
        return Training(local_steps=1, batch_rows=1, rate=1.0, clip_norm=1.0, **server)
    return Training(
        local_steps=told.local_steps,
        batch_rows=told.batch_rows,
        rate=told.rate,
        clip_norm=told.clip_norm,
        ridge=told.ridge,
        server_rate=told.server_rate,
        momentum=told.momentum,
    )


def envelope_of(spec: JobSpec) -> envelope.Envelope:
    """How the spec's values travel, as the kernels take it."""
    from protocol.arith.encoding import envelope

    training, privacy = spec.training, spec.privacy
    layout = spec.layout
    clip = spec.model.weight_limit
    if layout is None:
        clip = noise_clip(
            training.clip_norm, training.batch_rows, training.rounds, privacy.epsilon, privacy.delta
        )
    return envelope.Envelope(
        spec.modulus,
        spec.encryption.value_bits,
        clip,
        spec.cohort.largest_block,
        spec.encryption.envelope.kind,
        spec.base,
        layout,
    )


@lru_cache(maxsize=2)
def matrix_of(spec_bytes: bytes, rows: Rows) -> tuple[Floats, Floats]:
    """A job's rows, scaled by its declared ranges, without those that are left out for their gaps;
    kept, since every round reads the same.

    At most two jobs' rows are kept, because one matrix may take a GiB and a worker lives as long as
    its daemon. A sealed model's rows are features: what its public map makes of the inputs.
    """
    spec = _spec(spec_bytes)
    x, y = rows.load(load_matrix, spec)
    return mapped(spec, x), y


def left_out(spec: JobSpec, rows: Rows) -> int:
    """How many rows `matrix_of` leaves out for their gaps."""
    rules = column_rules(spec.features, spec.target)
    if all(rule.missing is not Missing.DROP_ROW for _, rule in rules):
        return 0
    kept = rows.load(load_kept_rows, spec)
    return int(kept.left_out.sum())


@lru_cache(maxsize=2)
def noised_rows(spec_bytes: bytes, rows: Rows) -> tuple[Floats, Floats, Flags]:
    """An owner's rows for a job with noise, and which of them are used; features for a sealed job.

    No value in them keeps the owner out, and none changes what is computed for how many rows: a row
    that cannot be used is zeros, which are sampled and computed like any other and add nothing."""
    spec = _spec(spec_bytes)
    held = rows.load(load_owned_rows, spec)
    features = mapped(spec, held.features)
    features[held.unused] = 0.0
    return features, held.target, ~held.unused
