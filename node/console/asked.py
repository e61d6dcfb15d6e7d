"""Amounts that a person asks for, with their unit: '0.001 ether', '2.5 USDC', '7 units'."""

from __future__ import annotations

from node.console.failure import Failure
from node.control.codes import Exit
from protocol.addresses import ZERO_ADDRESS, to_checksum
from protocol.amounts import UNITS
from protocol.tokens import NO_TOKENS, Tokens


def amount(
    tokens: Tokens | None, text: str, token: str | None, field: str
) -> tuple[int, str | None]:
    """An amount in the smallest unit, and its token; None for the chain's coin.

    `tokens`: those that the user has named; `token`: one of them or an address, for bare units.
    Raises InputError, Failure; both name `field`.
    """
    known = tokens or NO_TOKENS
    named = known.unit_of(text)
    if token is not None:
        address = known.address(token)
    elif named is not None:
        address = named.address
    elif text.endswith(tuple(f" {unit}" for unit in UNITS)):
        address = ZERO_ADDRESS
    else:
        said = f"{field}: is {text!r:.60}; say of what, as '0.001 ether' or '2.5 USDC'"
        raise Failure(Exit.USAGE, said, next_="assay token list", field=field)
    number = known.parse(text, address, field)
    return number, None if address == ZERO_ADDRESS else to_checksum(address)
