"""The shelf: known cards, taken from gossip and from peers that are asked, kept over restarts.

Every word counts by its signer, whoever brings it. What is taken changes the table at once and the
store after it: a card of another that a crash forgets is told again.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import trio

from node.engine.services import Services
from node.net.errors import ConversationError
from node.net.guard import Buckets
from node.net.rules.visits import Visits
from node.store import cards
from node.store.store import Transaction
from protocol import params
from protocol.cards.table import Entry, Key, NotTaken, Table
from protocol.errors import Malformed, PeerError
from protocol.wire.cards import Card, Withdrawn
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import NO_JOB, Envelope, Frame, open_envelope, seal
from protocol.wire.gossip import about_no_job
from protocol.wire.messages import OF_CARDS, AskCards, Body, ToldCards

log = logging.getLogger("assay.cards")

#: Private messages, as in node.perform.messages: one frame each way.
_PROTOCOL = "/assay/1/message"
_ASK_TIMEOUT = 10.0

#: How often the shelf looks for a peer to ask, and when the same peer is asked again, seconds.
_LOOK_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 120.0
#: All that one peer says when it is asked takes at most so many seconds; the rest another time.
_VISIT_SECONDS = 60.0
#: Answers in a row from one peer: a full table, and what came in meanwhile. After the first
#: `params.TOLD_PAGES_AT_ONCE` they come at the pace at which a peer gives them, and a little less.
_PAGES = params.MAX_CARDS // params.MAX_TOLD_CARDS + 16
_PAGE_SECONDS = 1.1 / params.TOLD_PAGES_PER_SECOND
#: Peers whose mark is remembered.
_MAX_PEERS = 1024
#: How often what has ended is cleared away, seconds.
_CLEAR_SECONDS = 600.0


def seconds_now() -> int:
    """Unix time as cards count it."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class _Page:
    """What a peer told: its mark, the number of frames, and those of them that are about cards."""

    mark: int
    frames: int
    envelopes: list[Envelope]


