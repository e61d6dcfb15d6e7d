"""Channels beside each other: one that the chain holds up holds up no other."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from kits.chain.devnet import CHAIN_ID, SIGNERS
from kits.chain.sale_sides import PEER, PRICE, Buying, Life, Selling, grant, made_offer

from node.chain.channels.calls import ChannelState
from node.engine.clock import Clock
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.sealing import Sealer
from node.sale.sell.answering import Seller
from node.sale.sell.redeeming import Redeeming
from node.sale.sell.serving import ServedChannels
from node.sale.talk import Heard, Talk
from node.store.sale import channels as stored
from node.store.sale import on_sale
from node.store.sale.channels import OpeningRow
from node.store.sale.on_sale import OfferRow
from node.store.store import Store
from protocol.errors import ChainError, StateError
from protocol.sale.messages import Asked
from protocol.sale.offers import Offer
from protocol.sale.stream import Later, blob_of
from protocol.sale.vouchers import NO_VOUCHER, Terms, Voucher
from protocol.wire.codec import encode

BUYER, SELLER = SIGNERS[2], SIGNERS[3]
LIFE = Life(None, b"\x01" * 20, b"\x02" * 20)
DAY = 86_400
PATIENCE = 20.0
OFFER = made_offer(LIFE, SELLER)


class Chain:
    """node.sale.ports.Channels that obeys the test: nothing ends for a channel in `stuck`, and what
    is done with one in `refused` fails."""

    contract = LIFE.channels

    def __init__(self) -> None:
        self.states: dict[bytes, ChannelState] = {}
        self.stuck: set[bytes] = set()
        self.refused: set[bytes] = set()

    async def open(
        self, seller: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        terms = Terms(BUYER.account, seller, token, expiry, action_id.encode().ljust(32, b"."))
        await self._reach(terms)
        self.states[terms.channel] = ChannelState(deposit, 0, False)
        return terms

    async def look(self, terms: Terms) -> ChannelState | None:
        return self.states[terms.channel]

    async def redeem(self, terms: Terms, voucher: Voucher) -> None:
        await self._reach(terms)
        state = self.states[terms.channel]
        self.states[terms.channel] = dataclasses.replace(state, redeemed=voucher.amount)

    async def close(self, terms: Terms) -> None:
        await self._reach(terms)
        state = self.states[terms.channel]
        self.states[terms.channel] = dataclasses.replace(state, closed=True)

    async def _reach(self, terms: Terms) -> None:
        if terms.channel in self.stuck:
            await trio.sleep_forever()
        if terms.channel in self.refused:
            raise ChainError("the chain refuses it")


class Sides:
    """A buyer and a seller over one `Chain`, each with a store. `asked`: questions for fees."""

    def __init__(self, bought: Store, sold: Store) -> None:
        self.time = 1_800_000_000
        self.asked = 0
        self.chain = Chain()
        buyer, seller = self._services(bought), self._services(sold)
        self.sealer = sealer = Sealer(
            SimpleNamespace(derive=lambda _: bytes(32))  # type: ignore[arg-type]
        )
        chain: Any = self.chain
        paying = PayingChannels(buyer, chain, sealer, Talk(buyer, chain))
        served = ServedChannels(seller, sealer, Talk(seller, chain))
        self.buying = Buying(paying, chain)
        self.selling = Selling(served, Redeeming(seller, chain, served), chain)

    def _services(self, store: Store) -> Any:
        clock = Clock(wall=lambda: float(self.time))
        clock.settled.set()
        chain = SimpleNamespace(chain_id=CHAIN_ID, fees=self._fees)
        compute = SimpleNamespace(run=self._compute)
        return SimpleNamespace(store=store, clock=clock, chain=chain, compute=compute)

    async def _compute(self, *_: object) -> None:
        raise StateError("no worker is here")

    async def _fees(self) -> Any:
        self.asked += 1
        raise ChainError("no fee is known")

    async def opened(self, count: int, rows: int, offer: Offer = OFFER) -> list[Paying]:
        """Channels over which so many rows were bought."""
        found = [await self.buying.opened(offer, 10 * PRICE) for _ in range(count)]
        for paying in found:
            await grant(LIFE, paying, self.selling, BUYER, rows)
        return found


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    with ExitStack() as stack:
        bought, sold = (stack.enter_context(Store.open(tmp_path / name)) for name in ("b", "s"))
        yield Sides(bought, sold)


async def over(check: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not check():  # noqa: ASYNC110 - channels tell nobody
            await trio.sleep(0.01)


async def test_a_redeem_that_is_stuck_holds_up_no_other(sides: Sides) -> None:
    first, second = (p.row.channel for p in await sides.opened(2, 3))
    sides.chain.stuck = {first}
    sides.time += 2 * DAY - 1800  # within the margin: both are due
    standing = sides.selling.served.standing
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sides.selling.redeeming.run)
        await over(lambda: standing[second].redeemed == 3 * PRICE)
        assert standing[first].redeemed == 0
        nursery.cancel_scope.cancel()


async def test_what_one_asks_to_redeem_is_redeemed_beside_what_is_stuck_or_refused(
    sides: Sides,
) -> None:
    stuck, refused, good = (p.row.channel for p in await sides.opened(3, 3))
    redeeming, standing = sides.selling.redeeming, sides.selling.served.standing
    sides.chain.stuck, sides.chain.refused = {stuck}, {refused}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(redeeming.redeem_all, [stuck, refused, good])
        await over(lambda: standing[good].redeemed == 3 * PRICE)
        nursery.cancel_scope.cancel()
    with pytest.raises(ChainError, match="refuses"):
        await redeeming.redeem_all([refused])
    with pytest.raises(StateError):
        await redeeming.redeem_all([good])
    sides.chain.stuck = set()
    assert await redeeming.redeem_all([refused, stuck]) == [stuck]


async def test_a_channel_that_its_seller_closed_ends_with_its_redeem(sides: Sides) -> None:
    (paying,) = await sides.opened(1, 3)
    channel = paying.row.channel
    sides.chain.states[channel] = ChannelState(10 * PRICE, 3 * PRICE, True)
    await sides.selling.redeeming.redeem(channel)
    assert channel not in sides.selling.served.standing


async def test_fees_are_asked_for_only_where_ether_is_granted(sides: Sides) -> None:
    async def asked() -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sides.selling.redeeming.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return sides.asked

    assert await asked() == 0
    await sides.opened(1, 0)
    assert await asked() == 0
    await sides.opened(1, 3)
    assert await asked() == 1


async def test_a_close_that_is_stuck_holds_up_no_other(sides: Sides) -> None:
    first, second = await sides.opened(2, 3)
    sides.chain.stuck = {first.row.channel}
    sides.time += 3 * DAY
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sides.buying.channels.run)
        await over(lambda: bool(second.row.over))
        assert not first.row.over
        nursery.cancel_scope.cancel()


async def test_an_opening_that_is_stuck_holds_up_no_other_and_no_close(sides: Sides) -> None:
    (old,) = await sides.opened(1, 0)
    store = sides.buying.channels._services.store
    openings = [
        OpeningRow(ident, encode(OFFER), PEER, 10 * PRICE, sides.time + 9 * DAY)
        for ident in ("stuck", "good")
    ]
    for each in openings:
        await store.run(partial(stored.save_opening, opening=each))
    terms = [
        Terms(
            BUYER.account,
            SELLER.account,
            OFFER.token,
            each.expiry,
            each.ident.encode().ljust(32, b"."),
        )
        for each in openings
    ]
    sides.chain.stuck = {terms[0].channel}
    sides.time += 3 * DAY
    channels = sides.buying.channels
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channels.run)
        await over(lambda: bool(old.row.over))
        await over(lambda: terms[1].channel in {p.row.channel for p in channels.all()})
        assert not channels.resumed.is_set()
        nursery.cancel_scope.cancel()


async def test_all_channels_are_unsealed_on_a_thread_and_those_in_use_are_the_same(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.opened(3, 1)
    served, unseal = sides.selling.served, sides.sealer.unseal
    seen: list[threading.Thread] = []

    def watched(name: str, sealed: bytes) -> bytes:
        seen.append(threading.current_thread())
        return unseal(name, sealed)

    used = [served._used[channel] for channel in served.standing]
    monkeypatch.setattr(sides.sealer, "unseal", watched)
    assert [found is each for found, each in zip(await served.all(), used, strict=True)] == [
        True
    ] * 3
    served._used.clear()
    assert [each.state for each in await served.all()] == [each.state for each in used]
    assert len(seen) == 6
    assert threading.main_thread() not in seen


async def test_all_channels_of_a_buyer_share_its_pace(sides: Sides) -> None:
    offer = dataclasses.replace(OFFER, batch=2, minute=60)
    channels = [paying.row.channel for paying in await sides.opened(3, 0, offer)]
    served = sides.selling.served
    model = sides.sealer.seal(f"model.{offer.digest.hex()}", b"weights")
    row = OfferRow(offer.digest, encode(offer), offer.spec_digest, model, 0)
    store = served._services.store
    await store.run(partial(on_sale.save_offer, row=row))
    said = []
    async with trio.open_nursery() as nursery:
        chain: Any = sides.chain
        parts = served._services, chain, served._talk, sides.sealer, served
        seller = Seller(*parts, nursery)
        for channel in channels:
            asked = Asked(channel, 0, blob_of(b"a query"), NO_VOUCHER)
            word, _ = await seller.answer(Heard(PEER, asked, b"", b"a query"))
            assert isinstance(word, Later)
            said.append(word)
    # Two are taken, and wait for a worker; the third comes again within a second, with its query.
    assert [word.held for word in said] == [True, True, False]
    assert 0 < said[2].milliseconds <= 1001
    # What is said to be held is on disk.
    on_disk = {each.row.channel: each.state for each in await served._read(live=True)}
    assert [on_disk[channel].taken for channel in channels] == [1, 1, 0]
