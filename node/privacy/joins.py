"""Jobs without noise that each data set joined: counted for its life, because they do not compose.

Two sums whose owners differ by one subtract to that owner's exact gradient, and no budget bounds
what that tells. So a join is stored before the owner's consent and stays, over restarts, over
another name for the same bytes, and if the data set is removed. A job that is over before this
owner contributed to it told nothing, and no longer counts.
"""

from __future__ import annotations

from node.engine.services import Services
from node.store.catalogue import Dataset, datasets, policy_of
from node.store.store import Transaction, now
from protocol.machines.job import OVER
from protocol.owner.state import OwnerState


async def others(services: Services, dataset: Dataset, job: bytes) -> frozenset[bytes]:
    """Jobs without noise, other than `job`, that a data set has joined."""
    stored = await services.store.read(lambda tx: _stored(tx, dataset))
    return (stored | await _running(services, dataset)) - {job}


async def join(services: Services, dataset: Dataset, job: bytes, requester: bytes) -> str:
    """Enter a job without noise, durably, before its owner consents to it.

    Empty once it is entered (it may have been before); otherwise why the policy does not allow one
    more, for its owner alone.
    """
    running = await _running(services, dataset)

    def write(tx: Transaction) -> str:
        before = len((_stored(tx, dataset) | running) - {job})
        most = policy_of(tx, dataset.name).no_noise_jobs
        if before >= most:
            return (
                f"{dataset.name} has joined {before} of {most} jobs without noise that its policy "
                f"allows in its life (no_noise_jobs); assay privacy {dataset.name}"
            )
        tx.execute(
            "INSERT INTO noiseless_joins (job, dataset, digest, requester, at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (job, dataset) DO UPDATE SET idle = NULL",
            (job, dataset.name, dataset.digest, requester, now()),
        )
        return ""

    return await services.store.run(write)


def over(tx: Transaction, job: bytes, *, used: str) -> None:
    """A job is over. It counts on for the data set that it `used`, if any: whoever contributed to
    it. Unknown jobs are fine."""
    tx.execute(
        "UPDATE noiseless_joins SET idle = ? WHERE job = ? AND dataset != ? AND idle IS NULL",
        (now(), job, used),
    )


def _stored(tx: Transaction, dataset: Dataset) -> frozenset[bytes]:
    rows = tx.execute(
        "SELECT job FROM noiseless_joins WHERE (dataset = ? OR digest = ?) AND idle IS NULL",
        (dataset.name, dataset.digest),
    )
    return frozenset(row[0] for row in rows)


async def _running(services: Services, dataset: Dataset) -> frozenset[bytes]:
    """Jobs that a machine here has joined, under any name of these bytes: also those of before
    joins were stored."""
    names = await services.store.read(
        lambda tx: {each.name for each in datasets(tx) if each.digest == dataset.digest}
    )
    return frozenset(
        machine.key
        for machine in services.engine.machines.values()
        if isinstance(machine.state, OwnerState)
        and machine.state.dataset in names | {dataset.name}
        and machine.context.spec.privacy.epsilon is None
        and (machine.state.contributed or machine.state.phase not in OVER)
    )
