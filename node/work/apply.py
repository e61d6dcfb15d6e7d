"""What a requester's workers run once a round's blocks are unmasked: open, measure, move.

An open model is a blob of floats, and so is its momentum. A sealed one is a blob of ciphertexts for
its owners, and beside it one blob of weights and momentum that only the requester's private key
opens: nothing that is stored or served here holds them in the clear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from node.store.blobs import BlobRef
from node.work import sealed as sealed_tasks
from node.work import tasks
from node.work.tasks import Result, Rows, Work, get, put
from protocol.spec.job import Envelope, JobSpec, NumberTarget

if TYPE_CHECKING:
    from protocol.arith.learning.measures import Measures
    from protocol.arith.learning.models import Floats
    from protocol.arith.paillier.private_key import PrivateKey


#: Of so many classes a round's recall is told, the lowest first: an event holds few facts.
RECALLS: Final = 20


@dataclass(frozen=True, slots=True)
class Block:
    """A block's sum, the removal that takes its masks off, its contributors, and the rows that each
    of them declared."""

    sum: BlobRef
    unmask: BlobRef
    members: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A block's mean gradient, whose it is, and how much it weighs beside the others."""

    gradient: bytes = field(repr=False)
    members: tuple[int, ...]
    weight: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """The model before or after a step, in the clear: its blob, and its momentum's, if any yet.
    For a sealed model these are secret."""

    weights: bytes = field(repr=False)
    momentum: bytes | None = field(repr=False)


def apply(
    work: Work,
    private_key: bytes,
    round_: int,
    model: BlobRef,
    state: BlobRef | None,
    worth: BlobRef | None,
    blocks: tuple[Block, ...],
    holdout: Rows | None,
) -> Result:
    """Open the blocks' sums, measure what each is worth, move the model, evaluate it.

    `state` is the `extra` of the last round's result: the momentum, or a sealed job's weights and
    momentum. A block whose sum is out of range is dropped and counted; if none is left the model
    stays as it is, under another digest.
    """
    from protocol.arith import kernels
    from protocol.arith.paillier.cryptosystem import PrivateKey

    spec = tasks.spec_of(work)
    closed = spec.encryption.envelope is Envelope.PAILLIER
    key = PrivateKey.from_bytes(private_key) if closed else None
    opened, dropped = _open(work, spec, key, blocks)
    before = _before(work, spec, key, model, state)
    architecture, training = tasks.model_of(spec), tasks.training_of(spec)
    facts: list[tuple[str, float]] = [("blocks_dropped", float(len(dropped)))]
    measured = worth
    rows = None if holdout is None else tasks.matrix_of(work.spec, holdout)
    if opened:
        if rows is not None and spec.payment.measures:
            measured = _measure(work, spec, round_, before, worth, opened, dropped, rows)
        gradients = [(each.gradient, each.weight) for each in opened]
        weights, momentum, moved = kernels.apply(
            architecture, before.weights, before.momentum, gradients, training, round_ + 1
        )
        after = _Standing(weights, momentum)
        contributors = sum(len(each.members) for each in opened)
        facts += [("contributors", float(contributors)), ("move", moved.move_norm)]
    else:
        after = _Standing(kernels.keep(architecture, before.weights, round_ + 1), before.momentum)
    if spec.privacy.sealed:
        held, momentum_held, cut = sealed_tasks.within_limit(spec, after.weights, after.momentum)
        after = _Standing(held, momentum_held)
        facts.append(("clipped_weights", float(cut)))
    if rows is not None:
        facts += measured_facts(spec, kernels.evaluate(architecture, after.weights, *rows))
    blob, extra = _after(work, spec, key, round_ + 1, after, state)
    return Result(blob, extra, tuple(facts), measured)


def measured_facts(spec: JobSpec, seen: Measures) -> list[tuple[str, float]]:
    """What a round's event says of the model on the hold-out set. `rmse` is in the target's own
    unit; `recall_K` is the recall of the K-th of the target's classes, from 0."""
    target = spec.target
    scale = target.high - target.low if isinstance(target, NumberTarget) else 1.0
    named = {
        "accuracy": seen.accuracy,
        "loss": seen.loss,
        "auc": seen.auc,
        "r_squared": seen.r_squared,
        "rmse": None if seen.rmse is None else scale * seen.rmse,
    }
    lowest = sorted(seen.recall, key=lambda each: each[1])[:RECALLS]
    named |= {f"recall_{place}": share for place, share in sorted(lowest)}
    return [
        (name, value) for name, value in named.items() if value is not None and math.isfinite(value)
    ]


