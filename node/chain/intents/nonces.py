"""Which transaction used a nonce: chain blocks say it where an index of receipts lags."""

from __future__ import annotations

from node.chain.client import ChainClient
from node.chain.errors import Busy, Refused


async def user_of(
    client: ChainClient, account: bytes, nonce: int, at: int
) -> tuple[int, bytes] | None:
    """The chain block and the hash of the transaction that used a nonce, which is used at `at`.

    None where the node does not tell: it no longer holds the states, or contradicts itself. The
    search doubles its way back from `at`, because a nonce that is asked about was used lately.
    """
    low, high, step = at, at, 1
    try:
        while low > 0:
            low = max(0, at - step)
            if low == 0 or await client.nonce(account, low) <= nonce:
                break
            high, step = low, 2 * step
        while high - low > 1:
            middle = (low + high) // 2
            if await client.nonce(account, middle) > nonce:
                high = middle
            else:
                low = middle
        found = await client.sent_in(high, account, nonce)
    except Busy:
        raise  # it may tell when it has room
    except Refused:
        return None
    return None if found is None else (high, found)
