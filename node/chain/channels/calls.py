"""Calls of contracts/channel.vy as bytes, and the words that it returns, read strictly.

No library is needed: each argument is one word of 32 bytes (the Solidity ABI), and a signature
follows them, behind its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.chain.replies import Invalid
from protocol.sale.vouchers import MAX_DEPOSIT, Terms, Voucher

WORD: Final = 32

#: The first four bytes of the Keccak-256 of each signature (a test computes them again).
SELECTORS: Final = {
    "open(address,address,uint256,uint64,bytes32)": "ef6409ca",
    "redeem(address,address,address,uint64,bytes32,uint256,bytes)": "ec6a81d1",
    "close(address,address,address,uint64,bytes32,uint256,bytes)": "cbf577cd",
    "channels(bytes32)": "7a7ebd7b",
}

_OPEN, _REDEEM, _CLOSE, _CHANNELS = (bytes.fromhex(each) for each in SELECTORS.values())


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What the contract holds of a channel. Amounts in the token's smallest unit."""

    deposit: int
    redeemed: int
    closed: bool


def opening(terms: Terms, deposit: int) -> bytes:
    """Calldata of `open`."""
    return _OPEN + _words(terms.seller, terms.token, deposit, terms.expiry, terms.salt)


def redeeming(terms: Terms, voucher: Voucher) -> bytes:
    """Calldata of `redeem`."""
    return _REDEEM + _named(terms, voucher.amount, voucher.signature)


def closing(terms: Terms) -> bytes:
    """Calldata of `close`, without a release: its buyer's from the expiry on, or its seller's."""
    return _CLOSE + _named(terms, 0, b"")


def closing_released(terms: Terms, redeemed: int, release: bytes) -> bytes:
    """Calldata of `close` with its seller's release, once `redeemed` is redeemed."""
    return _CLOSE + _named(terms, redeemed, release)


def question(channel: bytes) -> bytes:
    """Calldata of `channels`."""
    return _CHANNELS + _words(channel)


def held(data: bytes) -> ChannelState | None:
    """What `channels` returned; None for a channel that was never opened. Raises Invalid."""
    if len(data) != 3 * WORD:
        raise Invalid(f"{len(data)} bytes where a channel has {3 * WORD}")
    numbers = [int.from_bytes(data[at : at + WORD], "big") for at in range(0, 3 * WORD, WORD)]
    deposit, redeemed, closed = numbers
    if deposit > MAX_DEPOSIT or redeemed > deposit or closed > 1:
        raise Invalid(f"a channel of {deposit} of which {redeemed} are redeemed, closed {closed}")
    return ChannelState(deposit, redeemed, closed == 1) if deposit else None


def _named(terms: Terms, amount: int, signature: bytes) -> bytes:
    head = _words(terms.buyer, terms.seller, terms.token, terms.expiry, terms.salt, amount)
    # Seven words are the head; what has no fixed length begins behind them.
    tail = signature + bytes(-len(signature) % WORD)
    return head + _words(7 * WORD, len(signature)) + tail


def _words(*values: int | bytes) -> bytes:
    return b"".join(
        each.to_bytes(WORD, "big") if isinstance(each, int) else each.rjust(WORD, b"\0")
        for each in values
    )
