"""A greedy buyer beside another: over real sockets, and with more channels than a queue has places.

Queries are asked as hostile buyers may ask them: all at once, again at once when told to wait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from kits.chain.devnet import CHAIN_ID, SIGNERS
from kits.chain.sale_sides import Life, made_offer
from kits.net.swarms import swarm

from node.engine.clock import Clock
from node.net.errors import ConversationError
from node.net.swarm import Swarm
from node.sale.sale import Sale
from node.sale.sell.answering import Seller
from node.sale.talk import Heard, Talk
from node.store.sale import on_sale
from node.store.sale.channels import ChannelRow
from node.store.sale.on_sale import OfferRow
from node.store.store import Store
from protocol.errors import PeerError
from protocol.layout.queries import Mode
from protocol.sale import limits, seller
from protocol.sale.messages import Asked, Chosen, Declined, Leave, Released, Replied
from protocol.sale.stream import Later, Word, blob_of
from protocol.sale.vouchers import NO_VOUCHER, Terms, check_release
from protocol.wire import identity
from protocol.wire.codec import encode

LIFE = Life(None, b"\x01" * 20, b"\x02" * 20)
SELLER, GREEDY, HONEST = SIGNERS[3], SIGNERS[4].account, SIGNERS[5].account
OFFER = dataclasses.replace(made_offer(LIFE, SELLER), batch=1000, minute=6000)
SCORES = dataclasses.replace(OFFER, mode=Mode.SCORES, unit=1.0)
EXPIRY = 2_000_000_000
QUERY = b"a query"
PEER = bytes(38)


@dataclass
class Worker:
    """One worker for all: what it makes follows from nothing. `made` counts; `gate` holds it."""

    seconds: float = 0.0
    gate: trio.Event = field(default_factory=trio.Event)
    made: int = 0
    one: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    async def run(self, function: Any, *args: Any) -> bytes:
        async with self.one:
            await self.gate.wait()
            await trio.sleep(self.seconds)
            self.made += 1
            return b"made %d" % self.made


def services_of(store: Store, folder: Path, worker: Worker, net: Any) -> Any:
    clock = Clock(wall=lambda: 1_900_000_000.0)
    clock.settled.set()
    keys = SimpleNamespace(
        derive=lambda _: bytes(32),
        sign_peer=net._sign if isinstance(net, _Net) else None,
        sign_digest=SELLER.sign_digest,
    )
    return SimpleNamespace(
        store=store,
        swarm=net,
        clock=clock,
        keys=keys,
        home=SimpleNamespace(path=folder),
        chain=SimpleNamespace(chain_id=CHAIN_ID),
        compute=worker,
    )


class _Net:
    """A real swarm, with the key that signs its words."""

    def __init__(self, swarm: Swarm, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._swarm = swarm
        self._sign = Ed25519PrivateKey.from_private_bytes(seed).sign

    def __getattr__(self, name: str) -> Any:
        return getattr(self._swarm, name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


async def channel(sale: Any, buyer: bytes, peer: bytes, number: int, offer: Any) -> bytes:
    """A channel of a buyer's that was met from a peer."""
    terms = Terms(buyer, SELLER.account, OFFER.token, EXPIRY, number.to_bytes(32, "big"))
    row = ChannelRow("seller", terms.channel, offer.digest, encode(offer), peer, b"", b"", EXPIRY)
    await sale.served.enter(row, offer, seller.opened(terms, 10**15, offer.price, offer.mode))
    return terms.channel


async def put_on_sale(sale: Any, store: Store, offer: Any) -> None:
    model = sale._sealer.seal(f"model.{offer.digest.hex()}", b"weights")
    row = OfferRow(offer.digest, encode(offer), offer.spec_digest, model, 0)
    await store.run(lambda tx: on_sale.save_offer(tx, row))


# --- places in the queue --------------------------------------------------------------------


