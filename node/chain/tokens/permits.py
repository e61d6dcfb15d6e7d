"""Permits (EIP-2612): a signature in the place of an approval, where a token takes one.

The account's key signs under a domain that is computed here, of this token on this chain, and
never under one that a contract only named. What a token says of itself must agree with it.
"""

from __future__ import annotations

from typing import Final

from eth_hash.auto import keccak

from node.chain.client import ChainClient
from node.chain.tokens import calls, reading
from protocol.errors import InputError

_DOMAIN: Final = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_PERMIT: Final = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)

#: What tokens that tell no version sign under: EIP-2612's own example, and OpenZeppelin's.
_USUAL: Final = "1"


def separator(name: str, version: str, chain_id: int, token: bytes) -> bytes:
    """The domain separator (EIP-712) of a token, 32 bytes."""
    named = keccak(name.encode()), keccak(version.encode())
    return keccak(b"".join((_DOMAIN, *named, calls.word(chain_id), calls.word(token))))


def digest(
    domain: bytes, owner: bytes, spender: bytes, amount: int, nonce: int, deadline: int
) -> bytes:
    """The 32 bytes that `owner` signs so that `spender` may take `amount`, until `deadline`."""
    fields: tuple[int | bytes, ...] = (owner, spender, amount, nonce, deadline)
    message = keccak(_PERMIT + b"".join(calls.word(each) for each in fields))
    return keccak(b"\x19\x01" + domain + message)


async def domain(client: ChainClient, token: bytes) -> bytes | None:
    """The separator to sign under; None for a token without permits, or with others than these
    (DAI's are signed by other words): an approval does for it. Raises ChainError."""
    try:
        told = await reading.ask(client, token, "DOMAIN_SEPARATOR()", calls.exactly)
        name = await reading.ask(client, token, "name()", calls.text)
    except InputError:
        return None
    try:
        if await reading.ask(client, token, "PERMIT_TYPEHASH()", calls.exactly) != _PERMIT:
            return None
    except InputError:
        pass  # few tell it
    try:
        version = await reading.ask(client, token, "version()", calls.text)
    except InputError:
        version = _USUAL
    found = separator(name, version, client.chain_id, token)
    return found if found == told else None


async def nonce(client: ChainClient, token: bytes, owner: bytes) -> int:
    """Of the owner's next permit. Raises InputError."""
    return await reading.ask(client, token, "nonces(address)", calls.number, owner)
