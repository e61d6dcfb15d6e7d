"""Jobs without noise that each data set joined: counted for its life, because they do not compose.

Two sums whose owners differ by one subtract to that owner's exact gradient, and no budget bounds
what that tells. So a join is stored before the owner's consent and stays, over restarts and if the
data set is removed. It counts for all data sets that hold rows of the same people, and for the same
bytes under any name, and the strictest of their policies holds. A job that is over before this
owner contributed to it told nothing, and no longer counts.
"""

from __future__ import annotations

from node.engine.services import Services
from node.store import people
from node.store.catalogue import Dataset, datasets, policies, policy_of
from node.store.store import Transaction, now
from protocol.machines.job import OVER
from protocol.owner.state import OwnerState


async def others(services: Services, dataset: Dataset, job: bytes) -> frozenset[bytes]:
    """Jobs without noise, other than `job`, that a data set has joined, or one of the same
    people."""
    stored = await services.store.read(lambda tx: _stored(tx, dataset))
    return (stored | await _running(services, dataset)) - {job}


async def lacking(services: Services, dataset: Dataset, job: bytes) -> str:
    """Why a data set joins no further job without noise, or nothing; nothing is entered."""
    running = await _running(services, dataset)
    return await services.store.read(lambda tx: _why_not(tx, dataset, job, running))


async def join(services: Services, dataset: Dataset, job: bytes, requester: bytes) -> str:
    """Enter a job without noise, durably, before its owner consents to it.

    Empty once it is entered (it may have been before); otherwise why the policy does not allow one
    more, for its owner alone.
    """
    running = await _running(services, dataset)

    def write(tx: Transaction) -> str:
        why = _why_not(tx, dataset, job, running)
        if why:
            return why
        tx.execute(
            "INSERT INTO noiseless_joins (job, dataset, digest, requester, at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (job, dataset) DO UPDATE SET idle = NULL",
            (job, dataset.name, dataset.digest, requester, now()),
        )
        return ""

    return await services.store.run(write)


def _why_not(tx: Transaction, dataset: Dataset, job: bytes, running: frozenset[bytes]) -> str:
    name = dataset.name
    if not people.is_compared(tx, name):
        return f"{name} is not compared with this node's other data sets yet"
    before, most = len((_stored(tx, dataset) | running) - {job}), allowed(tx, name)
    if before < most:
        return ""
    who, whose = f"{name} has", "its policy"
    if len(people.group(tx, name)) > 1:
        who = f"{name} and data sets that have rows of it have"
        whose = "the strictest of their policies"
    return (
        f"{who} joined {before} of {most} jobs without noise that {whose} allows in its life "
        f"(no_noise_jobs); assay privacy {name}"
    )


def over(tx: Transaction, job: bytes, *, used: str) -> None:
    """A job is over. It counts on for the data set that it `used`, if any: whoever contributed to
    it. Unknown jobs are fine."""
    tx.execute(
        "UPDATE noiseless_joins SET idle = ? WHERE job = ? AND dataset != ? AND idle IS NULL",
        (now(), job, used),
    )


def allowed(tx: Transaction, dataset: str) -> int:
    """How many jobs without noise a data set and those of the same people join, by the strictest of
    their policies: none where one of those others takes no job without noise at all."""
    decided = policies(tx)
    own, names = policy_of(tx, dataset), set(people.group(tx, dataset)) - {dataset}
    others = [decided[each] for each in names if each in decided]
    return min([own.no_noise_jobs, *(each.no_noise_jobs * each.no_noise for each in others)])


def _names(tx: Transaction, dataset: Dataset) -> tuple[str, ...]:
    """Every name under which a data set's rows are or were here."""
    same = [each.name for each in datasets(tx) if each.digest == dataset.digest]
    return people.group(tx, dataset.name, *same)


def _stored(tx: Transaction, dataset: Dataset) -> frozenset[bytes]:
    names = _names(tx, dataset)
    marks = ", ".join("?" for _ in names)
    rows = tx.execute(
        f"SELECT job FROM noiseless_joins WHERE dataset IN ({marks}) AND idle IS NULL UNION"  # noqa: S608 - marks alone
        " SELECT job FROM noiseless_joins WHERE digest = ? AND idle IS NULL",
        (*names, dataset.digest),
    )
    return frozenset(row[0] for row in rows)


async def _running(services: Services, dataset: Dataset) -> frozenset[bytes]:
    """Jobs that a machine here has joined, under any name of these rows: also those of before joins
    were stored."""
    names = await services.store.read(lambda tx: frozenset(_names(tx, dataset)))
    return frozenset(
        machine.key
        for machine in services.engine.machines.values()
        if isinstance(machine.state, OwnerState)
        and machine.state.dataset in names
        and machine.context.spec.privacy.epsilon is None
        and (machine.state.contributed or machine.state.phase not in OVER)
    )
