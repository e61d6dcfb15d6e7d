"""A buyer's channels: their states, stored before anything is said; vouchers signed; money back.

What is due of a payment is done whenever the seller is there, and again after a crash; the rest of
a channel is taken back once it has expired.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import trio

from node.engine.services import Services
from node.sale.market import OnSale
from node.sale.ports import Channels
from node.sale.sealing import MAX_OFFER_BYTES, MAX_STATE_BYTES, Sealer
from node.sale.talk import Talk
from node.store.sale import channels as stored
from node.store.sale.channels import ChannelRow, OpeningRow, PartRow
from node.store.store import Transaction
from protocol import params
from protocol.errors import AssayError, ChainError, FatalError, PeerError
from protocol.sale import buyer
from protocol.sale.buyer import BuyerState
from protocol.sale.effects import SendSale, SignVoucher
from protocol.sale.inputs import ActionSigned, BuyerInput, ChainClosed, ReceiveSale
from protocol.sale.messages import Paid, Receipt
from protocol.sale.offers import Offer
from protocol.sale.vouchers import Terms, voucher_digest
from protocol.wire.codec import decode, encode

log = logging.getLogger("assay.sale")

#: How long a channel stands: a day to ask in, the seller's margins, and the seller's redeem.
CHANNEL_SECONDS: Final = 2 * 86_400
#: How often payments and expired channels are looked at, seconds.
_LOOK_SECONDS: Final = 30.0
_ASK_SECONDS: Final = 20.0
#: A channel is closed so long after its expiry: the chain's time decides, not this machine's.
_GRACE_SECONDS: Final = 120
_AGAIN_SECONDS: Final = 600.0


@dataclass(slots=True)
class Paying:
    """A channel that this node asks over. `met`: the seller knows it, in this life of the node.

    `stored` is the state on disk. What was taken since may be lost, with its bytes (`parts`) and
    what is written beside it (`also`): nothing of it has been said yet.
    """

    row: ChannelRow
    offer: Offer
    state: BuyerState
    lock: trio.Lock = field(default_factory=trio.Lock)
    met: bool = False
    stored: BuyerState = field(init=False)
    parts: dict[bytes, PartRow] = field(default_factory=dict)
    also: list[Callable[[Transaction], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stored = self.state

    @property
    def rest(self) -> int:
        """What is not owed yet."""
        return self.state.deposit - self.state.owed


class PayingChannels:
    """The buyer's channels of one node; few, and all in memory."""

    def __init__(self, services: Services, channels: Channels, sealer: Sealer, talk: Talk) -> None:
        self._services = services
        self._channels = channels
        self._sealer = sealer
        self._talk = talk
        self._all: dict[bytes, Paying] = {}
        self._after: dict[bytes, float] = {}
        #: Channels that are being looked at: one that is held up holds up no other.
        self._busy: set[bytes] = set()
        #: What an earlier life of the node was opening is open, or never will be.
        self.resumed = trio.Event()

    async def load(self) -> None:
        """Read all channels; once, at the start."""
        rows = await self._services.store.read(partial(stored.channels, side="buyer"))
        self._all = {row.channel: self._read(row) for row in rows}

    def all(self) -> list[Paying]:
        """Every channel that this node opened, the oldest first."""
        return list(self._all.values())

    def usable(self, offer: Offer) -> Paying | None:
        """A channel for an offer that one more row can be asked over, or whose query is open."""
        now = self._services.clock.ms() // 1000
        for each in self._all.values():
            state = each.state
            late = now + params.SALE_MARGIN_SECONDS + 60 > state.terms.expiry
            if each.offer != offer or each.row.over or each.row.key or state.ended or late:
                continue
            if state.query is not None or each.rest >= state.price:
                return each
        return None

    async def open(self, on: OnSale, deposit: int, tell: Callable[[str], None]) -> Paying:
        """Open a channel: what is decided is stored before the chain hears of it. Raises what
        `Channels.open` does."""
        expiry = self._services.clock.ms() // 1000 + CHANNEL_SECONDS
        ident = secrets.token_hex(16)
        opening = OpeningRow(ident, encode(on.offer), on.peer, deposit, expiry)
        await self._services.store.run(partial(stored.save_opening, opening=opening))
        tell("a channel is being opened on the chain")
        return await self._open(opening)

    async def _open(self, opening: OpeningRow) -> Paying:
        offer = decode(Offer, opening.offer_body, MAX_OFFER_BYTES)
        forget = partial(stored.delete_opening, ident=opening.ident)
        try:
            terms = await self._channels.open(
                offer.account, offer.token, opening.deposit, opening.expiry, opening.ident
            )
        except AssayError:
            # Nothing was sent, or what was sent has failed for good: it is never open.
            await self._services.store.run(forget)
            raise
        return await self._enter(opening, offer, terms)

    async def _enter(self, opening: OpeningRow, offer: Offer, terms: Terms) -> Paying:
        state = buyer.opened(terms, opening.deposit, offer.price, offer.mode)
        row = ChannelRow(
            "buyer",
            terms.channel,
            offer.digest,
            opening.offer_body,
            opening.peer,
            b"",
            self._sealed(terms.channel, state),
            terms.expiry,
        )

        def write(tx: Transaction) -> None:
            stored.save_channel(tx, row)
            stored.delete_opening(tx, opening.ident)

        await self._services.store.run(write)
        paying = Paying(row, offer, state)
        self._all[terms.channel] = paying
        return paying

    def take(
        self,
        paying: Paying,
        happened: BuyerInput,
        parts: Iterable[PartRow] = (),
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Take an input, with its `parts`. It is not stored yet. Raises what the machine does. Its
        lock is held."""
        state = buyer.step(paying.state, happened)
        if state == paying.state:
            return
        paying.state = state
        paying.parts |= {part.digest: part for part in parts}
        if also is not None:
            paying.also.append(also)

    async def store(self, paying: Paying) -> None:
        """Store what was taken, in one step. Before anything is said. Its lock is held."""
        state, channel, over = paying.state, paying.row.channel, bool(paying.row.over)
        if state is paying.stored:
            return
        sealed, needed = self._sealed(channel, state), state.needed
        kept = [part for digest, part in paying.parts.items() if digest in needed]
        also = tuple(paying.also)

        def write(tx: Transaction) -> None:
            stored.save_state(tx, "buyer", channel, sealed, over)
            for part in kept:
                stored.save_part(tx, "buyer", channel, part)
            stored.keep_parts(tx, "buyer", channel, needed)
            for each in also:
                each(tx)

        await self._services.store.run(write)
        paying.stored = state
        paying.parts.clear()
        paying.also.clear()

    async def step(
        self, paying: Paying, happened: BuyerInput, parts: Iterable[PartRow] = ()
    ) -> None:
        """Take an input, and store what follows."""
        self.take(paying, happened, parts)
        await self.store(paying)

    async def part(self, paying: Paying, digest: bytes) -> bytes:
        """Kept bytes. Raises FatalError where they are gone: they are stored with the state."""
        channel = paying.row.channel
        if digest in paying.parts:
            return paying.parts[digest].body
        found = await self._services.store.read(
            partial(stored.load_part, side="buyer", channel=channel, digest=digest)
        )
        if found is None:
            raise FatalError(f"bytes of channel {channel.hex()[:16]} are gone")
        return found

    # --- paying ------------------------------------------------------------------------------

    async def sign(self, paying: Paying) -> None:
        """Sign what is owed, if it is not signed yet. Its lock is held."""
        for effect in buyer.due(paying.state):
            if isinstance(effect, SignVoucher):
                digest = voucher_digest(self._talk.domain, paying.row.channel, effect.amount)
                signature = self._services.keys.sign_digest(digest)
                await self.step(paying, ActionSigned(effect.amount, signature))

    async def pay(self, paying: Paying) -> None:
        """Sign what is owed, and give it to the seller. Raises PeerError where that is away: what
        is owed stays owed, and is given later. Its lock is held."""
        await self.sign(paying)
        for effect in buyer.due(paying.state):
            if isinstance(effect, SendSale) and isinstance(effect.message, Paid):
                await self.store(paying)
                heard = await self._talk.ask(paying.row.peer, effect.message, b"", _ASK_SECONDS)
                if not isinstance(heard.word, Receipt):
                    raise PeerError("the seller gives no receipt for a voucher")
                await self.step(paying, ReceiveSale(heard.word))

    async def run(self) -> None:
        """Resume what was being opened; pay what is owed; take back what has expired: each channel
        beside the others. Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._resume)
            await self._services.clock.settled.wait()
            while True:
                for paying in self.all():
                    channel = paying.row.channel
                    waits = self._after.get(channel, 0) > trio.current_time()
                    if not paying.row.over and not waits and channel not in self._busy:
                        self._busy.add(channel)
                        nursery.start_soon(self._try, paying)
                await trio.sleep(_LOOK_SECONDS)

    async def _resume(self) -> None:
        async with trio.open_nursery() as nursery:
            for opening in await self._services.store.read(stored.openings):
                nursery.start_soon(self._reopen, opening)
        self.resumed.set()

    async def _reopen(self, opening: OpeningRow) -> None:
        try:
            await self._open(opening)
        except AssayError as error:
            log.warning("a channel that was being opened is not: %s", error)

    async def _try(self, paying: Paying) -> None:
        """Look at a channel; what fails is tried again after a while."""
        channel = paying.row.channel
        try:
            await self._look(paying)
        except AssayError as error:
            log.info("channel %s waits: %s", channel.hex()[:16], error)
            self._after[channel] = trio.current_time() + _AGAIN_SECONDS
        finally:
            self._busy.discard(channel)

    async def _look(self, paying: Paying) -> None:
        state, now = paying.state, self._services.clock.ms() // 1000
        if now > state.terms.expiry + _GRACE_SECONDS:
            await self.close(paying)
        elif state.owed > state.held and not paying.lock.locked():
            async with paying.lock:
                await self.pay(paying)

    async def close(self, paying: Paying) -> None:
        """Take back what is left of a channel that has expired, or that its seller closed; one
        that was redeemed to the last unit costs no transaction. Raises ChainError where the chain
        does not show the channel now: its rest is not forgotten for that."""
        terms = paying.state.terms
        found = await self._channels.look(terms)
        if found is None:
            raise ChainError("the chain does not show the channel now")
        if not found.closed and found.redeemed < found.deposit:
            await self._channels.close(terms)
        await self.end(paying)

    async def end(self, paying: Paying) -> None:
        """The chain has closed a channel, for good: nothing is left to be done with it."""
        async with paying.lock:
            paying.row = replace(paying.row, over=1)
            await self.step(paying, ChainClosed())
            sealed = self._sealed(paying.row.channel, paying.state)
            channel = paying.row.channel
            await self._services.store.run(
                lambda tx: stored.save_state(tx, "buyer", channel, sealed, True)
            )
        log.info("channel %s is closed", channel.hex()[:16])

    def _sealed(self, channel: bytes, state: BuyerState) -> bytes:
        return self._sealer.seal(f"buyer.{channel.hex()}", encode(state))

    def _read(self, row: ChannelRow) -> Paying:
        plain = self._sealer.unseal(f"buyer.{row.channel.hex()}", row.state)
        return Paying(
            row,
            decode(Offer, row.offer_body, MAX_OFFER_BYTES),
            decode(BuyerState, plain, MAX_STATE_BYTES),
        )
