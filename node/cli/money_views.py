"""Money as a person sees it: each amount in its currency, by the name that its user gave it.

Results come as the JSON that the daemon sent: whole numbers of the smallest unit, and an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.console.amounts import money, short
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens


def pay(amount: str, token: str | None, tokens: Tokens | None = None) -> str:
    """An amount in ether, in a token by its name here, or in units of an address."""
    if token is None:
        return money(amount)
    known = None if tokens is None else tokens.at(bytes.fromhex(token[2:]))
    if known is None or tokens is None:
        return f"{amount} units of {short(token)}"
    return tokens.shown(int(amount), known.address)


def claims(found: Sequence[shapes.Claim], tokens: Tokens | None = None) -> list[Part]:
    rows = [
        (
            c["account"],
            str(c["rounds"]),
            pay(c["rate"], c["token"], tokens),
            pay(c["merit"], c["token"], tokens),
            str(c["gas"]),
            c["transaction"] or "nothing to claim",
        )
        for c in found
    ]
    headings = ("account", "rounds", "rate", "merit", "gas", "transaction")
    return [Table(headings, rows, "nothing to claim", right=frozenset({"rounds", "gas"}))]


def account(a: shapes.Account, tokens: Tokens | None = None) -> list[Part]:
    """Who pays and is paid, and a row for each currency."""
    pairs = [("account", a["address"])]
    if a["payout"] != a["address"]:
        pairs.append(("payout", a["payout"]))
    rows = [
        (
            "?" if c["balance"] is None else pay(c["balance"], c["token"], tokens),
            pay(c["rate"], c["token"], tokens),
            pay(c["merit"], c["token"], tokens),
            pay(c["allowance"], c["token"], tokens) if int(c["allowance"]) else "-",
            c["problem"] or _unnamed(c["token"], tokens),
        )
        for c in a["currencies"]
    ]
    headings = ("balance", "to claim", "merit to claim", "the contract may take", "note")
    return [Pairs(pairs), Table(headings, rows)]


def _unnamed(token: str | None, tokens: Tokens | None) -> str:
    """What gives a token a name, where it has none."""
    if token is None or (tokens is not None and tokens.at(bytes.fromhex(token[2:]))):
        return "-"
    return f"next: assay token add {token}"
