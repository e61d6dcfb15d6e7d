"""What worker processes run for sealed models: an owner's statistics and step, a requester's keys.

An owner's rows enter its statistics and nothing else. With noise the statistics are drawn once a
job, after their charge, and every later reply is made of them and of ciphertexts. A reply leaves
this node masked, and opens as part of a block's sum alone. The weights are in the clear at the
requester alone.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from node.store.blobs import BlobRef
from node.work import pool, tasks
from node.work import secagg as secagg_tasks
from node.work.tasks import Result, Rows, Work, get, put
from protocol.cost.sealed import layout_of
from protocol.errors import FatalError, InputError
from protocol.layout.noise import NoisePlan
from protocol.layout.packing import batch_maker
from protocol.spec.job import JobSpec, decode_spec
from protocol.wire.codec import encode

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats
    from protocol.arith.numbers.fixedpoint import Integers
    from protocol.arith.paillier.private_key import PrivateKey
    from protocol.arith.sealed.affine import Quantised
    from protocol.arith.sealed.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Step:
    """Where one owner's reply comes from: its rows, how many of them it declared, the encrypted
    model, and the noised statistics that it keeps (None in a job without noise)."""

    rows: Rows
    declared: int
    model: BlobRef
    statistics: bytes | None = field(default=None, repr=False)


def noised_statistics(work: Work, rows: Rows, plan: NoisePlan) -> bytes:
    """The statistics that all rounds of a job are computed from, drawn anew by every call.

    The job is charged before the call, and the result is stored before it is used. It leaves this
    node only multiplied with weights, as part of a block's sum. Raises InputError (local rows).
    """
    from protocol.arith.learning.models import check_rows
    from protocol.arith.sealed import statistics

    spec = tasks.spec_of(work)
    model = tasks.model_of(spec)
    features, target, _ = tasks.noised_rows(work.spec, rows)
    u, y = check_rows(model, features, target)
    drawn = statistics.noised(model, u, y, plan.multiplier)
    return statistics.encode_statistics(drawn)


def contribution(
    work: Work, step: Step, attempt: secagg_tasks.Attempt, secret: bytes, me: int, peer: bytes
) -> Result:
    """An owner's masked reply of one attempt. `secret` is of `secagg.make_secrets`."""
    from protocol.arith.sealed import ciphertexts as sealed
    from protocol.arith.secagg.sharing import Secrets

    spec = tasks.spec_of(work)
    moved = _quantised(work.spec, step.rows, step.declared, step.statistics)
    reply = sealed.reply(
        tasks.envelope_of(spec),
        get(work, step.model),
        moved.matrix,
        moved.offset,
        Secrets.from_bytes(secret),
        next(e.position for e in attempt.roster if e.member == me),
        [(e.position, e.ready.mask_key) for e in attempt.roster],
        secagg_tasks.binding_of(spec, attempt),
        batch_maker(encode(attempt.place), peer),
        secrets.token_bytes,
        pool.blinders(spec),
    )
    return Result(put(work, reply))


def initial_model(work: Work) -> Result:
    """The model that a sealed job starts from: zeros, encrypted."""
    import numpy as np

    from protocol.arith.sealed import ciphertexts as sealed

    spec = tasks.spec_of(work)
    zeros = np.zeros(spec.parameter_count)
    blob, _ = sealed.encrypt_model(tasks.envelope_of(spec), zeros, secrets.token_bytes)
    return Result(put(work, blob))


def mean_move(spec: JobSpec, sums: Integers, rows: tuple[int, ...]) -> tuple[bytes, int]:
    """A block's mean move as a gradient's blob (the step goes against gradients), and its weight:
    rows that count, each owner's at most `batch_rows`."""
    from protocol.arith.numbers.vectors import Kind, encode_vector
    from protocol.arith.sealed import ciphertexts as sealed

    weight = sum(spec.counted_rows(each) for each in rows)
    move = sealed.restore(tasks.envelope_of(spec), sums) * (spec.training.batch_rows / weight)
    return encode_vector(Kind.GRADIENT, -_with_biases(spec, move)), weight


def open_state(work: Work, key: PrivateKey, state: BlobRef | None) -> tuple[bytes, bytes | None]:
    """Blobs, in memory alone, of the weights and the momentum that a step starts from."""
    import numpy as np

    from protocol.arith.numbers.vectors import Kind, encode_vector
    from protocol.arith.sealed import state as sealed_state

    count = tasks.model_of(tasks.spec_of(work)).parameter_count
    if state is None:
        return encode_vector(Kind.MODEL, np.zeros(count)), None
    held = sealed_state.open_state(key, get(work, state), count)
    momentum = None if held.momentum is None else encode_vector(Kind.MOMENTUM, held.momentum)
    return encode_vector(Kind.MODEL, held.weights), momentum


