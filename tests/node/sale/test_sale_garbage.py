"""A seller that answers garbage: what it signed is kept, and its account is asked no more."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import Person
from kits.chain.devnet import CHAIN_ID, SIGNERS
from kits.chain.sale_sides import PRICE
from kits.offers import offer_with

from node.engine.clock import Clock
from node.sale.buy.asking import Buyer
from node.sale.buy.paying import PayingChannels
from node.sale.buy.purchases import Purchase, Purchases
from node.sale.market import OnSale
from node.sale.sealing import Sealer
from node.sale.talk import Talk
from node.store.store import Store
from node.work.sale.purchases import Prepared
from protocol.books.typed_data import Domain
from protocol.errors import PeerError
from protocol.layout.queries import Mode
from protocol.sale.messages import Asked, Part, Replied
from protocol.sale.offers import Offer
from protocol.sale.stream import (
    MAX_SALE_FRAME_BYTES,
    Meet,
    Met,
    SaleFrame,
    blob_of,
    read_word,
    sign_word,
)
from protocol.sale.vouchers import Terms
from protocol.wire.codec import decode, encode

CONTRACT = b"\x02" * 20
DOMAIN = Domain(CHAIN_ID, CONTRACT)
GARBAGE = b"no ciphertext at all"
ACCOUNT = SIGNERS[2]
ME, SELLER = Person(1), Person(2)


class Node:
    """A buyer's node, and `asked`: what the seller heard. `said`: its last word but for Met."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self._folder = store, folder
        self.asked, self.mode = 0, Mode.LABEL
        self.said: Replied | None = None
        swarm = SimpleNamespace(peer_id_bytes=ME.peer, request=self._request)
        self._services: Any = SimpleNamespace(
            store=store,
            swarm=swarm,
            home=SimpleNamespace(path=folder),
            clock=Clock(),
            chain=SimpleNamespace(chain_id=CHAIN_ID),
            compute=SimpleNamespace(run=self._compute),
            keys=SimpleNamespace(sign_peer=ME._peer_key.sign, sign_digest=ACCOUNT.sign_digest),
        )
        self._chain: Any = SimpleNamespace(contract=CONTRACT, open=self._open)

    async def purchases(self, nursery: trio.Nursery) -> Purchases:
        """What a node has that was just started."""
        sealer = Sealer(SimpleNamespace(derive=lambda _: bytes(32)))  # type: ignore[arg-type]
        talk = Talk(self._services, self._chain)
        paying = PayingChannels(self._services, self._chain, sealer, talk)
        await paying.load()
        paying.resumed.set()
        buyer = Buyer(self._services, talk, sealer, paying)
        market: Any = None
        return Purchases(self._services, market, buyer, paying, nursery)

    def purchase(self, offer: Offer) -> Purchase:
        """A file of one row."""
        row = bytes(8 * offer.features)
        features = self._folder / "rows"
        features.write_bytes(row)
        prepared = Prepared(sha256(row).digest(), (2,), "line", 0, "", ())
        on = OnSale(SELLER.peer, offer)
        return Purchase("a", on, b"", prepared, features, len(row), [None])

    async def _compute(self, function: Any, *args: Any) -> Any:
        return await trio.to_thread.run_sync(function, *args)

    async def _open(
        self, seller: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        return Terms(ACCOUNT.account, seller, token, expiry, sha256(action_id.encode()).digest())

    async def _request(
        self, peer: str, protocol: str, data: bytes, timeout: float, limit: int
    ) -> bytes:
        self.asked += 1
        word = read_word(DOMAIN, decode(SaleFrame, data, MAX_SALE_FRAME_BYTES).word).word
        if isinstance(word, Meet):
            return self._frame(Met(word.terms.channel, 0), b"")
        assert isinstance(word, Asked)
        part = Part.MASKED if self.mode is Mode.LABEL else Part.ANSWER
        self.said = Replied(word.channel, word.number, part, blob_of(GARBAGE))
        return self._frame(self.said, GARBAGE)

    def _frame(self, word: Met | Replied, part: bytes) -> bytes:
        signed = sign_word(DOMAIN, SELLER.peer, word, SELLER._peer_key.sign)
        return encode(SaleFrame(signed, part))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Store.open(tmp_path / "store") as store:
        yield Node(store, tmp_path)


def made_offer(mode: Mode, job: int) -> Offer:
    return offer_with(
        job=bytes([job]) * 32,
        chain_id=CHAIN_ID,
        contract=CONTRACT,
        account=SIGNERS[3].account,
        price=PRICE,
        mode=mode,
        feature_bits=8,
        sum_bits=16,
        unit=0.0 if mode is Mode.LABEL else 1.0,
        until=2**42,
    )


async def go_on(purchases: Purchases, bought: Purchase) -> None:
    """Ask on until it has ended; raises what it came to."""
    while bought.open_rows:
        await purchases.go_on(bought, 10 * PRICE)


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_a_seller_signed_is_kept_and_its_account_is_asked_no_more(
    node: Node, mode: Mode
) -> None:
    node.mode = mode
    async with trio.open_nursery() as nursery:
        purchases = await node.purchases(nursery)
        with pytest.raises(PeerError, match="nothing more is asked over this channel"):
            await go_on(purchases, node.purchase(made_offer(mode, 1)))
    rows = await node.store.read(
        lambda tx: list(tx.execute("SELECT side, body, word FROM sale_parts"))
    )
    ((side, body, word),) = rows
    assert (side, body) == ("buyer", GARBAGE)
    statement = read_word(DOMAIN, word)
    assert (statement.sender, statement.word) == (SELLER.peer, node.said)

    # After a restart too, and for another offer of the same account.
    asked = node.asked
    async with trio.open_nursery() as nursery:
        purchases = await node.purchases(nursery)
        for job in (1, 2):
            with pytest.raises(PeerError, match="did not open"):
                await go_on(purchases, node.purchase(made_offer(mode, job)))
    assert node.asked == asked
