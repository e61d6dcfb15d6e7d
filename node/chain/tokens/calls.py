"""Calls of ERC-20 as bytes, and the words that they return, read strictly.

No library is needed: each argument is one word of 32 bytes (the Solidity ABI). What comes back was
written by the token's contract, which may be anybody's.
"""

from __future__ import annotations

from typing import Final

from node.chain.replies import Invalid

WORD: Final = 32

#: Longest text that is read: symbols have a few bytes, names some dozens.
MAX_TEXT: Final = 256

#: The first four bytes of the Keccak-256 of each signature (a test computes them again).
SELECTORS: Final = {
    "symbol()": "95d89b41",
    "decimals()": "313ce567",
    "balanceOf(address)": "70a08231",
    "allowance(address,address)": "dd62ed3e",
    "approve(address,uint256)": "095ea7b3",
    "transfer(address,uint256)": "a9059cbb",
    "name()": "06fdde03",
    "version()": "54fd4d50",
    "nonces(address)": "7ecebe00",
    "DOMAIN_SEPARATOR()": "3644e515",
    "PERMIT_TYPEHASH()": "30adf81f",
}


def call(signature: str, *arguments: int | bytes) -> bytes:
    """Calldata: addresses are 20 bytes, numbers below 2^256, bytes32 whole."""
    return bytes.fromhex(SELECTORS[signature]) + b"".join(word(each) for each in arguments)


def approve(spender: bytes, amount: int) -> bytes:
    """Calldata that lets `spender` take so much, and no more."""
    return call("approve(address,uint256)", spender, amount)


def transfer(to: bytes, amount: int) -> bytes:
    """Calldata that moves so much of the caller's."""
    return call("transfer(address,uint256)", to, amount)


def word(value: int | bytes) -> bytes:
    """One argument as the ABI has it: a number, or bytes that end its word."""
    return value.to_bytes(WORD, "big") if isinstance(value, int) else value.rjust(WORD, b"\0")


def number(data: bytes) -> int:
    """One uint256. Raises Invalid."""
    if len(data) != WORD:
        raise Invalid(f"{len(data)} bytes where a number has {WORD}")
    return int.from_bytes(data, "big")


def exactly(data: bytes) -> bytes:
    """One bytes32. Raises Invalid."""
    if len(data) != WORD:
        raise Invalid(f"{len(data)} bytes where a bytes32 has {WORD}")
    return data


def agreed(data: bytes) -> bool:
    """What a transfer or an approval says of itself: true, or nothing, as older tokens do."""
    return not data or (len(data) >= WORD and int.from_bytes(data[:WORD], "big") == 1)


def text(data: bytes) -> str:
    """A string, or the bytes32 that some older tokens return. Raises Invalid.

    Nothing is shown as it came: bytes that are no UTF-8 become question marks.
    """
    if len(data) == WORD:
        return data.rstrip(b"\0").decode("utf-8", "replace")
    if len(data) < 2 * WORD or int.from_bytes(data[:WORD], "big") != WORD:
        raise Invalid(f"{len(data)} bytes that are no text")
    length = int.from_bytes(data[WORD : 2 * WORD], "big")
    if length > MAX_TEXT or 2 * WORD + length > len(data):
        raise Invalid(f"a text of {length} bytes; at most {MAX_TEXT} are read")
    return data[2 * WORD : 2 * WORD + length].decode("utf-8", "replace")
