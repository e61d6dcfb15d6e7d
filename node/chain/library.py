"""How much of web3 a node loads: its codec and contracts, and nothing of its transports."""

from __future__ import annotations

import warnings
from typing import Final

from node.bounds.hollow import ETH_UTILS, without

#: What web3 loads and a codec with a transport of its own never uses: 13 MB, a second.
UNUSED: Final = (
    "aiohttp",
    "charset_normalizer",
    "ens",
    "eth_keyfile",
    "websockets",
    *ETH_UTILS,
)


def load() -> None:
    """Import what `ChainClient.open` needs, unless it is there already. A second."""
    # Replies are bytes of JSON: nobody guesses their encoding, which is all that requests misses.
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    with without(*UNUSED):
        import node.chain.contract
        import node.chain.provider  # noqa: F401 (kept for who imports them next)
