"""A seller's channels: their states, stored before anything is said of them.

One that is used is kept in memory; its state lies sealed in the store, with the bytes that its open
query rests on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from node.engine.services import Services
from node.sale.sealing import MAX_OFFER_BYTES, MAX_STATE_BYTES, Sealer
from node.sale.talk import Talk
from node.store.sale import channels as stored
from node.store.sale.channels import ChannelRow, PartRow
from node.store.store import Transaction
from protocol.errors import FatalError, PeerError
from protocol.sale import seller
from protocol.sale.effects import SendSale
from protocol.sale.inputs import SellerInput
from protocol.sale.messages import Declined
from protocol.sale.offers import Offer
from protocol.sale.seller import SellerState
from protocol.wire.codec import decode, encode

#: The key of a channel that was restored.
_RESTORED: Final = b"restored"
#: Channels that are kept in memory.
_KEPT: Final = 256


@dataclass(slots=True)
class Served:
    """A channel in use. `done`: set once what is computed for it is stored; None while nothing is.
    `declined`: what the last computation came to, where a query was refused.

    `stored` is the state on disk. What was taken since may be lost, with its bytes (`parts`):
    nothing of it has been said yet.
    """

    row: ChannelRow
    offer: Offer
    state: SellerState
    lock: trio.Lock = field(default_factory=trio.Lock)
    done: trio.Event | None = None
    declined: Declined | None = None
    stored: SellerState = field(init=False)
    parts: dict[bytes, PartRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stored = self.state

    def check(self) -> None:
        """Raises PeerError where it comes from a backup (node/store/backup/): what was answered
        since is not known."""
        if self.row.key == _RESTORED:
            raise PeerError(
                "the seller was restored from a backup, and knows no more what it answered: what "
                "is left comes back at the expiry"
            )


@dataclass(frozen=True, slots=True)
class Standing:
    """What a channel is worth: granted, redeemed, and until when. `expiry` in seconds."""

    token: bytes
    granted: int
    redeemed: int
    redeeming: bool
    expiry: int


class ServedChannels:
    """The seller's channels of one node."""

    def __init__(self, services: Services, sealer: Sealer, talk: Talk) -> None:
        self._services = services
        self._sealer = sealer
        self._talk = talk
        self._used: OrderedDict[bytes, Served] = OrderedDict()
        #: All that are not over.
        self.standing: dict[bytes, Standing] = {}
        self._peers: set[bytes] = set()
        self._reading = trio.CapacityLimiter(1)

    async def load(self) -> None:
        """Read which channels there are; once, at the start."""
        for served in await self._read(live=True):
            self._note(served.row.channel, served.state)
            self._peers.add(served.row.peer)

    def knows(self, peer: bytes) -> bool:
        """Whether a peer has a channel here."""
        return peer in self._peers

    async def find(self, channel: bytes) -> Served | None:
        """A channel, from memory or the store."""
        used = self._used.get(channel)
        if used is None:
            row = await self._services.store.read(
                partial(stored.load_channel, side="seller", channel=channel)
            )
            if row is None:
                return None
            # Another call may have read it meanwhile: one state alone counts.
            used = self._used.get(channel) or self._opened(row)
        self._used[channel] = used
        self._used.move_to_end(channel)
        self._forget()
        return used

    async def of(self, channel: bytes, peer: bytes) -> Served:
        """A channel that a peer asks over. Raises PeerError where it was not met from there."""
        found = await self.find(channel)
        if found is None or found.row.peer != peer:
            raise PeerError("no such channel was met from this peer: meet first")
        found.check()
        return found

    async def all(self) -> list[Served]:
        """Every channel that was ever met here, the oldest first."""
        # One that is in use may have gone on while the rows were read.
        return [self._used.get(each.row.channel) or each for each in await self._read(live=False)]

    async def enter(self, row: ChannelRow, offer: Offer, state: SellerState) -> Served:
        """Store a channel that was met. `row` without its state."""
        sealed = self._sealer.seal(_name(row.channel), encode(state))
        row = ChannelRow(
            row.side,
            row.channel,
            row.offer,
            row.offer_body,
            row.peer,
            row.key,
            sealed,
            row.expiry,
        )
        await self._services.store.run(partial(stored.save_channel, row=row))
        self._note(row.channel, state)
        self._peers.add(row.peer)
        found = await self.find(row.channel)
        if found is None:
            raise FatalError("a channel that was just stored is not there")
        return found

    async def take(
        self, served: Served, happened: SellerInput, parts: Iterable[PartRow] = ()
    ) -> tuple[SendSale, ...]:
        """Take an input, with its `parts`; what is said once. It is stored only where something is
        said; otherwise with what comes of it. Its lock is held."""
        state, said = seller.step(self._talk.domain, served.state, happened)
        if state != served.state:
            served.state = state
            served.parts |= {part.digest: part for part in parts}
        if said:
            await self.store(served)
        return said

    async def step(
        self, served: Served, happened: SellerInput, parts: Iterable[PartRow] = ()
    ) -> tuple[SendSale, ...]:
        """Take an input, and store what follows; what is said once. Its lock is held."""
        said = await self.take(served, happened, parts)
        await self.store(served)
        return said

    async def store(self, served: Served) -> None:
        """Store what was taken, in one step. Before anything is said. Its lock is held."""
        state, channel = served.state, served.row.channel
        if state is served.stored:
            return
        sealed, needed = self._sealer.seal(_name(channel), encode(state)), state.needed
        kept = [part for digest, part in served.parts.items() if digest in needed]

        def write(tx: Transaction) -> None:
            stored.save_state(tx, "seller", channel, sealed, False)
            for part in kept:
                stored.save_part(tx, "seller", channel, part)
            stored.keep_parts(tx, "seller", channel, needed)

        await self._services.store.run(write)
        served.stored = state
        served.parts.clear()
        self._note(channel, state)

    async def end(self, served: Served) -> None:
        """Nothing is left to be done: its bytes are forgotten. Its lock is held."""
        channel = served.row.channel
        sealed = self._sealer.seal(_name(channel), encode(served.state))

        def write(tx: Transaction) -> None:
            stored.save_state(tx, "seller", channel, sealed, True)
            stored.keep_parts(tx, "seller", channel, ())

        await self._services.store.run(write)
        served.stored = served.state
        served.parts.clear()
        self.standing.pop(channel, None)

    async def part(self, served: Served, digest: bytes) -> bytes:
        """Kept bytes. Raises FatalError where they are gone: they are stored with the state."""
        if digest in served.parts:
            return served.parts[digest].body
        found = await self._services.store.read(
            partial(stored.load_part, side="seller", channel=served.row.channel, digest=digest)
        )
        if found is None:
            raise FatalError(f"bytes of channel {served.row.channel.hex()[:16]} are gone")
        return found

    def _note(self, channel: bytes, state: SellerState) -> None:
        self.standing[channel] = Standing(
            state.terms.token,
            state.voucher.amount,
            state.redeemed,
            state.redeeming,
            state.terms.expiry,
        )

    async def _read(self, *, live: bool) -> list[Served]:
        """Channels as they are stored. Thousands take a second to unseal: on a thread."""
        rows = await self._services.store.read(partial(stored.channels, side="seller", live=live))
        return await trio.to_thread.run_sync(
            lambda: [self._opened(row) for row in rows], limiter=self._reading
        )

    def _opened(self, row: ChannelRow) -> Served:
        plain = self._sealer.unseal(_name(row.channel), row.state)
        offer = decode(Offer, row.offer_body, MAX_OFFER_BYTES)
        return Served(row, offer, decode(SellerState, plain, MAX_STATE_BYTES))

    def _forget(self) -> None:
        """Channels that nobody uses leave memory, the longest unused first."""
        for channel in list(self._used)[: max(0, len(self._used) - _KEPT)]:
            used = self._used[channel]
            if used.done is None and not used.lock.locked() and used.state is used.stored:
                del self._used[channel]


def _name(channel: bytes) -> str:
    return f"seller.{channel.hex()}"
