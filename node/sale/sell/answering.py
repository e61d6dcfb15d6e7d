"""The seller's side of the stream: a channel met, queries answered, vouchers taken.

A query is stored with its answer, before that is said, or before the buyer is told to wait. Who
asks again is told the same. What is not to be done now (too many at once, a pace that the offer
does not allow) is answered with Later and changes nothing: a Declined would end the buyer's asking
for good.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter, OrderedDict
from functools import partial
from typing import Final

import trio

from node.engine.services import Services
from node.net.guard import Bucket, Buckets
from node.sale.ports import Channels
from node.sale.sealing import MAX_OFFER_BYTES, Sealer
from node.sale.sell.serving import Served, ServedChannels
from node.sale.talk import Heard, Talk
from node.store.sale import on_sale
from node.store.sale.channels import ChannelRow, PartRow
from node.work.sale import queries
from node.workers.compute import WorkerDied, in_worker
from protocol import params
from protocol.errors import FatalError, Malformed, PeerError, StateError
from protocol.sale import limits, seller
from protocol.sale.effects import ComputePart
from protocol.sale.inputs import ComputeDone, ComputeRefused, ReceiveSale
from protocol.sale.messages import (
    Asked,
    Chosen,
    Declined,
    Leave,
    Paid,
    Part,
    Released,
    Replied,
)
from protocol.sale.offers import Offer
from protocol.sale.seller import Phase
from protocol.sale.stream import Later, Meet, Met, Word, blob_of, check_meet, maker
from protocol.sale.vouchers import release_digest
from protocol.wire import identity
from protocol.wire.codec import decode

log = logging.getLogger("assay.sale")

#: What is said, and the part beside it.
Answer = tuple[Word, bytes]

_SECOND: Final = 1_000
#: When a buyer asks again for a channel that is not final on the chain yet, milliseconds.
_NOT_YET: Final = 2_000
#: What a batch has besides its ciphertexts, at most; a choice (docs/spec/queries.md).
_HEADER_BYTES: Final = 128
_POINT_BYTES: Final = 33
#: Buyers whose pace is remembered.
_PACES: Final = 4096


class Seller:
    """Answers buyers of this node's offers."""

    def __init__(
        self,
        services: Services,
        channels: Channels,
        talk: Talk,
        sealer: Sealer,
        served: ServedChannels,
        nursery: trio.Nursery,
    ) -> None:
        self._services = services
        self._channels = channels
        self._talk = talk
        self._sealer = sealer
        self._served = served
        self._nursery = nursery
        a_second = limits.SALE_MEETINGS_A_MINUTE / 60
        self._meetings = Buckets(a_second, limits.SALE_MEETINGS_A_MINUTE)
        self._meeting = trio.CapacityLimiter(limits.MAX_SALE_MEETINGS)
        self._paces: OrderedDict[bytes, Bucket] = OrderedDict()
        #: Computations under way, by buyer.
        self._waiting: Counter[bytes] = Counter()

    async def answer(self, heard: Heard) -> Answer:
        """What is said to a buyer's word. Raises PeerError, whose words the buyer is shown."""
        match heard.word:
            case Meet():
                return await self._meet(heard, heard.word)
            case Asked():
                return await self._asked(heard, heard.word)
            case Chosen():
                return await self._chosen(heard, heard.word)
            case Paid():
                return await self._paid(heard, heard.word)
            case Leave():
                return await self._left(heard, heard.word)
            case _:
                raise Malformed(f"{type(heard.word).__name__} is no question to a seller")

    # --- a channel is met --------------------------------------------------------------------

    async def _meet(self, heard: Heard, meet: Meet) -> Answer:
        if not self._meetings.allows(identity.peer_id_text(heard.sender), trio.current_time()):
            return Later(5 * _SECOND, False), b""
        terms = meet.terms
        check_meet(self._talk.domain, meet, heard.sender)
        known = await self._served.find(terms.channel)
        if known is not None:
            return self._met_before(known, heard, meet)
        offer, body = await self._offer(meet)
        now = self._now()
        if terms.expiry < now + params.SALE_MARGIN_SECONDS:
            raise PeerError(f"the channel expires within {params.SALE_MARGIN_SECONDS} seconds")
        if not heard.part:
            return Later(0, False), b""
        if self._meeting.available_tokens < 1:
            return Later(_SECOND, False), b""
        async with self._meeting:
            state = await self._channels.look(terms)
            if state is None:
                return Later(_NOT_YET, False), b""
            if state.closed or state.redeemed:
                # Redeemed, and not known here: what was granted before would pay for it again.
                raise PeerError("the channel is closed, or was used before: open another")
            if state.deposit < offer.price:
                raise PeerError(f"the channel holds {state.deposit}, a row costs {offer.price}")
            key = await in_worker(
                self._services.compute, queries.check_key, heard.part, offer.key_bits
            )
            row = ChannelRow(
                "seller", terms.channel, meet.offer, body, heard.sender, key, b"", terms.expiry
            )
            opened = seller.opened(terms, state.deposit, offer.price, offer.mode)
            # Another meeting of the same channel may have come first: that one counts.
            served = await self._served.find(terms.channel)
            if served is None:
                log.info("a buyer's channel of %d was met", state.deposit)
                served = await self._served.enter(row, offer, opened)
        return self._met_before(served, heard, meet)

    def _met_before(self, served: Served, heard: Heard, meet: Meet) -> Answer:
        row = served.row
        served.check()
        if row.peer != heard.sender or row.offer != meet.offer:
            raise PeerError("the channel was met from another peer, or for another offer")
        if heard.part and not heard.part.startswith(row.key):
            raise PeerError("the channel was met with another key")
        return Met(row.channel, served.stored.taken), b""

    async def _offer(self, meet: Meet) -> tuple[Offer, bytes]:
        """The offer that a new channel is for. Raises PeerError where it is none of ours."""
        row = await self._services.store.read(partial(on_sale.load_offer, offer=meet.offer))
        if row is None or row.withdrawn:
            raise PeerError(
                "there is no such offer here, or it was withdrawn: ask for offers again"
            )
        offer = decode(Offer, row.body, MAX_OFFER_BYTES)
        terms = meet.terms
        if self._services.clock.ms() >= offer.until:
            raise PeerError("the offer has ended")
        if (terms.seller, terms.token) != (offer.account, offer.token):
            raise PeerError("the channel pays another account, or in another token")
        if len(self._served.standing) >= limits.MAX_SALE_CHANNELS:
            raise PeerError(f"{limits.MAX_SALE_CHANNELS} channels are served here already")
        return offer, row.body

    # --- a query -----------------------------------------------------------------------------

    async def _asked(self, heard: Heard, asked: Asked) -> Answer:
        served = await self._served.of(asked.channel, heard.sender)
        async with served.lock:
            if asked.number == served.state.taken:
                later = self._not_now(served, heard)
                if later is not None:
                    return later
            happened = ReceiveSale(asked, self._now(), secrets.token_bytes(32))
            part = PartRow(asked.query.digest, heard.part)
            said = await self._served.take(served, happened, (part,) if heard.part else ())
            if said:
                return await self._with_part(served, said[0].message)
        return await self._outcome(served, asked.number)

    async def _chosen(self, heard: Heard, chosen: Chosen) -> Answer:
        served = await self._served.of(chosen.channel, heard.sender)
        async with served.lock:
            serving = served.state.serving
            awaited = serving is not None and serving.phase is Phase.MASKED
            if awaited and chosen.number == served.state.taken - 1:
                if self._full(served):
                    return Later(_SECOND, False), b""
                if not heard.part:
                    return Later(0, False), b""
            if len(heard.part) > served.offer.layout.choices * _POINT_BYTES:
                raise Malformed(f"choices of {len(heard.part)} bytes, longer than their offer's")
            part = PartRow(chosen.choices.digest, heard.part)
            happened = ReceiveSale(chosen, self._now())
            said = await self._served.take(served, happened, (part,) if heard.part else ())
            if said:
                return await self._with_part(served, said[0].message)
        return await self._outcome(served, chosen.number)

    async def _paid(self, heard: Heard, paid: Paid) -> Answer:
        served = await self._served.of(paid.channel, heard.sender)
        async with served.lock:
            said = await self._served.step(served, ReceiveSale(paid, self._now()))
        return said[0].message, b""

    async def _left(self, heard: Heard, leave: Leave) -> Answer:
        """A buyer wants its rest back: the release is signed once it is stored that no query is
        taken any more. The same word again is answered with the same release."""
        served = await self._served.of(leave.channel, heard.sender)
        async with served.lock:
            said = await self._served.step(served, ReceiveSale(leave, self._now()))
            redeemed = served.state.voucher.amount
        if said:
            return said[0].message, b""
        digest = release_digest(self._talk.domain, leave.channel, redeemed)
        return Released(leave.channel, redeemed, self._services.keys.sign_digest(digest)), b""

    def _not_now(self, served: Served, heard: Heard) -> Answer | None:
        """Why a new query is not taken now; it may be in a moment."""
        if self._full(served):
            return Later(_SECOND, False), b""
        serving = served.state.serving
        if serving is not None and serving.phase is not Phase.ANSWERED:
            return None  # the machine declines it
        if not heard.part:
            return Later(0, False), b""
        layout = served.offer.layout
        if len(heard.part) > layout.features * layout.key_bits // 4 + _HEADER_BYTES:
            raise Malformed(f"a query of {len(heard.part)} bytes, longer than its offer's")
        pace = self._pace(served)
        if not pace.allows(trio.current_time()):
            wait = (1 - pace.level) / pace.rate
            return Later(min(600_000, int(wait * 1000) + 1), False), b""
        return None

    def _full(self, served: Served) -> bool:
        """Whether no computation more is begun for this buyer now."""
        own = self._waiting[served.state.terms.buyer]
        whole = self._waiting.total() >= limits.MAX_SALE_QUEUE
        return whole or own >= limits.MAX_SALE_QUEUE_OF_BUYER

    def _pace(self, served: Served) -> Bucket:
        """A buyer's, of one offer: `batch` rows at once, then `minute` a minute."""
        offer, key = served.offer, served.state.terms.buyer + served.row.offer
        pace = self._paces.get(key)
        if pace is None:
            full = float(offer.batch)
            pace = Bucket(offer.minute / 60, full, trio.current_time(), full)
            self._paces[key] = pace
        self._paces.move_to_end(key)
        while len(self._paces) > _PACES:
            self._paces.popitem(last=False)
        return pace

    # --- what is computed --------------------------------------------------------------------

    async def _outcome(self, served: Served, number: int) -> Answer:
        """Have what is due computed, wait for it a while, and say what it came to."""
        if served.done is None:
            served.done, served.declined = trio.Event(), None
            self._waiting[served.state.terms.buyer] += 1
            self._nursery.start_soon(self._compute, served, served.done)
        with trio.move_on_after(limits.SALE_HOLD_SECONDS):
            await served.done.wait()
            if served.declined is not None and served.declined.number == number:
                return served.declined, b""
            async with served.lock:
                for effect in seller.due(served.state):
                    if not isinstance(effect, ComputePart):
                        message = getattr(effect, "message", None)
                        if isinstance(message, Replied) and message.number == number:
                            await self._served.store(served)
                            return await self._with_part(served, message)
        async with served.lock:
            await self._served.store(served)
        return Later(_SECOND, True), b""

    async def _with_part(self, served: Served, word: Word) -> Answer:
        if isinstance(word, Replied):
            return word, await self._served.part(served, word.blob.digest)
        return word, b""

    async def _compute(self, served: Served, done: trio.Event) -> None:
        """Compute what is due, then store it. A worker that is killed leaves it due."""
        try:
            due = [e for e in seller.due(served.state) if isinstance(e, ComputePart)]
            for effect in due:
                await self._make(served, effect)
        except (WorkerDied, StateError) as error:
            log.warning("an answer to a buyer waits: %s", error)
        except Exception:
            # A stranger's bytes lead here, and must not break the daemon. What was due stays due.
            log.exception("an answer to a buyer failed")
        finally:
            self._waiting -= Counter([served.state.terms.buyer])  # what is 0 goes
            served.done = None
            done.set()

    async def _make(self, served: Served, effect: ComputePart) -> None:
        serving = served.state.serving
        if serving is None:
            raise FatalError("something is due for a query that is not served")
        offer, row = served.offer, served.row
        name = maker(row.channel, effect.number)
        sent = await self._served.part(served, effect.sent)
        try:
            if effect.part is Part.ANSWER and serving.phase is Phase.GARBLING:
                selling = queries.Selling(offer.layout, row.key, name, effect.seed)
                query = serving.blobs[0].digest
                made = await in_worker(
                    self._services.compute, queries.make_circuit, selling, query, sent
                )
            else:
                model = await self._model(row.offer)
                selling = queries.Selling(offer.layout, row.key, name, effect.seed, model)
                made = await in_worker(self._services.compute, queries.make_reply, selling, sent)
        except Malformed as error:
            self._services.swarm.blame(identity.peer_id_text(row.peer), "a query that is none")
            part = effect.part
            await self._done(served, ComputeRefused(effect.number, part, str(error)), None)
            return
        blob = blob_of(made)
        happened = ComputeDone(effect.number, effect.part, blob)
        await self._done(served, happened, PartRow(blob.digest, made))

    async def _done(
        self, served: Served, happened: ComputeDone | ComputeRefused, part: PartRow | None
    ) -> None:
        async with served.lock:
            said = await self._served.step(served, happened, () if part is None else (part,))
        for each in said:
            if isinstance(each.message, Declined):
                served.declined = each.message

    async def _model(self, offer: bytes) -> bytes:
        row = await self._services.store.read(partial(on_sale.load_offer, offer=offer))
        if row is None:
            raise FatalError(f"the model of offer {offer.hex()[:16]} is gone from the store")
        return self._sealer.unseal(f"model.{offer.hex()}", row.model)

    def _now(self) -> int:
        return self._services.clock.ms() // 1000
