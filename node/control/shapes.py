"""Results of control methods as their JSON holds them: types for whoever reads it.

scripts/json-shapes writes this file from the dataclasses of results.py and job_results.py, and a
test compares. Commands import it for mypy only: it costs them nothing when they run.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from node.control.job_results import JobState, Part, Role


class Account(TypedDict):
    # node.control.results.Account
    address: str
    payout: str
    balance: str
    claimable: str


class Audit(TypedDict):
    # node.control.job_results.Audit
    job: str
    ok: bool
    checks: list[Check]
    money: Money


class Cancelled(TypedDict):
    # node.control.job_results.Cancelled
    job: str
    state: JobState
    already: bool
    effective: float | None
    notice: int
    transaction: str
    problem: str


class CardColumn(TypedDict):
    # node.control.cards.results.CardColumn
    name: str
    kind: Literal["number", "category"]
    words: list[str]


class ChainStatus(TypedDict):
    # node.control.results.ChainStatus
    url: str
    chain_id: int
    contract: str
    head: int
    head_time: float
    reachable: bool
    problem: str


class Check(TypedDict):
    # node.control.job_results.Check
    name: str
    ok: bool
    detail: str


class Claim(TypedDict):
    # node.control.job_results.Claim
    job: str
    account: str
    rounds: int
    rate: str
    merit: str
    transaction: str
    gas: int


class Consent(TypedDict):
    # node.control.job_results.Consent
    job: str
    dataset: str
    state: JobState
    noisy: bool
    sealed: bool


class Dataset(TypedDict):
    # node.control.results.Dataset
    name: str
    path: str
    rows: int
    columns: list[str]
    column_count: int
    bytes: int
    digest: str
    added_at: float
    decided: bool
    jobs: int
    epsilon_spent: float | None
    same: list[str]
    notes: list[str]


class Declined(TypedDict):
    # node.control.job_results.Declined
    term: str
    why: str
    owners: int


class Event(TypedDict):
    # node.control.results.Event
    seq: int
    time: float
    kind: str
    job: str | None
    text: str
    facts: dict[str, bool | int | float | str | list[str] | None]


class Explained(TypedDict):
    # node.control.results.Explained
    job: str
    dataset: str
    taken: bool
    verdict: Literal["passes", "waits", "refused", "impossible"]
    rules: list[ExplainedRule]


class ExplainedRule(TypedDict):
    # node.control.results.ExplainedRule
    rule: str
    value: bool | int | float | str | list[str] | None
    outcome: Literal["passes", "waits", "refused", "impossible"]
    why: str


class JobDetail(TypedDict):
    # node.control.job_results.JobDetail
    summary: JobSummary
    spec: str
    spec_digest: str
    rounds: list[Round]
    members: list[Member]
    decliners: int
    declined: list[Declined]
    money: Money
    bytes_in: int
    bytes_out: int
    releases: int
    epsilon_spent: float | None
    seconds: dict[str, float]
    model: str | None


class JobSummary(TypedDict):
    # node.control.job_results.JobSummary
    job: str
    title: str
    role: Role
    state: JobState
    reason: str
    early: bool
    requester: str
    sealed: bool
    noisy: bool
    round: int
    rounds: int
    enrolled: int
    token: str | None
    rate: str
    merit: str
    expires_at: float
    dataset: str


class Joined(TypedDict):
    # node.control.results.Joined
    peer_id: str
    address: str
    peers: int


class Matches(TypedDict):
    # node.control.cards.results.Matches
    known: int
    columns: int
    purpose: int
    price: int


class Member(TypedDict):
    # node.control.job_results.Member
    account: str
    peer_id: str
    block: int | None
    part: Part
    refusal: str
    withheld: bool
    owes: int | None
    contributions: int
    bytes: int
    rate: str
    merit: str
    claimed: str


class ModelFile(TypedDict):
    # node.control.job_results.ModelFile
    job: str
    round: int
    rounds: int
    final: bool
    digest: str
    path: str
    bytes: int


class Money(TypedDict):
    # node.control.job_results.Money
    escrowed: str
    earned: str
    paid: str
    returned: str
    gas: int


class Offer(TypedDict):
    # node.control.cards.results.Offer
    card: str
    peer: str
    mine: bool
    title: str
    rows: str
    rows_least: int
    rows_below: int | None
    columns: list[CardColumn]
    purposes: list[str]
    token: str | None
    least_rate: str
    valid_until: float
    known_since: float


class OfferDetail(TypedDict):
    # node.control.cards.results.OfferDetail
    offer: Offer
    spec: str


class Offers(TypedDict):
    # node.control.cards.results.Offers
    known: int
    matching: int
    offers: list[Offer]


class OwnCard(TypedDict):
    # node.control.cards.results.OwnCard
    dataset: str
    published: bool
    offer: Offer
    notes: list[str]


class Peer(TypedDict):
    # node.control.results.Peer
    peer_id: str
    addresses: list[str]
    direction: Literal["in", "out"]
    relayed: bool
    agent: str
    score: float
    connected_at: float
    rejected: int


class Policy(TypedDict):
    # node.control.results.Policy
    dataset: str
    decided: bool
    terms: list[PolicyTerm]
    running: list[str]
    halted: list[str]


class PolicyTerm(TypedDict):
    # node.control.results.PolicyTerm
    name: str
    value: bool | int | float | str | list[str] | None
    allowed: str
    meaning: str


class Posted(TypedDict):
    # node.control.job_results.Posted
    job: str
    spec_digest: str
    escrowed: str
    token: str | None
    noisy: bool
    sealed: bool
    transaction: str


class Privacy(TypedDict):
    # node.control.results.Privacy
    dataset: str
    epsilon: float
    delta: float
    spent: float | None
    reserved: float | None
    left: float
    bounded: bool
    no_noise_joined: int
    no_noise_jobs: int
    jobs: list[PrivacyJob]
    same: list[str]


class PrivacyJob(TypedDict):
    # node.control.results.PrivacyJob
    job: str
    title: str
    requester: str
    noisy: bool
    rate: float | None
    multiplier: float | None
    reserved: int
    charged: int
    epsilon: float | None


class Round(TypedDict):
    # node.control.job_results.Round
    number: int
    attempt: int
    phase: str
    contributors: int
    ready: int | None
    blocks: int | None
    closed: int
    released: int | None
    model: str
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


class Status(TypedDict):
    # node.control.results.Status
    version: str
    pid: int
    started_at: float
    home: str
    peer_id: str
    addresses: list[str]
    join_line: str
    account: str
    payout: str
    chain: ChainStatus
    peers: int
    datasets: int
    jobs_running: int
    jobs_waiting: int
    tasks_queued: int
    bytes_in: int
    bytes_out: int
    resident_bytes: int
    problems: list[str]


class Stopping(TypedDict):
    # node.control.results.Stopping
    pid: int
    jobs_running: int


class Subscribed(TypedDict):
    # node.control.results.Subscribed
    subscription: int
    seq: int


class Unsubscribed(TypedDict):
    # node.control.results.Unsubscribed
    subscription: int


class WithdrawnCard(TypedDict):
    # node.control.cards.results.WithdrawnCard
    dataset: str
