"""Effects that compute: each runs in a worker, once. What is stored is never computed again."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

from node import catalogue, jobs, records, tasks
from node.blobs import BlobRef
from node.compute import WorkerDied
from node.engine import Wanted, unix_ms
from node.perform.services import Services
from node.store import Transaction
from protocol import effects, inputs, params
from protocol.codec import decode_tagged, encode_tagged
from protocol.errors import FatalError, InputError, PeerError
from protocol.machine import one_line
from protocol.owner_state import OwnerState
from protocol.spec import Terms

log = logging.getLogger("assay.compute")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: A worker may be killed by the system; the same computation is tried so often before the job ends.
_TRIES = 3

Outcome = inputs.ComputeDone | inputs.ComputeFailed


def key_name(modulus: bytes) -> str:
    """Under which name a job's private key is sealed."""
    return f"paillier.{hashlib.sha256(modulus).hexdigest()[:32]}"


async def in_worker(services: Services, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """`function(*args)` in a worker; once more, and once more, where the worker is killed."""
    for left in reversed(range(_TRIES)):
        try:
            return await services.compute.run(function, *args)
        except WorkerDied as error:
            if not left:
                raise
            log.warning("%s; it is tried again", error)
            await trio.sleep(1)
    raise FatalError("unreachable: the last try returns or raises")


async def compute(services: Services, wanted: Wanted, effect: effects.Compute) -> None:
    """Run one computation and store its outcome with the step that it leads to."""
    # What is computed where: the same effect of the same job has one outcome for ever.
    ident = hashlib.sha256(wanted.machine.key + encode_tagged(effect)).digest()
    stored = await services.store.read(lambda tx: records.load_result(tx, ident))
    if stored is not None:
        outcome = decode_tagged(_OUTCOMES, stored, params.MAX_STREAM_MESSAGE_BYTES)
    else:
        outcome = await _run(services, wanted, effect)
    kind = type(effect).__name__
    await services.engine.feed(
        wanted.machine.key,
        outcome,
        wanted.id,
        lambda tx: _keep(tx, ident, kind, encode_tagged(outcome)),
    )


_OUTCOMES: tuple[type[Outcome], ...] = (inputs.ComputeDone, inputs.ComputeFailed)


def _keep(tx: Transaction, ident: bytes, kind: str, outcome: bytes) -> None:
    records.save_result(tx, ident, kind, outcome)


async def _run(services: Services, wanted: Wanted, effect: effects.Compute) -> Outcome:
    kind, round_, attempt, subject = effects.labels(effect)

    def failed(error: Exception) -> Outcome:
        reason = one_line(str(error))
        return inputs.ComputeFailed(unix_ms(), kind, round_, attempt, subject, reason)

    try:
        result = await _dispatch(services, wanted, effect)
    except (InputError, PeerError) as error:
        return failed(error)
    except FatalError as error:
        if kind != "apply":
            raise
        # Training that leaves float64's range: the job ends, and its owners are paid.
        return failed(error)
    blob = result.blob or BlobRef(b"", 0)
    extra = result.extra.digest if result.extra is not None else b""
    return inputs.ComputeDone(
        unix_ms(), kind, round_, attempt, subject, blob.digest, blob.size, extra, result.facts
    )


async def _dispatch(services: Services, wanted: Wanted, effect: effects.Compute) -> tasks.Result:
    context = wanted.machine.context
    work = tasks.Work(services.home.blobs, await services.spec_bytes(context))
    match effect:
        case effects.ComputeInitialModel():
            return await in_worker(services, tasks.initial_model, work)
        case effects.ComputeContribution():
            rows = await _own_rows(services, wanted)
            seed = await trio.to_thread.run_sync(_batch_seed, services, context.job, effect.round)
            model = services.blob(effect.model_digest)
            return await in_worker(services, tasks.contribution, work, rows, model, seed)
        case effects.ComputeCheck():
            return await in_worker(services, tasks.check, work, services.blob(effect.batch_digest))
        case effects.ComputeSum():
            return await in_worker(
                services, tasks.add, work, tuple(services.blob(d) for d in effect.batches)
            )
        case effects.ComputeApply():
            momentum = services.blob(effect.momentum) if effect.momentum else None
            sums = tuple(
                (services.blob(digest), count)
                for digest, count in zip(effect.sums, effect.counts, strict=True)
            )
            return await in_worker(
                services,
                tasks.apply,
                work,
                services.keys.unseal(key_name(context.spec.modulus)),
                services.blob(effect.model_digest),
                momentum,
                sums,
                await _holdout(services, context.job),
            )


async def _own_rows(services: Services, wanted: Wanted) -> tasks.Rows:
    state = wanted.machine.state
    if not isinstance(state, OwnerState):
        raise FatalError("only an owner contributes")
    return await dataset_rows(services, state.dataset)


async def dataset_rows(services: Services, name: str) -> tasks.Rows:
    """A data set of this node. Raises InputError where its owner has removed it."""
    dataset = await services.store.read(lambda tx: catalogue.load_dataset(tx, name))
    if dataset is None:
        raise InputError(f"the data set {name!r} is gone; add it again", "dataset")
    return tasks.Rows(services.home.datasets, dataset.digest, name)


async def misfit(services: Services, name: str, terms: Terms) -> str:
    """Why a job could not train on a data set, for its owner alone; empty if it could.

    Asked before an owner enrols: one that cannot train would hold up its whole block, every round.
    """
    rows = await dataset_rows(services, name)
    try:
        await in_worker(services, tasks.fits, rows, terms)
    except InputError as error:
        return str(error)
    return ""


async def _holdout(services: Services, job: bytes) -> tasks.Rows | None:
    rows = await services.store.read(jobs.jobs)
    name = next((row.holdout for row in rows if row.job == job), "")
    return await dataset_rows(services, name) if name else None


def _batch_seed(services: Services, job: bytes, round_: int) -> bytes:
    """What draws a round's mini-batches: secret, and the same for every attempt of the round.

    A failed attempt is followed by another on the same model. Were its gradient another draw, two
    attempts that both leaked would tell more than one; so it is the same gradient again.
    """
    name = f"seed.{job.hex()[:32]}"
    try:
        secret = services.keys.unseal(name)
    except KeyError:
        secret = secrets.token_bytes(32)
        services.keys.seal(name, secret)
    return hmac.digest(secret, job + round_.to_bytes(4, "big"), "sha256")
