"""What node.control.money.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict


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
