"""What a daemon can be asked about sales: a part of node.control.api.NodeApi."""

from __future__ import annotations

from typing import Protocol

from node.control.sale.results import (
    BoughtFile,
    Buying,
    FetchedEncoder,
    Prepared,
    SaleChannels,
    SaleOfferDetail,
    SaleOffers,
    Sold,
    TakenOff,
)


class SaleApi(Protocol):
    """Private predictions, sold and bought."""

    async def sale_offer(
        self,
        job: str,
        price: int,
        token: str | None,
        scores: bool,
        batch: int,
        minute: int,
        days: int,
        accuracy: float | None,
        dry_run: bool,
    ) -> Sold:
        """Put a finished job's model on sale. Raises InputError (a model that cannot be sold,
        terms, no channel contract), StateError (not finished, not this home's)."""

    async def sale_withdraw(self, offer: str) -> TakenOff:
        """Take an offer of this home off sale. Raises InputError (none, or several)."""

    async def sale_offers(self, ask: bool) -> SaleOffers:
        """Models on sale. Raises InputError (no channel contract)."""

    async def sale_show(self, offer: str) -> SaleOfferDetail:
        """An offer, and where its model comes from. Raises InputError (none, or several)."""

    async def sale_prepare(
        self,
        offer: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None,
        names: tuple[str, ...],
        images: tuple[str, ...] = (),
    ) -> Prepared:
        """Read a file to buy predictions for. Raises InputError (offer, file), PeerError (the
        seller does not give the job's spec)."""

    async def sale_buy(self, purchase: str, budget: int) -> Buying:
        """Ask on, and say after a moment how far it is. Asking goes on for some seconds after the
        last call. Raises InputError, PeerError, ChainError (a channel that does not open)."""

    async def sale_write(self, purchase: str) -> BoughtFile:
        """Write what was bought as CSV. Raises InputError (no such purchase)."""

    async def sale_channels(self) -> SaleChannels:
        """Channels of this home, both sides."""

    async def sale_redeem(self, channel: str | None) -> SaleChannels:
        """Redeem what buyers granted; the channels that were. Waits until it is final. Raises
        InputError (no such channel), StateError (nothing to redeem), ChainError."""

    async def encoder_fetch(self, offer: str, digest: str | None) -> FetchedEncoder:
        """Fetch the encoder of an offer's model from its seller, once its digest is named. Raises
        InputError (no such offer, another digest, what came cannot run), StateError (the model has
        none), PeerError (nobody gives it)."""

    async def sale_reclaim(self, channel: str) -> SaleChannels:
        """Take a channel's rest back with its seller's release; that channel. Waits until it is
        final. Raises InputError (no such channel), StateError (closed, nothing left, others ask
        over it), PeerError (the seller is away, or releases nothing), ChainError."""
