"""Transactions that wait for a chain block: geth's rules for its pool, in memory, bounded.

py-evm has no pool and eth-tester's own holds one transaction an account. The rules here are those
that a client meets elsewhere: queued behind a gap, replaced by a tenth more, refused when known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Waiting transactions in all and of one account: a flood is refused, not stored.
MAX_POOL: Final = 4096
MAX_PER_ACCOUNT: Final = 256

#: A replacement offers at least this much more, percent, of both fees (geth's price bump).
PRICE_BUMP: Final = 10


class PoolError(Exception):
    """A transaction that the pool refuses; the text goes to the sender."""


@dataclass(frozen=True)
class Waiting:
    """One accepted transaction. `tx` is py-evm's signed transaction; fees are wei per gas."""

    hash: bytes
    raw: bytes
    sender: bytes
    nonce: int
    max_fee: int
    max_tip: int
    tx: Any


class Pool:
    """Waiting transactions by account and nonce; not safe for threads, the ledger locks."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, dict[int, Waiting]] = {}
        self._hashes: dict[bytes, Waiting] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def get(self, tx_hash: bytes) -> Waiting | None:
        return self._hashes.get(tx_hash)

    def add(self, item: Waiting) -> None:
        """Take a transaction in, or raise PoolError: known, underpriced, or the pool is full."""
        if item.hash in self._hashes:
            raise PoolError("already known")
        account = self._accounts.setdefault(item.sender, {})
        old = account.get(item.nonce)
        if old is not None:
            least_fee = old.max_fee + old.max_fee * PRICE_BUMP // 100
            least_tip = old.max_tip + old.max_tip * PRICE_BUMP // 100
            if item.max_fee < least_fee or item.max_tip < least_tip:
                raise PoolError(
                    f"replacement transaction underpriced: needs max fee {least_fee} and tip "
                    f"{least_tip}, has {item.max_fee} and {item.max_tip}"
                )
            del self._hashes[old.hash]
        elif len(self._hashes) >= MAX_POOL or len(account) >= MAX_PER_ACCOUNT:
            raise PoolError("txpool is full")
        account[item.nonce] = item
        self._hashes[item.hash] = item

    def remove(self, item: Waiting) -> None:
        """Take a transaction out; one that is not there is no error (it was replaced)."""
        if self._hashes.pop(item.hash, None) is None:
            return
        account = self._accounts[item.sender]
        del account[item.nonce]
        if not account:
            del self._accounts[item.sender]

    def clear(self) -> None:
        self._accounts.clear()
        self._hashes.clear()

    def next_nonce(self, sender: bytes, mined: int) -> int:
        """The nonce after those that wait without a gap; `mined` is the account's on the chain."""
        account = self._accounts.get(sender, {})
        while mined in account:
            mined += 1
        return mined

    def ready(self, mined: Callable[[bytes], int], base_fee: int) -> Iterator[Waiting]:
        """Transactions for the next chain block: each account's in nonce order, accounts in turn.

        An account stops at its first gap and at its first transaction that does not pay
        `base_fee`. Those below the account's nonce can never be mined and are removed.
        """
        for sender in list(self._accounts):
            nonce = mined(sender)
            for stale in [w for n, w in self._accounts[sender].items() if n < nonce]:
                self.remove(stale)
            account = self._accounts.get(sender, {})
            while (item := account.get(nonce)) is not None and item.max_fee >= base_fee:
                yield item
                nonce += 1
