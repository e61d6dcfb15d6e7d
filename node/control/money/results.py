"""Results of the methods about money.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.control.wire import Address, Wei


@dataclass(frozen=True)
class Currency:
    """What this home has in one currency.

    token: the ERC-20 token, amounts are then in its smallest unit; null for the chain's own coin
    balance: of this home's account, as last seen; null if the token does not say
    rate: earned by contributions and not claimed yet, over all known jobs
    merit: earned by measured worth and not claimed yet
    allowance: what the bounty contract may still take of the account; 0 for the coin
    problem: what is wrong with the token; empty if nothing is
    """

    token: Address | None
    balance: Wei | None
    rate: Wei
    merit: Wei
    allowance: Wei
    problem: str


@dataclass(frozen=True)
class Account:
    """This home's account.

    address: signs and pays
    payout: receives earnings, unless a data set's policy names another account
    currencies: the chain's coin first, then tokens that are named here or that jobs here pay in
    """

    address: Address
    payout: Address
    currencies: tuple[Currency, ...]
