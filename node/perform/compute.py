"""Effects that compute: each runs in a worker, once. What is stored is never computed again."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import trio

from node.engine.engine import Wanted
from node.engine.services import Services
from node.perform import dealt, proving
from node.perform.encoders import fetching
from node.perform.sealing import attempt_of, mask_name
from node.privacy import draws as gradients
from node.privacy import ledger as privacy_ledger
from node.privacy import settling
from node.store import catalogue, jobs, records, versions
from node.store.blobs import BlobLost, BlobRef
from node.store.store import Transaction
from node.work import apply as apply_tasks
from node.work import embedding, tasks
from node.work import noisy as noisy_tasks
from node.work import sealed as sealed_tasks
from node.work import secagg as secagg_tasks
from node.workers.compute import WorkerDied, in_worker, run_followed
from protocol import params
from protocol.books.enrolment import block_members
from protocol.errors import FatalError, InputError, Malformed, PeerError
from protocol.layout.noise import NoisePlan
from protocol.machines import effects, inputs, outcomes
from protocol.machines.inputs import Outcome
from protocol.machines.machine import one_line
from protocol.machines.outcomes import OUTCOMES
from protocol.owner.state import OwnerState
from protocol.policy.rules import without_noise
from protocol.spec.job import JobSpec, Terms
from protocol.wire.codec import decode_tagged, encode_tagged
from protocol.wire.envelope import reopen_envelope
from protocol.wire.messages import Release

log = logging.getLogger("assay.compute")


def key_name(modulus: bytes) -> str:
    """Under which name a job's private key is sealed."""
    return f"paillier.{hashlib.sha256(modulus).hexdigest()[:32]}"


async def compute(services: Services, wanted: Wanted, effect: effects.Compute) -> None:
    """Run one computation and store its outcome with the step that it leads to."""
    # The result's name: the same effect of the same job has one outcome for ever.
    ident = hashlib.sha256(wanted.machine.key + encode_tagged(effect)).digest()
    stored = await services.store.read(lambda tx: records.load_result(tx, ident))
    if stored is not None:
        outcome = decode_tagged(OUTCOMES, stored, params.MAX_STREAM_MESSAGE_BYTES)
    else:
        outcome = await _run(services, wanted, effect)
    kind = type(effect).__name__
    await services.engine.feed(
        wanted.machine.key,
        outcome,
        wanted.id,
        lambda tx: _keep(tx, ident, kind, encode_tagged(outcome)),
    )


def _keep(tx: Transaction, ident: bytes, kind: str, outcome: bytes) -> None:
    records.save_result(tx, ident, kind, outcome)


async def _run(services: Services, wanted: Wanted, effect: effects.Compute) -> Outcome:
    try:
        result = await _dispatch(services, wanted, effect)
    except (InputError, PeerError) as error:
        return outcomes.failed(effect, services.clock.ms(), one_line(str(error)))
    except WorkerDied as error:
        # Three times in a row. Others would wait for this owner until the attempt's time is over;
        # the next attempt is another try. Whatever else dies is done again later, by the engine.
        if not isinstance(effect, effects.ComputeContribution):
            raise
        return outcomes.failed(effect, services.clock.ms(), one_line(str(error)))
    except BlobLost:
        raise  # perhaps others of the job have it
    except FatalError as error:
        if not isinstance(effect, effects.ComputeApply):
            raise
        # Training that leaves float64's range: the job ends, and its owners are paid.
        return outcomes.failed(effect, services.clock.ms(), one_line(str(error)))
    blob = result.blob or BlobRef(b"", 0)
    momentum = result.extra.digest if result.extra is not None else b""
    worth = result.worth.digest if result.worth is not None else b""
    told = blob.digest, blob.size, momentum, result.facts, worth
    return outcomes.done(effect, services.clock.ms(), *told)


