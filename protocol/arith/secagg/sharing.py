"""An attempt's secrets, shared out in a block: Shamir's shares, their hashes, their sealed boxes.

A member draws a mask key and a self-mask seed for one attempt (`make_ready`), splits both among its
whole block, itself included, and tells everybody hashes, and boxes that one member each can open.
At freeze each member opens its box of every other (`check_box`); after the commitment it releases
one of the two shares it found there, and the requester puts them together (`reconstruct`).

Shares are Shamir's (CACM 1979) over GF(2^128) by pycryptodome, whose index of a member is its
position in the block plus 1. The field has 16 bytes, so a secret of 32 is shared as two halves,
each with a polynomial of its own: fewer than `threshold` shares tell nothing of either.
pycryptodome draws the coefficients from os.urandom itself (`Crypto.Protocol.SecretSharing.rng`):
the one randomness under protocol/ that is not passed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.secagg.agreement import (
    KEY_BYTES,
    agree,
    check_public,
    derive,
    new_key,
    public_of,
)
from protocol.errors import FatalError, Malformed
from protocol.params import MAX_BLOCK, SHARE_BOX_BYTES, SHARE_BYTES, SHARE_HASH_BYTES

#: Which of a member's two secrets a share is of: the seed of its self-mask, or its mask key.
Kind: TypeAlias = Literal["seed", "key"]

_HALF: Final = 16
_NONCE: Final = bytes(12)
_SECRETS: Final = b"assay/1s"

_BOX_CONTEXT: Final = b"assay/1 box context\x00"
_BOX_KEY: Final = b"assay/1 box key\x00"
_SEED_HASH: Final = b"assay/1 seed hash\x00"
_SHARE_HASHES: Final[Mapping[Kind, bytes]] = {
    "seed": b"assay/1 seed share hash\x00",
    "key": b"assay/1 key share hash\x00",
}


@dataclass(frozen=True)
class Secrets:
    """One attempt's mask key and self-mask seed, 32 bytes each. Their repr tells neither."""

    mask_private: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if (len(self.mask_private), len(self.seed)) != (KEY_BYTES, SEED_BYTES):
            raise FatalError("an attempt's secrets have 32 bytes each, these do not")

    def to_bytes(self) -> bytes:
        """A tag of 8 bytes, the private mask key, the seed. Secret."""
        return _SECRETS + self.mask_private + self.seed

    @classmethod
    def from_bytes(cls, data: bytes) -> Secrets:
        """The inverse of `to_bytes`; FatalError on anything else: they come from our own vault."""
        body = data.removeprefix(_SECRETS)
        if len(data) != len(_SECRETS) + KEY_BYTES + SEED_BYTES or len(body) == len(data):
            raise FatalError(f"{len(data)} bytes are no attempt's secrets")
        return cls(body[:KEY_BYTES], body[KEY_BYTES:])


@dataclass(frozen=True)
class ReadyParts:
    """The public side of a member's secrets, as its Ready carries it. The tuples go by position in
    the whole block; Malformed if they differ in length."""

    mask_key: bytes
    share_key: bytes
    seed_hash: bytes
    seed_hashes: tuple[bytes, ...]
    key_hashes: tuple[bytes, ...]
    boxes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not len(self.seed_hashes) == len(self.key_hashes) == len(self.boxes):
            raise Malformed("hashes and boxes are not one of each for every member")

    def hashes(self, kind: Kind) -> tuple[bytes, ...]:
        """The hashes of one kind of share."""
        return self.seed_hashes if kind == "seed" else self.key_hashes


@dataclass(frozen=True)
class Reconstruction:
    """The result of joining shares of one secret.

    `secret` is None where fewer than the threshold were good, or the sender lied. `bad` are
    positions whose share is not the one that the sender's hash commits to; the member that released
    it is at fault. `liar`: good shares make another secret than the sender committed to. Only the
    sender can have caused that, because its share hashes, its seed hash and its mask key stand in
    one signed message.
    """

    secret: bytes | None = field(repr=False)
    bad: frozenset[int]
    liar: bool


