"""The buyer's side of the stream: one row asked over a channel, to its answer, stored and paid.

What is due follows from the channel's state (protocol/sale/buyer.py): this carries it out, from
wherever an earlier life of the node left it. What is asked for, heard and read is taken at once,
and stored with what is made of it, before the next word is said.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from hashlib import sha256
from typing import Final

import trio

from node.engine.services import Services
from node.net.errors import ConversationError, Refused
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.sealing import Sealer
from node.sale.talk import Heard, Talk
from node.store.sale import channels as stored
from node.store.sale.channels import KeyRow, PartRow
from node.work.sale import queries
from node.workers.compute import in_worker
from protocol.errors import FatalError, InputError, Malformed, PeerError
from protocol.layout.queries import Mode
from protocol.sale import buyer
from protocol.sale.effects import BuyerEffect, ComputePart, ComputeReveal, SendSale
from protocol.sale.inputs import (
    ActionAsk,
    ComputeDone,
    ComputeRefused,
    ComputeRevealed,
    ReceiveSale,
)
from protocol.sale.messages import Asked, Blob, Chosen, Declined, Part, Replied
from protocol.sale.offers import Offer
from protocol.sale.stream import Later, Meet, Met, Word, blob_of, maker, meeting_digest

log = logging.getLogger("assay.sale")

_ASK_SECONDS: Final = 40.0
#: A seller that does not answer is asked again after these many seconds, then given up for now.
_PATIENCE: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The least wait before the same word is said again, seconds.
_LEAST_SECONDS: Final = 0.05


class Buyer:
    """Asks sellers."""

    def __init__(
        self, services: Services, talk: Talk, sealer: Sealer, paying: PayingChannels
    ) -> None:
        self._services = services
        self._talk = talk
        self._sealer = sealer
        self._paying = paying
        self._making = trio.Lock()

    async def ask(self, paying: Paying, row: bytes | None) -> None:
        """Bring the query that is open to its end; then ask for `row`, a row's features, to its
        end. Answers are stored as they come.

        Raises PeerError where the seller is away, declines or answers garbage: the channel's state
        says how far it is, and the same call goes on. InputError for a row that cannot be asked.
        """
        async with paying.lock:
            await self.meet(paying)
            await self._finish(paying)
            if row is None:
                return
            digest = sha256(row).digest()
            ask = ActionAsk(digest, secrets.token_bytes(32))
            self._paying.take(paying, ask, (PartRow(digest, row),))
            await self._finish(paying)

    async def _finish(self, paying: Paying) -> None:
        while True:
            await self._paying.sign(paying)
            if paying.state.ended:
                raise PeerError(f"nothing more is asked over this channel: {paying.state.ended}")
            if paying.state.query is None:
                return
            # A payment alone is said at the end, or with the next query.
            await self._carry_out(paying, buyer.due(paying.state)[-1])

    async def _carry_out(self, paying: Paying, effect: BuyerEffect) -> None:
        match effect:
            case ComputePart():
                await self._make(paying, effect)
            case ComputeReveal():
                await self._reveal(paying, effect)
            case SendSale(message=Asked() as asked):
                await self._say(paying, asked, asked.query, asked.number)
            case SendSale(message=Chosen() as chosen):
                await self._say(paying, chosen, chosen.choices, chosen.number)
            case _:
                raise FatalError(f"{type(effect).__name__} is not due while a query is open")

    # --- what is computed --------------------------------------------------------------------

    async def _make(self, paying: Paying, effect: ComputePart) -> None:
        buying = await self._buying(paying, effect.number, effect.seed)
        sent = await self._paying.part(paying, effect.sent)
        make = queries.make_query if effect.part is Part.QUERY else queries.make_choices
        try:
            made = await in_worker(self._services.compute, make, buying, sent)
        except (Malformed, InputError) as error:
            refused = ComputeRefused(effect.number, effect.part, str(error))
            await self._paying.step(paying, refused)
            if effect.part is Part.QUERY:
                raise InputError(f"a row cannot be asked for: {error}", "file") from error
            self._blame(paying)
            return
        blob = blob_of(made)
        happened = ComputeDone(effect.number, effect.part, blob)
        await self._paying.step(paying, happened, (PartRow(blob.digest, made),))

    async def _reveal(self, paying: Paying, effect: ComputeReveal) -> None:
        query = paying.state.query
        if query is None:
            raise FatalError("an answer to no query")
        buying = await self._buying(paying, effect.number, effect.seed)
        answer = await self._paying.part(paying, effect.answer)
        masked = b""
        if paying.state.mode is Mode.LABEL:
            masked = await self._paying.part(paying, query.blobs[1].digest)
        try:
            result = await in_worker(
                self._services.compute, queries.read_answer, buying, masked, answer
            )
        except Malformed as error:
            refused = ComputeRefused(effect.number, Part.ANSWER, str(error))
            await self._paying.step(paying, refused)
            self._blame(paying)
            return
        save = partial(stored.save_answer, offer=paying.row.offer, row=query.row, result=result)
        # Stored with the voucher that it is worth (`sign`).
        self._paying.take(paying, ComputeRevealed(effect.number, result), (), save)

    async def _buying(self, paying: Paying, number: int, seed: bytes) -> queries.Buying:
        key = await self._key(paying.offer)
        name = maker(paying.row.channel, number)
        secret = self._sealer.unseal(_key_name(paying.offer), key.secret)
        return queries.Buying(paying.offer.layout, secret, name, seed)

    async def _key(self, offer: Offer) -> KeyRow:
        """The key for a seller: made once."""
        load = partial(stored.load_key, seller=offer.account, bits=offer.key_bits)
        async with self._making:
            found = await self._services.store.read(load)
            if found is None:
                made = await in_worker(self._services.compute, queries.make_key, offer.key_bits)
                found = KeyRow(self._sealer.seal(_key_name(offer), made.private), made.introduction)
                await self._services.store.run(
                    partial(stored.save_key, seller=offer.account, bits=offer.key_bits, key=found)
                )
        return found

    # --- what is said ------------------------------------------------------------------------

    async def meet(self, paying: Paying) -> None:
        """Have the seller know the channel, once in this node's life. Its lock is held. Raises
        PeerError where the seller is away, or does not take it."""
        if paying.met:
            return
        key = await self._key(paying.offer)
        blob, terms = blob_of(key.introduction), paying.state.terms
        me = self._services.swarm.peer_id_bytes
        digest = meeting_digest(self._talk.domain, terms.channel, paying.row.offer, blob.digest, me)
        signature = self._services.keys.sign_digest(digest)
        meet = Meet(paying.row.offer, terms, blob, signature)
        heard = await self.until_answered(paying, meet, key.introduction)
        if not isinstance(heard.word, Met) or heard.word.channel != terms.channel:
            raise PeerError("the seller answers a meeting with another word")
        paying.met = True

    async def _say(self, paying: Paying, word: Asked | Chosen, blob: Blob, number: int) -> None:
        part = await self._paying.part(paying, blob.digest)
        heard = await self.until_answered(paying, word, part)
        said = heard.word
        if isinstance(said, Declined):
            await self._paying.step(paying, ReceiveSale(said))
            return
        if not isinstance(said, Replied) or said.number != number or not heard.part:
            raise PeerError(f"the seller answers a query with {type(said).__name__}")
        kept = PartRow(said.blob.digest, heard.part, heard.signed)
        self._paying.take(paying, ReceiveSale(said), (kept,))

    async def until_answered(self, paying: Paying, word: Word, part: bytes = b"") -> Heard:
        """Store what was taken, and say a word until it is answered otherwise than with Later. Its
        lock is held. Raises PeerError once the seller was away for too long."""
        await self._paying.store(paying)
        waits, held = iter(_PATIENCE), False
        while True:
            try:
                heard = await self._talk.ask(
                    paying.row.peer, word, b"" if held else part, _ASK_SECONDS
                )
            except ConversationError as error:
                wait = next(waits, None)
                lasting = isinstance(error, Refused) and error.lasting
                if lasting or wait is None:
                    # It may have lost what it knew: the next time begins with a meeting.
                    paying.met = False
                    raise
                held = False
                await trio.sleep(wait)
                continue
            if not isinstance(heard.word, Later):
                return heard
            held = heard.word.held
            await trio.sleep(max(_LEAST_SECONDS, heard.word.milliseconds / 1000))

    def _blame(self, paying: Paying) -> None:
        """What the seller signed does not open: nothing more is asked, and its bytes are kept."""
        log.warning(
            "channel %s: nothing more is asked: %s",
            paying.row.channel.hex()[:16],
            paying.state.ended,
        )


def _key_name(offer: Offer) -> str:
    return f"key.{offer.account.hex()}.{offer.key_bits}"
