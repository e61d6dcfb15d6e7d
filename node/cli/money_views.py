"""Money as a person sees it: each amount in its currency, by the name that its user gave it.

Results come as the JSON that the daemon sent: whole numbers of the smallest unit, and an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from node.console.amounts import money, short, size
from node.console.currency import named, pay
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens

#: A millionth of an ether, wei.
_STEP: Final = 10**12


#: What a hold-out set does not do where the pot is equal.
HOLDOUT_IDLE: Final = "measures the model alone: the pot is shared in equal parts"

#: What a requester whose merit is by worth agrees to.
PUBLISHES: Final = (
    "when the job ends, the hold-out's rows and each round's sums of blocks are published: whoever "
    "was in the job can read them, and keep them"
)

#: And who takes its job where no noise is added.
SUMS_ALONE: Final = (
    "without noise, only owners whose policy says published_sums=true take it: members of a block "
    "that work together could read the rest of it"
)


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
            "?" if c["balance"] is None else holds(c["balance"], c["token"], tokens),
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
    if token is None or named(token, tokens) is not None:
        return "-"
    return f"next: assay token add {token}"


def quoted(q: shapes.Quote, tokens: Tokens | None = None) -> str:
    """What posting a job takes, for whoever is to agree."""
    escrow, coin = pay(q["escrow"], q["token"], tokens), holds(q["coin"], None)
    held = f"{holds(q['balance'] or '0', q['token'], tokens)} and {coin}" if q["token"] else coin
    before = ", after one approval of exactly that" if q["approves"] else ""
    cost = money(rounded(q["gas"] * int(q["fee"])))
    return (
        f"the job locks up {escrow}{before}; posting uses about {q['gas']:,} gas, at most {cost} "
        f"now; the account holds {held}{_published(q)}"
    )


def _published(q: shapes.Quote) -> str:
    return f"; {PUBLISHES}" if q["merit"] != "0" and q["merit_by"] == "worth" else ""


def sent(s: shapes.Sent, tokens: Tokens | None = None) -> list[Part]:
    """Where a payment stands."""
    what = f"{pay(s['amount'], s['token'], tokens)} to {s['to']}"
    if s["state"] in ("failed", "superseded"):
        lines = [f"not sent: {what}: {s['problem']}"]
    elif s["state"] in ("mined", "final"):
        lines = [f"sent {what}", f"transaction {s['transaction']}, {s['gas']:,} gas"]
    else:
        waits = f": {s['problem']}" if s["problem"] else ""
        again = f"the same with --id {s['id']} says where it stands, and sends nothing twice"
        lines = [f"on its way{waits}: {what}", again]
    return list(lines)


def to_agree(s: shapes.Sent, tokens: Tokens | None = None) -> str:
    """What a payment takes, for whoever is to agree."""
    code = " (a contract stands there)" if s["contract"] else ""
    cost = money(rounded(s["gas"] * int(s["fee"])))
    return (
        f"{pay(s['amount'], s['token'], tokens)} go to {s['to']}{code}; it uses about {s['gas']:,} "
        f"gas, at most {cost} now; what is sent cannot be taken back"
    )


def holds(amount: str, token: str | None, tokens: Tokens | None = None) -> str:
    """What an account holds, for a person: ether down to a millionth, less than that as it is."""
    if token is None and int(amount) >= _STEP:
        return money(int(amount) // _STEP * _STEP)
    return pay(amount, token, tokens)


def rounded(wei: int) -> int:
    """Up to a millionth of an ether: a cost of gas is shown as a bound, in few digits."""
    return -(-wei // _STEP) * _STEP


def earnings(lines: Sequence[shapes.Earning], tokens: Tokens | None = None) -> list[Part]:
    """A row a round, and what it comes to in each currency."""
    rows = [
        (
            short(e["job"]),
            e["title"],
            "merit" if e["round"] is None else str(e["round"]),
            "-" if e["batch"] is None else f"{e['batch'][:10]}, {size(e['bytes'])}",
            "no bound" if e["epsilon"] is None else f"{e['epsilon']:.3g}",
            pay(e["due"], e["token"], tokens),
            pay(e["paid"], e["token"], tokens),
            short(e["transaction"]) or "-",
        )
        for e in lines
    ]
    headings = ("job", "title", "round", "what left", "epsilon", "due", "paid", "transaction")
    parts: list[Part] = [Table(headings, rows, "nothing is earned yet")]
    for token in dict.fromkeys(e["token"] for e in lines):
        due, paid = (
            pay(str(sum(int(e[name]) for e in lines if e["token"] == token)), token, tokens)
            for name in ("due", "paid")
        )
        parts.append(f"in all {due}, of which {paid} are paid")
    return parts


def plain(e: shapes.Earning, tokens: Tokens | None = None) -> tuple[str, str, str]:
    """Currency, due and paid as a spreadsheet has them: decimal numbers, exact."""
    token, known = e["token"], named(e["token"], tokens)
    if token is None:
        return "ether", _decimal(e["due"], 18), _decimal(e["paid"], 18)
    if known is None:
        return f"units of {token}", e["due"], e["paid"]
    return known.name, _decimal(e["due"], known.decimals), _decimal(e["paid"], known.decimals)


def _decimal(amount: str, decimals: int) -> str:
    whole, rest = divmod(int(amount), 10**decimals)
    digits = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{whole}.{digits}" if digits else str(whole)
