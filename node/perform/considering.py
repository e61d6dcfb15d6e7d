"""Holding a job against this node's data sets: what an owner knows beside the policy, and its word.

The first data set whose policy takes the job, whose rows fit it and whose budget holds it is used.
"""

from __future__ import annotations

from node.engine import holding
from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.perform import compute
from node.privacy import joins, settling
from node.privacy import reserving as privacy
from node.store import catalogue, jobs, versions
from node.store.store import Transaction
from protocol import params
from protocol.arith.noise import libraries as noise
from protocol.errors import InputError
from protocol.machines import inputs
from protocol.machines.job import OVER, JobPhase
from protocol.machines.machine import one_line
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.rules import DatasetFacts, Standing, Verdict, judge, obstacles
from protocol.policy.unmet import unmet
from protocol.wire.messages import DeclinedTerm


def facts_of(dataset: catalogue.Dataset) -> DatasetFacts:
    """What the rules look at of a data set."""
    return DatasetFacts(tuple(name for name, _ in dataset.columns), dataset.rows)


async def standing(services: Services, machine: Machine, dataset: catalogue.Dataset) -> Standing:
    """What this owner knows already that bears on a job and a data set."""
    return Standing(
        services.keys.account,
        unpaid_rounds(services, machine.context.spec.requester.account),
        len(await joins.others(services, dataset, machine.key)),
        services.tokens_shown(),
    )


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


async def set_aside(services: Services, machine: Machine, dataset: catalogue.Dataset) -> str:
    """Set aside, durably and before consent, what a job may tell of a data set (its epsilon,
    or its place among the jobs without noise), and note the version that it joins with. Why that is
    not possible, for the owner alone; else empty.
    """
    spec = machine.context.spec
    try:
        await settling.settle(services, dataset.name)
    except InputError as error:
        return str(error)
    if spec.privacy.epsilon is None:
        why = await joins.join(services, dataset, machine.key, spec.requester.account)
    else:
        why = noise.lacking()
        if not why:
            name, rows = dataset.name, dataset.rows
            why = await privacy.reserve_job(services, name, machine.key, spec, rows)
    if why:
        return why
    if not await services.store.run(lambda tx: versions.use(tx, machine.key, dataset)):
        return f"{dataset.name} was changed or removed at this moment"
    return ""


async def consider(services: Services, wanted: Wanted) -> None:
    """Hold a job against every data set's policy; the first that takes it and fits is used.

    What changed meanwhile is looked at as well: whoever changed it found no job that waited.
    """
    closed, agreed = await _seen(services)
    if closed:
        withheld = inputs.ActionWithhold(services.clock.ms(), False, one_line(closed))
        await services.engine.feed(wanted.machine.key, withheld, wanted.id)
    else:
        await _judge(services, wanted, agreed)
    machine = services.engine.machines.get(wanted.machine.key)
    if machine is None or machine.state.phase is not JobPhase.WAITING:
        return
    # From here on the job waits: whoever changes something now finds it by itself.
    if await _seen(services) != (closed, agreed):
        await services.engine.feed(machine.key, inputs.ActionReconsider(services.clock.ms()))


async def _seen(services: Services) -> tuple[str, list[tuple[catalogue.Dataset, Policy]]]:
    """Why this node takes no job now, and what its policies say: as of one moment."""
    since, agreed = await services.store.read(lambda tx: (jobs.paused_since(tx), _agreed(tx)))
    return holding.closed_now(services, since), agreed


async def _judge(
    services: Services, wanted: Wanted, agreed: list[tuple[catalogue.Dataset, Policy]]
) -> None:
    spec = wanted.machine.context.spec
    misfits: list[str] = []
    waits: list[str] = []
    refusals: list[str] = []
    outcome: inputs.ActionConsent | inputs.ActionWithhold | None = None
    hint = ""
    fits = False
    untold: list[DeclinedTerm] = []
    for dataset, policy in agreed:
        facts = facts_of(dataset)
        known = await standing(services, wanted.machine, dataset)
        decision = judge(policy, spec, facts, known)
        untold += unmet(policy, spec, facts.columns)
        if decision.verdict is Verdict.ACCEPT:
            fits = True
            job = wanted.machine.key
            found = await compute.owner_fit(services, dataset.name, job, spec, wanted)
            unfit = found.refused
            if not unfit:
                unfit = await set_aside(services, wanted.machine, dataset)
            if not unfit:
                outcome = consent(services, dataset, policy)
                break
            misfits.append(f"{dataset.name}: {unfit}")
            continue
        first, *others = decision.reasons
        reasons = [f"{dataset.name}: {first}", *others]
        (waits if decision.verdict is Verdict.WAIT else refusals).extend(reasons)
        if not hint and not obstacles(policy, spec, facts, known):
            # Its owner sees how many rows the job could use before it says yes.
            await compute.owner_fit(services, dataset.name, wanted.machine.key, spec)
            key = wanted.machine.key.hex()[:8]
            hint = f"; to take it by hand: assay train 0x{key} --data {dataset.name}"
    if outcome is None:
        # Data sets whose policy would have taken the job come first, because their owner expects to
        # see them.
        told = [*misfits, *waits] or refusals or ["this node has no data set"]
        # Only a job that nothing here can ever serve is declined; data may be added later.
        # A policy takes it, so that data or budget are why not: of these nothing is told.
        terms = () if fits else tuple(each for each in DeclinedTerm if each in set(untold))
        outcome = inputs.ActionWithhold(
            services.clock.ms(), False, one_line(_fitting(told, hint)), terms
        )
        job = wanted.machine.key
        if await services.store.read(lambda tx: versions.use_of(tx, job)) is not None:
            # A crash came between an earlier look's note and its consent.
            await services.store.run(lambda tx: versions.over(tx, job))
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
        services.clock.ms(),
        dataset.name,
        policy.payout or services.config.payout or services.keys.account,
        dataset.rows,
        policy.known,
        policy.known_least,
        policy.max_unpaid,
    )


def _agreed(tx: Transaction) -> list[tuple[catalogue.Dataset, Policy]]:
    """Every data set that is offered to jobs, with what its owner agreed to."""
    return [
        (each, catalogue.policy_of(tx, each.name))
        for each in catalogue.datasets(tx)
        if not each.holdout
    ]
