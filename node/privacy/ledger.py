"""The privacy ledger: what noisy jobs have cost each data set, and what is reserved for them.

A job's rounds are reserved whole when it is taken, and charged one by one before anything of them
leaves: one charge a round, whatever its attempts, crashes and replays. A job that is over gives
back what it did not use. Rows are never deleted, because what was told stays told, even if a data
set of the same name is added again.

Data sets that hold rows of the same people share one budget (node/privacy/settling.py): the charges
of each count for all of them, and the strictest of their policies holds. A person's rows may stand
in every one of them, so that the sum of all charges bounds what is told of anybody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.store import catalogue, people
from node.store.store import Transaction, now
from protocol.errors import InputError, StateError
from protocol.layout.noise import Charge, NoisePlan
from protocol.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget: all that is told of a data set is (epsilon, delta)-DP."""

    epsilon: float
    delta: float

    @classmethod
    def of(cls, policy: Policy) -> Limit:
        return cls(policy.epsilon, policy.delta)

    @classmethod
    def strictest(cls, limits: Iterable[Limit]) -> Limit:
        """One budget that keeps to all of some."""
        found = tuple(limits)
        return cls(min(each.epsilon for each in found), min(each.delta for each in found))

    def allows(self, other: Limit) -> bool:
        """Whether whatever fits `other` fits this one."""
        return other.epsilon <= self.epsilon and other.delta <= self.delta


@dataclass(frozen=True, slots=True)
class Entry:
    """One job's line: `rounds` reserved, `charged` of them; `released` (time) once it is over."""

    job: bytes
    dataset: str
    requester: bytes
    plan: NoisePlan
    rounds: int
    charged: int
    limit: Limit
    released: float | None

    @property
    def told(self) -> Charge:
        """What the job has told so far."""
        return Charge(self.plan.rate, self.plan.multiplier, self.charged)

    @property
    def bound(self) -> Charge:
        """What the job may come to: all of its rounds until it is over, then what was charged."""
        rounds = self.rounds if self.released is None else self.charged
        return Charge(self.plan.rate, self.plan.multiplier, rounds)


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is to be set aside for a job: `rounds` under `plan`."""

    dataset: str
    job: bytes
    requester: bytes
    plan: NoisePlan
    rounds: int


def reserve(tx: Transaction, wanted: Reserve, limit: Limit, seen: tuple[Entry, ...]) -> bool:
    """Reserve a whole job that was found to fit `limit` beside the entries `seen`.

    False, and nothing changed, if the entries of its budget have changed since: look again. A job
    that is reserved already stays as it is, because its plan never changes. A job that was charged
    on another data set raises InputError, and so does a data set that was not compared with this
    node's others yet.
    """
    held = entry(tx, wanted.job)
    if held is not None and held.dataset != wanted.dataset and held.charged:
        raise InputError(f"the job trains on {held.dataset} already", "dataset")
    if held is not None and held.dataset == wanted.dataset:
        return True
    if entries(tx, wanted.dataset) != seen:
        return False
    check_compared(tx, wanted.dataset)
    tx.execute("DELETE FROM privacy_reserves WHERE job = ?", (wanted.job,))  # never charged
    tx.execute(
        "INSERT INTO privacy_reserves (job, dataset, requester, rate, multiplier, rounds,"
        " limit_epsilon, limit_delta, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            wanted.job,
            wanted.dataset,
            wanted.requester,
            wanted.plan.rate,
            wanted.plan.multiplier,
            wanted.rounds,
            limit.epsilon,
            limit.delta,
            now(),
        ),
    )
    return True


def charge(tx: Transaction, dataset: str, job: bytes, round_: int, model: bytes) -> None:
    """Charge one round for one draw on `model`, on disk before the draw. To be called when no
    earlier draw of the round is held.

    A second call costs nothing more while no draw was kept, because nobody saw a draw that a crash
    cut short. Raises InputError if the round must not run: nothing is reserved for it; its draw was
    kept, and is gone or was made on another model, so that a second draw would be a second release;
    or its owner has lowered the budget since, and the job was not found to fit it.
    """
    held = entry(tx, job)
    if held is None or held.dataset != dataset:
        raise InputError(f"no privacy of {dataset} is reserved for the job", "privacy")
    before = tx.execute(
        "SELECT model, drawn FROM privacy_charges WHERE job = ? AND round = ?", (job, round_)
    ).fetchone()
    if before is not None:
        if before[1] is not None:
            raise InputError(f"round {round_} was drawn once, and that draw is gone", "privacy")
        if before[0] != model:
            raise InputError(f"round {round_} was charged on another model", "privacy")
        return
    if held.released is not None:
        raise InputError(f"the job gave its privacy of {dataset} back", "privacy")
    if held.charged >= held.rounds:
        raise InputError(
            f"round {round_} would pass the {held.rounds} rounds of {dataset} that are reserved "
            "for the job",
            "privacy",
        )
    check_compared(tx, dataset)
    limit = limit_of(tx, dataset)
    if not limit.allows(held.limit):
        raise InputError(
            f"the policy of {dataset} now allows epsilon {limit.epsilon:g} at delta "
            f"{limit.delta:g}, which this job's rounds do not fit; round {round_} does not run",
            "privacy",
        )
    tx.execute(
        "INSERT INTO privacy_charges (job, round, model, at) VALUES (?, ?, ?, ?)",
        (job, round_, model, now()),
    )


def keep(tx: Transaction, job: bytes, round_: int) -> None:
    """A round's draw is on disk, and may leave once this is: there will be no other."""
    tx.execute(
        "UPDATE privacy_charges SET drawn = ? WHERE job = ? AND round = ? AND drawn IS NULL",
        (now(), job, round_),
    )


