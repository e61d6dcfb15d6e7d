"""A buyer leaves a channel: what its seller may answer, and what the buyer does then."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, SIGNERS
from kits.chain.sale_sides import PEER, PRICE, Life, made_offer

from node.chain.channels.calls import ChannelState
from node.engine.clock import Clock
from node.net.errors import Unreachable
from node.sale.buy import asking, leaving
from node.sale.buy.asking import Buyer
from node.sale.buy.leaving import Leaving
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.market import OnSale
from node.sale.sealing import Sealer
from node.sale.talk import Talk
from node.store.store import Store
from protocol.books.typed_data import Domain
from protocol.errors import ChainError, Malformed, PeerError, StateError
from protocol.sale.buyer import Phase, Query
from protocol.sale.messages import Declined, Leave, Receipt, Released
from protocol.sale.stream import Later, Word
from protocol.sale.vouchers import Terms, Voucher, check_voucher, release_digest

BUYER, SELLER = SIGNERS[2], SIGNERS[3]
LIFE = Life(None, b"\x01" * 20, b"\x02" * 20)
OFFER = made_offer(LIFE, SELLER)
DOMAIN = Domain(CHAIN_ID, LIFE.channels)
DEPOSIT = 10 * PRICE


class Chain:
    """node.sale.ports.Channels, with the contract's own rules for one channel."""

    contract = LIFE.channels

    def __init__(self) -> None:
        self.state: ChannelState | None = ChannelState(DEPOSIT, 0, False)
        self.sent: list[str] = []

    async def open(self, seller: bytes, token: bytes, *more: Any) -> Terms:
        return Terms(BUYER.account, seller, token, more[1], bytes(32))

    async def look(self, _: Terms) -> ChannelState | None:
        await trio.lowlevel.checkpoint()
        return self.state

    async def redeem(self, terms: Terms, voucher: Voucher) -> None:
        check_voucher(DOMAIN, terms, voucher, DEPOSIT)
        assert self.state is not None
        self.state = dataclasses.replace(self.state, redeemed=voucher.amount)
        self.sent.append("redeem")

    async def close_released(self, terms: Terms, redeemed: int, release: bytes) -> None:
        assert self.state is not None
        assert self.state.redeemed >= redeemed
        self.state = dataclasses.replace(self.state, closed=True)
        self.sent.append("close")


class Buying:
    """A buyer with one channel; `says` is the seller's answer to Leave."""

    def __init__(self, store: Store) -> None:
        clock = Clock(wall=lambda: 1_800_000_000.0)
        services: Any = SimpleNamespace(
            store=store,
            clock=clock,
            chain=SimpleNamespace(chain_id=CHAIN_ID),
            keys=SimpleNamespace(sign_digest=BUYER.sign_digest),
        )
        self.chain = Chain()
        chain: Any = self.chain
        sealer = Sealer(SimpleNamespace(derive=lambda _: bytes(32)))  # type: ignore[arg-type]
        self.talk: Any = Talk(services, chain)
        self.talk.ask = self._ask
        self.channels = PayingChannels(services, chain, sealer, self.talk)
        buyer: Any = Buyer(services, self.talk, sealer, self.channels)
        buyer.meet, buyer.ask = self._nothing, self._finish
        self.leaving = Leaving(chain, self.talk, buyer, self.channels)
        self.says: Callable[[Leave], Word] = self.released
        self.heard: list[Leave] = []
        self.finished = 0

    async def opened(self, rows: int) -> Paying:
        """A channel over which so many rows were answered."""
        paying = await self.channels.open(OnSale(PEER, OFFER), DEPOSIT, lambda _: None)
        paying.state = dataclasses.replace(paying.state, answered=rows)
        return paying

    def released(self, leave: Leave, amount: int | None = None, by: Any = SELLER) -> Word:
        amount = leave.voucher.amount if amount is None else amount
        digest = release_digest(DOMAIN, leave.channel, amount)
        return Released(leave.channel, amount, by.sign_digest(digest))

    async def _ask(self, peer: bytes, word: Leave, part: bytes, timeout: float) -> Any:
        await trio.lowlevel.checkpoint()
        self.heard.append(word)
        return SimpleNamespace(word=self.says(word))

    async def _nothing(self, _: Paying) -> None:
        await trio.lowlevel.checkpoint()

    async def _finish(self, paying: Paying, row: bytes | None) -> None:
        assert row is None
        self.finished += 1
        state = paying.state
        paying.state = dataclasses.replace(state, query=None, answered=state.answered + 1)


@pytest.fixture
async def buying(tmp_path: Path) -> AsyncIterator[Buying]:
    with ExitStack() as stack:
        yield Buying(stack.enter_context(Store.open(tmp_path / "store")))


async def test_what_is_granted_is_redeemed_and_the_rest_comes_back(buying: Buying) -> None:
    paying = await buying.opened(3)
    await buying.leaving.leave(paying)
    assert buying.chain.state == ChannelState(DEPOSIT, 3 * PRICE, True)
    assert buying.chain.sent == ["redeem", "close"]
    assert (paying.row.over, paying.state.ended) == (1, "its rest is taken back")
    assert buying.channels.usable(OFFER) is None
    with pytest.raises(StateError, match="closed already"):
        await buying.leaving.leave(paying)