async def _dispatch(services: Services, wanted: Wanted, effect: effects.Compute) -> tasks.Result:
    machine = wanted.machine
    context = machine.context
    work = tasks.Work(services.home.blobs, await services.spec_bytes(context))
    match effect:
        case effects.ComputeInitialModel():
            sealed = context.spec.privacy.sealed
            first = sealed_tasks.initial_model if sealed else tasks.initial_model
            return await in_worker(services.compute, first, work)
        case effects.ComputeContribution():
            return await _contribute(services, wanted, effect, work)
        case effects.ComputeCheck() if context.spec.proves:
            return await dealt.check(services, machine, effect, work)
        case effects.ComputeCheck():
            place = services.place(context.job, effect.round, effect.attempt)
            peer = context.require_cohort().members[effect.member].peer
            batch = services.blob(effect.batch_digest)
            return await in_worker(services.compute, secagg_tasks.check, work, batch, place, peer)
        case effects.ComputeSum():
            return await in_worker(
                services.compute, tasks.add, work, tuple(services.blob(d) for d in effect.batches)
            )
        case effects.ComputeApply():
            cohort = context.require_cohort().members
            blocks = tuple(
                apply_tasks.Block(
                    services.blob(b.sum),
                    services.blob(b.unmask),
                    b.members,
                    tuple(cohort[member].rows for member in b.members),
                )
                for b in effect.blocks
            )
            return await in_worker(
                services.compute,
                apply_tasks.apply,
                work,
                services.keys.unseal(key_name(context.spec.modulus)),
                effect.round,
                services.blob(effect.model_digest),
                services.blob(effect.momentum) if effect.momentum else None,
                services.blob(effect.worth) if effect.worth else None,
                blocks,
                await holdout_rows(services, context.job),
            )


async def _contribute(
    services: Services, wanted: Wanted, effect: effects.ComputeContribution, work: tasks.Work
) -> tasks.Result:
    """Integers, then masks. A try that a crash cut short is made again with the same secrets.
    Nothing of the first try can have left, because nobody was told its batch's name."""
    machine = wanted.machine
    context, cohort = machine.context, machine.context.require_cohort()
    model = services.blob(effect.model_digest)
    rows = await _own_rows(services, wanted)
    noisy, sealed = None, context.spec.privacy.sealed
    if context.spec.privacy.noisy and sealed:
        noisy = await _statistics(services, wanted, work, rows, model)
    elif context.spec.privacy.noisy:
        noisy = await _noisy(services, wanted, effect, work, rows, model)
    else:
        await _still_agreed(services, rows.name, context.spec)
    name = mask_name(context.job, effect.round, effect.attempt)
    try:
        secret = await trio.to_thread.run_sync(services.keys.unseal, name)
    except KeyError:
        raise InputError("this attempt's secrets are gone from the vault", "keys") from None
    me = cohort.index_of(context.me)
    if me is None:
        raise FatalError("this owner is not in the cohort that it contributes to")
    if not context.spec.proves:
        attempt = await attempt_of(services, machine, effect)
    if sealed:
        step = sealed_tasks.Step(rows, cohort.members[me].rows, model, noisy)
        return await in_worker(
            services.compute, sealed_tasks.contribution, work, step, attempt, secret, me, context.me
        )
    seed = b""  # a noisy draw is kept whole
    if noisy is None:
        async with gradients.drawing(services.home, context.job):
            seed = await trio.to_thread.run_sync(_batch_seed, services, context.job, effect.round)
    gradient = tasks.Gradient(rows, model, seed, noisy)
    if context.spec.proves:
        return await dealt.deal(services, machine, effect, work, gradient, secret)
    return await in_worker(
        services.compute, secagg_tasks.contribution, work, gradient, attempt, secret, me, context.me
    )


async def _still_agreed(services: Services, dataset: str, spec: JobSpec) -> None:
    """Raises InputError if a data set's owner no longer takes such a job without noise. For a job
    with noise, the ledger decides what more it may tell."""
    policy = await services.store.read(lambda tx: catalogue.policy_of(tx, dataset))
    if why := "; ".join(without_noise(policy, spec)):
        raise InputError(f"the job runs no further on {dataset}: {why}", "policy")


async def _noisy(
    services: Services,
    wanted: Wanted,
    effect: effects.ComputeContribution,
    work: tasks.Work,
    rows: tasks.Rows,
    model: BlobRef,
) -> bytes:
    """The round's noisy integers: repeated by every attempt."""

    async def draw(plan: NoisePlan) -> bytes:
        fresh, _ = await in_worker(
            services.compute, noisy_tasks.noisy_gradient, work, rows, model, plan
        )
        return fresh

    async def check() -> None:
        await in_worker(services.compute, tasks.check_model, work, model)

    place = effect.round, effect.model_digest
    return await _drawn_once(services, wanted.machine.key, rows.name, *place, check, draw)