def within_limit(
    spec: JobSpec, weights: bytes, momentum: bytes | None
) -> tuple[bytes, bytes | None, int]:
    """The blobs of what a step came to, cut to the weights that owners can be shown; how many were.

    One reply may move a weight as far as its block's lanes reach, hundreds of limits away. Owners'
    replies answer to the limit, so one move that is kept in full would outlast all of theirs. A
    weight that is cut loses its momentum too, because that would carry it out again.
    """
    import numpy as np

    from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector

    count, limit = tasks.model_of(spec).parameter_count, spec.model.weight_limit
    vector = decode_vector(Kind.MODEL, weights, count)
    beyond = np.abs(vector) > limit
    if not beyond.any():
        return weights, momentum, 0
    held = encode_vector(Kind.MODEL, np.clip(vector, -limit, limit))
    if momentum is not None:
        moving = decode_vector(Kind.MOMENTUM, momentum, count)
        momentum = encode_vector(Kind.MOMENTUM, np.where(beyond, 0.0, moving))
    return held, momentum, int(np.count_nonzero(beyond))


def seal(
    work: Work, key: PrivateKey, turn: int, weights: bytes, momentum: bytes | None
) -> tuple[BlobRef, BlobRef]:
    """Stores the ciphertexts of the weights, `turn` rounds after the first, and weights and
    momentum for the requester alone."""
    from protocol.arith.numbers.vectors import Kind, decode_vector
    from protocol.arith.sealed import ciphertexts as sealed
    from protocol.arith.sealed import state as sealed_state

    spec = tasks.spec_of(work)
    count = tasks.model_of(spec).parameter_count
    vector = decode_vector(Kind.MODEL, weights, count)
    weighed = vector[: spec.parameter_count]
    blob, _ = sealed.encrypt_model(tasks.envelope_of(spec), weighed, secrets.token_bytes)
    moved = None if momentum is None else decode_vector(Kind.MOMENTUM, momentum, count)
    kept = sealed_state.seal_state(
        key, sealed_state.State(turn, vector, moved), secrets.token_bytes
    )
    return put(work, blob), put(work, kept)


def exported(work: Work, private_key: bytes, model: BlobRef) -> dict[str, Floats]:
    """A sealed model's arrays for its requester: weights, and the map that they are used with."""
    import numpy as np

    from protocol.arith.paillier.cryptosystem import PrivateKey
    from protocol.arith.sealed import ciphertexts as sealed

    spec = tasks.spec_of(work)
    key, envelope = PrivateKey.from_bytes(private_key), tasks.envelope_of(spec)
    integers = sealed.decrypt_model(key, envelope, get(work, model))
    weights: Floats = integers.astype(np.float64) * envelope.fixed_point.step
    shaped = weights.reshape(spec.feature_count, spec.outputs)
    return {"weights": shaped, **tasks.feature_map_of(spec).arrays()}


def _with_biases(spec: JobSpec, vector: Floats) -> Floats:
    """A sealed model's weights in the layout of an open one, whose biases are 0."""
    import numpy as np

    return np.concatenate([vector, np.zeros(spec.outputs)])


@lru_cache(maxsize=2)
def _quantised(spec_bytes: bytes, rows: Rows, declared: int, kept: bytes | None) -> Quantised:
    """The map that every round of a job multiplies with: made once, because it depends on no
    round."""
    from protocol.arith.sealed import affine

    spec = decode_spec(spec_bytes)
    training = spec.training
    told = _statistics(spec, spec_bytes, rows, kept)
    if told.rows != declared:
        # The number of rows is public because the enrolment says it. No other number may show.
        found_rows = f"has {told.rows} rows; this owner enrolled with {declared}"
        raise InputError(f"{found_rows}: it is another data set by now", "data")
    found = affine.local_map(
        tasks.model_of(spec),
        told,
        training.local_steps,
        training.rate,
        training.ridge,
    )
    weight = spec.counted_rows(declared) / training.batch_rows
    return affine.quantised(found, weight, layout_of(spec), spec.model.weight_limit)


def _statistics(spec: JobSpec, spec_bytes: bytes, rows: Rows, kept: bytes | None) -> Statistics:
    from protocol.arith.learning.models import check_rows
    from protocol.arith.sealed import statistics

    model = tasks.model_of(spec)
    if kept is not None:
        return statistics.decode_statistics(kept, spec.feature_count, spec.outputs)
    if spec.privacy.noisy:
        raise FatalError("a noisy job's statistics are drawn and kept before they are used")
    told = statistics.exact(model, *check_rows(model, *tasks.matrix_of(spec_bytes, rows)))
    # Rows that are left out add zeros and count, as rows that cannot be used do with noise: the
    # step shows no number of rows but the declared one.
    return dataclasses.replace(told, rows=told.rows + tasks.left_out(spec, rows))
