"""What node.control.job_results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict

from node.control.job_results import JobState, Part, Role


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
    fits: list[RowsFit]


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
    fits: list[RowsFit]


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


class Posted(TypedDict):
    """What node.control.job_results.Posted is as JSON."""

    job: str
    spec_digest: str
    escrowed: str
    token: str | None
    noisy: bool
    sealed: bool
    transaction: str


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


class RowsFit(TypedDict):
    """What node.control.job_results.RowsFit is as JSON."""

    dataset: str
    rows: int
    usable: int
    why: str
