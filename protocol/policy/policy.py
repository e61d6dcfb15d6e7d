"""A dataset's policy: what its owner lets it be used for, and how a job is held against that.

A new dataset's policy is `Policy.closed()`: it takes nothing until its owner has said something.
`judge` is pure: accept (taken without asking), wait (a person may take it by hand), refuse (it
cannot work, or the owner ruled it out in so many words).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from protocol import params
from protocol.addresses import to_checksum
from protocol.amounts import format_amount
from protocol.errors import Malformed
from protocol.spec.job import ETHER, JobSpec
from protocol.spec.parts import Address
from protocol.wire.codec import Amount, Range, Size, Wire

#: A new dataset's whole budget. Up to 10 is what published guidance still calls a reasonable
#: guarantee (Ponomareva et al. 2023, 'How to DP-fy ML'); delta is far below 1 / rows for most.
DEFAULT_EPSILON: Final = 8.0
DEFAULT_DELTA: Final = 1e-5

Accounts = Annotated[tuple[Address, ...], Size(0, params.MAX_POLICY_ENTRIES)]
Purpose = Annotated[str, Size(1, 32)]


class Accept(StrEnum):
    """What becomes of jobs that fit."""

    NEVER = "never"
    ASK = "ask"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Policy(Wire):
    """One dataset's policy. Lists ascend, each entry once; an empty list of what is allowed allows
    all. Amounts are in the smallest unit of `token`.

    `decided`: its owner has said something. `accept`: whether jobs that fit are taken.
    `no_noise`: jobs without noise are taken, where masks protect within a round and nothing does
    over rounds. `trusted`: requesters whose *sealed* jobs without noise are taken as well, though
    their crafted weights could read every row. `open_models`, `sealed_models`: which kinds.
    `max_unpaid`: attempts without pay that one requester may cause before its jobs wait. `epsilon`,
    `delta`: what all jobs with noise together may cost the dataset, by its ledger
    (node/privacy/reserving.py); 0 takes none. `known_least`: so many members of this owner's block
    must be among the accounts `known`.
    """

    decided: bool
    accept: Accept
    no_noise: bool
    open_models: bool
    sealed_models: bool
    token: Address
    price_floor: Amount
    purposes: Annotated[tuple[Purpose, ...], Size(0, params.MAX_POLICY_ENTRIES)]
    requesters: Accounts
    blocked: Accounts
    min_block: Annotated[int, Range(params.MIN_BLOCK, params.MAX_BLOCK)]
    max_rounds: Annotated[int, Range(1, params.MAX_ROUNDS)]
    max_unpaid: Annotated[int, Range(0, params.MAX_ROUNDS * params.MAX_ATTEMPTS)]
    min_contribute_seconds: Annotated[int, Range(1, 7 * 86_400)]
    epsilon: Annotated[float, Range(0.0, 1e3)]
    delta: Annotated[float, Range(1e-12, 0.1)]
    known: Accounts
    known_least: Annotated[int, Range(0, params.MAX_BLOCK - 1)]
    trusted: Accounts

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        lists: tuple[tuple[str, tuple[str | bytes, ...]], ...] = (
            ("purposes", self.purposes),
            ("requesters", self.requesters),
            ("blocked", self.blocked),
            ("known", self.known),
            ("trusted", self.trusted),
        )
        for name, entries in lists:
            if list(entries) != sorted(set(entries)):
                raise Malformed(f"Policy.{name}: entries must ascend, each once")
        if self.known_least > len(self.known):
            raise Malformed(
                f"Policy.known_least: is {self.known_least}; known has {len(self.known)} accounts"
            )

    @classmethod
    def closed(cls) -> Policy:
        """A new dataset's policy: nothing is decided, so nothing is taken."""
        return cls(
            decided=False,
            accept=Accept.ASK,
            no_noise=False,
            open_models=True,
            sealed_models=False,
            token=ETHER,
            price_floor=0,
            purposes=(),
            requesters=(),
            blocked=(),
            min_block=params.MIN_BLOCK,
            max_rounds=params.MAX_ROUNDS,
            max_unpaid=3,
            min_contribute_seconds=1,
            epsilon=DEFAULT_EPSILON,
            delta=DEFAULT_DELTA,
            known=(),
            known_least=0,
            trusted=(),
        )


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a dataset must show to be judged: its columns' names, and how many rows it has."""

    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What this owner already knows: the account it would enrol with (empty if none is set up), and
    attempts that the job's requester has left unpaid, over all of its jobs."""

    account: bytes = b""
    unpaid: int = 0


class Verdict(StrEnum):
    """What becomes of a job here."""

    ACCEPT = "accept"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and every reason for it; an accepted job has none."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(
    policy: Policy,
    spec: JobSpec,
    dataset: DatasetFacts,
    standing: Standing = Standing(),
) -> Decision:
    """Hold a job against a policy. A refusal gives the reasons that it rests on and no others."""
    never = impossible(spec, dataset, standing)
    if never:
        return Decision(Verdict.REFUSE, never)
    ruled_out = tuple(_ruled_out(policy, spec))
    if not policy.decided:
        return Decision(Verdict.WAIT, ("its dataset's owner has set no policy yet", *ruled_out))
    if ruled_out:
        return Decision(Verdict.REFUSE, ruled_out)
    doubts = tuple(_doubts(policy, spec, standing))
    return Decision(Verdict.WAIT, doubts) if doubts else Decision(Verdict.ACCEPT, ())


