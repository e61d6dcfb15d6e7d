"""Parameters of the methods about money. Frozen; checked by node.control.wire before the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from node.control.wire import Address, Wei, Wire

#: A caller's word for a payment.
PaymentId = Annotated[str, Wire("payment", r"^[a-z0-9-]{1,40}$", "4f2a9c01", str, str)]


@dataclass(frozen=True)
class QuoteParams:
    """A job that might be posted.

    spec: the file's text, TOML
    no_noise: as if the spec said `epsilon = "none"`
    """

    spec: str
    no_noise: bool = False


@dataclass(frozen=True)
class SendParams:
    """A payment.

    id: the caller's word for it: the same again is sent once, whatever happened in between
    to: who receives it, with its checksum
    amount: in the smallest unit of the token
    token: the ERC-20 token; null for the chain's coin
    max_fee: the most to offer for a unit of gas, wei; null for the setting
    dry_run: check it, say what it would take, and send nothing
    """

    id: PaymentId
    to: Address
    amount: Wei
    token: Address | None = None
    max_fee: Wei | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class RevokeParams:
    """An allowance to take back.

    id: the caller's word for it, as in `send`
    token: the ERC-20 token
    """

    id: PaymentId
    token: Address


@dataclass(frozen=True)
class EarningsParams:
    """Which earnings.

    job: of one job, by id or an unambiguous prefix; null for all
    signed: as receipts, too
    """

    job: str | None = None
    signed: bool = False
