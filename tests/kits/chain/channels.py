"""Two sides of a payment channel on a chain, without the machines that decide."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kits.chain.devnet import CHAIN_ID, LocalSigner
from kits.chain.purses import FAST, Served, purse
from node.chain.intents.sequencer import IntentPolicy
from node.home.config import Config
from node.sale.channels import ChainChannels
from node.store.store import Store
from protocol.books.typed_data import Domain
from protocol.sale.vouchers import Terms, Voucher, voucher_digest

_TOKEN = b"\x11" * 20


@asynccontextmanager
async def side(
    chain: Served,
    bounty: bytes,
    signer: LocalSigner,
    store: Store,
    contract: bytes | None,
    *,
    chain_id: int = CHAIN_ID,
    policy: IntentPolicy = FAST,
) -> AsyncIterator[tuple[ChainChannels, Any]]:
    """One side's channels, and its parts; final is what its intents call so."""
    async with purse(
        chain, bounty, signer, store, _TOKEN, chain_id=chain_id, policy=policy
    ) as services:
        services.config = Config(finality=policy.depth, channel_contract=contract)
        yield ChainChannels(services), services


def voucher(
    contract: bytes, terms: Terms, buyer: LocalSigner, amount: int, chain_id: int = CHAIN_ID
) -> Voucher:
    """The buyer's word for an amount in all."""
    digest = voucher_digest(Domain(chain_id, contract), terms.channel, amount)
    return Voucher(amount, buyer.sign_digest(digest))
