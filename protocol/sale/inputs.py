"""What happens to a side of a sale. Randomness and time come in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.sale.messages import (
    Asked,
    Blob,
    Chosen,
    Declined,
    Leave,
    Paid,
    Part,
    Receipt,
    Replied,
)


@dataclass(frozen=True, slots=True)
class ActionAsk:
    """The buyer's user wants a label or scores for a row, kept under `row`; `seed` is 32 fresh
    secret bytes."""

    row: bytes
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActionSigned:
    """A voucher was signed."""

    amount: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class ActionLeave:
    """The buyer's user asks nothing more over the channel, and wants its rest back."""


@dataclass(frozen=True, slots=True)
class ActionRedeem:
    """The seller wants its money on the chain."""


@dataclass(frozen=True, slots=True)
class ComputeDone:
    """A worker made `part` of query `number`."""

    number: int
    part: Part
    blob: Blob


@dataclass(frozen=True, slots=True)
class ComputeRevealed:
    """A worker read the answer to query `number`: scores, or the label alone."""

    number: int
    result: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ComputeRefused:
    """A worker refused what the other side sent as `part` of query `number`."""

    number: int
    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class ReceiveSale:
    """A message of the other side, whose envelope and bytes are checked; `seed` is 32 fresh secret
    bytes, `now` the chain's time in seconds. Both count for a seller alone."""

    message: Asked | Chosen | Paid | Leave | Replied | Receipt | Declined
    now: int = 0
    seed: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ChainRedeemed:
    """The chain says how much of the channel is redeemed."""

    amount: int


@dataclass(frozen=True, slots=True)
class ChainClosed:
    """The chain says that the channel is closed."""


BuyerInput: TypeAlias = (
    ActionAsk
    | ActionSigned
    | ActionLeave
    | ComputeDone
    | ComputeRevealed
    | ComputeRefused
    | ReceiveSale
    | ChainClosed
)
SellerInput: TypeAlias = (
    ActionRedeem | ComputeDone | ComputeRefused | ReceiveSale | ChainRedeemed | ChainClosed
)
