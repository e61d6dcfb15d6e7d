"""What control methods return. Frozen, typed, convertible to JSON by node.control.wire.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.control.wire import AbsolutePath, Address, DatasetName, Digest, JobId, Timestamp, Wei

#: What this node is in a job.
Role = Literal["requester", "owner", "bystander"]

#: Where a job stands, from this node's point of view. `waiting`: it awaits this owner's consent.
JobState = Literal[
    "posted", "waiting", "enrolling", "running", "finished", "cancelled", "expired", "failed"
]

#: A value of a policy, as JSON has it. Amounts of wei are decimal strings.
PolicyValue = None | bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True)
class ChainStatus:
    """The chain, as last seen. Nothing here is asked of the chain while answering.

    url: JSON-RPC endpoint, without credentials
    chain_id: the chain's id
    contract: the bounty contract's address
    head: number of the last block seen
    head_time: that block's timestamp
    reachable: whether the last call succeeded
    problem: why not, and what to do; empty when reachable
    """

    url: str
    chain_id: int
    contract: Address
    head: int
    head_time: Timestamp
    reachable: bool
    problem: str


@dataclass(frozen=True)
class Status:
    """One daemon at a glance, from a snapshot: it never waits for the engine.

    version: of assay
    pid: process id
    started_at: when this process started
    home: its directory
    peer_id: its libp2p identity
    addresses: multiaddrs that it listens on, each with /p2p/ID
    join_line: what others paste after `assay join`: address, chain id and contract in one token
    account: the account that signs and pays
    payout: the account that earnings go to
    chain: the chain as last seen
    peers: connected peers
    datasets: datasets of this home
    jobs_running: jobs in which this node has something to do
    jobs_waiting: jobs that wait for this owner's consent
    tasks_queued: computations that wait for a worker
    bytes_in: received over the network since the start
    bytes_out: sent over the network since the start
    resident_bytes: resident memory of the daemon, workers not counted
    problems: what is wrong now, one line each
    """

    version: str
    pid: int
    started_at: Timestamp
    home: str
    peer_id: str
    addresses: tuple[str, ...]
    join_line: str
    account: Address
    payout: Address
    chain: ChainStatus
    peers: int
    datasets: int
    jobs_running: int
    jobs_waiting: int
    tasks_queued: int
    bytes_in: int
    bytes_out: int
    resident_bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """One connected peer.

    peer_id: its libp2p identity
    addresses: where it is reached
    direction: who dialled
    relayed: whether the connection runs through a relay
    agent: what it calls itself; unverified
    score: gossip score; negative is bad
    connected_at: since when
    rejected: messages of its that were rejected since the start
    """

    peer_id: str
    addresses: tuple[str, ...]
    direction: Literal["in", "out"]
    relayed: bool
    agent: str
    score: float
    connected_at: Timestamp
    rejected: int


@dataclass(frozen=True)
class Joined:
    """A peer that was dialled and will be dialled again after a restart.

    peer_id: the peer behind the address
    address: its multiaddr
    peers: connected peers now
    """

    peer_id: str
    address: str
    peers: int


@dataclass(frozen=True)
class Stopping:
    """The daemon drains and ends.

    pid: the process that ends
    jobs_running: jobs that go on when it starts again
    """

    pid: int
    jobs_running: int


@dataclass(frozen=True)
class Dataset:
    """A dataset of this home.

    name: its name
    path: its file
    rows: records in it
    columns: names of its columns, at most 256 of them
    column_count: number of its columns
    bytes: size of the file
    digest: of the file's bytes when it was added
    added_at: when it was added
    decided: whether its owner has set a policy; until then it takes nothing
    jobs: jobs that it was or is used for
    epsilon_spent: privacy budget spent over all jobs; null where a job ran without noise
    """

    name: DatasetName
    path: AbsolutePath
    rows: int
    columns: tuple[str, ...]
    column_count: int
    bytes: int
    digest: Digest
    added_at: Timestamp
    decided: bool
    jobs: int
    epsilon_spent: float | None


@dataclass(frozen=True)
class PolicyTerm:
    """One term of a dataset's policy.

    name: its name in `policy set`
    value: its value
    allowed: what it may be, in words
    meaning: what it does, in words
    """

    name: str
    value: PolicyValue
    allowed: str
    meaning: str


@dataclass(frozen=True)
class Policy:
    """What a dataset's owner lets it be used for.

    dataset: the dataset
    decided: whether the owner has said anything yet; until then it takes nothing
    terms: all terms, set or default
    """

    dataset: DatasetName
    decided: bool
    terms: tuple[PolicyTerm, ...]


@dataclass(frozen=True)
class JobSummary:
    """One job, one row.

    job: its id
    title: its spec's title; the requester's words, unverified
    role: what this node is in it
    state: where it stands, from here
    reason: why it stands there (waiting for what, refused why, failed how); may be empty
    requester: the account that posted it
    sealed: whether owners train weights that they cannot read
    noisy: whether owners add noise; without it, only the masks of one round protect
    round: rounds committed so far
    rounds: rounds in all
    enrolled: owners enrolled
    rate: pay for each contribution
    merit: pot for measured worth, paid at the end
    expires_at: when the contract lets everybody settle
    dataset: the dataset that trains here; empty if none
    """

    job: JobId
    title: str
    role: Role
    state: JobState
    reason: str
    requester: Address
    sealed: bool
    noisy: bool
    round: int
    rounds: int
    enrolled: int
    rate: Wei
    merit: Wei
    expires_at: Timestamp
    dataset: str


@dataclass(frozen=True)
class Round:
    """One round of a job.

    number: from 0
    attempt: attempts before the one that counts, from 0
    phase: the phase it is in, by the round table's name
    contributors: owners whose contribution was committed, or has arrived so far
    model: digest of the model that was trained
    accuracy: on the requester's hold-out set after this round; null if unknown here
    loss: on the same set; null if unknown here
    transaction: the commitment's transaction; empty if none yet
    gas: what the commitment used
    bytes: ciphertext bytes of this round that passed this node
    seconds: phase to seconds spent in it
    """

    number: int
    attempt: int
    phase: str
    contributors: int
    model: Digest
    accuracy: float | None
    loss: float | None
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
    contributions: committed contributions
    bytes: bytes of its batches that passed this node
    rate: what its contributions earned
    merit: what its worth earned
    claimed: what the contract has paid it
    """

    account: Address
    peer_id: str
    block: int | None
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
    gas: gas of this node's transactions for the job
    """

    escrowed: Wei
    earned: Wei
    paid: Wei
    returned: Wei
    gas: int


@dataclass(frozen=True)
class JobDetail:
    """Everything that this node knows of a job.

    summary: the row in `jobs`
    spec: the spec as TOML text
    spec_digest: digest of its canonical bytes, which stands on the chain
    rounds: all rounds so far
    members: enrolled owners known here
    money: where the bounty is
    bytes_in: received for this job
    bytes_out: sent for this job: all that left this machine
    epsilon_spent: privacy budget that this node's data spent on it; null if it ran without noise
    seconds: phase to seconds, over all rounds
    model: digest of the newest model known here; null before the first
    """

    summary: JobSummary
    spec: str
    spec_digest: Digest
    rounds: tuple[Round, ...]
    members: tuple[Member, ...]
    money: Money
    bytes_in: int
    bytes_out: int
    epsilon_spent: float | None
    seconds: dict[str, float]
    model: Digest | None


@dataclass(frozen=True)
class Posted:
    """A job that was posted; its transaction is stored and sent, maybe not mined yet.

    job: its id
    spec_digest: what stands on the chain
    escrowed: what it locks up
    transaction: the posting transaction's hash
    """

    job: JobId
    spec_digest: Digest
    escrowed: Wei
    transaction: str


@dataclass(frozen=True)
class Consent:
    """A job that an owner took by hand.

    job: the job
    dataset: the dataset that will train
    state: where the job stands now
    """

    job: JobId
    dataset: DatasetName
    state: JobState


@dataclass(frozen=True)
class ModelFile:
    """A model that lies in the daemon's home as .npz.

    job: the job
    round: rounds that went into it
    final: whether it is the job's last
    digest: of the model, as it stands on the chain
    path: the file
    bytes: its size
    """

    job: JobId
    round: int
    final: bool
    digest: Digest
    path: AbsolutePath
    bytes: int


@dataclass(frozen=True)
class Claim:
    """One account's claim on one job.

    job: the job
    account: who is paid
    rounds: rounds that are paid
    rate: pay for them
    merit: merit that is paid
    transaction: the claim's transaction; empty if there was nothing to claim
    gas: what it used; 0 until mined
    """

    job: JobId
    account: Address
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


@dataclass(frozen=True)
class Account:
    """This home's account.

    address: signs and pays
    payout: receives earnings
    balance: of `address`, as last seen
    claimable: earned by `payout` and not claimed yet, over all known jobs
    """

    address: Address
    payout: Address
    balance: Wei
    claimable: Wei


@dataclass(frozen=True)
class Event:
    """Something that happened.

    seq: number in this process, from 1, without gaps
    time: when
    kind: a dotted name such as round.commit
    job: the job it belongs to; null if none
    text: one line for a person
    facts: the same for a program
    """

    seq: int
    time: Timestamp
    kind: str
    job: JobId | None
    text: str
    facts: dict[str, PolicyValue]


@dataclass(frozen=True)
class Subscribed:
    """A subscription. Events follow as notifications `events.event`, its end as `events.closed`.

    subscription: its id on this connection
    seq: number of the newest event when it began
    """

    subscription: int
    seq: int


@dataclass(frozen=True)
class Unsubscribed:
    """The end of a subscription.

    subscription: its id
    """

    subscription: int