def split(secret: bytes, threshold: int, count: int) -> tuple[bytes, ...]:
    """Shares of 32 bytes for the positions 0 to count - 1, any `threshold` of which give `secret`.

    Raises FatalError unless 1 <= threshold <= count <= params.MAX_BLOCK and the secret has 32
    bytes.
    """
    if not 1 <= threshold <= count <= MAX_BLOCK:
        raise FatalError(f"{threshold} of {count} shares; a block has at most {MAX_BLOCK} members")
    if len(secret) != SHARE_BYTES:
        raise FatalError(f"a secret to share has {SHARE_BYTES} bytes, this one {len(secret)}")
    halves = (secret[:_HALF], secret[_HALF:])
    left, right = (Shamir.split(threshold, count, half, False) for half in halves)
    return tuple(a + b for (_, a), (_, b) in zip(left, right, strict=True))


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret behind shares by position, from the `threshold` lowest positions.

    Shares of something else give another secret, silently: `reconstruct` compares. Raises
    FatalError if there are too few, one is outside a block, or a share has another length.
    """
    if not 1 <= threshold <= len(shares):
        raise FatalError(f"{len(shares)} shares where {threshold} are needed")
    chosen = sorted(shares.items())[:threshold]
    for position, share in chosen:
        if not 0 <= position < MAX_BLOCK or len(share) != SHARE_BYTES:
            raise FatalError(f"{len(share)} bytes for position {position} are no share")
    return b"".join(
        Shamir.combine([(position + 1, share[half]) for position, share in chosen], False)
        for half in (slice(_HALF), slice(_HALF, None))
    )


def share_hash(kind: Kind, share: bytes, position: int, sender: bytes, opening: bytes) -> bytes:
    """The hash by which `sender` commits to the share of one kind that the member at `position`
    gets.

    SHA-256 of a tag for the kind and of all arguments, cut to 128 bits. A member that passes on
    another share than it got needs a second preimage, 2^128 work. Only the sender, who makes the
    shares, can look for two of one hash (2^64 work); it gains only that its own secret does not
    come out, and it is named. A share has 256 random bits: no hash tells any.
    """
    data = _framed(opening, sender, position.to_bytes(4, "big"), share)
    return hashlib.sha256(_SHARE_HASHES[kind] + data).digest()[:SHARE_HASH_BYTES]


def seed_hash(seed: bytes, opening: bytes, sender: bytes) -> bytes:
    """What `sender` commits to: its self-mask's seed in the attempt of `opening`. 32 bytes."""
    return hashlib.sha256(_SEED_HASH + _framed(opening, sender, seed)).digest()


def box_context(place: bytes, opening: bytes, sender: bytes, recipient: bytes) -> bytes:
    """The context that a box is bound to (32 bytes): `place` encodes chain, contract, job, round
    and attempt, `opening` is the opening's digest, the others are peer ids."""
    return hashlib.sha256(_BOX_CONTEXT + _framed(place, opening, sender, recipient)).digest()


def seal(
    ephemeral_private: bytes,
    recipient_public: bytes,
    context: bytes,
    seed_share: bytes,
    key_share: bytes,
) -> bytes:
    """Both shares for one recipient: 80 bytes of ChaCha20-Poly1305 (RFC 8439).

    The nonce is zero: the key comes from a sender key that is drawn for one Ready and then
    forgotten, from the recipient's, and from `context`, so that it seals this one box. Raises
    Malformed if the recipient's key is bad.
    """
    secret = agree(ephemeral_private, recipient_public)
    key = _box_key(secret, context, public_of(ephemeral_private), recipient_public)
    if len(seed_share) != SHARE_BYTES or len(key_share) != SHARE_BYTES:
        raise FatalError(f"shares to seal have {len(seed_share)} and {len(key_share)} bytes")
    return ChaCha20Poly1305(key).encrypt(_NONCE, seed_share + key_share, None)


def open_box(
    private: bytes, ephemeral_public: bytes, context: bytes, box: bytes
) -> tuple[bytes, bytes]:
    """(share of the seed, share of the mask key). Raises Malformed if the sender's key is bad, or
    the box is not one that it sealed to this recipient in this context."""
    if len(box) != SHARE_BOX_BYTES:
        raise Malformed(f"a box has {SHARE_BOX_BYTES} bytes, this one {len(box)}")
    secret = agree(private, ephemeral_public)
    key = _box_key(secret, context, ephemeral_public, public_of(private))
    try:
        plain = ChaCha20Poly1305(key).decrypt(_NONCE, box, None)
    except InvalidTag:
        raise Malformed("the box does not open: not sealed to this member, here and now") from None
    return plain[:SHARE_BYTES], plain[SHARE_BYTES:]


