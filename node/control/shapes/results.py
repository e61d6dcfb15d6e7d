"""What node.control.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import Literal, TypedDict


class ChainStatus(TypedDict):
    # node.control.results.ChainStatus
    url: str
    chain_id: int
    contract: str
    head: int
    head_time: float
    reachable: bool
    problem: str


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
    holdout: bool


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


class Joined(TypedDict):
    # node.control.results.Joined
    peer_id: str
    address: str
    peers: int
    restart: bool


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
    history: list[PrivacyPoint]


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


class PrivacyPoint(TypedDict):
    # node.control.results.PrivacyPoint
    at: float
    spent: float | None
    reserved: float | None
    left: float


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
    closed: str
    paused: bool


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
