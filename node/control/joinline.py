"""The line to paste into `assay join`: a peer's address, the chain's id and the contracts, in one.

    /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...?chain=1337&contract=0x...&channels=0x...

`contract` is the bounty contract's address, `channels` the channel contract's; a network without
one has a line without it.

Standard library only; the command line reads it without a daemon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Longer than any multiaddr with a relay in it, plus the rest.
MAX_CHARS: Final = 1024

_LINE: Final = re.compile(
    r"(?P<address>/[!-~]{1,900}/p2p/(?P<peer>[1-9A-HJ-NP-Za-km-z]{32,128}))"
    r"(?:\?chain=(?P<chain>[1-9][0-9]{0,17})&contract=(?P<contract>0x[0-9a-fA-F]{40})"
    r"(?:&channels=(?P<channels>0x[0-9a-fA-F]{40}))?)?"
)

_EXAMPLE: Final = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...?chain=1337&contract=0x..."


@dataclass(frozen=True)
class JoinLine:
    """A parsed line. `chain_id` and `contract` are None where only an address was given, `channels`
    where the network has no channel contract."""

    address: str
    peer_id: str
    chain_id: int | None
    contract: str | None
    channels: str | None = None

    def __str__(self) -> str:
        if self.chain_id is None or self.contract is None:
            return self.address
        line = f"{self.address}?chain={self.chain_id}&contract={self.contract}"
        return line if self.channels is None else f"{line}&channels={self.channels}"


def parse(text: str) -> JoinLine:
    """A line as `up` prints it; an address alone is a line too. Raises ValueError."""
    text = text.strip()
    match = _LINE.fullmatch(text) if len(text) <= MAX_CHARS else None
    if match is None or "?" in match["address"]:
        raise ValueError(f"{text[:80]!r} is no join line; `assay up` prints one like {_EXAMPLE}")
    chain = match["chain"]
    return JoinLine(
        match["address"],
        match["peer"],
        int(chain) if chain else None,
        match["contract"],
        match["channels"],
    )


def differs(line: JoinLine, chain_id: int, contract: str, channels: str | None = None) -> str:
    """Why a node on this chain and contracts must not use the line; empty if it may.

    A node or a network without a channel contract trains with all others.
    """
    if line.chain_id is not None and line.chain_id != chain_id:
        return f"the line is for chain {line.chain_id}, this home is on chain {chain_id}"
    if line.contract is not None and line.contract.lower() != contract.lower():
        return f"the line is for contract {line.contract}, this home uses {contract}"
    if line.channels is not None and channels and line.channels.lower() != channels.lower():
        return f"the line is for channel contract {line.channels}, this home uses {channels}"
    return ""
