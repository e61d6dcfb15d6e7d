"""A dataset's policy: what its owner lets it be used for.

A new dataset's policy is `Policy.closed()`: it takes nothing until its owner has said something.
How a job is held against it is protocol/policy/rules.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from protocol import params
from protocol.addresses import ADDRESS_BYTES, ZERO_ADDRESS
from protocol.errors import Malformed
from protocol.spec.job import ETHER
from protocol.spec.parts import Address
from protocol.wire.codec import Amount, Range, Size, Wire

#: A new dataset's whole budget. Up to 10 is what published guidance still calls a reasonable
#: guarantee (Ponomareva et al. 2023, 'How to DP-fy ML'); delta is far below 1 / rows for most.
DEFAULT_EPSILON: Final = 8.0
DEFAULT_DELTA: Final = 1e-5

#: A new dataset's least `privacy.corrupt`. At 0 the shares of half a block rebuild every secret of
#: it: three puppets of five read the other two one by one, before anything is committed.
DEFAULT_CORRUPT_LEAST: Final = 1

#: A new dataset's least `timing.finality_blocks`. At 0 shares leave on a commitment that the next
#: chain block may undo; more depth is for chains that reorganise deeper, and their owners set it.
DEFAULT_FINALITY_LEAST: Final = 1

#: Jobs without noise that a new dataset joins in its life. Two that share all other owners differ
#: by this owner's gradient, and nothing but their number bounds what they tell.
DEFAULT_NO_NOISE_JOBS: Final = 1
MAX_NO_NOISE_JOBS: Final = 10_000

Accounts = Annotated[tuple[Address, ...], Size(0, params.MAX_POLICY_ENTRIES)]
Purpose = Annotated[str, Size(1, 32)]
Digest = Annotated[bytes, Size(32)]


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
    (node/privacy/reserving.py); 0 takes none. `known_least`: so many other members of this owner's
    block, of its roster and of its committed list must be among the accounts `known`.
    `corrupt_least`, `finality_least`: the least `privacy.corrupt` and `timing.finality_blocks`.
    `no_noise_jobs`: jobs without noise that the dataset joins in its life
    (node/privacy/joins.py); 0 joins none. `explain_refusals`: a requester is told which of these
    terms its spec does not meet (unmet.py). `payout`: receives what the dataset earns;
    empty for the home's own setting. It binds jobs that are taken from then on. `published_sums`:
    jobs without noise are taken that publish the sums of blocks when they end (merit_by "worth").
    `encoders`: the packages, by digest, that jobs may have run on this owner's machine.
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
    corrupt_least: Annotated[int, Range(0, params.MAX_BLOCK)]
    finality_least: Annotated[int, Range(0, params.MAX_FINALITY_BLOCKS)]
    no_noise_jobs: Annotated[int, Range(0, MAX_NO_NOISE_JOBS)]
    explain_refusals: bool
    payout: Annotated[bytes, Size(0, ADDRESS_BYTES)]
    published_sums: bool
    encoders: Annotated[tuple[Digest, ...], Size(0, params.MAX_POLICY_ENTRIES)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        lists: tuple[tuple[str, tuple[str | bytes, ...]], ...] = (
            ("purposes", self.purposes),
            ("requesters", self.requesters),
            ("blocked", self.blocked),
            ("known", self.known),
            ("trusted", self.trusted),
            ("encoders", self.encoders),
        )
        for name, entries in lists:
            if list(entries) != sorted(set(entries)):
                raise Malformed(f"Policy.{name}: entries must ascend, each once")
        if self.payout and (len(self.payout) != ADDRESS_BYTES or self.payout == ZERO_ADDRESS):
            raise Malformed("Policy.payout: is no account")
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
            corrupt_least=DEFAULT_CORRUPT_LEAST,
            finality_least=DEFAULT_FINALITY_LEAST,
            no_noise_jobs=DEFAULT_NO_NOISE_JOBS,
            explain_refusals=False,
            payout=b"",
            published_sums=False,
            encoders=(),
        )
