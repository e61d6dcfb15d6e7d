"""Effects of jobs whose contributions prove their norm: which goes where, and the sums.

A round's one sum is recorded before it is said (store/proofs.py).
"""

from __future__ import annotations

import logging

import trio

from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.perform import dealt, deciding, messages
from node.perform.dealt import (
    envelopes_of,
    held_boxes,
    my_place,
    whole_block,
    work_of,
)
from node.perform.sealing import held_sealing_key
from node.store import proofs as kept
from node.store import records
from node.store.store import Transaction
from node.work import proofs as proof_tasks
from node.workers.compute import in_worker
from protocol.books import dealings
from protocol.books.dealings import Dealer
from protocol.errors import FatalError, Malformed
from protocol.machines import effects, inputs, proving
from protocol.wire.messages import Release

log = logging.getLogger("assay.proving")


async def perform(services: Services, wanted: Wanted, effect: proving.Proving) -> None:
    """Carry out one of these effects."""
    match effect:
        case proving.AssembleDealings():
            await dealt.assemble_dealings(services, wanted, effect)
        case proving.ExamineDealings():
            await dealt.examine_dealings(services, wanted, effect)
        case proving.ComputeWords():
            await deciding.say_words(services, wanted, effect)
        case proving.ComputeVerdict():
            await deciding.make_verdict(services, wanted, effect)
        case proving.AssembleListed():
            await deciding.assemble_listed(services, wanted, effect)
        case proving.ExamineVerdict():
            await deciding.examine_verdict(services, wanted, effect)
        case proving.SendSum():
            await _send_sum(services, wanted, effect)


async def _send_sum(services: Services, wanted: Wanted, effect: proving.SendSum) -> None:
    """Add the pieces of who is listed, record that this is the round's one sum, then say it.

    Boxes and keys give the same sum again, so that a repetition says the same bytes.
    """
    machine = wanted.machine
    context, place = machine.context, services.place(machine.key, effect.round, effect.attempt)
    digest = await _sum(services, machine, effect)
    if digest is None:
        await services.engine.complete(wanted.id)
        return
    body = Release(effect.root, effect.block, (digest,))
    envelope = messages.sealed(services, machine.key, effect.round, effect.attempt, body)
    message = records.stored(envelope)

    def keep(tx: Transaction) -> None:
        kept.record_sum(tx, machine.key, place.round, place.attempt, effect.root, digest)
        records.save_message(tx, message)

    await services.store.run(keep)
    told = context.requester, envelope, "Release", effect.until
    await messages.deliver(services, wanted, *told)


async def _sum(services: Services, machine: Machine, effect: proving.SendSum) -> bytes | None:
    """The digest of this node's sum; None where the key to its pieces is gone."""
    key = await trio.to_thread.run_sync(held_sealing_key, services, machine.key)
    if key is None:
        log.warning("no sum is released for round %d: the sealing key is gone", effect.round)
        return None
    mine = my_place(machine, effect.round, effect.block)
    cohort, blocks = machine.context.require_cohort(), machine.blocks(effect.round)
    place = services.place(machine.key, effect.round, effect.attempt)

    def read() -> tuple[Dealer, ...]:
        data = services.blobs.get(services.blob(effect.verdict_digest))
        where = cohort, blocks, effect.block, place
        return dealings.examine_verdict(*where, data, effect.roster_digest)[0]

    dealers = await trio.to_thread.run_sync(read)
    listed = [dealer for dealer in dealers if dealer.member in effect.listed]
    held = await held_boxes(services, machine, effect, listed)
    try:
        ref = await in_worker(
            services.compute,
            proof_tasks.add,
            await work_of(services, machine),
            len(mine.members),
            mine.position,
            key[0],
            held,
        )
    except Malformed as error:
        # A piece that was here when its word was said: a disk that loses boxes. Others' sums do.
        log.warning("no sum is released for round %d: %s", effect.round, error)
        return None
    return ref.digest


async def open_block(
    services: Services, machine: Machine, effect: effects.ComputeUnmask
) -> inputs.Unmasked:
    """Open a block's sum from the sums that its members told of, which are here."""
    cohort = machine.context.require_cohort()
    envelopes = await services.store.read(lambda tx: envelopes_of(tx, effect.releases))
    sums = []
    for envelope in envelopes:
        member, body = cohort.index_of(envelope.sender), envelope.body
        if member is None or not isinstance(body, Release):
            raise FatalError("a stored message that was counted is no member's release")
        sums.append((member, services.blob(body.shares[0])))
    whole = whole_block(machine, effect.round, effect.block)
    found = await in_worker(
        services.compute,
        proof_tasks.open_block,
        await work_of(services, machine),
        len(whole),
        tuple((member, position) for position, member in enumerate(whole)),
        tuple(sums),
        len(effect.listed),
    )
    if found.reason:
        where = effect.block, effect.round
        log.warning("block %d of round %d does not open: %s", *where, found.reason)
    digest = b"" if found.blob is None else found.blob.digest
    place = effect.round, effect.attempt, effect.block
    now = services.clock.ms()
    return inputs.Unmasked(now, *place, digest, found.good, found.bad, ())