async def _statistics(
    services: Services, wanted: Wanted, work: tasks.Work, rows: tasks.Rows, model: BlobRef
) -> bytes:
    """A sealed job's noised statistics, which all of its rounds are computed from."""

    async def draw(plan: NoisePlan) -> bytes:
        return await in_worker(services.compute, sealed_tasks.noised_statistics, work, rows, plan)

    async def check() -> None:
        await in_worker(services.compute, tasks.check_model, work, model)

    machine = wanted.machine
    place = 0, machine.context.spec_digest  # one draw a job, on nothing that a model could change
    return await _drawn_once(services, machine.key, rows.name, *place, check, draw)


async def _drawn_once(
    services: Services,
    job: bytes,
    dataset: str,
    round_: int,
    on: bytes,
    check: Callable[[], Awaitable[None]],
    draw: Callable[[NoisePlan], Awaitable[bytes]],
) -> bytes:
    """A round's noisy draw: its model is checked first (`check`), it is charged before it is drawn,
    and stored before it is used. If attempts ask at the same time, one draws, and the others find
    what it kept."""
    place = services.home, job, round_, on
    async with gradients.drawing(services.home, job):
        drawn = await trio.to_thread.run_sync(gradients.load, *place)
        if drawn is None:
            await check()
            await settling.settle(services, dataset)
            await services.store.run(lambda tx: privacy_ledger.charge(tx, dataset, job, round_, on))
            plan = await services.store.read(lambda tx: privacy_ledger.plan_of(tx, job))
            drawn = await draw(plan)
            await trio.to_thread.run_sync(gradients.save, *place, drawn)
        # From here on it may leave. If it is lost, the round is lost, and not drawn again.
        if not await services.store.read(lambda tx: privacy_ledger.is_kept(tx, job, round_)):
            await services.store.run(lambda tx: privacy_ledger.keep(tx, job, round_))
    return drawn


async def unmask(services: Services, wanted: Wanted, effect: effects.ComputeUnmask) -> None:
    """Rebuild a block's secrets from what was released."""
    machine = wanted.machine
    if machine.context.spec.proves:
        opened = await proving.open_block(services, machine, effect)
        await services.engine.feed(machine.key, opened, wanted.id)
        return
    context, cohort = machine.context, machine.context.require_cohort()
    messages = await services.store.read(
        lambda tx: [records.load_message(tx, digest) for digest in effect.releases]
    )
    releases: dict[int, tuple[bytes, ...]] = {}
    for message in messages:
        if message is None:
            raise FatalError("a release that was counted is gone from the store")
        envelope = reopen_envelope(message.body)
        member, body = cohort.index_of(envelope.sender), envelope.body
        if member is None or not isinstance(body, Release):
            raise FatalError("a stored message that was counted is no member's release")
        releases[member] = body.shares
    whole = block_members(machine.blocks(effect.round), effect.block)
    attempt = await attempt_of(services, machine, effect)
    try:
        found = await in_worker(
            services.compute,
            secagg_tasks.unmask,
            tasks.Work(services.home.blobs, await services.spec_bytes(context)),
            attempt,
            {member: cohort.members[member].peer for member in whole},
            effect.listed,
            context.spec.threshold(len(whole)),
            releases,
        )
    except Malformed as error:
        # Rosters and releases were checked before; a fault that slips through closes its block
        # alone.
        log.warning("block %d of round %d stays closed: %s", effect.block, effect.round, error)
        found = secagg_tasks.Unmasking(None, (), (), ())
    digest = b"" if found.blob is None else found.blob.digest
    place = effect.round, effect.attempt, effect.block
    outcome = inputs.Unmasked(
        services.clock.ms(), *place, digest, found.good, found.bad, found.liars
    )
    await services.engine.feed(machine.key, outcome, wanted.id)


async def _own_rows(services: Services, wanted: Wanted) -> tasks.Rows:
    machine = wanted.machine
    if not isinstance(machine.state, OwnerState):
        raise FatalError("only an owner contributes")
    return await _used_rows(services, machine.key, machine.state.dataset)


