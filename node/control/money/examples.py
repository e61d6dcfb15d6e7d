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
