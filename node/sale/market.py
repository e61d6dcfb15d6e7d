"""Offers between nodes: this node's own said, others' kept, asked for and told on.

A seller's catalogue is signed, so that whoever tells it need not be believed. Nothing is pushed but
a seller's own word, to whom it is connected; everything else is asked for, page by page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

import trio

from node.engine.services import Services
from node.net.errors import ConversationError
from node.net.guard import Buckets
from node.net.rules.visits import Visits
from node.sale.naming import only
from node.sale.talk import Heard, Talk
from node.store.sale import channels as stored
from node.store.sale import on_sale
from node.store.sale.on_sale import OfferRow
from node.store.store import Transaction
from protocol.errors import AssayError, InputError, Malformed, PeerError
from protocol.sale import limits
from protocol.sale.catalogues import Catalogue, CatalogueTable, Entry
from protocol.sale.offers import Offer
from protocol.sale.stream import (
    MAX_WORD_BYTES,
    AskOffers,
    AskSpec,
    Later,
    Page,
    Signed,
    ToldOffers,
    ToldSpec,
    Word,
)
from protocol.spec.job import decode_spec
from protocol.wire import identity
from protocol.wire.codec import decode, encode

log = logging.getLogger("assay.sale")

_LOOK_SECONDS: Final = 5.0
#: How often a peer is asked again, by itself; a person who looks asks at once.
_ASK_AGAIN_SECONDS: Final = 300.0
_ASK_TIMEOUT: Final = 8.0
#: How long a spec may take: 256 KiB at most.
_SPEC_SECONDS: Final = 30.0
#: Peers that are asked at once for a person, and pages of one visit.
_ASKED_AT_ONCE: Final = 16
_PAGES: Final = 64
_MAX_PEERS: Final = 1024
#: Questions of one peer that are answered: a page is 128 KiB.
_TOLD_A_SECOND, _TOLD_AT_ONCE = 1.0, 80.0
_MAX_PAGE_BYTES: Final = limits.MAX_TOLD_CATALOGUES * (MAX_WORD_BYTES + 8) + 16
_CLEAR_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class OnSale:
    """An offer, and the peer that sells."""

    peer: bytes
    offer: Offer


class Market:
    """The offers that this node knows, and its own."""

    def __init__(self, services: Services, talk: Talk) -> None:
        self._services = services
        self._talk = talk
        self._table = CatalogueTable([], b"")
        self._turn = trio.Lock()
        self._visits = Visits(_ASK_AGAIN_SECONDS, _MAX_PEERS)
        self._told = Buckets(_TOLD_A_SECOND, _TOLD_AT_ONCE)
        # A full table takes half a second to read: on one thread, not on all.
        self._reading = trio.CapacityLimiter(1)

    async def load(self) -> None:
        """Read what is known; once, at the start."""
        found = await self._services.store.read(on_sale.entries)
        self._table = CatalogueTable(found, self._me)

    # --- what is on sale ---------------------------------------------------------------------

    async def known(self) -> list[OnSale]:
        """Offers that stand, the newest last."""
        now = self._services.clock.ms()
        rows = await self._services.store.read(on_sale.catalogues)
        return await trio.to_thread.run_sync(_standing, rows, now, limiter=self._reading)

    async def find(self, given: str) -> OnSale:
        """An offer by its id or a prefix. Raises InputError: none, or several. Anybody may tell a
        copy of it as its own: then the peer counts that its job's spec names."""
        known = await self.known()
        ids = {each.offer.digest for each in known}
        offer = only(given, ((each, each) for each in ids), "offer", "known here", "assay offers")
        told = [each for each in known if each.offer.digest == offer]
        return told[0] if len(told) == 1 else await self._requesters(told)

    async def _requesters(self, told: list[OnSale]) -> OnSale:
        """Who of several posted the job of their one offer; the first where its spec says none."""
        at_once = trio.CapacityLimiter(_ASKED_AT_ONCE)
        specs: list[bytes] = []

        async def ask(on: OnSale) -> None:
            async with at_once:
                try:
                    specs.append(await self.spec(on))
                except PeerError as error:
                    log.debug("a spec was asked for in vain: %s", error)
                    return
            nursery.cancel_scope.cancel()

        with trio.move_on_after(_SPEC_SECONDS):
            async with trio.open_nursery() as nursery:
                for each in told:
                    nursery.start_soon(ask, each)
        if not specs:
            return told[0]
        try:
            spec = await trio.to_thread.run_sync(decode_spec, specs[0])
        except AssayError as error:
            log.debug("the spec of an offer is none: %s", error)
            return told[0]
        return next((each for each in told if each.peer == spec.requester.peer_id), told[0])

    async def look_around(self) -> None:
        """Ask who is connected for what is new, at once and for a few seconds."""
        with trio.move_on_after(_ASK_TIMEOUT):
            async with trio.open_nursery() as nursery:
                for peer in self._services.swarm.connected()[:_ASKED_AT_ONCE]:
                    nursery.start_soon(self._visit, peer)

    async def spec(self, on: OnSale) -> bytes:
        """The spec of an offer's job, as its seller or this node has it, held to its digest. Raises
        PeerError."""
        digest = on.offer.spec_digest

        def load(tx: Transaction) -> bytes | None:
            return stored.load_spec(tx, digest) or on_sale.spec_of(tx, digest)

        found = await self._services.store.read(load)
        if found is not None:
            return found
        heard = await self._talk.ask(on.peer, AskSpec(digest), b"", _SPEC_SECONDS)
        if not isinstance(heard.word, ToldSpec) or sha256(heard.part).digest() != digest:
            raise PeerError("the seller does not tell the spec that its offer names")
        body = heard.part
        await self._services.store.run(partial(stored.save_spec, digest=digest, body=body))
        return body

    # --- this node's own ---------------------------------------------------------------------

    async def publish(self, row: OfferRow) -> None:
        """Store an offer of this node, then say all that it has on sale. Raises InputError where
        there are too many."""
        async with self._turn:
            live = await self._live(but=row.offer)
            if len(live) >= limits.MAX_OFFERS_OF_SELLER:
                raise InputError(
                    f"{len(live)} offers stand; {limits.MAX_OFFERS_OF_SELLER} are allowed: "
                    "withdraw one",
                    "job",
                )
            await self._say([*live, _offer(row)], partial(on_sale.save_offer, row=row))

    async def withdraw(self, offer: bytes) -> None:
        """Take an offer of this node off sale."""
        async with self._turn:
            live = await self._live(but=offer)
            await self._say(live, partial(on_sale.withdraw_offer, offer=offer))

    async def _say_again(self) -> None:
        async with self._turn:
            live = await self._live()
            if live:
                await self._say(live, partial(_nothing))

    async def _live(self, but: bytes = b"") -> list[Offer]:
        """This node's offers that stand; `but` one of them."""
        rows = await self._services.store.read(on_sale.offers)
        now = self._services.clock.ms()
        kept = [_offer(row) for row in rows if not row.withdrawn and row.offer != but]
        return [offer for offer in kept if offer.until > now]

    async def _say(self, offers: list[Offer], also: partial[None]) -> None:
        now = self._services.clock.ms()
        held = self._table.entry(self._me)
        ends = [offer.until for offer in offers] + ([] if held is None else [held.until])
        sequence = max(now, 0 if held is None else held.sequence + 1)
        word = Catalogue(sequence, max([now + 1000, *ends]), tuple(offers))
        signed = self._talk.signed(word)
        entry, gone = self._table.take(self._me, word, self._me, now)

        def write(tx: Transaction) -> None:
            also(tx)
            on_sale.delete_catalogues(tx, gone)
            if entry is not None:
                on_sale.save_catalogue(tx, entry, signed)

        await self._store(write)
        with trio.move_on_after(_ASK_TIMEOUT):
            async with trio.open_nursery() as nursery:
                for peer in self._services.swarm.connected()[: 2 * _ASKED_AT_ONCE]:
                    nursery.start_soon(self._push, peer, word)

    async def _push(self, peer: str, word: Catalogue) -> None:
        try:
            await self._talk.ask(identity.parse_peer_id(peer), word, b"", _ASK_TIMEOUT)
        except PeerError as error:
            log.debug("peer %s was told of offers in vain: %s", peer, error)

    # --- between peers -----------------------------------------------------------------------

    async def answer(self, heard: Heard) -> tuple[Word, bytes]:
        """What is said to a word about offers. Raises PeerError where it is asked too often."""
        peer = identity.peer_id_text(heard.sender)
        if not self._told.allows(peer, trio.current_time()):
            raise PeerError("too many questions for offers: ask again in a second")
        match heard.word:
            case AskOffers():
                mark, words = await self._services.store.read(
                    partial(
                        on_sale.catalogues_after,
                        mark=heard.word.mark,
                        limit=limits.MAX_TOLD_CATALOGUES,
                    )
                )
                return ToldOffers(mark), encode(Page(tuple(words)))
            case AskSpec():
                spec = heard.word.spec
                body = await self._services.store.read(partial(on_sale.spec_of, digest=spec))
                if body is None:
                    raise PeerError("no offer here is of this spec")
                return ToldSpec(spec), body
            case Catalogue():
                await self._take([(heard.sender, heard.word, heard.signed)], heard.sender)
                return Later(0, True), b""
            case _:
                raise Malformed(f"{type(heard.word).__name__} is no word about offers")

    async def run(self) -> None:
        """Ask peers, new ones soon, and forget what has ended; until cancelled. A node that knows
        the contract runs it; a store that came from a backup says what stands on sale anew."""
        if self._table.entry(self._me) is None:
            await self._say_again()
        clear = trio.current_time()
        while True:
            peer = self._visits.next(self._services.swarm.connected(), trio.current_time())
            if peer is not None:
                await self._visit(peer)
            if trio.current_time() >= clear:
                clear = trio.current_time() + _CLEAR_SECONDS
                gone = self._table.expire(self._services.clock.ms())
                await self._services.store.run(partial(on_sale.delete_catalogues, peers=gone))
            await trio.sleep(_LOOK_SECONDS)

    async def _visit(self, peer: str) -> None:
        """Take what a peer tells, page by page, while each page has news."""
        mark = self._visits.mark(peer)
        self._visits.note(peer, mark, trio.current_time())
        try:
            for _ in range(_PAGES):
                told, words = await self._page(peer, mark)
                if not words:
                    return
                taken = await self._take(words, identity.parse_peer_id(peer))
                if told <= mark or not taken:
                    self._visits.note(peer, max(told, mark), trio.current_time())
                    return
                mark = told
                self._visits.note(peer, mark, trio.current_time())
        except PeerError as error:
            log.debug("peer %s was asked for offers in vain: %s", peer, error)

    async def _page(self, peer: str, mark: int) -> tuple[int, list[tuple[bytes, Catalogue, bytes]]]:
        heard = await self._talk.ask(
            identity.parse_peer_id(peer), AskOffers(mark), b"", _ASK_TIMEOUT
        )
        if not isinstance(heard.word, ToldOffers):
            raise ConversationError(peer, "it says nothing of offers")
        try:
            found, bad = await trio.to_thread.run_sync(self._opened, heard.part)
        except Malformed:
            self._services.swarm.blame(peer, "a page of catalogues that is none")
            raise
        if bad:
            # Once a page: an honest peer judged each of them by the same rules.
            self._services.swarm.blame(peer, "a told catalogue that is none")
        return heard.word.mark, found

    def _opened(self, part: bytes) -> tuple[list[tuple[bytes, Catalogue, bytes]], int]:
        """A page's catalogues, each with its seller and its signed bytes, and how many words are
        none. Raises Malformed. Milliseconds: on a thread."""
        page = decode(Page, part, _MAX_PAGE_BYTES)
        found = []
        for signed in page.words:
            try:
                statement = self._talk.statement(signed)
                if not isinstance(statement.word, Catalogue):
                    raise Malformed("no catalogue")
            except Malformed as error:
                log.info("a catalogue that was told is dropped: %s", error)
                continue
            found.append((statement.sender, statement.word, signed))
        return found, len(page.words) - len(found)

    async def _take(self, words: list[tuple[bytes, Catalogue, bytes]], bearer: bytes) -> int:
        """Keep what is new; how many were."""
        kept: dict[bytes, tuple[Entry, bytes]] = {}
        dropped: set[bytes] = set()
        for peer, word, signed in words:
            if peer == self._me or not self._ours(word):
                continue
            entry, gone = self._table.take(peer, word, bearer, self._services.clock.ms())
            dropped.update(gone)
            for each in gone:
                kept.pop(each, None)
            if entry is not None:
                kept[peer] = entry, signed
        if kept or dropped:
            await self._store(partial(_write, kept=kept, dropped=dropped))
        return len(kept)

    async def _store(self, write: Callable[[Transaction], None]) -> None:
        """Store what the table took. A visit may be cut off, and this is not: a word that the table
        alone knows would be told in vain from then on, since it is not newer."""
        with trio.CancelScope(shield=True):
            await self._services.store.run(write)

    def _ours(self, word: Catalogue) -> bool:
        """Whether all of it is paid where this node pays."""
        domain = self._talk.domain
        place = (domain.chain_id, domain.contract)
        return all((each.chain_id, each.contract) == place for each in word.offers)

    @property
    def _me(self) -> bytes:
        return self._services.swarm.peer_id_bytes


def _standing(rows: list[tuple[bytes, bytes]], now: int) -> list[OnSale]:
    """Offers that stand, of stored words."""
    found = []
    for peer, body in rows:
        word = decode(Signed, body, MAX_WORD_BYTES).statement.word
        if isinstance(word, Catalogue):
            found += [OnSale(peer, each) for each in word.offers if each.until > now]
    return found


def _nothing(_: Transaction) -> None:
    """Nothing else is stored."""


def _offer(row: OfferRow) -> Offer:
    return decode(Offer, row.body, MAX_WORD_BYTES)


def _write(tx: Transaction, kept: dict[bytes, tuple[Entry, bytes]], dropped: set[bytes]) -> None:
    on_sale.delete_catalogues(tx, dropped)
    for entry, signed in kept.values():
        on_sale.save_catalogue(tx, entry, signed)
