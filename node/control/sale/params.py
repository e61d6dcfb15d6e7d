"""Parameters of the methods about sales. Frozen; checked by node.control.wire before the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from node.control.wire import AbsolutePath, Address, JobId, Wei, Wire

#: An offer: the first digits of its id, at least four.
OfferId = Annotated[str, Wire("offer", r"^(0x)?[0-9a-fA-F]{4,64}$", "0x9b31c07a", str, str)]
#: The whole digest of an encoder package.
EncoderDigest = Annotated[str, Wire("digest", r"^(0x)?[0-9a-fA-F]{64}$", "6e1d0c5b" * 8, str, str)]
#: A channel: the first digits of its id, at least four.
ChannelId = Annotated[str, Wire("channel", r"^(0x)?[0-9a-fA-F]{4,64}$", "0x51cc20d4", str, str)]
#: A file that predictions are bought for, as `sale.prepare` named it.
PurchaseId = Annotated[str, Wire("purchase", r"^[0-9a-f]{16}$", "0123456789abcdef", str, str)]


@dataclass(frozen=True)
class SellParams:
    """A model to be sold.

    job: whose model it is: a finished job of this home's
    price: of one row, in the smallest unit of the token
    token: the ERC-20 token that pays; null for the chain's own coin
    scores: sell the scores; else the class alone
    batch: rows that a buyer may ask one after the other
    minute: rows a minute and buyer, beyond these
    days: how long the offer stands
    accuracy: as the seller states it, 0 to 1; null for none
    dry_run: say what it would be, and offer nothing
    """

    job: JobId
    price: Wei
    token: Address | None = None
    scores: bool = False
    batch: int = 1000
    minute: int = 60
    days: int = 30
    accuracy: float | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class OfferParams:
    """One offer.

    offer: its id or an unambiguous prefix, of four digits at least
    """

    offer: OfferId


@dataclass(frozen=True)
class EncoderFetchParams:
    """An offer whose model has an encoder.

    offer: its id or an unambiguous prefix, of four digits at least
    digest: the encoder's whole digest, as its publisher says it; null to be told which is named
    """

    offer: OfferId
    digest: EncoderDigest | None = None


@dataclass(frozen=True)
class SaleOffersParams:
    """Which offers.

    ask: ask connected peers first, for a few seconds
    """

    ask: bool = True


@dataclass(frozen=True)
class PrepareParams:
    """A file to buy predictions for.

    offer: whose model
    path: the file, as `data.add` takes one
    separator: as for `data.add`
    decimal: as for `data.add`
    encoding: as for `data.add`
    header: as for `data.add`
    names: as for `data.add`
    images: as for `data.add`
    """

    offer: OfferId
    path: AbsolutePath
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuyParams:
    """How far a file's predictions may be bought.

    purchase: as `sale.prepare` named it
    budget: the most to spend since then, in the smallest unit of the offer's token
    """

    purchase: PurchaseId
    budget: Wei


@dataclass(frozen=True)
class PurchaseParams:
    """A file that predictions are bought for.

    purchase: as `sale.prepare` named it
    """

    purchase: PurchaseId


@dataclass(frozen=True)
class ReclaimParams:
    """A channel whose rest is to come back.

    channel: its id or a prefix
    """

    channel: ChannelId


@dataclass(frozen=True)
class RedeemParams:
    """Which channels to redeem.

    channel: one, by its id or a prefix; null for all that have something
    """

    channel: ChannelId | None = None