async def test_nothing_granted_takes_one_transaction(buying: Buying) -> None:
    await buying.leaving.leave(await buying.opened(0))
    assert buying.chain.sent == ["close"]


async def test_what_the_seller_redeemed_is_not_redeemed_again(buying: Buying) -> None:
    paying = await buying.opened(3)
    buying.chain.state = ChannelState(DEPOSIT, 3 * PRICE, False)
    await buying.leaving.leave(paying)
    assert buying.chain.sent == ["close"]


async def test_an_open_row_is_finished_first(buying: Buying) -> None:
    paying = await buying.opened(2)
    query = Query(bytes(32), bytes(32), Phase.ENCRYPTING, ())
    paying.state = dataclasses.replace(paying.state, query=query)
    await buying.leaving.leave(paying)
    assert buying.finished == 1
    assert buying.chain.state == ChannelState(DEPOSIT, 3 * PRICE, True)


async def test_a_seller_that_says_later_is_asked_again(buying: Buying) -> None:
    paying = await buying.opened(3)

    def says(leave: Leave) -> Word:
        return Later(1, False) if len(buying.heard) < 3 else buying.released(leave)

    buying.says = says
    await buying.leaving.leave(paying)
    assert len(buying.heard) == 3
    assert buying.chain.sent == ["redeem", "close"]


async def test_nothing_is_left(buying: Buying) -> None:
    paying = await buying.opened(10)
    with pytest.raises(StateError, match="nothing is left"):
        await buying.leaving.leave(paying)
    assert not buying.heard
    assert paying.state.ended == ""


async def test_answers_that_release_nothing(buying: Buying) -> None:
    paying = await buying.opened(3)
    channel = paying.row.channel
    answers: list[tuple[Callable[[Leave], Word], str]] = [
        (lambda _: Declined(channel, 3, "10 are owed"), "releases nothing: 10 are owed; what is"),
        (lambda word: Receipt(channel, word.voucher), "answers with Receipt"),
        (lambda word: Released(bytes(32), 0, bytes(65)), "answers with Released"),
        (lambda word: buying.released(word, by=BUYER), "not signed by the channel's seller"),
        (lambda word: Released(channel, 1, bytes(65)), "signature"),
        (
            lambda word: dataclasses.replace(buying.released(word), redeemed=0),
            "not signed by the channel's seller",
        ),
    ]
    for says, words in answers:
        buying.says = says
        with pytest.raises((PeerError, Malformed), match=words):
            await buying.leaving.leave(paying)
    # Nothing is asked any more, and nothing was sent; the next answer may be one.
    assert paying.state.ended == "its rest is taken back"
    assert buying.chain.sent == []
    assert not paying.lock.locked()
    buying.says = buying.released
    await buying.leaving.leave(paying)
    assert buying.chain.state == ChannelState(DEPOSIT, 3 * PRICE, True)


async def test_a_seller_with_a_larger_voucher_redeems_it_first(buying: Buying) -> None:
    """A home that was restored from a backup knows less than it signed."""
    paying = await buying.opened(3)
    buying.says = lambda word: buying.released(word, 5 * PRICE)
    with pytest.raises(PeerError, match="larger voucher than this home knows"):
        await buying.leaving.leave(paying)
    assert buying.chain.sent == []
    buying.chain.state = ChannelState(DEPOSIT, 5 * PRICE, False)
    await buying.leaving.leave(paying)
    assert buying.chain.sent == ["close"]


async def test_a_seller_that_keeps_its_buyer_waiting(
    buying: Buying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "_SECONDS", 0.2)
    paying = await buying.opened(3)

    async def ask(*_: Any) -> Any:
        await trio.sleep_forever()

    buying.talk.ask = ask
    with pytest.raises(PeerError, match=r"released nothing within 0\.2 s; what is left"):
        await buying.leaving.leave(paying)
    assert not paying.lock.locked()


async def test_a_seller_that_is_away(buying: Buying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_PATIENCE", (0.01,) * 4)
    paying = await buying.opened(3)
    tries = 0
    released = buying.talk.ask

    async def ask(*said: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < back:
            raise Unreachable("12D3", "no address is known")
        return await released(*said)

    buying.talk.ask = ask
    back = 100
    with pytest.raises(PeerError, match="no address is known; what is left comes back"):
        await buying.leaving.leave(paying)
    assert tries == 1 + len(asking._PATIENCE)
    assert not paying.lock.locked()
    # One that comes back in the meantime was only slow.
    tries, back = 0, 3
    await buying.leaving.leave(paying)
    assert buying.chain.sent == ["redeem", "close"]


async def test_a_chain_that_does_not_show_the_channel_forgets_nothing(buying: Buying) -> None:
    paying = await buying.opened(3)
    buying.chain.state = None
    with pytest.raises(ChainError, match="does not show"):
        await buying.leaving.leave(paying)
    assert not paying.row.over
