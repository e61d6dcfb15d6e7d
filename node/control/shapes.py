"""Results of control methods as their JSON holds them: types for whoever reads it.

scripts/json-shapes writes this file from the dataclasses of results.py and job_results.py, and a
test compares. Commands import it for mypy only: it costs them nothing when they run.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from node.control.job_results import JobState, Part, Role


class Account(TypedDict):
    """What node.control.results.Account is as JSON."""

    address: str
    payout: str
    balance: str
    claimable: str


class Audit(TypedDict):
    """What node.control.job_results.Audit is as JSON."""

    job: str
    ok: bool
    checks: list[Check]
    money: Money


class Cancelled(TypedDict):
    """What node.control.job_results.Cancelled is as JSON."""

    job: str
    state: JobState
    already: bool
    effective: float | None
    notice: int
    transaction: str
    problem: str


class CardColumn(TypedDict):
    """What node.control.cards.results.CardColumn is as JSON."""

    name: str
    kind: Literal["number", "category"]
    words: list[str]


class ChainStatus(TypedDict):
    """What node.control.results.ChainStatus is as JSON."""

    url: str
    chain_id: int
    contract: str
    head: int
    head_time: float
    reachable: bool
    problem: str


class Check(TypedDict):
    """What node.control.job_results.Check is as JSON."""

    name: str
    ok: bool
    detail: str


class Claim(TypedDict):
    """What node.control.job_results.Claim is as JSON."""

    job: str
    account: str
    rounds: int
    rate: str
    merit: str
    transaction: str
    gas: int


class Consent(TypedDict):
    """What node.control.job_results.Consent is as JSON."""

    job: str
    dataset: str
    state: JobState
    noisy: bool
    sealed: bool


class Dataset(TypedDict):
    """What node.control.results.Dataset is as JSON."""

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


class Event(TypedDict):
    """What node.control.results.Event is as JSON."""

    seq: int
    time: float
    kind: str
    job: str | None
    text: str
    facts: dict[str, bool | int | float | str | list[str] | None]


class Explained(TypedDict):
    """What node.control.results.Explained is as JSON."""

    job: str
    dataset: str
    taken: bool
    verdict: Literal["passes", "waits", "refused", "impossible"]
    rules: list[ExplainedRule]


class ExplainedRule(TypedDict):
    """What node.control.results.ExplainedRule is as JSON."""

    rule: str
    value: bool | int | float | str | list[str] | None
    outcome: Literal["passes", "waits", "refused", "impossible"]
    why: str


class JobDetail(TypedDict):
    """What node.control.job_results.JobDetail is as JSON."""

    summary: JobSummary
    spec: str
    spec_digest: str
    rounds: list[Round]
    members: list[Member]
    money: Money
    bytes_in: int
    bytes_out: int
    releases: int
    epsilon_spent: float | None
    seconds: dict[str, float]
    model: str | None


class JobSummary(TypedDict):
    """What node.control.job_results.JobSummary is as JSON."""

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
    """What node.control.results.Joined is as JSON."""

    peer_id: str
    address: str
    peers: int


class Matches(TypedDict):
    """What node.control.cards.results.Matches is as JSON."""

    known: int
    columns: int
    purpose: int
    price: int


class Member(TypedDict):
    """What node.control.job_results.Member is as JSON."""

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
    """What node.control.job_results.ModelFile is as JSON."""

    job: str
    round: int
    rounds: int
    final: bool
    digest: str
    path: str
    bytes: int


class Money(TypedDict):
    """What node.control.job_results.Money is as JSON."""

    escrowed: str
    earned: str
    paid: str
    returned: str
    gas: int


class Offer(TypedDict):
    """What node.control.cards.results.Offer is as JSON."""

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
    """What node.control.cards.results.OfferDetail is as JSON."""

    offer: Offer
    spec: str


class Offers(TypedDict):
    """What node.control.cards.results.Offers is as JSON."""

    known: int
    matching: int
    offers: list[Offer]


class OwnCard(TypedDict):
    """What node.control.cards.results.OwnCard is as JSON."""

    dataset: str
    published: bool
    offer: Offer
    notes: list[str]


class Peer(TypedDict):
    """What node.control.results.Peer is as JSON."""

    peer_id: str
    addresses: list[str]
    direction: Literal["in", "out"]
    relayed: bool
    agent: str
    score: float
    connected_at: float
    rejected: int


class Policy(TypedDict):
    """What node.control.results.Policy is as JSON."""

    dataset: str
    decided: bool
    terms: list[PolicyTerm]
    running: list[str]
    halted: list[str]


class PolicyTerm(TypedDict):
    """What node.control.results.PolicyTerm is as JSON."""

    name: str
    value: bool | int | float | str | list[str] | None
    allowed: str
    meaning: str


class Posted(TypedDict):
    """What node.control.job_results.Posted is as JSON."""

    job: str
    spec_digest: str
    escrowed: str
    token: str | None
    noisy: bool
    sealed: bool
    transaction: str


class Privacy(TypedDict):
    """What node.control.results.Privacy is as JSON."""

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
    """What node.control.results.PrivacyJob is as JSON."""

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
    """What node.control.job_results.Round is as JSON."""

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
    transaction: str
    gas: int
    bytes: int
    seconds: dict[str, float]


class Status(TypedDict):
    """What node.control.results.Status is as JSON."""

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
    """What node.control.results.Stopping is as JSON."""

    pid: int
    jobs_running: int


class Subscribed(TypedDict):
    """What node.control.results.Subscribed is as JSON."""

    subscription: int
    seq: int


class Unsubscribed(TypedDict):
    """What node.control.results.Unsubscribed is as JSON."""

    subscription: int


class WithdrawnCard(TypedDict):
    """What node.control.cards.results.WithdrawnCard is as JSON."""

    dataset: str
