"""send, token revoke: money that leaves this home's account by its user's word."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli import money_views
from node.cli.options import Here, MaxFee, Yes, fee_limit
from node.console.asking import agree
from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from protocol.tokens import Tokens

Id = Annotated[
    str | None,
    Parameter(help="Your word for it: what was sent under one is not sent again; default: new."),
]


def send(
    to: Annotated[str, Parameter(help="Who receives it: an address, with its checksum.")],
    amount: Annotated[str, Parameter(help="With its unit: '0.5 ether', '2.5 USDC'.")],
    *,
    token: Annotated[
        str | None, Parameter(help="A token's name here or its address, for '7 units' of it.")
    ] = None,
    max_fee: MaxFee = None,
    id_: Annotated[Id, Parameter(name="--id")] = None,
    yes: Yes = False,
    session: Here,
) -> int:
    """Send ether or a token from this home's account, such as what it has earned.

    The payment is rehearsed first, then shown, and sent once you agree. Exit code 4 if the chain
    refused it.
    """
    account, number, address = _read(to, amount, token, session.tokens)
    limit, name = fee_limit(max_fee), id_ or secrets.token_hex(8)
    given = {
        "id": name,
        "to": account,
        "amount": str(number),
        "token": address,
        "max_fee": None if limit is None else str(limit),
    }
    if not yes:
        found = session.call("send", {**given, "dry_run": True})
        text = money_views.to_agree(found, session.tokens)
        command = f"assay send {account} '{amount}'" + (f" --token {token}" if token else "")
        agree(text, "send it?", command=command, left="nothing was sent")
    found = session.call("send", given)
    session.emit(found, money_views.sent(found, session.tokens))
    return Exit.CHAIN if found["state"] in ("failed", "superseded") else Exit.OK


def token_revoke(
    token: Annotated[str, Parameter(help="A token's name here, or its address.")],
    *,
    yes: Yes = False,
    session: Here,
) -> int:
    """Take back what the bounty contract may still take of a token.

    Posting a job in a token allows exactly its escrow. Some of that is left over only where the
    posting itself was refused.
    """
    from protocol.addresses import to_checksum
    from protocol.tokens import NO_TOKENS

    address = to_checksum((session.tokens or NO_TOKENS).address(token))
    if not yes:
        text = f"one transaction sets what the contract may take of {token} to nothing"
        agree(text, "send it?", command=f"assay token revoke {token}", left="nothing was sent")
    given = {"id": secrets.token_hex(8), "token": address}
    found = session.call("token.revoke", given)
    done = found["state"] in ("mined", "final")
    lines = [f"the contract may take nothing of {token}"] if done else []
    session.emit(found, lines or money_views.sent(found, session.tokens))
    return Exit.CHAIN if found["state"] in ("failed", "superseded") else Exit.OK


def _read(
    to: str, amount: str, token: str | None, tokens: Tokens | None
) -> tuple[str, int, str | None]:
    """Receiver, amount and token, checked. Raises InputError, Failure."""
    from node.console import asked
    from protocol.addresses import parse_address, to_checksum

    account = to_checksum(parse_address(to, "to"))
    if to != account:
        text = f"{to} carries no checksum: copy it from where capitals and small letters mix"
        raise Failure(Exit.USAGE, text, field="to")
    return account, *asked.amount(tokens, amount, token, "amount")
