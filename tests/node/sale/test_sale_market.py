"""Markets between peers in memory: real stores and signatures, a network that obeys the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from kits.books import CHAIN_ID, CONTRACT, REQUESTER, Person, make_spec
from kits.offers import offer_with

from node.engine.clock import Clock
from node.net.errors import ConversationError
from node.sale import market, talk
from node.sale.market import Market
from node.sale.talk import PROTOCOL, Talk
from node.store.sale.on_sale import OfferRow
from node.store.store import Store, Transaction
from protocol.books.typed_data import Domain
from protocol.sale.catalogues import Catalogue
from protocol.sale.offers import Offer
from protocol.sale.stream import (
    MAX_SALE_FRAME_BYTES,
    AskOffers,
    AskSpec,
    Page,
    SaleFrame,
    ToldOffers,
    ToldSpec,
    Word,
    read_word,
    sign_word,
)
from protocol.spec.job import encode_spec
from protocol.wire.codec import decode, encode
from protocol.wire.identity import peer_id_text

DOMAIN = Domain(CHAIN_ID, CONTRACT)
NOW = 1_800_000_000
PEER = Person(2)


class Node:
    """A node's market; `page` is what its one peer tells, after any mark; `part`, what it sends in
    its place."""

    def __init__(self, store: Store) -> None:
        me = Person(1)
        self.page: list[bytes] = []
        self.part: bytes | None = None
        self.blamed: list[str] = []
        #: Who tells a spec.
        self.specs: dict[str, tuple[Person, bytes]] = {}
        swarm = SimpleNamespace(
            peer_id_bytes=me.peer,
            connected=lambda: [peer_id_text(PEER.peer)],
            request=self._request,
            blame=lambda peer, offence: self.blamed.append(offence),
        )
        services: Any = SimpleNamespace(
            store=store,
            swarm=swarm,
            clock=Clock(wall=lambda: float(NOW)),
            chain=SimpleNamespace(chain_id=CHAIN_ID),
            keys=SimpleNamespace(sign_peer=me._peer_key.sign),
        )
        channels: Any = SimpleNamespace(contract=CONTRACT)
        self.store = store
        self.market = Market(services, Talk(services, channels))

    async def _request(
        self, peer: str, protocol: str, data: bytes, timeout: float, limit: int
    ) -> bytes:
        await trio.lowlevel.checkpoint()
        assert protocol == PROTOCOL
        frame = decode(SaleFrame, data, MAX_SALE_FRAME_BYTES)
        asked = read_word(DOMAIN, frame.word).word
        if isinstance(asked, AskSpec):
            if peer not in self.specs:
                raise ConversationError(peer, "it does not answer")
            seller, body = self.specs[peer]
            return encode(SaleFrame(signed(seller, ToldSpec(asked.spec)), body))
        assert isinstance(asked, AskOffers)
        told = ToldOffers(asked.mark + len(self.page))
        part = encode(Page(tuple(self.page))) if self.part is None else self.part
        return encode(SaleFrame(signed(PEER, told), part))

    async def offers(self) -> list[bytes]:
        """The ids of what it knows to be on sale."""
        return [each.offer.digest for each in await self.market.known()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Store.open(tmp_path / "store") as store:
        yield Node(store)


def signed(person: Person, word: Word) -> bytes:
    return sign_word(DOMAIN, person.peer, word, person._peer_key.sign)


def made_offer(**changes: Any) -> Offer:
    said = {"chain_id": CHAIN_ID, "contract": CONTRACT, "until": 1000 * (NOW + 3600)}
    return offer_with(**(said | changes))


async def cut_while_stored(store: Store, call: Callable[[], Any]) -> None:
    """Have `call` cut off while the store is busy with somebody else's step."""
    begun, go_on = threading.Event(), threading.Event()

    def somebody_elses(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)

    async with trio.open_nursery() as others:
        others.start_soon(store.run, somebody_elses)
        await trio.to_thread.run_sync(begun.wait, 30)
        with trio.CancelScope() as visit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                # A thread reads what was told; the call then stands in the store's line.
                while not store._line:  # noqa: ASYNC110 - it tells nobody
                    await trio.sleep(0.001)
                visit.cancel()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                go_on.set()
    assert visit.cancelled_caught


