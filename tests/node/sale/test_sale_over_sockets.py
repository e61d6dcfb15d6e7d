"""Buyer and seller over real sockets, without a chain: rows bought, and the rest taken back."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kits.chain.devnet import CHAIN_ID, SIGNERS, LocalSigner
from kits.chain.sale_sides import Life, made_offer
from kits.net.swarms import swarm

from node.chain.channels.calls import ChannelState
from node.engine.clock import Clock
from node.net.swarm import Swarm
from node.sale.market import OnSale
from node.sale.sale import Sale
from node.store.sale import on_sale
from node.store.sale.on_sale import OfferRow
from node.store.store import Store
from node.work.sale.models import pack
from protocol.books.typed_data import Domain
from protocol.layout.queries import Mode
from protocol.sale.vouchers import Terms, Voucher, check_release, check_voucher
from protocol.wire.codec import encode

BUYER, SELLER = SIGNERS[2], SIGNERS[3]
LIFE = Life(None, b"\x01" * 20, b"\x02" * 20)
DOMAIN = Domain(CHAIN_ID, LIFE.channels)
OFFER = dataclasses.replace(made_offer(LIFE, SELLER), mode=Mode.SCORES, unit=1.0)
PRICE = OFFER.price


class Contract:
    """node.sale.ports.Channels for both sides, by the contract's own rules; `paid` in wei."""

    contract = LIFE.channels

    def __init__(self) -> None:
        self.states: dict[bytes, ChannelState] = {}
        self.paid = {"seller": 0, "buyer": 0}

    async def open(self, seller: bytes, token: bytes, deposit: int, expiry: int, ident: str) -> Any:
        terms = Terms(BUYER.account, seller, token, expiry, ident.encode()[:32].ljust(32, b"."))
        self.states[terms.channel] = ChannelState(deposit, 0, False)
        return terms

    async def look(self, terms: Terms) -> ChannelState | None:
        await trio.lowlevel.checkpoint()
        return self.states.get(terms.channel)

    async def redeem(self, terms: Terms, voucher: Voucher) -> None:
        state = self.states[terms.channel]
        assert not state.closed
        check_voucher(DOMAIN, terms, voucher, state.deposit)
        self.paid["seller"] += voucher.amount - state.redeemed
        self.states[terms.channel] = dataclasses.replace(state, redeemed=voucher.amount)

    async def close_released(self, terms: Terms, redeemed: int, release: bytes) -> None:
        state = self.states[terms.channel]
        assert not state.closed
        assert state.redeemed >= redeemed
        check_release(DOMAIN, terms, redeemed, release)
        self.paid["buyer"] += state.deposit - state.redeemed
        self.states[terms.channel] = dataclasses.replace(state, closed=True)


def side(swarm: Swarm, seed: bytes, signer: LocalSigner, store: Store, chain: Contract) -> Sale:
    clock = Clock(wall=lambda: 1_900_000_000.0)
    clock.settled.set()

    async def run(function: Any, *args: Any) -> Any:
        return await trio.to_thread.run_sync(function, *args)

    services: Any = SimpleNamespace(
        store=store,
        swarm=swarm,
        clock=clock,
        keys=SimpleNamespace(
            account=signer.account,
            derive=lambda _: bytes(32),
            sign_peer=Ed25519PrivateKey.from_private_bytes(seed).sign,
            sign_digest=signer.sign_digest,
        ),
        home=SimpleNamespace(path=store._path.parent / signer.account.hex()),
        chain=SimpleNamespace(chain_id=CHAIN_ID),
        compute=SimpleNamespace(run=run),
    )
    channels: Any = chain
    return Sale(services, channels)


async def test_a_row_is_bought_and_the_rest_comes_back_at_once(tmp_path: Path) -> None:
    chain = Contract()
    with ExitStack() as stores:
        bought, sold = (stores.enter_context(Store.open(tmp_path / name)) for name in ("b", "s"))
        async with AsyncExitStack() as stack:
            near = await stack.enter_async_context(swarm(seed=b"\x01" * 32))
            far = await stack.enter_async_context(swarm(near, seed=b"\x02" * 32))
            seller = side(near, b"\x01" * 32, SELLER, sold, chain)
            buyer = side(far, b"\x02" * 32, BUYER, bought, chain)
            model = pack(np.array([[1.0, -1.0], [0.5, 0.25]]), None)
            sealed = seller._sealer.seal(f"model.{OFFER.digest.hex()}", model)
            row = OfferRow(OFFER.digest, encode(OFFER), OFFER.spec_digest, sealed, 0)
            await sold.run(lambda tx: on_sale.save_offer(tx, row))
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(seller.run)
            await buyer.paying.load()

            on = OnSale(near.peer_id_bytes, OFFER)
            paying = await buyer.paying.open(on, 5 * PRICE, lambda _: None)
            with trio.fail_after(60):
                for each in ([0.5, 0.25], [1.0, -1.0]):
                    await buyer._buyer.ask(paying, np.array(each, "<f8").tobytes())
                assert paying.state.answered == 2
                await buyer.leaving.leave(paying)
            assert chain.states[paying.row.channel] == ChannelState(5 * PRICE, 2 * PRICE, True)
            assert chain.paid == {"seller": 2 * PRICE, "buyer": 3 * PRICE}
            served = await seller.served.find(paying.row.channel)
            assert served is not None
            assert served.state.voucher.amount == served.state.deposit == 2 * PRICE
            nursery.cancel_scope.cancel()
