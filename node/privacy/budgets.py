"""The privacy ledger as its owner sees it: budgets of data sets, and what each job told."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from node.control import results as r
from node.engine.engine import Machine
from node.engine.services import Services
from node.privacy import joins, ledger
from node.privacy.ledger import Entry, Limit
from node.privacy.reserving import epsilon_of
from node.store import catalogue, people
from node.store.catalogue import Dataset
from node.store.store import Transaction
from protocol.addresses import to_checksum
from protocol.errors import InputError
from protocol.owner.state import OwnerState


@dataclass(frozen=True, slots=True)
class _Line:
    """A data set, its budget for all noisy jobs, the entries of that, all names that share it, and
    how many jobs without noise these join."""

    dataset: Dataset
    limit: Limit
    entries: tuple[Entry, ...]
    names: tuple[str, ...]
    no_noise_jobs: int

    @classmethod
    def load(cls, tx: Transaction, dataset: Dataset) -> _Line:
        name = dataset.name
        return cls(
            dataset,
            ledger.limit_of(tx, name),
            ledger.entries(tx, name),
            people.group(tx, name),
            joins.allowed(tx, name),
        )


async def privacy(services: Services, dataset: str | None = None) -> tuple[r.Privacy, ...]:
    """Budgets of all data sets by name, or of one. Raises InputError if there is no such data
    set."""

    def load(tx: Transaction) -> list[_Line]:
        return [
            _Line.load(tx, each) for each in catalogue.datasets(tx) if dataset in (None, each.name)
        ]

    lines = await services.store.read(load)
    if dataset is not None and not lines:
        error = InputError(f"there is no data set {dataset!r}", "dataset")
        error.add_note("assay data list")
        raise error
    return tuple([await _privacy(services, line) for line in lines])


async def spent(services: Services, dataset: str) -> float | None:
    """Epsilon of all that was charged to a data set and those that share its budget, at the
    budget's delta; None where a job without noise was contributed to, or no bound can be shown."""

    def load(tx: Transaction) -> tuple[Limit, tuple[Entry, ...], tuple[str, ...]]:
        limit, entries = ledger.limit_of(tx, dataset), ledger.entries(tx, dataset)
        return limit, entries, people.group(tx, dataset)

    limit, entries, names = await services.store.read(load)
    if any(map(_contributed, _noiseless(services, names))):
        return None
    return _shown(await epsilon_of(services, [each.told for each in entries], limit.delta))


async def job_spent(services: Services, machine: Machine) -> float | None:
    """Epsilon of what a job's charged rounds told of this node's data, at its spec's delta; None
    where it was contributed to without noise, or no bound can be shown."""
    state, terms = machine.state, machine.context.spec.privacy
    if not isinstance(state, OwnerState) or not state.dataset:
        return 0.0  # no data of this node
    if terms.epsilon is None:
        return None if _contributed(machine) else 0.0
    found = await services.store.read(lambda tx: ledger.entry(tx, machine.key))
    charges = [] if found is None else [found.told]
    return _shown(await epsilon_of(services, charges, terms.delta))


async def _privacy(services: Services, line: _Line) -> r.Privacy:
    delta, limit = line.limit.delta, line.limit.epsilon
    spent = await epsilon_of(services, [each.told for each in line.entries], delta)
    bound = await epsilon_of(services, [each.bound for each in line.entries], delta)
    jobs = []
    own = line.dataset.name
    for each in (each for each in line.entries if each.dataset == own):
        machine = services.engine.machines.get(each.job)
        jobs.append(
            r.PrivacyJob(
                job="0x" + each.job.hex(),
                title="" if machine is None else machine.context.spec.title,
                requester=to_checksum(each.requester),
                noisy=True,
                rate=each.plan.rate,
                multiplier=each.plan.multiplier,
                reserved=each.bound.steps - each.charged,
                charged=each.charged,
                epsilon=_shown(await epsilon_of(services, [each.told], delta)),
            )
        )
    without = _noiseless(services, [own])
    bounded = not any(map(_contributed, _noiseless(services, line.names)))
    return r.Privacy(
        dataset=own,
        epsilon=limit,
        delta=delta,
        spent=_shown(spent),
        reserved=_shown(max(0.0, bound - spent)) if math.isfinite(spent) else None,
        left=max(0.0, limit - bound),
        bounded=bounded,
        no_noise_joined=len(await joins.others(services, line.dataset, b"")),
        no_noise_jobs=line.no_noise_jobs,
        jobs=(*jobs, *map(_without_noise, without)),
        same=tuple(each for each in line.names if each != own),
    )


def _noiseless(services: Services, names: Collection[str]) -> list[Machine]:
    """Jobs without noise that were taken with one of these data sets."""
    return [
        machine
        for machine in services.engine.machines.values()
        if isinstance(machine.state, OwnerState)
        and machine.state.dataset in names
        and machine.context.spec.privacy.epsilon is None
    ]


def _contributed(machine: Machine) -> int:
    """Rounds that this node has contributed to in a job: before the first, nothing was told."""
    state = machine.state
    return len(state.contributed) if isinstance(state, OwnerState) else 0


def _without_noise(machine: Machine) -> r.PrivacyJob:
    spec, told = machine.context.spec, _contributed(machine)
    return r.PrivacyJob(
        job="0x" + machine.key.hex(),
        title=spec.title,
        requester=to_checksum(spec.requester.account),
        noisy=False,
        rate=None,
        multiplier=None,
        reserved=0,
        charged=told,
        epsilon=None if told else 0.0,
    )


def _shown(epsilon: float) -> float | None:
    """JSON has no infinity."""
    return epsilon if math.isfinite(epsilon) else None