@asynccontextmanager
async def queue(store: Store, folder: Path, worker: Worker) -> AsyncIterator[tuple[Sale, Seller]]:
    net = SimpleNamespace(peer_id_bytes=PEER, blame=lambda *_: None)
    services = services_of(store, folder, worker, net)
    channels: Any = SimpleNamespace(contract=LIFE.channels)
    sale = Sale(services, channels)
    async with trio.open_nursery() as nursery:
        talk = Talk(services, channels)
        parts = services, channels, talk, sale._sealer, sale.served
        yield sale, Seller(*parts, nursery)
        worker.gate.set()
        nursery.cancel_scope.cancel()


async def ask(seller: Seller, channel: bytes) -> Word:
    """What is said to a first query once everything else waits."""
    said: list[Word] = []

    async def one() -> None:
        asked = Asked(channel, 0, blob_of(QUERY), NO_VOUCHER)
        said.append((await seller.answer(Heard(PEER, asked, b"", QUERY)))[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        with trio.move_on_after(limits.SALE_HOLD_SECONDS + 1):
            while not said:  # noqa: ASYNC110 - a word that is held comes at its own time
                await trio.sleep(0.01)
    return said[0]


async def test_one_buyers_channels_leave_places_for_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SALE_HOLD_SECONDS", 0.05)
    worker = Worker()
    async with queue(store, tmp_path, worker) as (sale, sells):
        await put_on_sale(sale, store, OFFER)
        most = limits.MAX_SALE_QUEUE_OF_BUYER
        greedy = [await channel(sale, GREEDY, PEER, n, OFFER) for n in range(most + 3)]
        said = [await ask(sells, each) for each in greedy]
        held = [word.held for word in said if isinstance(word, Later)]
        assert held == [True] * most + [False] * 3
        honest = await channel(sale, HONEST, PEER, 99, OFFER)
        assert await ask(sells, honest) == Later(1000, True)
        # What is told to wait changed nothing, and what is done makes room.
        assert (await sale.served.find(greedy[-1])).state.taken == 0  # type: ignore[union-attr]
        worker.gate.set()
        with trio.fail_after(20):
            while not isinstance(await ask(sells, greedy[-1]), Replied):
                pass
        assert not sells._waiting


async def test_choices_that_are_sent_all_at_once_take_no_more_places(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buyer takes its queries one after the other, and then sends all of its choices."""
    monkeypatch.setattr(limits, "SALE_HOLD_SECONDS", 0.05)
    worker = Worker()
    worker.gate.set()
    async with queue(store, tmp_path, worker) as (sale, sells):
        await put_on_sale(sale, store, OFFER)
        most = limits.MAX_SALE_QUEUE_OF_BUYER
        greedy = [await channel(sale, GREEDY, PEER, n, OFFER) for n in range(most + 3)]
        with trio.fail_after(20):
            for each in greedy:
                while not isinstance(await ask(sells, each), Replied):
                    pass
        worker.gate = trio.Event()
        said = []
        for each in greedy:
            chosen = Chosen(each, 0, blob_of(b"choices"))
            said.append((await sells.answer(Heard(PEER, chosen, b"", b"choices")))[0])
        held = [word.held for word in said if isinstance(word, Later)]
        assert held == [True] * most + [False] * 3
        assert not any(isinstance(word, Declined) for word in said)
        honest = await channel(sale, HONEST, PEER, 99, OFFER)
        assert await ask(sells, honest) == Later(1000, True)


async def test_a_release_is_the_same_again_for_the_channels_peer_alone(
    store: Store, tmp_path: Path
) -> None:
    async with queue(store, tmp_path, Worker()) as (sale, sells):
        await put_on_sale(sale, store, OFFER)
        left = await channel(sale, HONEST, PEER, 1, OFFER)
        heard = Heard(PEER, Leave(left, NO_VOUCHER), b"", b"")
        said = {(await sells.answer(heard))[0] for _ in range(20)}
        (released,) = said
        assert isinstance(released, Released)
        served = await sale.served.find(left)
        assert served is not None
        check_release(sale._talk.domain, served.state.terms, 0, released.signature)
        with pytest.raises(PeerError, match="meet first"):
            await sells.answer(Heard(b"p" * 38, Leave(left, NO_VOUCHER), b"", b""))
        # Nothing more is taken over it, now and after a restart.
        for _ in range(2):
            declined = await ask(sells, left)
            assert isinstance(declined, Declined)
            assert "would be owed" in declined.reason
            sale.served._used.clear()


# --- over sockets ---------------------------------------------------------------------------


async def test_another_buyer_is_served_beside_a_greedy_one_over_sockets(
    store: Store, tmp_path: Path
) -> None:
    """The greedy one asks over three peers and sixty channels, without a pause."""
    worker = Worker(seconds=0.05)
    worker.gate.set()
    seeds = [bytes([each]) * 32 for each in range(1, 6)]
    async with AsyncExitStack() as stack:
        sells = await stack.enter_async_context(swarm(seed=seeds[0]))
        others = [await stack.enter_async_context(swarm(sells, seed=each)) for each in seeds[1:]]
        services = services_of(store, tmp_path, worker, _Net(sells, seeds[0]))
        contract: Any = SimpleNamespace(contract=LIFE.channels)
        sale = Sale(services, contract)
        await put_on_sale(sale, store, SCORES)
        nursery = await stack.enter_async_context(trio.open_nursery())
        talks = [
            Talk(services_of(store, tmp_path, worker, _Net(each, seed)), contract)
            for each, seed in zip(others, seeds[1:], strict=True)
        ]
        peers = [identity.parse_peer_id(each.peer_id) for each in others]
        honest = await channel(sale, HONEST, peers[0], 0, SCORES)
        greedy = [
            (talk, await channel(sale, GREEDY, peer, 1 + 20 * n + k, SCORES))
            for n, (talk, peer) in enumerate(zip(talks[1:], peers[1:], strict=True))
            for k in range(20)
        ]
        nursery.start_soon(sale.run)
        to = identity.parse_peer_id(sells.peer_id)
        answers: list[bytes] = []

        async def hammer(talk: Talk, each: bytes) -> None:
            asked = Asked(each, 0, blob_of(QUERY), NO_VOUCHER)
            while True:
                try:
                    heard = await talk.ask(to, asked, QUERY, 40.0)
                except ConversationError:
                    await trio.sleep(0.01)
                    continue
                if isinstance(heard.word, Replied):
                    answers.append(each)
                    return

        async def while_it_waits(made: list[int]) -> None:
            """What is made from when the honest one has its place until its own is made."""
            places = sale._seller._waiting  # type: ignore[union-attr]
            while not places[HONEST]:  # noqa: ASYNC110 - places tell nobody
                await trio.sleep(0.001)
            before = worker.made
            while places[HONEST]:  # noqa: ASYNC110
                await trio.sleep(0.001)
            made.append(worker.made - before)

        for talk, each in greedy:
            nursery.start_soon(hammer, talk, each)
        with trio.fail_after(60):
            while len(answers) < 3:  # noqa: ASYNC110 - answers tell nobody
                await trio.sleep(0.01)
            made: list[int] = []
            nursery.start_soon(while_it_waits, made)
            asked = Asked(honest, 0, blob_of(QUERY), NO_VOUCHER)
            while True:
                heard = await talks[0].ask(to, asked, QUERY, 40.0)
                if isinstance(heard.word, Replied):
                    break
                assert isinstance(heard.word, Later)
                await trio.sleep(heard.word.milliseconds / 1000)
        # It waited for those before it in the queue, and for none besides.
        assert len(made) == 1
        assert made[0] <= limits.MAX_SALE_QUEUE_OF_BUYER + 1
        assert len(answers) < len(greedy)
        nursery.cancel_scope.cancel()
