"""A node's sales put together: the stream's handler, and what runs as long as the node does."""

from __future__ import annotations

from typing import Final

import trio

from node.engine.services import Services
from node.net.streams import Slots
from node.sale.buy.asking import Buyer
from node.sale.buy.encoders import OfferedEncoders
from node.sale.buy.leaving import Leaving
from node.sale.buy.paying import PayingChannels
from node.sale.buy.purchases import Purchases
from node.sale.market import Market
from node.sale.ports import Channels
from node.sale.sealing import Sealer
from node.sale.sell.answering import Seller
from node.sale.sell.offering import Offering
from node.sale.sell.redeeming import Redeeming
from node.sale.sell.serving import ServedChannels
from node.sale.talk import PROTOCOL, Talk
from protocol.errors import Malformed, PeerError
from protocol.sale import limits
from protocol.sale.catalogues import Catalogue
from protocol.sale.messages import Asked, Chosen, Leave, Paid
from protocol.sale.stream import MAX_SALE_FRAME_BYTES, AskOffers, AskSpec, Meet
from protocol.wire import identity

_OF_OFFERS: Final = (AskOffers, AskSpec, Catalogue)
_OF_BUYERS: Final = (Meet, Asked, Chosen, Paid, Leave)


class Sale:
    """What this node sells and buys. `open` before anything else, then `run`."""

    def __init__(self, services: Services, channels: Channels) -> None:
        self._services = services
        self.channels = channels
        sealer = Sealer(services.keys)
        self._talk = talk = Talk(services, channels)
        self._sealer = sealer
        self.market = Market(services, talk)
        self.encoders = OfferedEncoders(services, self.market)
        self.offering = Offering(services, self.market, talk, sealer)
        self.served = ServedChannels(services, sealer, talk)
        self.redeeming = Redeeming(services, channels, self.served)
        self.paying = PayingChannels(services, channels, sealer, talk)
        self._buyer = Buyer(services, talk, sealer, self.paying)
        self.leaving = Leaving(channels, talk, self._buyer, self.paying)
        self._seller: Seller | None = None
        self._purchases: Purchases | None = None
        self._loaded = trio.Event()

    @property
    def possible(self) -> bool:
        """Whether this node knows the contract that pays."""
        return self._talk.possible

    def require(self) -> None:
        """Raises InputError where no contract is set, saying what to set."""
        self._talk.domain  # noqa: B018 - raises what a person should read

    async def ready(self) -> None:
        """Wait until all channels are read, which takes a moment at the start: before, there seem
        to be none."""
        await self._loaded.wait()

    @property
    def purchases(self) -> Purchases:
        """What is being bought. Raises InputError where no contract is set."""
        self.require()
        if self._purchases is None:
            raise PeerError("the node is starting: ask again in a moment")
        return self._purchases

    async def run(self) -> None:
        """Serve, ask and keep channels; until cancelled. A node without the contract takes part in
        no sale."""
        await self.market.load()
        await self.served.load()
        await self.paying.load()
        self._loaded.set()
        async with trio.open_nursery() as nursery:
            parts = self._services, self.channels, self._talk, self._sealer, self.served
            self._seller = Seller(*parts, nursery)
            self._purchases = Purchases(
                self._services, self.market, self._buyer, self.paying, nursery
            )
            await trio.to_thread.run_sync(self._purchases.clear)
            if not self.possible:
                return
            slots = Slots(limits.MAX_SALE_STREAMS, limits.MAX_SALE_STREAMS_OF_PEER, self._is_buyer)
            self._services.swarm.serve(PROTOCOL, self._answer, MAX_SALE_FRAME_BYTES, slots)
            nursery.start_soon(self.market.run)
            nursery.start_soon(self.redeeming.run)
            nursery.start_soon(self.paying.run)

    def _is_buyer(self, peer: str) -> bool:
        return self.served.knows(identity.parse_peer_id(peer))

    async def _answer(self, peer: str, data: bytes) -> bytes:
        """One request of the stream."""
        heard = await self._talk.read(peer, data)
        if isinstance(heard.word, _OF_OFFERS):
            word, part = await self.market.answer(heard)
        elif isinstance(heard.word, _OF_BUYERS) and self._seller is not None:
            word, part = await self._seller.answer(heard)
        else:
            raise Malformed(f"{type(heard.word).__name__} is no question")
        return await self._talk.frame(word, part)
