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
