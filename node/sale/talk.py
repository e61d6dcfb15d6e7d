"""Words of a sale on the wire: signed, framed with the part that they name, asked and read.

Every byte that comes is hostile: what does not hold is refused, and costs its sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from node.engine.services import Services
from node.net.errors import Broken
from node.sale.ports import Channels, no_contract
from protocol.books.typed_data import Domain
from protocol.errors import Malformed
from protocol.sale.messages import Asked, Chosen, Replied
from protocol.sale.stream import (
    MAX_SALE_FRAME_BYTES,
    Meet,
    SaleFrame,
    Statement,
    Word,
    check_part,
    read_word,
    sign_word,
)
from protocol.wire import identity
from protocol.wire.codec import decode, encode

PROTOCOL: Final = "/assay/1/sale"


@dataclass(frozen=True, slots=True)
class Heard:
    """A word that holds: who said it, the signed bytes, and the part that came with it."""

    sender: bytes
    word: Word
    signed: bytes
    part: bytes


class Talk:
    """Says and reads words for one node."""

    def __init__(self, services: Services, channels: Channels) -> None:
        self._services = services
        self._channels = channels

    @property
    def domain(self) -> Domain:
        """Where this node's sales are paid. Raises InputError where no contract is set."""
        contract = self._channels.contract
        if contract is None:
            raise no_contract()
        return Domain(self._services.chain.chain_id, contract)

    @property
    def possible(self) -> bool:
        """Whether this node knows the contract that pays."""
        return self._channels.contract is not None

    async def frame(self, word: Word, part: bytes = b"") -> bytes:
        """A signed word with its part. On a thread: a part of megabytes takes milliseconds."""
        return await trio.to_thread.run_sync(self._framed, word, part)

    def _framed(self, word: Word, part: bytes) -> bytes:
        return encode(SaleFrame(self.signed(word), part))

    def signed(self, word: Word) -> bytes:
        """A word, signed by this node's peer key."""
        services = self._services
        return sign_word(self.domain, services.swarm.peer_id_bytes, word, services.keys.sign_peer)

    def statement(self, signed: bytes) -> Statement:
        """What somebody signed. Raises Malformed."""
        return read_word(self.domain, signed)

    async def read(self, peer: str, data: bytes) -> Heard:
        """A frame that `peer` itself said. Raises Malformed for what does not hold: the frame, the
        signature, another sender, a part that its word does not name. On a thread, as `frame`."""
        return await trio.to_thread.run_sync(self._read, peer, data)

    def _read(self, peer: str, data: bytes) -> Heard:
        frame = decode(SaleFrame, data, MAX_SALE_FRAME_BYTES)
        statement = self.statement(frame.word)
        if identity.peer_id_text(statement.sender) != peer:
            raise Malformed("a word of a sale is its sender's own, and is not handed on")
        word = statement.word
        named = None
        match word:
            case Asked():
                named = word.query
            case Chosen():
                named = word.choices
            case Replied():
                named = word.blob
            case Meet():
                named = word.key
            case _:
                pass
        if named is not None and frame.part:
            check_part(named, frame.part)
        return Heard(statement.sender, word, frame.word, frame.part)

    async def ask(self, peer: bytes, word: Word, part: bytes, timeout: float) -> Heard:
        """Say a word and hear the reply. Raises ConversationError (nobody there, no answer), Broken
        for a reply that does not hold, which is counted against the peer."""
        name = identity.peer_id_text(peer)
        swarm = self._services.swarm
        frame = await self.frame(word, part)
        reply = await swarm.request(name, PROTOCOL, frame, timeout, MAX_SALE_FRAME_BYTES)
        try:
            return await self.read(name, reply)
        except Malformed as error:
            swarm.blame(name, "a reply about a sale that is none")
            raise Broken(name, f"its reply does not hold: {error}") from error
