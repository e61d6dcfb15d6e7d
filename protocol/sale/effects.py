"""What a side of a sale has to do: it follows from its state, and may be done twice.

`due` of either machine lists it. A daemon stores a state, then carries out what is due; after a
crash it reads the state and carries out what is due again. Computations give the same bytes for the
same state, and messages say the same again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.sale.messages import FromBuyer, FromSeller, Part
from protocol.sale.vouchers import Voucher


@dataclass(frozen=True, slots=True)
class ComputePart:
    """Have a worker make `part` of query `number` (arith/queries) from `sent`, the digest of what
    it follows on (the row, the query, the masked answer, the choices); with `seed`, secret. What
    comes back is ComputeDone or ComputeRefused."""

    number: int
    part: Part
    sent: bytes
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ComputeReveal:
    """Have a worker read query `number`'s answer, with the `seed` that chose. What comes back is
    ComputeRevealed or ComputeRefused."""

    number: int
    answer: bytes
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignVoucher:
    """Sign a voucher for `amount` in all. What comes back is ActionSigned."""

    amount: int


@dataclass(frozen=True, slots=True)
class SendSale:
    """Send a message, and the bytes that it names."""

    message: FromBuyer | FromSeller


@dataclass(frozen=True, slots=True)
class TransactRedeem:
    """Redeem a voucher on the chain."""

    voucher: Voucher


BuyerEffect: TypeAlias = ComputePart | ComputeReveal | SignVoucher | SendSale
SellerEffect: TypeAlias = ComputePart | SendSale | TransactRedeem