def obstacles(
    policy: Policy,
    spec: JobSpec,
    dataset: DatasetFacts,
    standing: Standing = Standing(),
) -> tuple[str, ...]:
    """Why not even a person's word takes this job: the policy or the dataset must change first.

    No noise is such a reason until the policy allows it, decided or not.
    """
    return (*impossible(spec, dataset, standing), *_ruled_out(policy, spec))


def impossible(
    spec: JobSpec, dataset: DatasetFacts, standing: Standing = Standing()
) -> tuple[str, ...]:
    """Why no policy could make this dataset serve the job."""
    return tuple(_impossible(spec, dataset, standing))


def _impossible(spec: JobSpec, dataset: DatasetFacts, standing: Standing) -> Iterator[str]:
    present = set(dataset.columns)
    missing = [name for name in spec.columns if name not in present]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield f"the dataset has no column {', '.join(map(repr, missing[:3]))}{more}"
    if dataset.rows == 0:
        yield "the dataset has no rows"
    admission = spec.cohort.admission
    if admission and standing.account not in admission:
        yield f"it admits {len(admission)} accounts only, and this owner's is not one of them"


def _ruled_out(policy: Policy, spec: JobSpec) -> Iterator[str]:
    if policy.accept is Accept.NEVER:
        yield "the policy takes no job (accept=never)"
    if spec.requester.account in policy.blocked:
        yield f"its requester {to_checksum(spec.requester.account)} is blocked"
    yield from without_noise(policy, spec)
    if spec.privacy.epsilon is not None and spec.privacy.epsilon > policy.epsilon:
        # The ledger knows what is left of the budget; no ledger can have this much.
        yield (
            f"it costs epsilon {spec.privacy.epsilon:g}; "
            f"the policy allows {policy.epsilon:g} over all jobs"
        )


def without_noise(policy: Policy, spec: JobSpec) -> Iterator[str]:
    """Why a job that adds no noise may not see the data; nothing where it may, or adds some.

    A running job is held to this before every contribution, because an owner can take its word
    back.
    """
    if spec.privacy.noisy:
        return
    if not policy.no_noise:
        # Masks protect within a round, noise over rounds. Only the owner can decide to go without
        # noise.
        yield "it adds no noise, which the policy does not allow (no_noise=true would)"
    if spec.privacy.sealed:
        account = spec.requester.account
        if account not in policy.trusted:
            yield (
                "its model is sealed without noise: weights crafted to spy could read every row "
                f"(trusted={to_checksum(account)} would allow it)"
            )


def _doubts(policy: Policy, spec: JobSpec, standing: Standing) -> Iterator[str]:
    payment, privacy = spec.payment, spec.privacy
    if payment.token != policy.token:
        yield f"it pays in {_token(payment.token)}; the policy asks for {_token(policy.token)}"
    elif payment.rate < policy.price_floor:
        yield (
            f"it pays {_money(payment.rate, payment.token)} a contribution; "
            f"the price floor is {_money(policy.price_floor, policy.token)}"
        )
    if policy.purposes and spec.purpose not in policy.purposes:
        yield f"its purpose is {spec.purpose}; the policy allows {', '.join(policy.purposes)}"
    if policy.requesters and spec.requester.account not in policy.requesters:
        yield f"its requester {to_checksum(spec.requester.account)} is not on the policy's list"
    if privacy.sealed and not policy.sealed_models:
        yield "its model is sealed; the policy asks its owner (sealed_models=true would not)"
    if not privacy.sealed and not policy.open_models:
        yield "its model is open; the policy asks its owner (open_models=true would not)"
    if spec.cohort.block_size < policy.min_block:
        yield (
            f"its blocks have {spec.cohort.block_size} members; "
            f"the policy asks for {policy.min_block}"
        )
    if policy.known_least >= spec.cohort.largest_block:
        yield (
            f"its blocks have at most {spec.cohort.largest_block - 1} other members; "
            f"the policy asks for {policy.known_least} known ones"
        )
    if spec.training.rounds > policy.max_rounds:
        yield f"it runs {spec.training.rounds} rounds; the policy allows {policy.max_rounds}"
    if spec.timing.contribute_seconds < policy.min_contribute_seconds:
        yield (
            f"it leaves {spec.timing.contribute_seconds} s for a contribution; "
            f"the policy asks for {policy.min_contribute_seconds} s"
        )
    if standing.unpaid > policy.max_unpaid:
        yield (
            f"its requester left {standing.unpaid} attempts unpaid; "
            f"the policy allows {policy.max_unpaid}"
        )
    if policy.accept is Accept.ASK:
        yield "the policy leaves every job to its owner (accept=auto would not)"


def _token(token: bytes) -> str:
    return "ether" if token == ETHER else f"token {to_checksum(token)}"


def _money(amount: int, token: bytes) -> str:
    return format_amount(amount) if token == ETHER else f"{amount} units"