def _open(
    work: Work, spec: JobSpec, key: PrivateKey | None, blocks: tuple[Block, ...]
) -> tuple[list[_Opened], list[tuple[int, ...]]]:
    """Blocks with their mean gradients, and the members of those that were out of range."""
    import numpy as np

    from protocol.arith import kernels
    from protocol.arith.encoding.lanes import SumOutOfRange

    opened: list[_Opened] = []
    dropped: list[tuple[int, ...]] = []
    envelope = tasks.envelope_of(spec)
    for block in blocks:
        summands = len(block.members)
        if spec.proves:
            # Opened and held to the proven norm already (node/work/proofs.py).
            told = np.frombuffer(get(work, block.sum), dtype="<i8").astype(np.int64)
            gradient, weight = kernels.mean_gradient(envelope, told, summands), summands
            opened.append(_Opened(gradient, block.members, weight))
            continue
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
            continue
        if spec.privacy.sealed:
            gradient, weight = sealed_tasks.mean_move(spec, sums, block.rows)
        else:
            gradient, weight = kernels.mean_gradient(envelope, sums, summands), summands
        opened.append(_Opened(gradient, block.members, weight))
    return opened, dropped


def _before(
    work: Work, spec: JobSpec, key: PrivateKey | None, model: BlobRef, state: BlobRef | None
) -> _Standing:
    if key is not None and spec.privacy.sealed:
        return _Standing(*sealed_tasks.open_state(work, key, state))
    return _Standing(get(work, model), None if state is None else get(work, state))


def _after(
    work: Work,
    spec: JobSpec,
    key: PrivateKey | None,
    turn: int,
    after: _Standing,
    state: BlobRef | None,
) -> tuple[BlobRef, BlobRef | None]:
    """The blobs of the model and of its momentum."""
    if key is not None and spec.privacy.sealed:
        return sealed_tasks.seal(work, key, turn, after.weights, after.momentum)
    if after.momentum is None:
        return put(work, after.weights), state
    return put(work, after.weights), put(work, after.momentum)


def _measure(
    work: Work,
    spec: JobSpec,
    round_: int,
    before: _Standing,
    record: BlobRef | None,
    opened: list[_Opened],
    dropped: list[tuple[int, ...]],
    rows: tuple[Floats, Floats],
) -> BlobRef:
    """The record of worth with this round's blocks in it; a dropped one is worth nothing."""
    from protocol.arith.learning import worth
    from protocol.arith.learning.published import encode_sums
    from protocol.arith.learning.worth_record import append
    from protocol.arith.numbers.vectors import Kind, decode_vector

    model = tasks.model_of(spec)
    count, momentum = model.parameter_count, before.momentum
    known = None if record is None else get(work, record)
    values = worth.measure(
        model,
        decode_vector(Kind.MODEL, before.weights, count),
        None if momentum is None else decode_vector(Kind.MOMENTUM, momentum, count),
        tasks.training_of(spec),
        [(decode_vector(Kind.GRADIENT, each.gradient, count), each.weight) for each in opened],
        *rows,
        spec.seed,
        _last_mean(work, known, count),
    )
    entries = [(each.members, value) for each, value in zip(opened, values, strict=True)]
    entries += [(members, (0.0, 0.0)) for members in dropped]
    if spec.privacy.sealed:  # what owners cannot know they cannot copy, and sums show the weights
        return put(work, append(known, round_, entries))
    # Nobody is told its digest before the job ends, as of the sums that it was made of; nor then,
    # unless the spec says that they are published.
    sums = put(work, encode_sums([each.gradient for each in opened]))
    return put(work, append(known, round_, entries, sums.digest, sums.size))


def _last_mean(work: Work, record: bytes | None, count: int) -> Floats | None:
    """The mean gradient of the last round that was measured; None before the first, and where sums
    are not kept."""
    from protocol.arith.learning.published import decode_sums
    from protocol.arith.learning.worth import mean_of
    from protocol.arith.learning.worth_record import decode
    from protocol.arith.numbers.vectors import Kind, decode_vector

    last = None if record is None else decode(record)[-1]
    if last is None or not last.sums_bytes:
        return None
    gradients = decode_sums(get(work, BlobRef(last.sums, last.sums_bytes)), count)
    return mean_of(
        [
            (decode_vector(Kind.GRADIENT, gradient, count), int(size))
            for gradient, size in zip(gradients, last.sizes, strict=False)  # then dropped ones
        ]
    )


def worths(work: Work, record: BlobRef, members: int) -> tuple[float, ...] | None:
    """Each member's worth over all rounds; None where nothing tells them apart."""
    from protocol.arith.learning.worth import worth_of_members

    return worth_of_members(get(work, record), members, tasks.spec_of(work).cohort.shuffle)
