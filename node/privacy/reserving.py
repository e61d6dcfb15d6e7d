"""What noisy jobs may cost a data set: plans made, jobs reserved, policies changed, epsilons known.

The accountant computes in a worker; its answers are stored, and not asked for again. The ledger
itself, with the charges, is node/privacy/ledger.py. The ledger may change between a look and a
write. So writes name the entries that they saw, and are tried again if those are out of date.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from decimal import ROUND_CEILING, Context
from typing import Final

from node.engine.services import Services
from node.privacy import ledger
from node.privacy.ledger import Entry, Limit, Reserve
from node.store import catalogue, people, records
from node.store.store import Transaction
from node.workers.compute import in_worker
from protocol.arith.noise import accountant
from protocol.errors import InputError
from protocol.layout.noise import Charge, NoisePlan, check_resolution, sampling_rate
from protocol.policy.policy import Policy
from protocol.spec.job import JobSpec

_UP: Final = Context(prec=4, rounding=ROUND_CEILING)


async def reserve_job(
    services: Services, dataset: str, job: bytes, spec: JobSpec, rows: int
) -> str:
    """Reserve the whole of a job on a data set, durably, before its owner consents to it.

    Empty once it is reserved (it may have been before); otherwise why its budget does not hold it,
    for its owner alone. A job without noise needs no reserve. If the consent fails after this, the
    reserve stays until the job is over; then `ledger.release` frees it.
    """
    if spec.privacy.epsilon is None:
        return ""
    wanted = await _wanted(services, dataset, job, spec, rows)
    if isinstance(wanted, str):
        return wanted
    while True:
        why, limit, seen = await _look(services, wanted)
        if why:
            return why

        def write(tx: Transaction, limit: Limit = limit, seen: tuple[Entry, ...] = seen) -> bool:
            still = ledger.limit_of(tx, dataset) == limit
            return still and ledger.reserve(tx, wanted, limit, seen)

        try:
            if await services.store.run(write):
                return ""
        except InputError as error:
            return str(error)


async def lacking(services: Services, dataset: str, job: bytes, spec: JobSpec, rows: int) -> str:
    """Why a data set's budget does not hold a job, or nothing; nothing is reserved."""
    if spec.privacy.epsilon is None:
        return ""
    if not await services.store.read(lambda tx: people.is_compared(tx, dataset)):
        return f"{dataset} is not compared with this node's other data sets yet"
    wanted = await _wanted(services, dataset, job, spec, rows)
    return wanted if isinstance(wanted, str) else (await _look(services, wanted))[0]


async def plan(services: Services, job: bytes) -> NoisePlan:
    """How a reserved job samples and noises. Raises StateError where nothing is reserved."""
    return await services.store.read(lambda tx: ledger.plan_of(tx, job))


async def plan_for(services: Services, spec: JobSpec, rows: int) -> NoisePlan:
    """How a data set of so many rows would take part in a job with noise.

    Raises InputError where the spec's epsilon or its value_bits make no noise possible.
    """
    epsilon, delta, training = spec.privacy.epsilon, spec.privacy.delta, spec.training
    if epsilon is None:
        raise InputError("the job adds no noise", "privacy.epsilon")
    rate, rounds = 1.0, spec.charged_rounds
    if not spec.privacy.sealed:
        rate = sampling_rate(training.batch_rows, rows)
        bits = spec.encryption.value_bits
        check_resolution(bits, training.batch_rows, rounds, epsilon, delta)
    name = _name("multiplier", epsilon, delta, rate, rounds)
    multiplier = await _known(
        services,
        name,
        "multiplier",
        lambda: in_worker(services.compute, accountant.multiplier, epsilon, delta, rate, rounds),
    )
    return NoisePlan(rate, multiplier)


async def epsilon_of(services: Services, charges: Iterable[Charge], delta: float) -> float:
    """The epsilon of all charges together at `delta`, never below the truth; infinite where no
    bound can be shown."""
    steps: Counter[tuple[float, float]] = Counter()
    for charge in charges:
        steps[charge.rate, charge.multiplier] += charge.steps
    merged = tuple(sorted(Charge(*plan, n) for plan, n in steps.items() if n))
    if not merged:
        return 0.0
    numbers = [value for c in merged for value in (c.rate, c.multiplier, c.steps)]
    return await _known(
        services,
        _name("epsilon", delta, *numbers),
        "epsilon",
        lambda: in_worker(services.compute, accountant.spent, merged, delta),
    )


async def set_policy(services: Services, dataset: str, policy: Policy) -> None:
    """Store a policy, and find which reserved jobs fit its budget: the others' rounds stop.

    Jobs are looked at in the order of their reserves. A job that does not fit whole counts with
    what it has told, so that a later, smaller job may go on.
    """

    def load(tx: Transaction) -> tuple[Limit, tuple[Entry, ...]]:
        return ledger.limit_of(tx, dataset, policy=policy), ledger.entries(tx, dataset)

    while True:
        limit, seen = await services.store.read(load)
        fitting = await _still_fitting(services, seen, limit)

        def write(
            tx: Transaction,
            found: tuple[Limit, tuple[Entry, ...]] = (limit, seen),
            fitting: frozenset[bytes] | None = fitting,
        ) -> bool:
            if load(tx) != found:
                return False
            catalogue.save_policy(tx, dataset, policy)
            if fitting is not None:
                ledger.renew(tx, dataset, fitting, found[0])
            return True

        if await services.store.run(write):
            return


