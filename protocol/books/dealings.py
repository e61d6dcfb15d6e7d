"""What a block deals, and what its members say of it: documents that everybody can check.

A dealing is the public side of one member's shares: commitments to its pieces, and where each
member finds its own. A dealt list has those of a block under their dealers' signatures. A verdict
adds every member's signed words; a cheat is what is left of one that shows one dealer failing.
Pure: it verifies who said what. What words come to is arithmetic (arith/proofs/settle.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from protocol import params
from protocol.books.enrolment import Cohort, block_members
from protocol.errors import Malformed
from protocol.layout.packing import BATCH_HEADER_BYTES, DEALT_BYTES, batch_maker
from protocol.wire.codec import Size, Wire, decode, encode
from protocol.wire.envelope import Context, Envelope, open_envelope
from protocol.wire.messages import Attempt, Contribution, Index, Round, Words

_TAG: Final = b"assay/1 deal\x00"
_BINDING: Final = b"assay/1 proof binding\x00"
_MAX_DEALING_BYTES: Final = BATCH_HEADER_BYTES + DEALT_BYTES * params.MAX_BLOCK

_Members = Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]
_Messages = Annotated[tuple[Envelope, ...], Size(1, params.MAX_BLOCK)]
_Word = Annotated[bytes, Size(0, params.MAX_WORD_BYTES)]
_OfDealers = Annotated[tuple[_Word, ...], Size(1, params.MAX_BLOCK)]
_Dealt = Annotated[bytes, Size(1, params.MAX_LIST_BYTES)]


@dataclass(frozen=True, slots=True)
class Dealing:
    """The public side of a dealing: commitments to the pieces, one after the other, and the digests
    of the boxes that hold them, by position in the block."""

    commitments: bytes
    boxes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DealtList(Wire):
    """The blob of a block's dealings: signed headers by member, and the dealing of each."""

    messages: _Messages
    dealings: Annotated[
        tuple[Annotated[bytes, Size(1, _MAX_DEALING_BYTES)], ...], Size(1, params.MAX_BLOCK)
    ]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        if len(self.messages) != len(self.dealings):
            raise Malformed("DealtList: headers and dealings differ in number")


@dataclass(frozen=True, slots=True)
class WordList(Wire):
    """The blob of one member's words, in the order of the dealt list; empty where it has none."""

    words: _OfDealers


