"""Hands each effect to the module that carries it out."""

from __future__ import annotations

import logging

import trio

from node.engine.engine import Wanted
from node.engine.services import Services
from node.perform import chain, compute, considering, lists, messages, proving, secrets
from node.perform.recovering import recover
from node.store.blobs import BlobLost, BlobRef, BlobsFull
from protocol.errors import PeerError
from protocol.machines import effects, inputs
from protocol.machines import proving as machine_proving
from protocol.machines.machine import one_line
from protocol.wire import identity

log = logging.getLogger("assay.perform")

_PAUSE, _NEAR_PAUSE = 1.0, 0.3


#: Blobs that one effect may find lost, one after the other: a disk that loses more is failing.
_LOSSES = 8


async def perform(services: Services, wanted: Wanted) -> None:
    """Carry out one effect. What it raises stops its job alone.

    One that finds a blob lost begins again, as after a crash, once others of the job gave it.
    """
    for left in reversed(range(_LOSSES)):
        try:
            await _perform(services, wanted)
        except BlobLost as lost:
            if not left or not await recover(services, wanted.machine, lost):
                raise
        else:
            return


async def _perform(services: Services, wanted: Wanted) -> None:
    effect = wanted.effect
    match effect:
        case effects.Publish():
            await messages.publish(services, wanted, effect)
        case effects.Send():
            await messages.send(services, wanted, effect)
        case effects.SendEnrolment():
            await messages.send_enrolment(services, wanted, effect)
        case effects.Fetch():
            await _fetch(services, wanted, effect)
        case effects.Assemble():
            await lists.assemble(services, wanted, effect)
        case effects.Examine():
            await lists.examine(services, wanted, effect)
        case effects.Settle():
            await lists.settle(services, wanted, effect)
        case effects.ReadJob():
            await chain.read_job(services, wanted, effect)
        case effects.ReadBlockHash():
            await chain.read_block_hash(services, wanted, effect)
        case effects.SignCommitment():
            await chain.sign_commitment(services, wanted, effect)
        case effects.Consider():
            await considering.consider(services, wanted)
        case effects.Blame():
            peer = identity.peer_id_text(effect.peer)
            log.warning("peer %s: %s", peer, effect.reason)
            await services.engine.complete(wanted.id)
        case effects.Notify():
            await services.engine.complete(wanted.id)
        case (
            effects.ComputeInitialModel()
            | effects.ComputeContribution()
            | effects.ComputeCheck()
            | effects.ComputeSum()
            | effects.ComputeApply()
        ):
            await compute.compute(services, wanted, effect)
        case effects.ComputeUnmask():
            await compute.unmask(services, wanted, effect)
        case effects.MakeSecrets():
            await secrets.make(services, wanted, effect)
        case effects.ForgetSecrets():
            await secrets.forget(services, wanted, effect)
        case effects.ForgetSealingKey():
            await secrets.forget_job(services, wanted)
        case effects.SendRelease():
            await secrets.release(services, wanted, effect)
        case (
            machine_proving.AssembleDealings()
            | machine_proving.ExamineDealings()
            | machine_proving.ComputeWords()
            | machine_proving.ComputeVerdict()
            | machine_proving.AssembleListed()
            | machine_proving.ExamineVerdict()
            | machine_proving.SendSum()
        ):
            await proving.perform(services, wanted, effect)
        case _:
            await chain.transact(services, wanted, effect)


async def _fetch(services: Services, wanted: Wanted, effect: effects.Fetch) -> None:
    """Get a blob from any peer that has it, for as long as it is worth having."""
    ref = BlobRef(effect.digest, effect.size)
    near = [identity.peer_id_text(peer) for peer in effect.near]
    everybody = [*near, *(identity.peer_id_text(peer) for peer in effect.peers)]
    reason = "its time was over before anybody was asked"
    outcome: inputs.BlobArrived | inputs.BlobMissing | None = None
    while outcome is None:
        if services.blobs.holds(ref):
            outcome = inputs.BlobArrived(services.clock.ms(), effect.digest)
            break
        left = (effect.until - services.clock.ms()) / 1000
        if left <= 0 or wanted.pointless:
            outcome = inputs.BlobMissing(services.clock.ms(), effect.digest, one_line(reason))
            break
        waiting = near and services.clock.ms() < effect.patience
        try:
            sink = services.blobs.sink(ref)
            with trio.move_on_after(left):
                await services.swarm.fetch(
                    ref.digest, ref.size, near if waiting else everybody, sink
                )
        except (PeerError, BlobsFull) as error:
            # Bad bytes are their peer's fault, and must not end the job.
            reason = str(error)
            log.info("a blob is looked for again: %s", error)
            await trio.sleep(_NEAR_PAUSE if waiting else _PAUSE)
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)
