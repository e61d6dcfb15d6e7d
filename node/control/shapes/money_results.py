"""What node.control.money.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict

from node.control.job_results import MeritBy


class Account(TypedDict):
    # node.control.money.results.Account
    address: str
    payout: str
    currencies: list[Currency]


class Currency(TypedDict):
    # node.control.money.results.Currency
    token: str | None
    balance: str | None
    rate: str
    merit: str
    allowance: str
    problem: str


class Earning(TypedDict):
    # node.control.money.results.Earning
    job: str
    title: str
    requester: str
    round: int | None
    block: int
    batch: str | None
    bytes: int
    epsilon: float | None
    account: str
    token: str | None
    due: str
    paid: str
    transaction: str


class Earnings(TypedDict):
    # node.control.money.results.Earnings
    lines: list[Earning]
    receipts: str


class Quote(TypedDict):
    # node.control.money.results.Quote
    token: str | None
    escrow: str
    merit: str
    merit_by: MeritBy
    balance: str | None
    allowance: str
    approves: bool
    gas: int
    gas_job: int
    fee: str
    coin: str
    problem: str


class Sent(TypedDict):
    # node.control.money.results.Sent
    id: str
    to: str
    token: str | None
    amount: str
    contract: bool
    gas: int
    fee: str
    state: str
    transaction: str
    problem: str
