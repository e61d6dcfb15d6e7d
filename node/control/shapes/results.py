"""What node.control.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class Account(TypedDict):
    """What node.control.results.Account is as JSON."""

    address: str
    payout: str
    balance: str
    claimable: str


class ChainStatus(TypedDict):
    """What node.control.results.ChainStatus is as JSON."""

    url: str
    chain_id: int
    contract: str
    head: int
    head_time: float
    reachable: bool
    problem: str


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
    holdout: bool


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


class Joined(TypedDict):
    """What node.control.results.Joined is as JSON."""

    peer_id: str
    address: str
    peers: int


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
