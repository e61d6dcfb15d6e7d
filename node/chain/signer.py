"""The account's key, as the chain's code sees it: something that signs (node.home.keys.Keys)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Signer(Protocol):
    """Holds an account's key elsewhere."""

    @property
    def account(self) -> bytes:
        """The account's address, 20 bytes."""
        ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """The raw signed transaction (EIP-2718), from web3's names of its fields."""
        ...


def hash_of(raw: bytes) -> bytes:
    """A signed transaction's hash (EIP-2718): Keccak-256 of its bytes."""
    from eth_utils.crypto import keccak

    return bytes(keccak(raw))
