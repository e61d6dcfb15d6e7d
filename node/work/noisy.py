"""What worker processes run for noisy jobs: one round's noisy integers, ready to be masked."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

from node.store.blobs import BlobRef, Blobs
from node.work import tasks
from protocol.errors import InputError
from protocol.layout.noise import NoisePlan, noise_clip
from protocol.spec.job import decode_spec

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats
    from protocol.arith.noise.mechanism import Flags


def noisy_gradient(
    work: tasks.Work, rows: tasks.Rows, model: BlobRef, plan: NoisePlan
) -> tuple[bytes, tuple[tuple[str, float], ...]]:
    """One round's contribution before masks: 8 x parameter_count bytes, int64, little-endian.

    Each value lies in [-max_int, max_int] of the spec's value_bits. Every call draws a sample and
    noise anew. The round is charged before the call, and the result is stored before it is used, so
    that attempts of the round repeat it. The integers may leave this node only under masks. The
    facts, which hold the sample's size, never leave it.

    Raises InputError (local rows, a spec that takes no noise), Malformed (the model's blob).
    """
    from protocol.arith.noise import mechanism as noise
    from protocol.arith.numbers.fixedpoint import FixedPoint
    from protocol.arith.numbers.vectors import Kind, decode_vector

    spec = decode_spec(work.spec)
    training, privacy = spec.training, spec.privacy
    if privacy.epsilon is None:
        raise InputError("is none; the job adds no noise", "privacy.epsilon")
    architecture = tasks.model_of(spec)
    content = Blobs(work.blobs).get(model)
    weights = decode_vector(Kind.MODEL, content, architecture.parameter_count)
    x, y, used = _rows(work.spec, rows)
    clip = noise_clip(
        training.clip_norm, training.batch_rows, training.rounds, privacy.epsilon, privacy.delta
    )
    values, facts = noise.noisy_gradient(
        architecture,
        weights,
        x,
        y,
        tasks.training_of(spec),
        FixedPoint(spec.encryption.value_bits, clip),
        plan,
        secrets.token_bytes,
        used,
    )
    told = (
        ("rows", float(facts.rows)),
        ("clipped", facts.clipped / max(1, facts.rows)),
        ("unusable", float(facts.unusable)),
        ("cut", float(facts.cut)),
    )
    return values.astype("<i8").tobytes(), told


@lru_cache(maxsize=1)
def _rows(spec_bytes: bytes, rows: tasks.Rows) -> tuple[Floats, Floats, Flags]:
    """A job's rows, scaled by its declared ranges and checked, and which of them are used; kept for
    its next round."""
    from protocol.arith.learning.models import check_rows

    x, y, used = tasks.noised_rows(spec_bytes, rows)
    return *check_rows(tasks.model_of(decode_spec(spec_bytes)), x, y), used
