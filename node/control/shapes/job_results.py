"""What node.control.job_results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict

from node.control.job_results import JobState, MeritBy, Part, Role


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


class Check(TypedDict):
    # node.control.job_results.Check
    name: str
    ok: bool
    detail: str


class Claim(TypedDict):
    # node.control.job_results.Claim
    job: str
    account: str
    token: str | None
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
    fits: list[RowsFit]


class Declined(TypedDict):
    # node.control.job_results.Declined
    term: str
    why: str
    owners: int


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
    merit_by: MeritBy
    expires_at: float
    dataset: str
    fits: list[RowsFit]


class Member(TypedDict):
    # node.control.job_results.Member
    account: str
    peer_id: str
    block: int | None
    part: Part
    refusal: str
    withheld: bool
    owes: int | None
    cheated: int | None
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
    awaited: str
    returns_at: float | None
    gas: int
    gas_cost: str


class Posted(TypedDict):
    # node.control.job_results.Posted
    job: str
    spec_digest: str
    escrowed: str
    token: str | None
    merit: str
    merit_by: MeritBy
    noisy: bool
    sealed: bool
    transaction: str


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


class RowsFit(TypedDict):
    # node.control.job_results.RowsFit
    dataset: str
    rows: int
    usable: int
    why: str
