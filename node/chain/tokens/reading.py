"""What a token's contract says: of itself, and of who holds what. Each word may be a lie.

A contract that fails, or answers with nonsense, raises InputError in words that say so. A chain
node that fails raises ChainError, as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from node.chain.client import ChainClient
from node.chain.errors import Busy, Refused, Reverted
from node.chain.replies import Invalid
from node.chain.tokens import calls
from protocol.addresses import to_checksum
from protocol.errors import InputError
from protocol.tokens import MAX_DECIMALS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What a token says of itself: None where it does not, or says what cannot be used."""

    symbol: str | None
    decimals: int | None
    #: Why something is None, in words for a person.
    problems: tuple[str, ...]


async def describe(client: ChainClient, token: bytes) -> Told:
    """A token's symbol and decimals, by its own word. Raises InputError: no contract is there."""
    await check_code(client, token)
    problems = []
    symbol = decimals = None
    try:
        symbol = await ask(client, token, "symbol()", calls.text)
    except InputError as error:
        problems.append(str(error))
    try:
        decimals = await ask(client, token, "decimals()", calls.number)
    except InputError as error:
        problems.append(str(error))
    if decimals is not None and decimals > MAX_DECIMALS:
        problems.append(f"it says that it has {decimals} decimals; at most {MAX_DECIMALS} are read")
        decimals = None
    return Told(symbol, decimals, tuple(problems))


async def check_code(client: ChainClient, token: bytes) -> None:
    """Raise InputError unless a contract stands at the address."""
    if not await client.code(token):
        raise InputError(
            f"no contract stands at {to_checksum(token)} on chain {client.chain_id}: the address "
            "is wrong, or is of another chain",
            "token",
        )


async def balance(client: ChainClient, token: bytes, account: bytes) -> int:
    """What an account holds, in the token's smallest unit. Raises InputError."""
    return await ask(client, token, "balanceOf(address)", calls.number, account)


async def allowance(client: ChainClient, token: bytes, owner: bytes, spender: bytes) -> int:
    """What `spender` may still take from `owner`. Raises InputError."""
    read = calls.number
    return await ask(client, token, "allowance(address,address)", read, owner, spender)


async def rehearse(client: ChainClient, token: bytes, sender: bytes, data: bytes) -> None:
    """Run a call of the token on the newest state, as `sender`. Nothing is sent.

    Raises InputError where the token fails, or says false: such a call would cost gas for nothing.
    """
    name = next((s for s, first in calls.SELECTORS.items() if data.hex().startswith(first)), "?")
    told = await _run(client, sender, token, name, data)
    if not calls.agreed(told):
        raise InputError(
            f"the token {to_checksum(token)} refuses {_plain(name)}: it answers 0x{told[:64].hex()}"
            " where true is meant",
            "token",
        )


async def ask(
    client: ChainClient,
    token: bytes,
    signature: str,
    read: Callable[[bytes], T],
    *arguments: int | bytes,
) -> T:
    """What a view of the token says, by `read`. Raises InputError."""
    found = await _run(client, bytes(20), token, signature, calls.call(signature, *arguments))
    try:
        return read(found)
    except Invalid as error:
        said = f"the token {to_checksum(token)} answers {_plain(signature)} with nonsense: {error}"
        raise InputError(said, "token") from error


async def _run(
    client: ChainClient, sender: bytes, token: bytes, signature: str, data: bytes
) -> bytes:
    try:
        return await client.run(sender, token, data)
    except Reverted as error:
        said = f"the token {to_checksum(token)} refuses {_plain(signature)}: {error.reason:.200}"
        raise InputError(said, "token") from error
    except Busy:
        raise
    except Refused as error:  # out of gas, an invalid opcode: nodes word it in many ways
        said = f"the token {to_checksum(token)} fails at {_plain(signature)}: {error.text:.200}"
        raise InputError(said, "token") from error


def _plain(signature: str) -> str:
    return signature.partition("(")[0]