async def test_a_visit_that_is_cut_off_loses_no_offer(node: Node) -> None:
    offer = made_offer()
    node.page = [signed(PEER, Catalogue(1, offer.until, (offer,)))]
    await cut_while_stored(node.store, node.market.look_around)
    assert await node.offers() == [offer.digest]
    # Told again: nothing is new, and it stands.
    await node.market.look_around()
    assert await node.offers() == [offer.digest]


async def test_an_own_word_that_is_cut_off_is_stored(node: Node) -> None:
    """Once the table knows an own catalogue, its offers are on sale, whoever stopped waiting."""
    offer = made_offer()
    row = OfferRow(offer.digest, encode(offer), offer.spec_digest, b"sealed", 0)
    await cut_while_stored(node.store, partial(node.market.publish, row))
    assert await node.offers() == [offer.digest]


async def test_a_page_costs_its_teller_once_however_many_of_its_words_are_bad(node: Node) -> None:
    offer = made_offer()
    good = signed(PEER, Catalogue(1, offer.until, (offer,)))
    node.page = [b"x", good, signed(PEER, AskOffers(0)), good[:-1] + bytes([good[-1] ^ 1])]
    await node.market._visit(peer_id_text(PEER.peer))
    assert await node.offers() == [offer.digest]
    # The first page had news; the second, the same again, had none.
    assert node.blamed == ["a told catalogue that is none"] * 2
    node.part = b"no page"
    await node.market._visit(peer_id_text(PEER.peer))
    assert node.blamed[2:] == ["a page of catalogues that is none"]


async def test_what_takes_long_to_read_is_read_on_a_thread(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[threading.Thread] = []

    def watched(function: Any) -> Any:
        def call(*args: Any) -> Any:
            seen.append(threading.current_thread())
            return function(*args)

        return call

    for name in ("decode", "encode", "sign_word", "read_word"):
        monkeypatch.setattr(talk, name, watched(getattr(talk, name)))
    monkeypatch.setattr(market, "decode", watched(decode))
    offer = made_offer()
    node.page = [signed(PEER, Catalogue(1, offer.until, (offer,)))]
    await node.market._visit(peer_id_text(PEER.peer))
    assert await node.offers() == [offer.digest]
    assert len(seen) > 8
    assert threading.main_thread() not in seen


@pytest.mark.parametrize("first", [True, False])
async def test_who_copies_an_offer_does_not_stand_for_its_seller(node: Node, first: bool) -> None:
    """Anybody may tell an offer of another's as its own: the job's spec says whose it is."""
    spec = encode_spec(make_spec())
    offer = made_offer(spec_digest=sha256(spec).digest())
    copies = [signed(Person(n), Catalogue(1, offer.until, (offer,))) for n in (7, 8, 9)]
    own = signed(REQUESTER, Catalogue(1, offer.until, (offer,)))
    node.page = [own, *copies] if first else [*copies, own]
    node.specs = {peer_id_text(REQUESTER.peer): (REQUESTER, spec)}
    await node.market.look_around()
    assert len(await node.offers()) == 4
    found = await node.market.find(offer.digest.hex()[:10])
    assert (found.peer, found.offer) == (REQUESTER.peer, offer)


async def test_copies_alone_are_found_where_nobody_tells_the_spec(node: Node) -> None:
    offer = made_offer()
    node.page = [signed(Person(n), Catalogue(1, offer.until, (offer,))) for n in (7, 8)]
    node.specs = {peer_id_text(Person(8).peer): (Person(8), b"no spec")}
    await node.market.look_around()
    assert (await node.market.find(offer.digest.hex())).offer == offer
