"""Hands each effect to the module that carries it out."""

from __future__ import annotations

import logging

import trio

from node.engine.engine import Wanted, unix_ms
from node.engine.services import Services
from node.perform import chain, compute, lists, messages, secrets
from node.privacy import reserving as privacy
from node.store import catalogue
from node.store.blobs import BlobRef, BlobsFull
from node.store.store import Transaction
from protocol import params
from protocol.errors import PeerError
from protocol.machines import effects, inputs
from protocol.machines.job import OVER
from protocol.machines.machine import one_line
from protocol.owner.state import OwnerState
from protocol.policy.policy import DatasetFacts, Policy, Standing, Verdict, judge, obstacles
from protocol.wire import identity

log = logging.getLogger("assay.perform")

_PAUSE, _NEAR_PAUSE = 1.0, 0.3


async def perform(services: Services, wanted: Wanted) -> None:
    """Carry out one effect. What it raises stops its job alone."""
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
            await _consider(services, wanted)
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
            outcome = inputs.BlobArrived(unix_ms(), effect.digest)
            break
        left = (effect.until - unix_ms()) / 1000
        if left <= 0 or wanted.pointless:
            outcome = inputs.BlobMissing(unix_ms(), effect.digest, one_line(reason))
            break
        waiting = near and unix_ms() < effect.patience
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


def unpaid_rounds(services: Services, requester: bytes) -> int:
    """Rounds that were contributed to in jobs of this requester that are over, and never paid."""
    unpaid = 0
    for machine in services.engine.machines.values():
        state, spec = machine.state, machine.context.spec
        if isinstance(state, OwnerState) and spec.requester.account == requester:
            done = len({number for _, number in state.contributed})
            if state.phase in OVER:
                unpaid += max(0, done - state.paid // spec.payment.rate)
    return unpaid


async def _consider(services: Services, wanted: Wanted) -> None:
    """Hold a job against every data set's policy; the first that takes it and fits is used."""
    spec = wanted.machine.context.spec
    standing = Standing(services.keys.account, unpaid_rounds(services, spec.requester.account))
    misfits: list[str] = []
    waits: list[str] = []
    refusals: list[str] = []
    outcome: inputs.ActionConsent | inputs.ActionWithhold | None = None
    hint = ""
    for dataset, policy in await services.store.read(_agreed):
        facts = DatasetFacts(tuple(name for name, _ in dataset.columns), dataset.rows)
        decision = judge(policy, spec, facts, standing)
        if decision.verdict is Verdict.ACCEPT:
            unfit = await compute.misfit(services, dataset.name, spec, owner=True)
            if not unfit:
                unfit = await privacy.reserve_job(
                    services, dataset.name, wanted.machine.key, spec, dataset.rows
                )
            if not unfit:
                outcome = consent(services, dataset, policy)
                break
            misfits.append(f"{dataset.name}: {unfit}")
            continue
        first, *others = decision.reasons
        reasons = [f"{dataset.name}: {first}", *others]
        (waits if decision.verdict is Verdict.WAIT else refusals).extend(reasons)
        if not hint and not obstacles(policy, spec, facts, standing):
            key = wanted.machine.key.hex()[:8]
            hint = f"; to take it by hand: assay train 0x{key} --data {dataset.name}"
    if outcome is None:
        # Data sets whose policy would have taken the job come first, because their owner expects to
        # see them.
        told = [*misfits, *waits] or refusals or ["this node has no data set"]
        # Only a job that nothing here can ever serve is declined; data may be added later.
        outcome = inputs.ActionWithhold(unix_ms(), False, one_line(_fitting(told, hint)))
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


def _fitting(reasons: list[str], hint: str) -> str:
    """As many whole reasons as there is room for before the hint: half an address is none."""
    room = params.MAX_REASON_BYTES - len(hint.encode())
    for count in range(len(reasons), 0, -1):
        left = len(reasons) - count
        text = "; ".join(reasons[:count]) + (f"; and {left} more" if left else "")
        if len(text.encode()) <= room:
            return text + hint
    return reasons[0].encode()[:room].decode(errors="ignore") + hint


def consent(services: Services, dataset: catalogue.Dataset, policy: Policy) -> inputs.ActionConsent:
    """The word that takes a job, with what its owner's policy asks of its rounds."""
    return inputs.ActionConsent(
        unix_ms(),
        dataset.name,
        services.keys.account,
        dataset.rows,
        policy.known,
        policy.known_least,
        policy.max_unpaid,
    )


def _agreed(tx: Transaction) -> list[tuple[catalogue.Dataset, Policy]]:
    """Every data set with what its owner agreed to."""
    return [(each, catalogue.policy_of(tx, each.name)) for each in catalogue.datasets(tx)]