async def look_again(services: Services, dataset: str) -> None:
    """Find which running jobs fit a data set's budget now: more than before, where fewer data sets
    share it."""

    def load(tx: Transaction) -> tuple[Limit, tuple[Entry, ...]]:
        return ledger.limit_of(tx, dataset), ledger.entries(tx, dataset)

    while True:
        limit, seen = await services.store.read(load)
        found = await fitting(services, seen, limit)

        def write(
            tx: Transaction,
            looked: tuple[Limit, tuple[Entry, ...]] = (limit, seen),
            found: frozenset[bytes] = found,
        ) -> bool:
            if load(tx) != looked:
                return False
            ledger.renew(tx, dataset, found, looked[0])
            return True

        if await services.store.run(write):
            return


async def _still_fitting(
    services: Services, seen: tuple[Entry, ...], limit: Limit
) -> frozenset[bytes] | None:
    """`fitting` after a change of the limit alone; None where all jobs go on as they do."""
    if all(limit.allows(each.limit) for each in seen if each.released is None):
        return None  # the budget did not shrink: what fitted it still does
    return await fitting(services, seen, limit)


async def fitting(services: Services, seen: tuple[Entry, ...], limit: Limit) -> frozenset[bytes]:
    """Running jobs whose whole reserve fits `limit`, beside what all others have told."""
    running = [each for each in seen if each.released is None]
    fitting: set[bytes] = set()
    for tried in running:
        charges = [
            each.bound if each.job in fitting or each is tried else each.told for each in seen
        ]
        if await epsilon_of(services, charges, limit.delta) <= limit.epsilon:
            fitting.add(tried.job)
    return frozenset(fitting)


async def _wanted(
    services: Services, dataset: str, job: bytes, spec: JobSpec, rows: int
) -> Reserve | str:
    try:
        made = await plan_for(services, spec, rows)
    except InputError as error:
        return str(error)
    return Reserve(dataset, job, spec.requester.account, made, spec.charged_rounds)


async def _look(services: Services, wanted: Reserve) -> tuple[str, Limit, tuple[Entry, ...]]:
    """Why the budget does not hold a job, or nothing; the budget, and the entries looked at."""
    dataset, plan = wanted.dataset, wanted.plan

    def load(tx: Transaction) -> tuple[Limit, tuple[Entry, ...]]:
        return ledger.limit_of(tx, dataset), ledger.entries(tx, dataset)

    limit, seen = await services.store.read(load)
    others = [each.bound for each in seen if each.job != wanted.job]
    job = Charge(plan.rate, plan.multiplier, wanted.rounds)
    total = await epsilon_of(services, [*others, job], limit.delta)
    if total <= limit.epsilon:
        return "", limit, seen
    before = await epsilon_of(services, others, limit.delta)
    shared = await services.store.read(lambda tx: shared_with(tx, dataset))
    whose = "the strictest of their policies" if shared else "the policy"
    why = (
        f"with it, all jobs of {dataset}{shared} would cost epsilon {rounded_up(total)} at delta "
        f"{limit.delta:g}; {whose} allows {limit.epsilon:g}, of which {rounded_up(before)} is "
        "spent or reserved (assay privacy)"
    )
    return why, limit, seen


def shared_with(tx: Transaction, dataset: str) -> str:
    """Words for the data sets that share a budget with one; empty where none does."""
    others = [each for each in people.group(tx, dataset) if each != dataset]
    if not others:
        return ""
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    verb = "have" if len(others) > 1 else "has"
    return f" and of {', '.join(others[:_SHOWN])}{more}, which {verb} rows of it,"


#: How many names an error lists before it counts the rest.
_SHOWN: Final = 5


def rounded_up(epsilon: float) -> str:
    """An epsilon for people: four digits, never fewer than the truth."""
    return f"{float(_UP.create_decimal_from_float(epsilon)):g}"


async def _known(
    services: Services, name: bytes, kind: str, find: Callable[[], Awaitable[float]]
) -> float:
    """A number that a worker finds once: from then on it is read."""
    stored = await services.store.read(lambda tx: records.load_result(tx, name))
    if stored is None:
        found = struct.pack("<d", await find())
        stored = await services.store.run(lambda tx: records.save_result(tx, name, kind, found))
    (value,) = struct.unpack("<d", stored)
    return float(value)


def _name(kind: str, *numbers: float) -> bytes:
    """The name that a result is stored under: all that it depends on, the accountant's version
    too."""
    text = "/".join([kind, _ACCOUNTANT, *(float(number).hex() for number in numbers)])
    return hashlib.sha256(text.encode()).digest()


#: Another way of accounting is another result.
_ACCOUNTANT: Final = "rdp-1"
