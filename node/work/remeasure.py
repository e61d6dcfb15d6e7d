"""Worth measured again: what an auditor's workers run on what a requester published.

It trains nothing. From the public seed and each round's sums it follows the model, whose digests
the chain holds, and takes the losses on the hold-out that the spec names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.store.blobs import BlobRef
from node.work import tasks
from node.work.tasks import Work, get, put
from protocol.books.merit import merit_weights
from protocol.books.remeasured import Remeasured
from protocol.errors import FatalError, InputError, Malformed
from protocol.wire.blobs import blob_digest

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats


@dataclass(frozen=True, slots=True)
class Step:
    """A committed round as the evidence has it: its model, what came of it, and its list's blocks,
    each as its members that contributed."""

    number: int
    model: bytes
    following: bytes
    blocks: tuple[tuple[int, ...], ...]


def publish(work: Work, rows: tasks.Rows, nonce: bytes) -> BlobRef:
    """Store the hold-out's blob, whose digest the spec has: from now on peers may fetch it."""
    return put(work, _holdout(work, rows, nonce))


def name(spec: bytes, rows: tasks.Rows, nonce: bytes) -> bytes:
    """The blob's digest, before anything of it may be fetched. `spec`: the job's, or one that
    differs from it in nothing that the rows' matrix follows from. Raises InputError."""
    from protocol.arith.learning.published import encode_holdout

    return blob_digest(encode_holdout(*tasks.matrix_of(spec, rows), nonce))


def _holdout(work: Work, rows: tasks.Rows, nonce: bytes) -> bytes:
    from protocol.arith.learning.published import encode_holdout

    return encode_holdout(*tasks.matrix_of(work.spec, rows), nonce)


def sums_of(work: Work, record: BlobRef) -> tuple[BlobRef, ...]:
    """The rounds' sums that a record names. Raises Malformed."""
    from protocol.arith.learning.worth_record import decode

    rounds = decode(get(work, record))
    return tuple(BlobRef(each.sums, each.sums_bytes) for each in rounds if each.sums_bytes)


def remeasure(
    work: Work, record: BlobRef | None, holdout: BlobRef, steps: tuple[Step, ...], members: int
) -> Remeasured:
    """Members' weights, from the sums and the hold-out alone; what does not hold on the way.

    `record` is None where the requester recorded no round. Its values are not read: only who stood
    in which block, and which sums are theirs. The first round whose model does not follow ends it.
    """
    from protocol.arith import kernels
    from protocol.arith.learning import worth
    from protocol.arith.learning.published import decode_holdout, decode_sums
    from protocol.arith.learning.worth_record import append, decode
    from protocol.arith.numbers.vectors import Kind, decode_vector

    spec = tasks.spec_of(work)
    model, training = tasks.model_of(spec), tasks.training_of(spec)
    count = model.parameter_count
    try:
        x, y = decode_holdout(get(work, holdout), spec.inputs)
        recorded = {} if record is None else {r.number: r for r in decode(get(work, record))}
        weights: bytes = kernels.initial_model(model, spec.seed)
        momentum: bytes | None = None
        measured: bytes | None = None
        before: Floats | None = None
        for step in steps:
            where = f"round {step.number}"
            if blob_digest(weights) != step.model:
                return Remeasured((), f"{where}: its model is not what the sums before it lead to")
            if step.following == step.model:
                continue  # paid, and not applied
            each = recorded.get(step.number)
            if each is None:
                weights = kernels.keep(model, weights, step.number + 1)
                continue
            if not each.sums_bytes:
                return Remeasured((), f"{where}: no sums are published")
            gradients = decode_sums(get(work, BlobRef(each.sums, each.sums_bytes)), count)
            entries = each.entries
            if len(gradients) > len(entries):
                return Remeasured((), f"{where}: more sums than blocks")
            if any(block not in step.blocks for block, _ in entries):
                return Remeasured((), f"{where}: a block is measured that its list has not")
            opened = [
                (gradient, len(block))
                for gradient, (block, _) in zip(gradients, entries, strict=False)
            ]
            blocks = [(decode_vector(Kind.GRADIENT, blob, count), size) for blob, size in opened]
            values = worth.measure(
                model,
                decode_vector(Kind.MODEL, weights, count),
                None if momentum is None else decode_vector(Kind.MOMENTUM, momentum, count),
                training,
                blocks,
                x,
                y,
                spec.seed,
                before,
            )
            before = worth.mean_of(blocks)
            dropped = ((0.0, 0.0),) * (len(entries) - len(gradients))
            found = [
                (block, value)
                for (block, _), value in zip(entries, (*values, *dropped), strict=True)
            ]
            measured = append(measured, step.number, found)
            weights, momentum, _ = kernels.apply(
                model, weights, momentum, opened, training, step.number + 1
            )
        if steps and blob_digest(weights) != steps[-1].following:
            return Remeasured((), "the last model is not what the sums lead to")
        if measured is None:
            return Remeasured((), "")
        worths = worth.worth_of_members(measured, members, spec.cohort.shuffle)
    except (FatalError, InputError, Malformed) as error:
        # All of it is the requester's word: what no honest one publishes is a finding. Rows that do
        # not fit the model are no fault of this node's user.
        return Remeasured((), f"what was published cannot be measured: {error}")
    return Remeasured(() if worths is None else merit_weights(worths), "")