def is_kept(tx: Transaction, job: bytes, round_: int) -> bool:
    """Whether a round's draw was noted as kept."""
    row = tx.execute(
        "SELECT 1 FROM privacy_charges WHERE job = ? AND round = ? AND drawn IS NOT NULL",
        (job, round_),
    ).fetchone()
    return row is not None


def release(tx: Transaction, job: bytes) -> None:
    """A job is over: what it reserved and did not use is free again. Unknown jobs are fine."""
    tx.execute(
        "UPDATE privacy_reserves SET released = ? WHERE job = ? AND released IS NULL", (now(), job)
    )


def renew(tx: Transaction, dataset: str, jobs: frozenset[bytes], limit: Limit) -> None:
    """Note which running jobs of a data set's budget were found to fit `limit`; the others fit
    nothing.

    An earlier finding about the others no longer counts, because fewer jobs ran when it was made.
    """
    for each in entries(tx, dataset):
        if each.released is None:
            found = limit if each.job in jobs else Limit(math.inf, limit.delta)
            tx.execute(
                "UPDATE privacy_reserves SET limit_epsilon = ?, limit_delta = ? WHERE job = ?",
                (found.epsilon, found.delta, each.job),
            )


def limit_of(tx: Transaction, *names: str, policy: Policy | None = None) -> Limit:
    """The budget of a data set: the strictest of the policies that owners have set for it and for
    those that share it. `policy` is taken for the first name's own; further names are taken as if
    they shared it already."""
    decided = catalogue.policies(tx)
    own = catalogue.policy_of(tx, names[0]) if policy is None else policy
    found = {each: decided[each] for each in people.group(tx, *names) if each in decided}
    return Limit.strictest(map(Limit.of, {**found, names[0]: own}.values()))


def check_compared(tx: Transaction, dataset: str) -> None:
    """Raise InputError unless it is known what a data set shares with this node's others."""
    if not people.is_compared(tx, dataset):
        raise InputError(
            f"{dataset} is not compared with this node's other data sets yet", "privacy"
        )


def entries(tx: Transaction, *names: str) -> tuple[Entry, ...]:
    """All jobs on the budget of a data set, its own and those of data sets that share it, in the
    order in which they were reserved. Further names are taken as if they shared it already."""
    group = people.group(tx, *names)
    marks = ", ".join("?" for _ in group)
    rows = tx.execute(f"{_SELECT} WHERE dataset IN ({marks}) ORDER BY r.rowid", group)
    return tuple(_entry(row) for row in rows)


def entry(tx: Transaction, job: bytes) -> Entry | None:
    """One job's line, None if nothing was ever reserved for it."""
    row = tx.execute(f"{_SELECT} WHERE r.job = ?", (job,)).fetchone()
    return None if row is None else _entry(row)


def plan_of(tx: Transaction, job: bytes) -> NoisePlan:
    """How the job samples and noises. Raises StateError where nothing is reserved for it."""
    found = entry(tx, job)
    if found is None:
        raise StateError(f"no privacy is reserved for job {job.hex()[:16]}")
    return found.plan


_SELECT: Final = (
    "SELECT r.job, dataset, requester, rate, multiplier, rounds,"
    " (SELECT count(*) FROM privacy_charges c WHERE c.job = r.job),"
    " limit_epsilon, limit_delta, released FROM privacy_reserves r"
)


def _entry(
    row: tuple[bytes, str, bytes, float, float, int, int, float, float, float | None],
) -> Entry:
    job, dataset, requester, rate, multiplier, rounds, charged, epsilon, delta, released = row
    plan, limit = NoisePlan(rate, multiplier), Limit(epsilon, delta)
    return Entry(job, dataset, requester, plan, rounds, charged, limit, released)