async def dataset_rows(services: Services, name: str) -> tasks.Rows:
    """A data set of this node, as it is now. Raises InputError where its owner has removed it."""
    dataset = await services.store.read(lambda tx: catalogue.load_dataset(tx, name))
    if dataset is None:
        raise InputError(f"the data set {name!r} is gone; add it again", "dataset")
    encoders = embedding.Encoders(services.home.blobs)
    return tasks.Rows(services.home.datasets, dataset.digest, name, dataset.renames, encoders)


async def _used_rows(services: Services, job: bytes, name: str) -> tasks.Rows:
    """The version of a data set that a job was joined or posted with."""
    used = await services.store.read(lambda tx: versions.use_of(tx, job))
    if used is None or used.dataset != name:  # joined before versions were kept
        return await dataset_rows(services, name)
    encoders = embedding.Encoders(services.home.blobs)
    return tasks.Rows(services.home.datasets, used.digest, name, used.renames, encoders)


async def misfit(services: Services, name: str, terms: Terms, *, owner: bool) -> str:
    """Why a job could not train on a data set, for its owner alone; empty if it could.

    Asked too of a requester's own hold-out set, in which every value must fit (`owner` is false).
    """
    return (await fit(services, name, terms, owner=owner)).refused


@dataclass(frozen=True, slots=True)
class Fit:
    """How a data set fits a job: why it cannot serve it at all, or nothing; how many of its rows
    are used, and why not the others. For its owner alone."""

    refused: str
    rows: int = 0
    usable: int = 0
    unused: str = ""


async def fit(
    services: Services, name: str, terms: Terms, *, owner: bool, idle: bool = False
) -> Fit:
    """Hold a data set against a job.

    Asked before an owner enrols, because an owner that cannot train would hold up its whole block,
    every round. `idle`: an encoder is not run for it, and only its cells are looked at.
    """

    def tell(line: str) -> None:
        log.info("%s, for the job %r: %s", name, terms.title, line)

    rows = await dataset_rows(services, name)
    if idle:
        rows = replace(rows, encoders=embedding.Encoders(services.home.blobs, idle=True))
    try:
        if idle or terms.encoder is None:
            found = await in_worker(services.compute, tasks.fits, rows, terms, owner)
        else:  # it takes as long as the network does, and no round waits for it
            place, fits = services.home.datasets, tasks.fits
            found = await run_followed(
                services.compute, place, tell, fits, rows, terms, owner, repeated=True
            )
    except InputError as error:
        return Fit(str(error))
    return Fit("", found.rows, found.usable, found.why)


async def owner_fit(
    services: Services, name: str, job: bytes, spec: JobSpec, wanted: Wanted | None = None
) -> Fit:
    """The same for an owner, kept for its eyes: `assay jobs` shows it. `wanted` as in
    `fetching.ready`."""
    why = await fetching.ready(services, job, spec, wanted)
    found = Fit(why) if why else await fit(services, name, spec, owner=True)
    if found.unused:
        log.warning("%s, for the job %r: %s", name, spec.title, found.unused)
    why = found.refused or found.unused
    kept = versions.Fit(name, found.rows, found.usable, why)
    await services.store.run(lambda tx: versions.save_fit(tx, job, kept))
    return found


async def holdout_rows(services: Services, job: bytes) -> tasks.Rows | None:
    """What a job of this node is measured on; None where nothing was given."""
    rows = await services.store.read(jobs.jobs)
    name = next((row.holdout for row in rows if row.job == job), "")
    return await _used_rows(services, job, name) if name else None


def _batch_seed(services: Services, job: bytes, round_: int) -> bytes:
    """The seed of a round's mini-batches: secret, and the same for every attempt of the round.

    A failed attempt is followed by another on the same model. If its gradient were another draw,
    two attempts that both leaked would tell more than one; so it is the same gradient again.
    """
    name = f"seed.{job.hex()[:32]}"
    try:
        secret = services.keys.unseal(name)
    except KeyError:
        secret = secrets.token_bytes(32)
        services.keys.seal(name, secret)
    return hmac.digest(secret, job + round_.to_bytes(4, "big"), "sha256")
