"""A seller's vouchers turned into money: when asked to, in good time, and when it is worth it.

One redeem pays for any number of answers, so that it waits; but a voucher is worth nothing once its
buyer has closed the channel, which it may from the expiry on.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Final

import trio

from node.engine.services import Services
from node.sale.ports import Channels
from node.sale.sell.serving import Served, ServedChannels, Standing
from protocol import params
from protocol.errors import AssayError, ChainError, InputError, StateError
from protocol.sale import limits, seller
from protocol.sale.effects import TransactRedeem
from protocol.sale.inputs import ActionRedeem, ChainClosed, ChainRedeemed
from protocol.spec.parts import ETHER

log = logging.getLogger("assay.sale")

#: How often channels are looked at.
_LOOK_SECONDS: Final = 20.0
#: Gas of a redeem (docs/spec/channel.md), and how many times its cost is worth redeeming for early.
_REDEEM_GAS: Final = 50_000
_WORTH: Final = 50
#: A redeem that failed is tried again after so long.
_AGAIN_SECONDS: Final = 120.0
#: A channel that goes on being asked over is redeemed at most so often.
_EASE_SECONDS: Final = 3600.0


class Redeeming:
    """Redeems what buyers granted."""

    def __init__(self, services: Services, channels: Channels, served: ServedChannels) -> None:
        self._services = services
        self._channels = channels
        self._served = served
        self._after: dict[bytes, float] = {}
        self._last: dict[bytes, float] = {}

    async def run(self) -> None:
        """Look at all channels now and then; until cancelled."""
        await self._services.clock.settled.wait()
        while True:
            try:
                worth = await self._worth()
            except ChainError as error:
                log.info("what redeeming costs is not known now: %s", error)
                worth = None
            for channel, standing in list(self._served.standing.items()):
                if self._after.get(channel, 0.0) > trio.current_time():
                    continue
                try:
                    await self._look(channel, standing, worth)
                except AssayError as error:
                    log.warning("channel %s: not redeemed yet: %s", channel.hex()[:16], error)
                    self._after[channel] = trio.current_time() + _AGAIN_SECONDS
            await trio.sleep(_LOOK_SECONDS)

    async def redeem(self, channel: bytes) -> Standing:
        """Redeem what is granted over a channel; where it stands then. Raises StateError where
        there is nothing to redeem, InputError for no such channel, ChainError."""
        served = await self._served.find(channel)
        if served is None:
            raise InputError(f"no channel 0x{channel.hex()} is served here", "channel")
        await self._redeem(served)
        return self._served.standing[channel]

    def due(self, channel: bytes, standing: Standing, worth: int | None) -> bool:
        """Whether what a channel grants is to be redeemed now. `worth`: the least in ether that
        is; None where gas is not known."""
        left = standing.granted - standing.redeemed
        if left <= 0:
            return False
        if standing.redeeming or self._now() + params.SALE_MARGIN_SECONDS > standing.expiry:
            return True  # no query is taken any more: this is all, but for the last one's voucher
        dear = standing.token == ETHER and worth is not None and left >= worth
        late = self._now() + limits.SALE_REDEEM_SECONDS > standing.expiry
        return (dear or late) and self._last.get(
            channel, -inf
        ) + _EASE_SECONDS < trio.current_time()

    async def _look(self, channel: bytes, standing: Standing, worth: int | None) -> None:
        if self.due(channel, standing, worth):
            served = await self._served.find(channel)
            if served is not None:
                await self._redeem(served)
        elif self._now() > standing.expiry:
            await self._end(channel)

    async def _redeem(self, served: Served) -> None:
        async with served.lock:
            if not served.state.redeeming:
                await self._served.step(served, ActionRedeem())
            terms = served.state.terms
            wanted = [e for e in seller.due(served.state) if isinstance(e, TransactRedeem)]
        for effect in wanted:
            await self._channels.redeem(terms, effect.voucher)
        state = await self._channels.look(terms)
        if state is None:
            raise ChainError("the chain does not show the channel now")
        self._last[terms.channel] = trio.current_time()
        async with served.lock:
            await self._served.step(served, ChainRedeemed(state.redeemed))
            if state.closed:
                await self._close(served)
        log.info("channel %s: %d redeemed", terms.channel.hex()[:16], state.redeemed)

    async def _end(self, channel: bytes) -> None:
        """Its time is over and all that was granted is redeemed: there is nothing left to do."""
        served = await self._served.find(channel)
        if served is None:
            return
        async with served.lock:
            await self._close(served)

    async def _close(self, served: Served) -> None:
        try:
            await self._served.step(served, ChainClosed())
        except StateError as error:
            log.debug("closing a channel: %s", error)
        await self._served.end(served)

    async def _worth(self) -> int:
        """So much ether granted is worth a transaction."""
        fees = await self._services.chain.fees()
        return _WORTH * _REDEEM_GAS * (fees.base_fee + fees.tip)

    def _now(self) -> int:
        return self._services.clock.ms() // 1000
