"""Results of control methods about jobs. See node.control.results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.control.wire import AbsolutePath, Address, DatasetName, Digest, JobId, Timestamp, Wei

#: What this node is in a job.
Role = Literal["requester", "owner", "bystander"]

#: Where a job stands, from this node's point of view. `waiting`: it awaits this owner's consent;
#: `declined`: this owner's policy or its owner said no; `settling`: claims are on their way.
JobState = Literal[
    "posted",
    "waiting",
    "declined",
    "enrolling",
    "running",
    "settling",
    "finished",
    "cancelled",
    "expired",
    "failed",
]


#: What shares a job's pot (docs/spec/worth.md): worth that anybody can measure again, worth by the
#: requester's word alone, or the number of contributions.
MeritBy = Literal["worth", "discretion", "equal"]

#: How far an owner has come: it is enrolled and has no block yet; or, in an attempt, it is ready,
#: stands in its block's frozen roster, has contributed, has released its shares; or it has refused,
#: said nothing in time, or sent no batch in time.
Part = Literal[
    "",
    "enrolled",
    "ready",
    "in roster",
    "contributed",
    "released",
    "refused",
    "no answer",
    "no batch",
]


@dataclass(frozen=True)
class RowsFit:
    """How many rows of a dataset a job can use. For this home's user alone.

    dataset: the dataset
    rows: records in it
    usable: those that the job can use
    why: why it cannot use the others; empty if it can use all
    """

    dataset: DatasetName
    rows: int
    usable: int
    why: str


@dataclass(frozen=True)
class JobSummary:
    """One job, one row.

    job: its id
    title: its spec's title; the requester's words, unverified
    role: what this node is in it
    state: where it stands, from here
    reason: why it stands there (waiting for what, refused why, failed how); may be empty
    early: whether training ended, by no cancellation, before `round` came to `rounds`; the job is
        then `settling` or `finished` with the rounds that it has
    requester: the account that posted it
    sealed: whether owners train weights that they cannot read
    noisy: whether owners add noise; without it masks protect within a round, nothing over rounds
    round: rounds committed so far
    rounds: rounds in all
    enrolled: owners enrolled
    token: the ERC-20 token that pays, amounts are then in its smallest unit; null for ether
    rate: pay for each contribution
    merit: pot that is shared at the end
    merit_by: what shares it
    expires_at: when the contract lets everybody settle
    dataset: the dataset that trains here; empty if none
    fits: how many rows of it, or before it was taken of each that was looked at, the job can use
    """

    job: JobId
    title: str
    role: Role
    state: JobState
    reason: str
    early: bool
    requester: Address
    sealed: bool
    noisy: bool
    round: int
    rounds: int
    enrolled: int
    token: Address | None
    rate: Wei
    merit: Wei
    merit_by: MeritBy
    expires_at: Timestamp
    dataset: str
    fits: tuple[RowsFit, ...] = ()


@dataclass(frozen=True)
class Round:
    """One round of a job.

    number: from 0
    attempt: attempts before the one that counts, from 0
    phase: the phase it is in, by the round table's name
    contributors: owners whose contribution was committed, or has arrived so far
    ready: owners that are ready; null where only the requester knows it, and once it is over
    blocks: blocks that go on, each opened as a sum or not at all; null before they are known here
    closed: blocks that are paid but stayed closed, since too few shares came
    released: owners whose shares are here; null where only the requester knows it, and once it
        is over
    model: digest of the model that was trained
    accuracy: on the requester's hold-out set after this round; null if unknown here, or if the
        model is linear
    loss: on the same set: log loss of a classifier, half a linear model's mean squared error
    auc: on the same set, of a model of two classes: the area under the ROC curve
    r_squared: on the same set, of a linear model
    rmse: likewise, in the target's own unit
    recall: class to the share of its rows that the model finds, on the same set; of many classes
        those that are found least
    transaction: the commitment's transaction; empty if none yet
    gas: what the commitment used
    bytes: ciphertext bytes of this round that passed this node
    seconds: phase to seconds spent in it
    """

    number: int
    attempt: int
    phase: str
    contributors: int
    ready: int | None
    blocks: int | None
    closed: int
    released: int | None
    model: Digest
    accuracy: float | None
    loss: float | None
    auc: float | None
    r_squared: float | None
    rmse: float | None
    recall: dict[str, float]
    transaction: str
    gas: int
    bytes: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Member:
    """One enrolled owner of a job.

    account: its payout account
    peer_id: its libp2p identity
    block: the block it aggregates in; null before blocks are drawn
    part: how far it has come in the present attempt; empty where that is not known here
    refusal: why it refused the present attempt, in its own words; empty if it did not
    withheld: whether it owes shares that a commitment bound it to release, or shared out what is no
        share; it then stays out of later rosters where its block can do without, and earns no merit
    owes: the round whose shares it owes while they may still come; null if none
    cheated: the round in which its block's words showed that it proved no norm; null if none. It
        is in no later roster, and earns no merit
    contributions: committed contributions
    bytes: bytes of its batches that passed this node
    rate: what its contributions earned
    merit: what its worth earned
    claimed: what the contract has paid it
    """

    account: Address
    peer_id: str
    block: int | None
    part: Part
    refusal: str
    withheld: bool
    owes: int | None
    cheated: int | None
    contributions: int
    bytes: int
    rate: Wei
    merit: Wei
    claimed: Wei


@dataclass(frozen=True)
class Money:
    """Where a job's bounty is.

    escrowed: what the requester put in
    earned: committed contributions x rate, and merit once settled
    paid: what was claimed
    returned: what went back to the requester
    awaited: what still comes back of a job that finished: no contribution can be owed it any more
        once the contract has closed the job
    returns_at: when that is; null where nothing is awaited
    gas: gas of this node's transactions for the job
    gas_cost: what that cost, in wei of the chain's coin
    """

    escrowed: Wei
    earned: Wei
    paid: Wei
    returned: Wei
    awaited: Wei
    returns_at: Timestamp | None
    gas: int
    gas_cost: Wei


@dataclass(frozen=True)
class Declined:
    """A term of owners' policies that a job's spec does not meet, by their own unverified word.

    term: which, from a fixed list
    why: the same in words
    owners: how many say so
    """

    term: str
    why: str
    owners: int


@dataclass(frozen=True)
class JobDetail:
    """Everything that this node knows of a job.

    summary: the row in `jobs`
    spec: the spec as TOML text
    spec_digest: digest of its canonical bytes, which stands on the chain
    rounds: all rounds so far
    members: enrolled owners known here
    decliners: owners that said which terms of theirs the spec does not meet; others say nothing
    declined: these terms, most often said first
    money: where the bounty is
    bytes_in: received for this job
    bytes_out: sent for this job: all that left this machine
    releases: words by which an owner gave up its shares, that came to this node or left it: they
        open a round's sums, and nothing else does
    epsilon_spent: of this node's data, at the spec's delta; null if it runs without noise
    seconds: phase to seconds, over all rounds
    model: digest of the newest model known here; null before the first
    """

    summary: JobSummary
    spec: str
    spec_digest: Digest
    rounds: tuple[Round, ...]
    members: tuple[Member, ...]
    decliners: int
    declined: tuple[Declined, ...]
    money: Money
    bytes_in: int
    bytes_out: int
    releases: int
    epsilon_spent: float | None
    seconds: dict[str, float]
    model: Digest | None


@dataclass(frozen=True)
class Posted:
    """A job that was posted; its transaction is stored and sent, maybe not mined yet.

    job: its id
    spec_digest: what stands on the chain
    escrowed: what it locks up
    token: the ERC-20 token that this is in; null for ether
    merit: the pot in it, which is shared at the end
    merit_by: what shares it, as in JobSummary
    noisy: whether owners add noise, as in JobSummary
    sealed: whether owners train weights that they cannot read
    transaction: the posting transaction's hash
    """

    job: JobId
    spec_digest: Digest
    escrowed: Wei
    token: Address | None
    merit: Wei
    merit_by: MeritBy
    noisy: bool
    sealed: bool
    transaction: str


@dataclass(frozen=True)
class Consent:
    """A job that an owner took by hand.

    job: the job
    dataset: the dataset that will train
    state: where the job stands now
    noisy: whether owners add noise, as in JobSummary
    sealed: whether owners train weights that they cannot read
    fits: how many rows the job can use
    """

    job: JobId
    dataset: DatasetName
    state: JobState
    noisy: bool
    sealed: bool
    fits: tuple[RowsFit, ...] = ()


@dataclass(frozen=True)
class Cancelled:
    """A job that its requester cancels.

    job: the job
    state: where the job stands now; `cancelled` once the cancellation is on the chain
    already: whether it was cancelled before this call, which then changed nothing
    effective: when the contract closes the job; null until the cancellation is on the chain
    notice: seconds from the block that holds the cancellation to that moment
    transaction: the cancellation's transaction; empty until its receipt is here
    problem: what its transaction waits for; empty if nothing is in its way
    """

    job: JobId
    state: JobState
    already: bool
    effective: Timestamp | None
    notice: int
    transaction: str
    problem: str


@dataclass(frozen=True)
class ModelFile:
    """A model that lies in the daemon's home as .npz.

    job: the job
    round: rounds that went into it; 0: the initial weights
    rounds: rounds that the job was to have
    final: whether it is the job's last
    digest: of the model, as it stands on the chain
    path: the file
    bytes: its size
    """

    job: JobId
    round: int
    rounds: int
    final: bool
    digest: Digest
    path: AbsolutePath
    bytes: int


@dataclass(frozen=True)
class Claim:
    """One account's claim on one job.

    job: the job
    account: who is paid
    token: the ERC-20 token that it is paid in; null for ether
    rounds: rounds that are paid
    rate: pay for them
    merit: merit that is paid
    transaction: the claim's transaction; empty if there was nothing to claim
    gas: what it used; 0 until mined
    """

    job: JobId
    account: Address
    token: Address | None
    rounds: int
    rate: Wei
    merit: Wei
    transaction: str
    gas: int


@dataclass(frozen=True)
class Check:
    """One check of an audit.

    name: what was checked
    ok: whether it holds
    detail: what was found
    """

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Audit:
    """A job's books, checked again from the chain and the stored evidence.

    job: the job
    ok: whether every check holds
    checks: all of them
    money: where the bounty is, by the chain's word
    """

    job: JobId
    ok: bool
    checks: tuple[Check, ...]
    money: Money
