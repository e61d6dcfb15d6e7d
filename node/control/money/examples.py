"""Examples of the methods about money: the same story as in node/control/examples.py."""

from __future__ import annotations

from typing import Final

from node.control import examples as ex
from node.control.money import results as r

USDC: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

COIN: Final = r.Currency(
    token=None,
    balance=ex.ETHER,
    rate=20 * ex.ETHER // 1000,
    merit=ex.ETHER // 50,
    allowance=0,
    problem="",
)

ACCOUNT: Final = r.Account(
    address=ex.OWNER,
    payout=ex.OWNER,
    currencies=(
        COIN,
        r.Currency(token=USDC, balance=2_500_000, rate=40_000, merit=0, allowance=0, problem=""),
    ),
)

QUOTE: Final = r.Quote(
    token=USDC,
    escrow=2_500_000,
    merit=0,
    merit_by="equal",
    balance=4_000_000,
    allowance=0,
    approves=True,
    gas=227_000,
    gas_job=1_100_000,
    fee=3 * 10**9,
    coin=ex.ETHER,
    problem="",
)

SENT: Final = r.Sent(
    id="4f2a9c01",
    to=ex.REQUESTER,
    token=USDC,
    amount=2_500_000,
    contract=False,
    gas=48_000,
    fee=3 * 10**9,
    state="mined",
    transaction=ex.TRANSACTION,
    problem="",
)

REVOKED: Final = r.Sent(
    id="4f2a9c02",
    to=ex.OWNER,
    token=USDC,
    amount=0,
    contract=True,
    gas=26_000,
    fee=3 * 10**9,
    state="mined",
    transaction=ex.TRANSACTION,
    problem="",
)

EARNINGS: Final = r.Earnings(
    lines=(
        r.Earning(
            job=ex.JOB,
            title="Sepsis",
            requester=ex.REQUESTER,
            round=0,
            block=120,
            batch=bytes.fromhex("3d" * 32),
            bytes=17_000,
            epsilon=0.5,
            account=ex.OWNER,
            token=USDC,
            due=250_000,
            paid=250_000,
            transaction=ex.TRANSACTION,
        ),
        r.Earning(
            job=ex.JOB,
            title="Sepsis",
            requester=ex.REQUESTER,
            round=None,
            block=0,
            batch=None,
            bytes=0,
            epsilon=0.5,
            account=ex.OWNER,
            token=USDC,
            due=40_000,
            paid=0,
            transaction="",
        ),
    ),
    receipts="",
)
