"""The ledger's values: calls to run, and chain blocks, transactions and logs as they were mined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

#: A block's gas, in the size of today's main network.
GAS_LIMIT: Final = 30_000_000

ZERO_ADDRESS: Final = bytes(20)


class LedgerError(Exception):
    """A request that the chain refuses; the text goes to the client."""


class Reverted(LedgerError):
    """The call reverted; `data` is what the contract returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__("execution reverted")
        self.data = data


@dataclass(frozen=True)
class Call:
    """A message to run without a transaction; amounts in wei and gas."""

    sender: bytes = ZERO_ADDRESS
    to: bytes | None = None
    value: int = 0
    data: bytes = b""
    gas: int = GAS_LIMIT


@dataclass(frozen=True)
class Event:
    """One log of a mined transaction; `index` counts over the block, as the standard says."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    index: int
    transaction: MinedTransaction = field(repr=False)


@dataclass
class MinedTransaction:
    """A transaction in its block, with what its receipt says."""

    tx: Any
    raw: bytes
    hash: bytes
    sender: bytes
    index: int
    block: MinedBlock = field(repr=False)
    ok: bool
    gas_used: int
    cumulative_gas: int
    gas_price: int
    created: bytes | None
    events: list[Event]


@dataclass
class MinedBlock:
    """A sealed block."""

    header: Any
    transactions: list[MinedTransaction]

    @property
    def number(self) -> int:
        return int(self.header.block_number)

    @property
    def base_fee(self) -> int:
        """Wei per gas."""
        return int(self.header.base_fee_per_gas)

    @property
    def hash(self) -> bytes:
        return bytes(self.header.hash)
