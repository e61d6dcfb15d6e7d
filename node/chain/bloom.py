"""A header's logsBloom: which logs a chain block cannot hold, whatever an index of logs says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: 2,048 bits (Ethereum's yellow paper, 4.3.1).
BLOOM_BYTES: Final = 256


def may_hold(bloom: bytes, address: bytes, topics: Iterable[bytes]) -> bool:
    """Whether a block may hold a log of `address` whose first topic is one of `topics`.

    False is certain. True is wrong for about one full block in fifty.
    """
    return _has(bloom, address) and any(_has(bloom, topic) for topic in topics)


def _has(bloom: bytes, item: bytes) -> bool:
    from eth_utils.crypto import keccak

    digest, bits = keccak(item), int.from_bytes(bloom, "big")
    return all(
        bits >> (int.from_bytes(digest[at : at + 2], "big") % (8 * BLOOM_BYTES)) & 1
        for at in (0, 2, 4)
    )
