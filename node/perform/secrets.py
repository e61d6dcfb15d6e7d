"""Effects on an attempt's secrets: drawn, sealed, destroyed, and the shares of others given up.

Names that begin with `once.` never enter a backup: a restored node has none of them, so it can
release nothing for attempts that it, or a copy of it, has answered before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import trio

from node.engine import holding
from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.perform import messages
from node.perform.sealing import held_sealing_key, mask_name, roster, sealing_name
from node.privacy import draws as gradients
from node.privacy import joins
from node.privacy import ledger as privacy_ledger
from node.store import jobs, records, releases, versions
from node.store.store import Transaction
from node.work import proofs as proof_tasks
from node.work import secagg as secagg_tasks
from node.workers.compute import in_worker
from protocol.books.enrolment import block_members
from protocol.books.lists import RosterEntry
from protocol.errors import FatalError, Malformed
from protocol.machines import effects, inputs
from protocol.machines.machine import one_line
from protocol.owner.state import OwnerState
from protocol.wire.envelope import Context, Envelope, reopen_envelope
from protocol.wire.messages import Release

log = logging.getLogger("assay.secrets")


async def make(services: Services, wanted: Wanted, effect: effects.MakeSecrets) -> None:
    """Draw, seal, share among the block. Nothing of an earlier try has left, because the step that
    would have said it was not stored."""
    machine = wanted.machine
    context, cohort = machine.context, machine.context.require_cohort()

    def failed(reason: str, told: str = "") -> inputs.SecretsFailed:
        return inputs.SecretsFailed(
            services.clock.ms(), effect.round, effect.attempt, one_line(reason), told
        )

    why, told = await holding.held(services, context.job)
    if why:
        await services.engine.feed(machine.key, failed(why, told), wanted.id)
        return
    if await trio.to_thread.run_sync(held_sealing_key, services, context.job) is None:
        # A restored node: it could open no box, so it would contribute and then owe its shares.
        why = "the job's sealing key is gone from this node, which stays out of its rounds"
        await services.engine.feed(machine.key, failed(why), wanted.id)
        return
    whole = block_members(machine.blocks(effect.round), effect.block)
    members = tuple((cohort.members[m].peer, cohort.members[m].sealing_key) for m in whole)
    place = services.place(context.job, effect.round, effect.attempt)
    threshold = context.spec.threshold(len(whole))
    outcome: inputs.SecretsMade | inputs.SecretsFailed
    if context.spec.proves:
        ready, private = await in_worker(services.compute, proof_tasks.make_ready, effect.opening)
        name = mask_name(context.job, effect.round, effect.attempt)
        await trio.to_thread.run_sync(services.keys.seal, name, private)
        outcome = inputs.SecretsMade(services.clock.ms(), effect.round, effect.attempt, ready)
        await services.engine.feed(machine.key, outcome, wanted.id)
        return
    try:
        made = await in_worker(
            services.compute,
            secagg_tasks.make_secrets,
            place,
            effect.opening,
            context.me,
            members,
            threshold,
        )
    except Malformed as error:
        outcome = failed(str(error))
    else:
        name = mask_name(context.job, effect.round, effect.attempt)
        await trio.to_thread.run_sync(services.keys.seal, name, made.secret)
        outcome = inputs.SecretsMade(services.clock.ms(), effect.round, effect.attempt, made.ready)
    await services.engine.feed(machine.key, outcome, wanted.id)


async def forget(services: Services, wanted: Wanted, effect: effects.ForgetSecrets) -> None:
    """Destroy an attempt's mask key and seed."""
    name = mask_name(wanted.machine.key, effect.round, effect.attempt)
    await trio.to_thread.run_sync(services.keys.forget, name)
    await services.engine.complete(wanted.id)


async def forget_job(services: Services, wanted: Wanted) -> None:
    """The job is over: nothing can be unsealed for it any more, and no round can be tried again."""
    job = wanted.machine.key

    def destroy() -> None:
        services.keys.forget(sealing_name(job))
        gradients.forget(services.home, job)

    state = wanted.machine.state
    taken = state.dataset if isinstance(state, OwnerState) else ""
    used = taken if isinstance(state, OwnerState) and state.contributed else ""

    def close(tx: Transaction) -> None:
        privacy_ledger.release(tx, job)
        restored = jobs.restored(tx)
        # Restored from a backup: what it contributed since is not known here.
        joins.over(tx, job, used=taken if job in restored else used)
        versions.over(tx, job)

    # A draw that is still on its way would be kept after all was forgotten, and stay.
    async with gradients.drawing(services.home, job):
        await trio.to_thread.run_sync(destroy)
        await services.store.run(close)
    await services.engine.complete(wanted.id)


async def release(services: Services, wanted: Wanted, effect: effects.SendRelease) -> None:
    """Open the boxes, record which kind of share leaves of whom, then send them.

    Message and record are one transaction before the first byte leaves; shares and signature are
    deterministic, so that a repetition says the same bytes.
    """
    entries = await roster(services, wanted.machine, effect)
    kinds: dict[int, releases.Kind] = {
        entry.member: "seed" if entry.member in effect.listed else "key" for entry in entries
    }
    envelope = await _release(services, wanted.machine, effect, entries, kinds)
    if envelope is None:
        await services.engine.complete(wanted.id)
        return
    message = records.stored(envelope)

    def keep(tx: Transaction) -> None:
        releases.record(tx, wanted.machine.key, effect.round, effect.attempt, kinds)
        records.save_message(tx, message)

    await services.store.run(keep)
    await messages.deliver(
        services, wanted, wanted.machine.context.requester, envelope, "Release", effect.until
    )


async def _release(
    services: Services,
    machine: Machine,
    effect: effects.SendRelease,
    entries: tuple[RosterEntry, ...],
    kinds: Mapping[int, releases.Kind],
) -> Envelope | None:
    """The signed message: one that is stored, or a new one; None where the key to it is gone."""
    job, context = machine.key, machine.context
    place = services.place(job, effect.round, effect.attempt)
    stored = await services.store.read(lambda tx: _stored(tx, job, place, context.me))
    if stored is not None:
        return stored
    key = await trio.to_thread.run_sync(held_sealing_key, services, job)
    if key is None:
        log.warning("no shares are released for round %d: the sealing key is gone", effect.round)
        return None

    def build() -> tuple[bytes, ...]:
        cohort = context.require_cohort()
        whole = block_members(machine.blocks(effect.round), effect.block)
        me = cohort.index_of(context.me)
        if me is None or me not in whole:
            raise FatalError("this owner is no member of the block that it releases shares for")
        peers = {member: cohort.members[member].peer for member in whole}
        opened = secagg_tasks.open_shares(key[0], place, entries, peers, me, whole.index(me))
        return tuple(opened[e.member][0 if kinds[e.member] == "seed" else 1] for e in entries)

    shares = await trio.to_thread.run_sync(build)
    body = Release(effect.root, effect.block, shares)
    return messages.sealed(services, job, effect.round, effect.attempt, body)


def _stored(tx: Transaction, job: bytes, place: Context, me: bytes) -> Envelope | None:
    for message in records.messages_of(tx, job, "Release"):
        if message.sender == me:
            envelope = reopen_envelope(message.body)
            if envelope.context == place:
                return envelope
    return None
