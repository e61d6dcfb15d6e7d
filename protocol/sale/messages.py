"""What buyer and seller say to each other about one query, and how it is kept apart from others.

Each is a word that its sender signs (protocol/sale/stream.py), so that garbage can be shown. Bytes
of ciphertexts and circuits travel beside them, named by digest and size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, TypeAlias

from protocol.params import MAX_QUERY_BYTES, MAX_SALE_QUERIES
from protocol.sale.vouchers import Voucher
from protocol.wire.codec import Amount, Range, Size, Wire
from protocol.wire.messages import Digest, Reason

Number = Annotated[int, Range(0, MAX_SALE_QUERIES)]
Bytes = Annotated[int, Range(1, MAX_QUERY_BYTES)]


class Part(Enum):
    """What bytes of a query hold, in the order in which they are sent."""

    QUERY = "query"
    MASKED = "masked"
    CHOICES = "choices"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Blob(Wire):
    """Bytes that travel beside a message."""

    digest: Digest
    size: Bytes


@dataclass(frozen=True, slots=True)
class Asked(Wire):
    """Buyer to seller: query `number` of a channel, from 0, with the voucher for those before."""

    channel: Digest
    number: Number
    query: Blob
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Chosen(Wire):
    """Buyer to seller: its choices, after a masked answer."""

    channel: Digest
    number: Number
    choices: Blob


@dataclass(frozen=True, slots=True)
class Replied(Wire):
    """Seller to buyer: a masked answer, or the answer. `part` says which."""

    channel: Digest
    number: Number
    part: Part
    blob: Blob


@dataclass(frozen=True, slots=True)
class Paid(Wire):
    """Buyer to seller: the voucher for all answers so far."""

    channel: Digest
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Receipt(Wire):
    """Seller to buyer: the largest amount that it holds a voucher for."""

    channel: Digest
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Declined(Wire):
    """Seller to buyer: query `number` is not answered, and why."""

    channel: Digest
    number: Number
    reason: Reason


@dataclass(frozen=True, slots=True)
class Leave(Wire):
    """Buyer to seller: I ask nothing more over this channel, and want the rest back. The voucher is
    for all answers."""

    channel: Digest
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Released(Wire):
    """Seller to buyer, after Leave: its release (vouchers.release_digest). The buyer may close once
    `redeemed` is redeemed."""

    channel: Digest
    redeemed: Amount
    signature: Annotated[bytes, Size(65)]


FromBuyer: TypeAlias = Asked | Chosen | Paid | Leave
FromSeller: TypeAlias = Replied | Receipt | Declined

#: How long a message is at most, by its fields: digests, a voucher, a reason. The word around it is
#: read up to MAX_WORD_BYTES (protocol/sale/stream.py).
MAX_SALE_MESSAGE_BYTES = 1024

__all__ = (
    "MAX_SALE_MESSAGE_BYTES",
    "Asked",
    "Blob",
    "Chosen",
    "Declined",
    "FromBuyer",
    "FromSeller",
    "Leave",
    "Paid",
    "Part",
    "Receipt",
    "Released",
    "Replied",
)