class Shelf:
    """Cards that this node knows, its own among them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._table: Table | None = None
        self._visits = Visits(_ASK_AGAIN_SECONDS, _MAX_PEERS)
        self._pages = Buckets(params.TOLD_PAGES_PER_SECOND, params.TOLD_PAGES_AT_ONCE)
        # A page takes some milliseconds of encoding and signing: on one thread, not on all.
        self._signing = trio.CapacityLimiter(1)

    async def open(self) -> None:
        """Read what is stored. Before this, nothing is taken."""
        entries = await self._services.store.read(cards.card_entries)
        me = self._services.swarm.peer_id_bytes
        # Fresh at each start: whoever wants to outrank others must not learn how.
        self._table = Table(me, secrets.token_bytes(16), entries)

    def refusal(self, envelope: Envelope) -> str:
        """Why a card or withdrawal would not be taken now; empty where it would."""
        body = envelope.body
        if self._table is None or not isinstance(body, Card | Withdrawn):
            return "no cards are kept yet"
        return self._table.refusal(envelope.sender, body, seconds_now())

    def entry(self, slot: int) -> Entry | None:
        """What stands in one of this node's slots."""
        if self._table is None:
            return None
        return self._table.entry((self._services.swarm.peer_id_bytes, slot))

    async def take(self, envelopes: Sequence[Envelope]) -> int:
        """Take signed words, each judged anew; how many were taken. They are stored on return."""
        if self._table is None:
            return 0
        stored: dict[Key, tuple[Entry, bytes]] = {}
        gone: set[Key] = set()
        for envelope in envelopes:
            body = envelope.body
            if not isinstance(body, Card | Withdrawn):
                continue
            taken = self._table.take(envelope.sender, body, seconds_now())
            if isinstance(taken, NotTaken):
                log.debug("a card is not taken: %s", taken.reason)
                continue
            for key in taken.gone:
                stored.pop(key, None)
                gone.add(key)
            stored[taken.entry.key] = taken.entry, encode(envelope)
        if stored or gone:
            await self._services.store.run(partial(_write, gone=gone, stored=stored))
        return len(stored)

    # --- between peers ----------------------------------------------------------------------

    async def answer(self, peer: str, mark: int) -> bytes:
        """The reply to a peer's AskCards, signed. Raises PeerError where it asks too often: a page
        is half a MiB for a question of 200 bytes."""
        if not self._pages.allows(peer, trio.current_time()):
            raise PeerError("too many questions for cards: ask again in a second")
        told = await self.told(mark)
        return await trio.to_thread.run_sync(self._signed, told, limiter=self._signing)

    async def told(self, mark: int) -> ToldCards:
        """The answer to AskCards: the next cards after a mark of this node's."""
        load = partial(cards.cards_after, mark=mark, now=seconds_now(), limit=params.MAX_TOLD_CARDS)
        last, bodies = await self._services.store.read(load)
        return ToldCards(last, tuple(encode(Frame(body, b"")) for body in bodies))

    def _signed(self, told: ToldCards) -> bytes:
        return encode(Frame(encode(self.sealed(told)), b""))

    async def run(self) -> None:
        """Ask peers, new ones soon, for cards; clear away what has ended. Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._clear_now_and_then)
            while True:
                peer = self._visits.next(self._services.swarm.connected(), trio.current_time())
                if peer is not None:
                    try:
                        await self._ask(peer)
                    except PeerError as error:
                        log.debug("peer %s was asked for cards in vain: %s", peer, error)
                await trio.sleep(_LOOK_SECONDS)

    async def _ask(self, peer: str) -> None:
        """Take what a peer tells, page by page, while each page brings it on and has news."""
        mark = self._visits.mark(peer)
        # Noted before it answers, so that a silent peer is not asked again and again.
        self._visits.note(peer, mark, trio.current_time())
        end = trio.current_time() + _VISIT_SECONDS
        for number in range(_PAGES):
            page: _Page | None = None
            # Only asking can be cut short: what the table took must get into the store.
            with trio.CancelScope(deadline=end):
                if number >= params.TOLD_PAGES_AT_ONCE:
                    await trio.sleep(_PAGE_SECONDS)
                page = await self._question(peer, mark)
            if page is None or not page.frames:
                return
            taken = await self.take(page.envelopes)
            goes_on = page.mark > mark and taken > 0 and page.frames == len(page.envelopes)
            mark = page.mark
            self._visits.note(peer, mark, trio.current_time())
            if taken:
                self._services.swarm.thank(peer)
            if not goes_on:
                return

    async def _question(self, peer: str, mark: int) -> _Page:
        """One page of a peer's; what is no card in it, and a reply that is none, costs it."""
        swarm = self._services.swarm
        frame = encode(Frame(encode(self.sealed(AskCards(mark))), b""))
        reply = await swarm.request(peer, _PROTOCOL, frame, _ASK_TIMEOUT)
        if not reply:
            raise ConversationError(peer, "it says nothing of cards")
        try:
            # A full page has half a MiB and 64 signatures.
            page = await trio.to_thread.run_sync(self._read, peer, reply)
        except Malformed:
            swarm.blame(peer, "an answer about cards that is none")
            raise
        if page.frames > len(page.envelopes):
            # Once a page: an honest peer judged each of them by the same rules.
            swarm.blame(peer, "a told card that is none")
        return page

    def _read(self, peer: str, reply: bytes) -> _Page:
        answer = decode(Frame, reply, params.MAX_STREAM_MESSAGE_BYTES)
        body = open_envelope(answer.envelope).body
        if not isinstance(body, ToldCards):
            raise ConversationError(peer, f"it answers with {type(body).__name__}")
        return _Page(body.mark, len(body.frames), self._opened(body.frames))

    def _opened(self, frames: Sequence[bytes]) -> list[Envelope]:
        """Cards that a peer told, each as gossip would judge it; others are left out."""
        found = []
        for data in frames:
            try:
                frame = decode(Frame, data, params.MAX_CARD_BYTES + 16)
                envelope = open_envelope(frame.envelope, params.MAX_CARD_BYTES)
                context, domain = envelope.context, self._services.domain
                if (context.chain_id, context.contract) != (domain.chain_id, domain.contract):
                    raise Malformed("of another chain or contract")
                if not isinstance(envelope.body, OF_CARDS) or not about_no_job(envelope):
                    raise Malformed(f"{type(envelope.body).__name__} is no word about a card")
                if frame.attachment:
                    raise Malformed("a card with an attachment")
            except Malformed as error:
                log.info("a card that was told is dropped: %s", error)
            else:
                found.append(envelope)
        return found

    def sealed(self, body: Body) -> Envelope:
        """`body`, about no job, signed by this node's peer key."""
        services = self._services
        return seal(
            services.place(NO_JOB), services.swarm.peer_id_bytes, body, services.keys.sign_peer
        )

    async def _clear_now_and_then(self) -> None:
        while True:
            await trio.sleep(_CLEAR_SECONDS)
            if self._table is not None and (gone := self._table.expire(seconds_now())):
                await self._services.store.run(partial(cards.delete_cards, keys=gone))


def _write(tx: Transaction, gone: set[Key], stored: dict[Key, tuple[Entry, bytes]]) -> None:
    cards.delete_cards(tx, gone)
    for entry, body in stored.values():
        cards.save_card(tx, entry, body)
