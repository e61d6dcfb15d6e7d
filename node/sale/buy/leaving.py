"""A channel's rest taken back before its expiry, with the seller's release.

That nothing more is asked is stored before the seller hears it: what it releases is then all that
was ever granted. Two transactions at most: what is granted is redeemed first, by whoever wants to.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from node.net.errors import ConversationError
from node.sale.buy.asking import Buyer
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.ports import Channels
from node.sale.talk import Talk
from protocol.errors import ChainError, PeerError, StateError
from protocol.sale.inputs import ActionLeave
from protocol.sale.messages import Declined, Leave, Released
from protocol.sale.vouchers import check_release

log = logging.getLogger("assay.sale")

#: The seller is given so long for an open row's answer and for its release.
_SECONDS: Final = 120.0
_LATER: Final = "what is left comes back at the expiry"


class Leaving:
    """Leaves channels of one buyer."""

    def __init__(
        self, channels: Channels, talk: Talk, buyer: Buyer, paying: PayingChannels
    ) -> None:
        self._channels = channels
        self._talk = talk
        self._buyer = buyer
        self._paying = paying

    async def leave(self, paying: Paying) -> None:
        """Take the rest of a channel back at once. Returns once that is final. A row that is open
        is brought to its end first, and paid; nothing is asked over it from then on. The same call
        again goes on where it was.

        Raises StateError (closed already, nothing is left, others ask over it now), PeerError (the
        seller is away, or releases nothing), ChainError.
        """
        if paying.row.over:
            raise StateError("the channel is closed already")
        try:
            # A seller may say "later" for ever, and the channel's lock is held meanwhile.
            with trio.fail_after(_SECONDS):
                if paying.state.query is not None and not paying.state.ended:
                    await self._buyer.ask(paying, None)
                if not paying.rest:
                    raise StateError("nothing is left: all of the deposit is granted")
                released = await self._release(paying)
        except ConversationError as error:
            raise PeerError(f"{error}; {_LATER}") from error
        except trio.TooSlowError:
            raise PeerError(
                f"the seller released nothing within {_SECONDS:g} s; {_LATER}"
            ) from None
        terms, voucher = paying.state.terms, paying.state.voucher
        found = await self._channels.look(terms)
        if found is None:
            raise ChainError("the chain does not show the channel now")
        if not found.closed:
            if found.redeemed < released.redeemed:
                if voucher.amount < released.redeemed:
                    # A home that was restored knows less than it signed.
                    raise PeerError(
                        "the seller holds a larger voucher than this home knows, and is to redeem "
                        "it first: the same command then goes on"
                    )
                await self._channels.redeem(terms, voucher)
            await self._channels.close_released(terms, released.redeemed, released.signature)
        await self._paying.end(paying)
        log.info("channel %s: its rest is taken back", paying.row.channel.hex()[:16])

    async def _release(self, paying: Paying) -> Released:
        async with paying.lock:
            await self._buyer.meet(paying)
            await self._paying.step(paying, ActionLeave())
            await self._paying.sign(paying)
            channel = paying.row.channel
            word = Leave(channel, paying.state.voucher)
            said = (await self._buyer.until_answered(paying, word)).word
        if isinstance(said, Declined):
            raise PeerError(f"the seller releases nothing: {said.reason}; {_LATER}")
        if not isinstance(said, Released) or said.channel != channel:
            raise PeerError(f"the seller answers with {type(said).__name__}; {_LATER}")
        check_release(self._talk.domain, paying.state.terms, said.redeemed, said.signature)
        return said
