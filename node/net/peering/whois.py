"""The question that peers ask each other, whom do you know, and its answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Final

from libp2p.peer.id import ID
from multiaddr import Multiaddr

from protocol import params
from protocol.errors import Malformed
from protocol.wire.codec import Range, Size, Wire

log = logging.getLogger("assay.net")

PROTOCOL: Final = "/assay/1/peers"

_MAX_ID_BYTES: Final = 64
MAX_QUESTION_BYTES: Final = 1024 + params.MAX_PEER_RECORD_BYTES
MAX_ANSWER_BYTES: Final = 1024 + params.MAX_PEERS_PER_ANSWER * (params.MAX_PEER_RECORD_BYTES + 8)


@dataclass(frozen=True, slots=True)
class WhoIs(Wire):
    """Whom do you know? `wanted` is a peer id in bytes or empty, `topic` a topic or empty."""

    wanted: Annotated[bytes, Size(0, _MAX_ID_BYTES)]
    topic: Annotated[str, Size(0, params.MAX_TOPIC_BYTES)]
    agent: Annotated[str, Size(0, 64)]
    record: Annotated[bytes, Size(0, params.MAX_PEER_RECORD_BYTES)]


@dataclass(frozen=True, slots=True)
class Known(Wire):
    """Signed address records (libp2p envelopes); the first `matches` of them were asked for."""

    agent: Annotated[str, Size(0, 64)]
    matches: Annotated[int, Range(0, params.MAX_PEERS_PER_ANSWER)]
    records: Annotated[
        tuple[Annotated[bytes, Size(1, params.MAX_PEER_RECORD_BYTES)], ...],
        Size(0, params.MAX_PEERS_PER_ANSWER),
    ]


def parse_peer(peer: str) -> ID:
    """A peer id from its text, base58 of a multihash: the key itself, or its SHA-256.

    Raises Malformed.
    """
    try:
        parsed = ID.from_string(peer)
    except Exception as error:
        raise Malformed(f"{peer[:80]!r} is no peer id") from error
    raw = parsed.to_bytes()
    # The library takes any base58.
    if raw[:2] not in (b"\x00\x24", b"\x12\x20") or len(raw) != 2 + raw[1] or str(parsed) != peer:
        raise Malformed(f"{peer[:80]!r} is no peer id")
    return parsed


def reads(address: Multiaddr) -> bool:
    """Whether a told address is one; the library keeps any bytes, and fails when it reads them."""
    try:
        str(address)
    except Exception as error:
        log.debug("an address that is none", exc_info=error)
        return False
    return True
