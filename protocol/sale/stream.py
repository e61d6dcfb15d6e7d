"""What buyer and seller say to each other on a stream: signed words, and the bytes beside them.

A word is signed by its sender's peer key and bound to chain and channel contract, so that garbage
can be shown to others. `Meet` binds a channel to the peer that asks over it: its account signs
that, because anybody may read a channel's terms off the chain. docs/spec/sale.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, TypeAlias

from eth_hash.auto import keccak

from protocol import params
from protocol.books.typed_data import Domain, recover
from protocol.errors import Malformed
from protocol.sale import limits
from protocol.sale.catalogues import Catalogue
from protocol.sale.messages import (
    Asked,
    Blob,
    Chosen,
    Declined,
    Leave,
    Number,
    Paid,
    Receipt,
    Released,
    Replied,
)
from protocol.sale.vouchers import Terms
from protocol.wire import identity
from protocol.wire.codec import Range, Size, Wire, decode, encode
from protocol.wire.messages import Address, Digest, PeerId

_TAG: Final = b"assay/1 sale\x00"
_MAKER: Final = b"assay/1 sale query\x00"
_MEETING_TYPE: Final = keccak(b"Meeting(bytes32 channel,bytes32 offer,bytes32 key,bytes peer)")

#: A signed word's bytes: a catalogue of the most offers is the longest.
MAX_WORD_BYTES: Final = 8 * 1024
#: A frame: a word, one part, and what tells them apart.
MAX_SALE_FRAME_BYTES: Final = MAX_WORD_BYTES + params.MAX_QUERY_BYTES + 32


@dataclass(frozen=True, slots=True)
class Meet(Wire):
    """Buyer to seller: I ask over this channel, for this offer, under this key (the part beside it:
    arith/queries/ask.introduce). `signature`: of the channel's buyer over `meeting_digest`."""

    offer: Digest
    terms: Terms
    key: Blob
    signature: Annotated[bytes, Size(65)]


@dataclass(frozen=True, slots=True)
class Met(Wire):
    """Seller to buyer: the channel is known, and its deposit."""

    channel: Digest
    taken: Number


@dataclass(frozen=True, slots=True)
class Later(Wire):
    """Not now: ask again in so many milliseconds. `held`: the part came, and need not come
    again."""

    milliseconds: Annotated[int, Range(0, 600_000)]
    held: bool


@dataclass(frozen=True, slots=True)
class AskOffers(Wire):
    """What is on sale, that was learned after this mark of the answerer's?"""

    mark: Annotated[int, Range(0, 2**63 - 1)]


@dataclass(frozen=True, slots=True)
class ToldOffers(Wire):
    """Catalogues, in the order in which they were learned, in the part beside it (`Page`); the mark
    of the last."""

    mark: Annotated[int, Range(0, 2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Page(Wire):
    """Signed catalogues, as they were said."""

    words: Annotated[
        tuple[Annotated[bytes, Size(1, MAX_WORD_BYTES)], ...], Size(0, limits.MAX_TOLD_CATALOGUES)
    ]


@dataclass(frozen=True, slots=True)
class AskSpec(Wire):
    """The spec of what is on sale, by its digest."""

    spec: Digest


@dataclass(frozen=True, slots=True)
class ToldSpec(Wire):
    """A spec's bytes are the part beside it."""

    spec: Digest


Word: TypeAlias = (
    Asked
    | Chosen
    | Paid
    | Replied
    | Receipt
    | Declined
    | Leave
    | Released
    | Meet
    | Met
    | Later
    | AskOffers
    | ToldOffers
    | AskSpec
    | ToldSpec
    | Catalogue
)


@dataclass(frozen=True, slots=True)
class Statement(Wire):
    """What is signed: who says what, on which chain and contract."""

    version: Annotated[int, Range(0, 2**16)]
    chain_id: Annotated[int, Range(0, 2**64 - 1)]
    contract: Address
    sender: PeerId
    word: Word


@dataclass(frozen=True, slots=True)
class Signed(Wire):
    """A statement and its sender's Ed25519 signature (RFC 8032)."""

    statement: Statement
    signature: Annotated[bytes, Size(64)]


@dataclass(frozen=True, slots=True)
class SaleFrame(Wire):
    """What a request or a reply carries: a signed word, and the part that it names, or none."""

    word: Annotated[bytes, Size(1, MAX_WORD_BYTES)]
    part: Annotated[bytes, Size(0, params.MAX_QUERY_BYTES)]


def sign_word(domain: Domain, sender: bytes, word: Word, sign: Callable[[bytes], bytes]) -> bytes:
    """A word's signed bytes; `sign` is Ed25519 under the sender's key."""
    statement = Statement(params.PROTOCOL_VERSION, domain.chain_id, domain.contract, sender, word)
    return encode(Signed(statement, sign(_TAG + encode(statement))))


def read_word(domain: Domain, data: bytes) -> Statement:
    """Decode and verify. Raises Malformed: schema, another version, chain or contract, or a
    signature that is not its sender's."""
    signed = decode(Signed, data, MAX_WORD_BYTES)
    statement = signed.statement
    if statement.version != params.PROTOCOL_VERSION:
        raise Malformed(f"a word of version {statement.version}")
    if (statement.chain_id, statement.contract) != (domain.chain_id, domain.contract):
        raise Malformed(
            f"a word about chain {statement.chain_id}, contract 0x{statement.contract.hex()}; here "
            f"it is chain {domain.chain_id}, contract 0x{domain.contract.hex()}"
        )
    if not identity.verify(statement.sender, signed.signature, _TAG + encode(statement)):
        raise Malformed(f"{type(statement.word).__name__}: its signature is not its sender's")
    return statement


def check_part(blob: Blob, part: bytes) -> None:
    """Raises Malformed unless `part` is what `blob` names."""
    if len(part) != blob.size or sha256(part).digest() != blob.digest:
        raise Malformed("a part that is not what its word names")


def blob_of(part: bytes) -> Blob:
    """What names a part."""
    return Blob(sha256(part).digest(), len(part))


def maker(channel: bytes, number: int) -> bytes:
    """The 32 bytes that name a channel's query, in its batches and hashes."""
    return sha256(_MAKER + channel + number.to_bytes(4, "big")).digest()


def meeting_digest(domain: Domain, channel: bytes, offer: bytes, key: bytes, peer: bytes) -> bytes:
    """The 32 bytes that a channel's buyer signs (EIP-712): this peer asks over it, for this offer,
    under the key of this digest."""
    message = keccak(_MEETING_TYPE + channel + offer + key + keccak(peer))
    return keccak(b"\x19\x01" + domain.separator + message)


def check_meet(domain: Domain, meet: Meet, peer: bytes) -> None:
    """Raises Malformed unless the channel's buyer says that `peer` asks over it."""
    digest = meeting_digest(domain, meet.terms.channel, meet.offer, meet.key.digest, peer)
    if recover(digest, meet.signature) != meet.terms.buyer:
        raise Malformed("a meeting that is not signed by the channel's buyer for this peer and key")
