"""A seller's vouchers turned into money: when asked to, in good time, and when it is worth it.

One redeem pays for any number of answers, so that it waits; but a voucher is worth nothing once its
buyer has closed the channel, which it may from the expiry on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
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
        #: Channels that are being looked at: one that the chain holds up holds up no other.
        self._busy: set[bytes] = set()

    async def run(self) -> None:
        """Look at all channels now and then; until cancelled."""
        await self._services.clock.settled.wait()
        async with trio.open_nursery() as nursery:
            while True:
                worth = await self._worth()
                for channel, standing in list(self._served.standing.items()):
                    if channel in self._busy or self._after.get(channel, 0) > trio.current_time():
                        continue
                    if self.due(channel, standing, worth):
                        act = self.redeem
                    elif self._now() > standing.expiry:
                        act = self._end
                    else:
                        continue
                    self._busy.add(channel)
                    nursery.start_soon(self._try, channel, act)
                await trio.sleep(_LOOK_SECONDS)

    async def redeem_all(self, channels: list[bytes]) -> list[bytes]:
        """Redeem what is granted over channels, side by side; those that were redeemed. Raises what
        one came to where none was."""
        done: list[bytes] = []
        problems: list[AssayError] = []

        async def one(channel: bytes) -> None:
            try:
                await self.redeem(channel)
                done.append(channel)
            except AssayError as error:
                log.warning("channel %s: not redeemed yet: %s", channel.hex()[:16], error)
                problems.append(error)

        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(one, channel)
        if problems and not done:
            raise problems[0]
        return [channel for channel in channels if channel in done]

    async def redeem(self, channel: bytes) -> None:
        """Redeem what is granted over a channel. Raises StateError where there is nothing to
        redeem, InputError for no such channel, ChainError."""
        served = await self._served.find(channel)
        if served is None:
            raise InputError(f"no channel 0x{channel.hex()} is served here", "channel")
        await self._redeem(served)

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

    async def _try(self, channel: bytes, act: Callable[[bytes], Awaitable[None]]) -> None:
        """Do what is to be done for a channel; what fails is tried again after a while."""
        try:
            await act(channel)
        except AssayError as error:
            log.warning("channel %s: not redeemed yet: %s", channel.hex()[:16], error)
            self._after[channel] = trio.current_time() + _AGAIN_SECONDS
        finally:
            self._busy.discard(channel)

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

    async def _worth(self) -> int | None:
        """So much ether granted is worth a transaction; None where nobody asks, or the chain does
        not say."""
        if not any(
            each.token == ETHER and each.granted > each.redeemed
            for each in self._served.standing.values()
        ):
            return None
        try:
            fees = await self._services.chain.fees()
        except ChainError as error:
            log.info("what redeeming costs is not known now: %s", error)
            return None
        return _WORTH * _REDEEM_GAS * (fees.base_fee + fees.tip)

    def _now(self) -> int:
        return self._services.clock.ms() // 1000
