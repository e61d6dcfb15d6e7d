"""Results of the methods about money.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.control.job_results import MeritBy
from node.control.wire import Address, Digest, JobId, Wei


@dataclass(frozen=True)
class Currency:
    """What this home has in one currency.

    token: the ERC-20 token, amounts are then in its smallest unit; null for the chain's own coin
    balance: of this home's account, as last seen; null if the token does not say
    rate: earned by contributions and not claimed yet, over all known jobs
    merit: earned by measured worth and not claimed yet
    allowance: what the bounty contract may still take of the account; 0 for the coin
    problem: what is wrong with the token; empty if nothing is
    """

    token: Address | None
    balance: Wei | None
    rate: Wei
    merit: Wei
    allowance: Wei
    problem: str


@dataclass(frozen=True)
class Account:
    """This home's account.

    address: signs and pays
    payout: receives earnings, unless a data set's policy names another account
    currencies: the chain's coin first, then tokens that are named here or that jobs here pay in
    """

    address: Address
    payout: Address
    currencies: tuple[Currency, ...]


@dataclass(frozen=True)
class Quote:
    """What posting a job would take now. Nothing was sent.

    token: the ERC-20 token that pays; null for ether
    escrow: what the contract would take, in the token's smallest unit
    merit: the pot in it, which is shared at the end
    merit_by: what shares it, as in JobSummary
    balance: what the account holds of it; null if the token does not say
    allowance: what the contract may take of the token already; 0 for ether
    approves: whether an approval of exactly the escrow would be sent before
    gas: about what the transactions that post it use
    gas_job: about what all transactions of the requester use, to the last claim
    fee: the most that is offered for a unit of gas now, wei
    coin: what the account holds of the chain's coin, wei
    problem: what stands in its way; empty if nothing does
    """

    token: Address | None
    escrow: Wei
    merit: Wei
    merit_by: MeritBy
    balance: Wei | None
    allowance: Wei
    approves: bool
    gas: int
    gas_job: int
    fee: Wei
    coin: Wei
    problem: str


@dataclass(frozen=True)
class Sent:
    """A payment from this home's account, or what it would take.

    id: the caller's word for it; the same again is sent once
    to: who receives it
    token: the ERC-20 token; null for the chain's coin
    amount: in the token's smallest unit
    contract: whether code stands at `to`
    gas: about what it uses, or what it used
    fee: the most that is offered for a unit of gas, wei
    state: queued, stored, sent, mined, final, failed or superseded; empty if it was only asked for
    transaction: its transaction's hash; empty until it is mined
    problem: what it waits for, or why it failed; empty if nothing is wrong
    """

    id: str
    to: Address
    token: Address | None
    amount: Wei
    contract: bool
    gas: int
    fee: Wei
    state: str
    transaction: str
    problem: str


@dataclass(frozen=True)
class Earning:
    """Pay of one committed round, or a job's merit.

    job: the job
    title: its spec's title; the requester's words, unverified
    requester: the account that posted it
    round: from 0; null for merit
    block: the chain block that binds the contract to it, or that paid merit; 0 for merit that waits
    batch: digest of what left this node for the round; null for merit, or if it is not known here
    bytes: its size
    epsilon: what the job's rounds so far told of the data set, at the spec's delta; null if there
        is no bound
    account: who is paid
    token: the ERC-20 token that it is in; null for ether
    due: what was earned
    paid: what the contract has paid of it
    transaction: the claim that paid it; empty while nobody has claimed
    """

    job: JobId
    title: str
    requester: Address
    round: int | None
    block: int
    batch: Digest | None
    bytes: int
    epsilon: float | None
    account: Address
    token: Address | None
    due: Wei
    paid: Wei
    transaction: str


@dataclass(frozen=True)
class Earnings:
    """What this home's data sets have earned.

    lines: job by job, and round by round
    receipts: the same as a signed file, docs/spec/receipts.md; empty if it was not asked for
    """

    lines: tuple[Earning, ...]
    receipts: str