def make_ready(
    entropy: Entropy,
    opening: bytes,
    place: bytes,
    me: bytes,
    members: Sequence[tuple[bytes, bytes]],
    threshold: int,
) -> tuple[Secrets, ReadyParts]:
    """Fresh secrets for one attempt, and what may be said of them.

    `opening` is the opening's digest, `place` as in `box_context`, `me` this member's peer id,
    `members` (peer id, sealing key) of the whole block in its order. Two calls never agree: store
    the outcome before any of it leaves. Raises Malformed, naming the position, if a sealing key is
    of low order (its enrolment should have been refused); FatalError unless `me` is a member,
    members are different ones, and `threshold` fits.
    """
    peers = [peer for peer, _ in members]
    if me not in peers or len(set(peers)) != len(peers):
        raise FatalError("a block holds each of its members once, this node among them")
    mask_private, mask_key = new_key(entropy)
    secrets = Secrets(mask_private, draw(entropy, SEED_BYTES))
    # An ephemeral key, never the mask key: dropping out reveals that, and would open the boxes.
    share_private, share_key = new_key(entropy)
    seed_shares = split(secrets.seed, threshold, len(members))
    key_shares = split(secrets.mask_private, threshold, len(members))
    boxes = []
    for index, (peer, public) in enumerate(members):
        context = box_context(place, opening, me, peer)
        try:
            box = seal(share_private, public, context, seed_shares[index], key_shares[index])
        except Malformed as error:
            raise Malformed(f"sealing key of member {index}: {error}") from None
        boxes.append(box)
    return secrets, ReadyParts(
        mask_key=mask_key,
        share_key=share_key,
        seed_hash=seed_hash(secrets.seed, opening, me),
        seed_hashes=_hashes("seed", seed_shares, me, opening),
        key_hashes=_hashes("key", key_shares, me, opening),
        boxes=tuple(boxes),
    )


def check_box(
    private: bytes,
    parts: ReadyParts,
    index: int,
    opening: bytes,
    place: bytes,
    sender: bytes,
    recipient: bytes,
) -> tuple[bytes, bytes]:
    """What `sender` sealed to the member at `index` of the block: (seed's share, mask key's share).

    `private` is the recipient's sealing key, `sender` and `recipient` are peer ids. Raises
    Malformed, saying what is wrong and leaving it to the caller to name the sender: a bad mask key
    or share key, too few boxes, a box that does not open, a share that its hash does not cover.
    """
    try:
        check_public(parts.mask_key)
    except Malformed as error:
        raise Malformed(f"mask key: {error}") from None
    if not 0 <= index < len(parts.boxes):
        raise Malformed(f"{len(parts.boxes)} boxes, none for member {index}")
    context = box_context(place, opening, sender, recipient)
    try:
        shares = open_box(private, parts.share_key, context, parts.boxes[index])
    except Malformed as error:
        raise Malformed(f"box of member {index}: {error}") from None
    kinds: tuple[Kind, Kind] = ("seed", "key")
    for kind, share in zip(kinds, shares, strict=True):
        if share_hash(kind, share, index, sender, opening) != parts.hashes(kind)[index]:
            raise Malformed(f"share of the {kind} for member {index}: not what its hash covers")
    return shares


def reconstruct(
    kind: Kind,
    shares: Mapping[int, bytes],
    parts: ReadyParts,
    threshold: int,
    sender: bytes,
    opening: bytes,
) -> Reconstruction:
    """One member's seed or private mask key, from shares by position in the block.

    `parts` is what that member, `sender`, told of its secrets. Never raises on what peers sent:
    the outcome names who was at fault.
    """
    hashes = parts.hashes(kind)
    good = {
        position: share
        for position, share in shares.items()
        if 0 <= position < len(hashes)
        and len(share) == SHARE_BYTES
        and share_hash(kind, share, position, sender, opening) == hashes[position]
    }
    bad = frozenset(shares) - frozenset(good)
    if len(good) < threshold:
        return Reconstruction(None, bad, False)
    secret = join(good, threshold)
    if kind == "seed":
        liar = seed_hash(secret, opening, sender) != parts.seed_hash
    else:
        liar = public_of(secret) != parts.mask_key
    return Reconstruction(None if liar else secret, bad, liar)


def _hashes(
    kind: Kind, shares: Sequence[bytes], sender: bytes, opening: bytes
) -> tuple[bytes, ...]:
    return tuple(
        share_hash(kind, share, position, sender, opening) for position, share in enumerate(shares)
    )


def _box_key(secret: bytes, context: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    """The key of one box: the agreement's, bound to context, sender's key and recipient's key."""
    return derive(secret, _BOX_KEY + _framed(context, ephemeral, recipient))


def _framed(*parts: bytes) -> bytes:
    """Each part behind its length (4 bytes): no two lists of parts have the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
