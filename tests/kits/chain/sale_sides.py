"""Buyer's and seller's channels of a sale on a devnet, without a network between the two."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from kits.chain.channels import side, voucher
from kits.chain.devnet import CHAIN_ID, LocalSigner
from kits.offers import offer_with
from node.engine.clock import Clock
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.channels import ChainChannels
from node.sale.market import OnSale
from node.sale.sealing import Sealer
from node.sale.sell.redeeming import Redeeming
from node.sale.sell.serving import Served, ServedChannels
from node.sale.talk import Talk
from node.store.sale.channels import ChannelRow
from node.store.store import Store
from protocol.sale import seller
from protocol.sale.offers import Offer
from protocol.wire.codec import encode

PRICE = 10**12
PEER = bytes(38)


@dataclass(frozen=True)
class Life:
    """A chain, and where its contracts are. `devnet` needs `rpc` and `url` alone."""

    devnet: Any
    bounty: bytes
    channels: bytes

    def now(self) -> int:
        """The chain's time, seconds."""
        return int(self.devnet.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def ether(self, account: bytes) -> int:
        """What an account holds."""
        return int(self.devnet.rpc("eth_getBalance", "0x" + account.hex(), "latest"), 16)

    def pass_time(self, seconds: int) -> None:
        """Set the chain's clock ahead."""
        self.devnet.rpc("evm_increaseTime", seconds)
        self.devnet.rpc("evm_mine")


@dataclass
class Buying:
    """A buyer's side."""

    channels: PayingChannels
    chain: ChainChannels

    async def opened(self, offer: Offer, deposit: int) -> Paying:
        """A channel, open."""
        return await self.channels.open(OnSale(PEER, offer), deposit, lambda _: None)

    async def nothing(self, *_: object) -> None:
        """What a chain shows that is behind."""


@dataclass
class Selling:
    """A seller's side."""

    served: ServedChannels
    redeeming: Redeeming
    chain: ChainChannels


def _settle(life: Life, services: Any) -> Sealer:
    """The clock is the chain's, which tests set ahead."""
    services.clock = Clock(wall=lambda: float(life.now()))
    services.clock.settled.set()
    return Sealer(SimpleNamespace(derive=lambda _: bytes(32)))  # type: ignore[arg-type]


@asynccontextmanager
async def buyer_of(life: Life, signer: LocalSigner, store: Store) -> AsyncIterator[Buying]:
    """The buyer's channels, as they are stored."""
    async with side(life.devnet, life.bounty, signer, store, life.channels) as (chain, services):
        sealer = _settle(life, services)
        channels = PayingChannels(services, chain, sealer, Talk(services, chain))
        await channels.load()
        yield Buying(channels, chain)


@asynccontextmanager
async def seller_of(life: Life, signer: LocalSigner, store: Store) -> AsyncIterator[Selling]:
    """The seller's channels, as they are stored."""
    async with side(life.devnet, life.bounty, signer, store, life.channels) as (chain, services):
        sealer = _settle(life, services)
        served = ServedChannels(services, sealer, Talk(services, chain))
        await served.load()
        yield Selling(served, Redeeming(services, chain, served), chain)


def made_offer(life: Life, signer: LocalSigner) -> Offer:
    """Labels of a small model."""
    return offer_with(
        chain_id=CHAIN_ID,
        contract=life.channels,
        account=signer.account,
        price=PRICE,
        batch=100,
        minute=60,
        until=2**42,
    )


async def grant(
    life: Life, paying: Paying, selling: Selling, signer: LocalSigner, rows: int
) -> Served:
    """Both sides as they are once so many rows are answered, paid and received."""
    state, amount = paying.state, rows * PRICE
    word = voucher(life.channels, state.terms, signer, amount) if rows else state.voucher
    paying.state = dataclasses.replace(state, answered=rows, voucher=word, held=amount)
    row = ChannelRow(
        "seller",
        state.terms.channel,
        paying.offer.digest,
        encode(paying.offer),
        PEER,
        b"",
        b"",
        state.terms.expiry,
    )
    opened = seller.opened(state.terms, state.deposit, PRICE, paying.offer.mode)
    return await selling.served.enter(row, paying.offer, dataclasses.replace(opened, voucher=word))
