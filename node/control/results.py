"""Results of control methods; those about jobs are in job_results. Frozen, typed, JSON by
node.control.wire.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.control.wire import Address, DatasetName, Digest, JobId, Timestamp

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
    closed: why this node takes no job and begins no attempt now; empty while it does
    paused: whether its owner paused it; else what closes it are its hours
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
    closed: str = ""
    paused: bool = False


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
    restart: whether a channel contract came that this node knows from its next start on
    """

    peer_id: str
    address: str
    peers: int
    restart: bool


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
    path: its file, or the URL of its database and the statement
    rows: records in it
    columns: names of its columns, at most 256 of them
    column_count: number of its columns
    bytes: size of the file
    digest: of the file's bytes when it was added
    added_at: when it was added
    decided: whether its owner has set a policy; until then it takes nothing
    jobs: jobs that it was or is used for
    epsilon_spent: of the privacy budget, over all jobs; null where a job without noise was
        contributed to
    same: other datasets, removed ones too, that share its budget: rows of one are in the other
    notes: how its file was read, where that was not plain; said once, when it is added
    holdout: whether it measures this home's own jobs, and is offered to none
    """

    name: DatasetName
    path: str
    rows: int
    columns: tuple[str, ...]
    column_count: int
    bytes: int
    digest: Digest
    added_at: Timestamp
    decided: bool
    jobs: int
    epsilon_spent: float | None
    same: tuple[DatasetName, ...]
    notes: tuple[str, ...] = ()
    holdout: bool = False


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
    running: jobs that train on it and have rounds to come; they keep `known`, `known_least` and
        `max_unpaid` as these were when each was taken
    halted: of them, those that run no further round, since the budget does not hold them any more
    """

    dataset: DatasetName
    decided: bool
    terms: tuple[PolicyTerm, ...]
    running: tuple[JobId, ...]
    halted: tuple[JobId, ...]


@dataclass(frozen=True)
class ExplainedRule:
    """One rule held against a job.

    rule: the policy's term, or what of the dataset the rule is about
    value: the term's value, as `policy.show` has it; null where the rule is no term
    outcome: `passes`; `waits`: a person may take the job by hand; `refused`: the policy must change
        first; `impossible`: no policy could take it
    why: why it does not pass; of one that passes, what the owner should know all the same
    """

    rule: str
    value: PolicyValue
    outcome: Literal["passes", "waits", "refused", "impossible"]
    why: str


@dataclass(frozen=True)
class Explained:
    """What becomes of a job at one dataset, rule by rule. For this home's user alone.

    job: the job
    dataset: the dataset
    taken: whether the job was taken with this dataset; rules are those of now all the same
    verdict: the worst outcome of a rule
    rules: every rule
    """

    job: JobId
    dataset: DatasetName
    taken: bool
    verdict: Literal["passes", "waits", "refused", "impossible"]
    rules: tuple[ExplainedRule, ...]


@dataclass(frozen=True)
class PrivacyJob:
    """What one job told of a dataset.

    job: its id
    title: its spec's title; the requester's words, unverified; empty if the job is not known now
    requester: the account that posted it
    noisy: whether this node adds noise; without it there is no bound on what the job tells
    rate: each record's chance of being in a round's sample; null without noise
    multiplier: deviation of the noise over one record's influence; null without noise
    reserved: rounds set aside that may still be charged
    charged: rounds whose noisy gradient was drawn
    epsilon: what the charged rounds cost, of this job alone; null if there is no bound, which is so
        from the first contribution to a job without noise
    """

    job: JobId
    title: str
    requester: Address
    noisy: bool
    rate: float | None
    multiplier: float | None
    reserved: int
    charged: int
    epsilon: float | None


@dataclass(frozen=True)
class PrivacyPoint:
    """A privacy budget as it stood at one moment, by the policy of now.

    at: the moment, after something was reserved, charged or given back
    spent: epsilon of all rounds that were charged by then; null if no bound can be shown
    reserved: how much more it would have come to with all rounds that were reserved then
    left: the rest of the budget
    """

    at: Timestamp
    spent: float | None
    reserved: float | None
    left: float


@dataclass(frozen=True)
class Privacy:
    """A dataset's privacy budget, as its ledger has it. Epsilons of jobs compose; they do not add.

    Where datasets share a budget, all figures but `jobs` are of all of them together, and the
    strictest of their policies holds.

    dataset: the dataset
    epsilon: the policy's budget over all jobs with noise
    delta: the chance that is left that more is told
    spent: epsilon of all rounds that were charged; null if no bound can be shown
    reserved: how much more it comes to when every job that runs has charged all of its rounds
    left: the rest of the budget
    bounded: false if a job without noise was contributed to: then nothing bounds what was told
    no_noise_joined: jobs without noise that it has joined, for good
    no_noise_jobs: how many of these its policy allows in its life
    jobs: all of its jobs, the noisy ones in the order of their reserves
    same: other datasets, removed ones too, that share its budget: rows of one are in the other
    history: moments of before, the oldest first, where it was asked for; jobs without noise are not
        in it
    """

    dataset: DatasetName
    epsilon: float
    delta: float
    spent: float | None
    reserved: float | None
    left: float
    bounded: bool
    no_noise_joined: int
    no_noise_jobs: int
    jobs: tuple[PrivacyJob, ...]
    same: tuple[DatasetName, ...] = ()
    history: tuple[PrivacyPoint, ...] = ()


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