@dataclass(frozen=True, slots=True)
class VerdictList(Wire):
    """The blob that decides a block: its dealt list, and its members' signed words, whole."""

    dealt: _Dealt
    messages: _Messages
    words: Annotated[tuple[_OfDealers, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class Cheat(Wire):
    """A verdict cut to one dealer: who reads it can see for itself that it failed."""

    round: Round
    attempt: Attempt
    member: Index
    dealt: _Dealt
    messages: _Messages
    words: Annotated[tuple[_Word, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class Dealer:
    """One dealer of an attempt: its index, its place in the whole block, its peer id, and what its
    proof is bound to."""

    member: int
    position: int
    peer: bytes
    binding: bytes
    dealing: Dealing


@dataclass(frozen=True, slots=True)
class Said:
    """What one member said in an attempt, by the dealers' order; empty: no word."""

    member: int
    position: int
    words: tuple[bytes, ...]


def encode_dealing(maker: bytes, dealing: Dealing) -> bytes:
    """The blob that a contribution's header names; `maker` is packing.batch_maker's."""
    return b"".join((_TAG, maker, dealing.commitments, *dealing.boxes))


def decode_dealing(data: bytes, members: int, maker: bytes) -> Dealing:
    """Read a dealing to `members`. Raises Malformed on another length, or another maker."""
    wanted = BATCH_HEADER_BYTES + DEALT_BYTES * members
    if len(data) != wanted or not data.startswith(_TAG):
        raise Malformed(f"a dealing to {members} members has {wanted} bytes, this one {len(data)}")
    if data[len(_TAG) : BATCH_HEADER_BYTES] != maker:
        raise Malformed("a dealing that another member, or another attempt, made")
    body = data[BATCH_HEADER_BYTES:]
    half = 32 * members
    boxes = tuple(body[at : at + 32] for at in range(half, 2 * half, 32))
    if len(set(boxes)) != members:
        raise Malformed("two members are dealt one box")
    return Dealing(body[:half], boxes)


def binding_of(place: Context, roster_digest: bytes, dealer: bytes) -> bytes:
    """What a dealer's proof is bound to: 32 bytes of the attempt, its roster and the dealer.

    The roster's digest stands for the opening, and so for the model, and for what no dealer knows
    before all members are ready.
    """
    framed = encode(place)
    told = len(framed).to_bytes(4, "big") + framed + roster_digest + dealer
    return hashlib.sha256(_BINDING + told).digest()


def encode_dealt(messages: Sequence[Envelope], dealings: Sequence[bytes]) -> bytes:
    """The blob of a dealt list, by member."""
    return encode(DealtList(tuple(messages), tuple(dealings)))


def examine_dealt(
    cohort: Cohort,
    blocks: tuple[int, ...],
    block: int,
    place: Context,
    data: bytes,
    roster_digest: bytes = b"",
) -> tuple[Dealer, ...]:
    """The dealers of a block, by member. Raises Malformed where a header is not its member's own
    for this attempt, or names another roster than the others', or than `roster_digest`."""
    listed = decode(DealtList, data, params.MAX_LIST_BYTES)
    whole, found = block_members(blocks, block), []
    for envelope, dealing in zip(listed.messages, listed.dealings, strict=True):
        body, member = _said(envelope, cohort, place, whole, Contribution)
        if (body.member, body.block) != (member, block):
            raise Malformed(f"a dealt list names member {member} as another")
        roster_digest = roster_digest or body.roster_digest
        if body.roster_digest != roster_digest:
            raise Malformed(f"member {member} dealt among another roster")
        if hashlib.sha256(dealing).digest() != body.batch_digest:
            raise Malformed(f"the dealing of member {member} is not the one that it signed")
        peer = envelope.sender
        read = decode_dealing(dealing, len(whole), batch_maker(encode(place), peer))
        binding = binding_of(place, roster_digest, peer)
        found.append(Dealer(member, whole.index(member), peer, binding, read))
    _ascending([dealer.member for dealer in found])
    return tuple(found)


def encode_verdict(
    dealt: bytes, messages: Sequence[Envelope], words: Sequence[tuple[bytes, ...]]
) -> bytes:
    """The blob that decides a block."""
    return encode(VerdictList(dealt, tuple(messages), tuple(words)))


def examine_verdict(
    cohort: Cohort,
    blocks: tuple[int, ...],
    block: int,
    place: Context,
    data: bytes,
    roster_digest: bytes = b"",
) -> tuple[tuple[Dealer, ...], tuple[Said, ...]]:
    """A block's dealers, and what its members said of each. Raises Malformed where anything in it
    is not signed by who it names, for these dealers, in this attempt."""
    listed = decode(VerdictList, data, params.MAX_VERDICT_BYTES)
    dealers = examine_dealt(cohort, blocks, block, place, listed.dealt, roster_digest)
    if len(listed.messages) != len(listed.words):
        raise Malformed("a verdict whose messages and words differ in number")
    said = []
    for envelope, words in zip(listed.messages, listed.words, strict=True):
        body, member, position = _words(envelope, cohort, blocks, block, place, listed.dealt)
        if tuple(map(_hash, words)) != body.words or len(words) != len(dealers):
            raise Malformed(f"words that member {member} did not sign")
        said.append(Said(member, position, words))
    _ascending([each.member for each in said])
    return dealers, tuple(said)


def cut_to(data: bytes, place: Context, cohort: Cohort, member: int) -> bytes:
    """A verdict's cheat: what of it shows that `member` failed. The verdict was examined before."""
    listed = decode(VerdictList, data, params.MAX_VERDICT_BYTES)
    dealt = decode(DealtList, listed.dealt, params.MAX_LIST_BYTES)
    at = [cohort.index_of(each.sender) for each in dealt.messages].index(member)
    words = tuple(each[at] for each in listed.words)
    return encode(Cheat(place.round, place.attempt, member, listed.dealt, listed.messages, words))


def examine_cheat(
    cohort: Cohort, blocks: tuple[int, ...], block: int, place: Context, data: bytes
) -> tuple[Dealer, tuple[tuple[int, bytes], ...]]:
    """The dealer that a cheat is about, and (position, word) of the members; `place` is of any
    round of the job. Whether they fail it is for arithmetic to say. Raises Malformed."""
    cheat = decode(Cheat, data, params.MAX_LIST_BYTES)
    then = Context(place.chain_id, place.contract, place.job, cheat.round, cheat.attempt)
    dealers = examine_dealt(cohort, blocks, block, then, cheat.dealt)
    order = [dealer.member for dealer in dealers]
    if cheat.member not in order or len(cheat.messages) != len(cheat.words):
        raise Malformed("a cheat of a member that dealt nothing")
    at, words, members = order.index(cheat.member), [], []
    for envelope, word in zip(cheat.messages, cheat.words, strict=True):
        body, member, position = _words(envelope, cohort, blocks, block, then, cheat.dealt)
        if len(body.words) != len(dealers) or body.words[at] != _hash(word):
            raise Malformed(f"a word that member {member} did not sign")
        members.append(member)
        if word:
            words.append((position, word))
    _ascending(members)
    return dealers[at], tuple(words)


def words_of(
    dealers: Sequence[Dealer], said: Sequence[Said]
) -> Mapping[int, list[tuple[int, bytes]]]:
    """(position, word) of the members that have one, by dealer."""
    return {
        dealer.member: [(each.position, each.words[at]) for each in said if each.words[at]]
        for at, dealer in enumerate(dealers)
    }


def word_hashes(words: Sequence[bytes]) -> tuple[bytes, ...]:
    """What `Words` says of words."""
    return tuple(map(_hash, words))


def encode_words(words: Sequence[bytes]) -> bytes:
    """The blob of one member's words."""
    return encode(WordList(tuple(words)))


def decode_words(data: bytes) -> tuple[bytes, ...]:
    """Read one member's words; its signed hashes say whether they are its own. Raises Malformed."""
    return decode(WordList, data, params.MAX_WORDS_BYTES).words


def _hash(word: bytes) -> bytes:
    return hashlib.sha256(word).digest()


def _words(
    envelope: Envelope,
    cohort: Cohort,
    blocks: tuple[int, ...],
    block: int,
    place: Context,
    dealt: bytes,
) -> tuple[Words, int, int]:
    whole = block_members(blocks, block)
    body, member = _said(envelope, cohort, place, whole, Words)
    if (body.member, body.block) != (member, block) or body.dealt_digest != _hash(dealt):
        raise Malformed(f"words of member {member} are on other dealings")
    return body, member, whole.index(member)


def _said(
    envelope: Envelope, cohort: Cohort, place: Context, whole: Sequence[int], kind: type
) -> tuple[Any, int]:
    """The body of a signed message of this attempt, and the member of the block that said it."""
    opened = open_envelope(encode(envelope))
    member = cohort.index_of(opened.sender)
    if not isinstance(opened.body, kind) or opened.context != place:
        raise Malformed(f"something else than {kind.__name__} of this attempt")
    if member is None or member not in whole:
        raise Malformed(f"{kind.__name__} of a peer that is no member of the block")
    return opened.body, member


def _ascending(members: Sequence[int]) -> None:
    if list(members) != sorted(set(members)):
        raise Malformed("members do not ascend, or one stands twice")
