"""Whatever either side says is on its disk; whichever word is the last before both are killed,
every row is answered and paid once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trio
from kits.books import Person
from kits.chain.devnet import CHAIN_ID, SIGNERS
from kits.chain.sale_sides import PRICE
from kits.offers import offer_with

from node.engine.clock import Clock
from node.sale.buy.asking import Buyer
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.market import OnSale
from node.sale.ports import ChannelState
from node.sale.sealing import MAX_STATE_BYTES, Sealer
from node.sale.sell.answering import Seller
from node.sale.sell.serving import ServedChannels
from node.sale.talk import Talk
from node.store.sale import channels as stored
from node.store.sale import on_sale
from node.store.sale.channels import KeyRow
from node.store.sale.on_sale import OfferRow
from node.store.store import Store
from node.work.sale import queries
from node.work.sale.models import pack
from protocol.books.typed_data import Domain
from protocol.sale.buyer import BuyerState
from protocol.sale.messages import Asked, Chosen, Declined, Paid, Receipt, Replied
from protocol.sale.offers import Offer
from protocol.sale.seller import SellerState
from protocol.sale.stream import MAX_SALE_FRAME_BYTES, Meet, Met, SaleFrame, read_word
from protocol.sale.vouchers import Terms
from protocol.wire.codec import decode, encode
from protocol.wire.identity import peer_id_text

CONTRACT = b"\x02" * 20
DOMAIN = Domain(CHAIN_ID, CONTRACT)
BUYER, SELLER = SIGNERS[2], SIGNERS[3]
ME, THEM = Person(1), Person(2)
ROWS = [np.array(row, dtype="<f8").tobytes() for row in ((1.0, 0.0), (0.0, 1.0))]
LABELS = [(0,), (1,)]
#: Words of two rows: Meet and Met, then Asked, Replied, Chosen, Replied a row, Paid and Receipt.
WORDS = [Meet, Met, *2 * (Asked, Replied, Chosen, Replied), Paid, Receipt]


class Killed(Exception):
    """Both sides are gone."""


def made_offer() -> Offer:
    return offer_with(
        chain_id=CHAIN_ID,
        contract=CONTRACT,
        account=SELLER.account,
        price=PRICE,
        feature_bits=8,
        sum_bits=16,
        batch=100,
        minute=60,
        until=2**42,
    )


@dataclass
class Pair:
    """Two homes, and what was said between them in all their lives. `last`: how many words come
    through before both are killed."""

    bought: Store
    sold: Store
    key: KeyRow
    last: int = 10**9
    said: list[Any] = field(default_factory=list)
    commits: dict[str, int] = field(default_factory=lambda: {"buyer": 0, "seller": 0})
    sealer: Sealer = field(
        default_factory=lambda: Sealer(
            SimpleNamespace(derive=lambda _: bytes(32))  # type: ignore[arg-type]
        )
    )

    async def life(self) -> None:
        """One life of both: what is left of the rows is asked and paid. Raises Killed."""
        offer = made_offer()
        model = pack(np.array([[3.0, -3.0], [-3.0, 3.0]]), np.array([0.0, 0.0]))
        sealed = self.sealer.seal(f"model.{offer.digest.hex()}", model)
        row = OfferRow(offer.digest, encode(offer), offer.spec_digest, sealed, 0)
        async with trio.open_nursery() as nursery:
            mine, theirs = self._services(ME, BUYER), self._services(THEM, SELLER)
            mine.store, theirs.store = self._counted("buyer"), self._counted("seller")
            await self.sold.run(partial(on_sale.save_offer, row=row))
            await self.bought.run(
                partial(stored.save_key, seller=offer.account, bits=2048, key=self.key)
            )
            chain: Any = SimpleNamespace(contract=CONTRACT, open=self._open, look=self._look)
            talk = Talk(theirs, chain)
            served = ServedChannels(theirs, self.sealer, talk)
            await served.load()
            seller = Seller(theirs, chain, talk, self.sealer, served, nursery)
            mine.swarm.request = partial(self._request, seller, talk)
            paying = PayingChannels(mine, chain, self.sealer, Talk(mine, chain))
            await paying.load()
            buyer = Buyer(mine, Talk(mine, chain), self.sealer, paying)
            if not paying.all():
                await paying.open(OnSale(THEM.peer, offer), 5 * PRICE, lambda _: None)
            (channel,) = paying.all()
            await self._buy(buyer, paying, channel)

    async def _buy(self, buyer: Buyer, paying: PayingChannels, channel: Paying) -> None:
        answers = partial(stored.answers, offer=channel.row.offer)
        for row in ROWS:
            if channel.state.query is not None:
                await buyer.ask(channel, None)
            if sha256(row).digest() not in await self.bought.read(answers):
                await buyer.ask(channel, row)
        async with channel.lock:
            await paying.pay(channel)

    async def states(self) -> tuple[BuyerState | None, SellerState | None]:
        """What both disks hold of the channel."""
        found: list[Any] = []
        for store, side, kind in (
            (self.bought, "buyer", BuyerState),
            (self.sold, "seller", SellerState),
        ):
            rows = await store.read(partial(stored.channels, side=side))  # type: ignore[arg-type]
            found.append(None)
            for row in rows:
                plain = self.sealer.unseal(f"{side}.{row.channel.hex()}", row.state)
                found[-1] = decode(kind, plain, MAX_STATE_BYTES)  # type: ignore[type-var]
        return found[0], found[1]

    async def _request(
        self, seller: Seller, talk: Talk, _: str, __: str, data: bytes, *more: object
    ) -> bytes:
        await self._passes(data)
        word, part = await seller.answer(await talk.read(peer_id_text(ME.peer), data))
        frame = await talk.frame(word, part)
        await self._passes(frame)
        return frame

    async def _passes(self, data: bytes) -> None:
        """A word leaves a side: what it rests on is on that side's disk."""
        frame = decode(SaleFrame, data, MAX_SALE_FRAME_BYTES)
        word: Any = read_word(DOMAIN, frame.word).word
        bought, sold = await self.states()
        match word:
            case Asked():
                assert bought is not None
                assert bought.query is not None
                assert bought.query.blobs == (word.query,)
                assert (bought.answered, bought.voucher) == (word.number, word.voucher)
            case Chosen():
                assert bought is not None
                assert bought.query is not None
                assert bought.query.blobs[2] == word.choices
            case Paid():
                assert bought is not None
                assert bought.voucher == word.voucher
                assert bought.owed == word.voucher.amount
            case Replied():
                assert sold is not None
                assert sold.serving is not None
                assert (sold.taken - 1, sold.serving.blobs[-1]) == (word.number, word.blob)
            case Receipt():
                assert sold is not None
                assert sold.voucher == word.voucher
            case Declined():
                raise AssertionError(word.reason)
        if len(self.said) >= self.last:
            raise Killed
        self.said.append(word)

    def _services(self, person: Person, signer: Any) -> Any:
        clock = Clock()
        clock.settled.set()

        async def compute(function: Any, *args: Any) -> Any:
            return await trio.to_thread.run_sync(function, *args)

        return SimpleNamespace(
            clock=clock,
            swarm=SimpleNamespace(peer_id_bytes=person.peer, blame=None),
            chain=SimpleNamespace(chain_id=CHAIN_ID),
            compute=SimpleNamespace(run=compute),
            keys=SimpleNamespace(sign_peer=person._peer_key.sign, sign_digest=signer.sign_digest),
        )

    def _counted(self, side: str) -> Any:
        store = self.bought if side == "buyer" else self.sold

        async def run(function: Any) -> Any:
            self.commits[side] += 1
            return await store.run(function)

        return SimpleNamespace(run=run, read=store.read)

    async def _open(
        self, seller: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        return Terms(BUYER.account, seller, token, expiry, sha256(action_id.encode()).digest())

    async def _look(self, _: Terms) -> ChannelState:
        return ChannelState(5 * PRICE, 0, False)


@pytest.fixture(scope="module")
def key() -> KeyRow:
    """A buyer's key, sealed as a node has it; made once, because it takes a second."""
    made = queries.make_key(2048)
    sealer = Sealer(SimpleNamespace(derive=lambda _: bytes(32)))  # type: ignore[arg-type]
    name = f"key.{SELLER.account.hex()}.2048"
    return KeyRow(sealer.seal(name, made.private), made.introduction)


@pytest.fixture
def pair(tmp_path: Path, key: KeyRow) -> Iterator[Pair]:
    with ExitStack() as stack:
        bought, sold = (stack.enter_context(Store.open(tmp_path / name)) for name in ("b", "s"))
        yield Pair(bought, sold, key)


async def ended(pair: Pair) -> None:
    """Every row is answered, and paid once, on both sides."""
    bought, sold = await pair.states()
    assert bought is not None
    assert sold is not None
    assert bought.answered == sold.taken == len(ROWS)
    assert bought.voucher == sold.voucher
    assert bought.held == bought.voucher.amount == len(ROWS) * PRICE
    answers = await pair.bought.read(partial(stored.answers, offer=made_offer().digest))
    assert [answers[sha256(row).digest()] for row in ROWS] == LABELS


async def test_a_label_is_three_commits_of_its_buyer_and_two_of_its_seller(pair: Pair) -> None:
    await pair.life()
    assert [type(word) for word in pair.said] == WORDS
    # The buyer's query, choices, and label with its voucher; the seller's masked answer and
    # circuit. Once a channel: it is opened (twice), met, paid, and the payment is received.
    assert pair.commits == {"buyer": 3 * len(ROWS) + 2 + 1, "seller": 2 * len(ROWS) + 1 + 1}
    await ended(pair)


@pytest.mark.parametrize("last", range(len(WORDS)))
async def test_both_killed_at_a_word_go_on_from_their_disks(pair: Pair, last: int) -> None:
    pair.last = last
    with pytest.raises(ExceptionGroup) as caught:
        await pair.life()
    assert caught.group_contains(Killed)
    pair.last = 10**9
    await pair.life()
    await ended(pair)
    # No circuit came twice for other choices, and no answer in two forms.
    for kind in (Chosen, Replied):
        said: dict[Any, set[Any]] = {}
        for word in pair.said:
            if isinstance(word, kind):
                given: Any = word
                which = (given.number, getattr(given, "part", None))
                said.setdefault(which, set()).add(getattr(given, "blob", None) or given.choices)
        assert all(len(each) == 1 for each in said.values())
