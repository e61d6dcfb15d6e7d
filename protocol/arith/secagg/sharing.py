"""An attempt's secrets, shared out in a block: Shamir's shares, their hashes, their sealed boxes.

A member draws a mask key and a self-mask seed for one attempt (`make_ready`), splits both among its
whole block, itself included, and tells everybody hashes, and boxes that one member each can open.
At freeze each member opens its box of every other (`check_box`); after the commitment it releases
one of the two shares it found there, and the requester puts them together (`reconstruct`).

Shares are Shamir's (CACM 1979) over GF(2^128) by pycryptodome, whose index of a member is its
position in the block plus 1. The field has 16 bytes, so a secret of 32 is shared as two halves,
each with a polynomial of its own: fewer than `threshold` shares tell nothing of either.

A polynomial of degree t - 1 is its values at 0, the secret, and at t - 1 more places. There it may
take any values, so that it takes what sender and recipient agree on by X25519: the first t - 1
members need no box, because they know their shares. To whoever lacks both private keys these are
random (HKDF), as coefficients would be. The other shares are hidden by the same kind of pad.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from Crypto.Protocol.SecretSharing import Shamir

from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.secagg.agreement import (
    KEY_BYTES,
    agree,
    check_public,
    derive,
    new_key,
    public_of,
)
from protocol.arith.secagg.field import continued
from protocol.errors import FatalError, Malformed
from protocol.params import MAX_BLOCK, SHARE_BOX_BYTES, SHARE_BYTES, SHARE_HASH_BYTES

#: Which of a member's two secrets a share is of: the seed of its self-mask, or its mask key.
Kind: TypeAlias = Literal["seed", "key"]

_HALF: Final = 16
_SECRETS: Final = b"assay/1s"

_BOX_CONTEXT: Final = b"assay/1 box context\x00"
_PADS: Final[Mapping[Kind, bytes]] = {
    "seed": b"assay/1 seed share pad\x00",
    "key": b"assay/1 key share pad\x00",
}
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


def split(secret: bytes, given: Sequence[bytes], count: int) -> tuple[bytes, ...]:
    """Shares of 32 bytes for the positions 0 to count - 1, any len(given) + 1 of which give
    `secret`.

    `given` are the first of them: random to whoever is not to know the secret. Raises FatalError
    unless 1 <= len(given) + 1 <= count <= params.MAX_BLOCK, and secret and shares have 32 bytes.
    """
    threshold = len(given) + 1
    if not threshold <= count <= MAX_BLOCK:
        raise FatalError(f"{threshold} of {count} shares; a block has at most {MAX_BLOCK} members")
    for what, value in (("secret to share", secret), *(("share", each) for each in given)):
        if len(value) != SHARE_BYTES:
            raise FatalError(f"a {what} has {SHARE_BYTES} bytes, this one {len(value)}")
    known = [
        [int.from_bytes(value[half], "big") for value in (secret, *given)]
        for half in (slice(_HALF), slice(_HALF, None))
    ]
    others = continued(known, count)
    made = [b"".join(half.to_bytes(_HALF, "big") for half in halves) for halves in others]
    return (*given, *made)


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


def pads(
    private: bytes, public: bytes, context: bytes, ephemeral: bytes, recipient: bytes
) -> tuple[bytes, bytes]:
    """What hides the seed's share and the mask key's share of one recipient, 32 bytes each; of the
    first t - 1 members they are the shares.

    Both ends compute it, each from its own private key and the other's public one. It is used once:
    the sender's key is drawn for one Ready and then forgotten, and `context` binds it to this box.
    `ephemeral` and `recipient` are both public keys. Raises Malformed if `public` is bad.
    """
    secret = agree(private, public)
    info = _framed(context, ephemeral, recipient)
    return derive(secret, _PADS["seed"] + info), derive(secret, _PADS["key"] + info)


def seal(pad: tuple[bytes, bytes], seed_share: bytes, key_share: bytes) -> bytes:
    """Both shares for one recipient, 64 bytes: exclusive or with its pads.

    Nothing proves here that the bytes are the sender's. Its Ready is signed, and the hashes of both
    shares stand in it.
    """
    if len(seed_share) != SHARE_BYTES or len(key_share) != SHARE_BYTES:
        raise FatalError(f"shares to seal have {len(seed_share)} and {len(key_share)} bytes")
    return _xor(b"".join(pad), seed_share + key_share)


def open_box(
    private: bytes, ephemeral_public: bytes, context: bytes, box: bytes
) -> tuple[bytes, bytes]:
    """(share of the seed, share of the mask key), whose hashes are to be compared.

    An empty box is of a member whose shares are its pads. Raises Malformed if the sender's key is
    bad, or the box is of another length.
    """
    if len(box) not in (0, SHARE_BOX_BYTES):
        raise Malformed(f"a box has {SHARE_BOX_BYTES} bytes or none, this one {len(box)}")
    pad = pads(private, ephemeral_public, context, ephemeral_public, public_of(private))
    if not box:
        return pad
    plain = _xor(b"".join(pad), box)
    return plain[:SHARE_BYTES], plain[SHARE_BYTES:]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


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
    if not 1 <= threshold <= len(members):
        raise FatalError(f"{threshold} of {len(members)} shares make no secret")
    mask_private, mask_key = new_key(entropy)
    secrets = Secrets(mask_private, draw(entropy, SEED_BYTES))
    # An ephemeral key, never the mask key: dropping out reveals that, and would open the boxes.
    share_private, share_key = new_key(entropy)
    hidden = []
    for index, (peer, public) in enumerate(members):
        context = box_context(place, opening, me, peer)
        try:
            hidden.append(pads(share_private, public, context, share_key, public))
        except Malformed as error:
            raise Malformed(f"sealing key of member {index}: {error}") from None
    known = hidden[: threshold - 1]
    seed_shares = split(secrets.seed, [seed for seed, _ in known], len(members))
    key_shares = split(secrets.mask_private, [key for _, key in known], len(members))
    boxes = [b""] * len(known)
    for index in range(len(known), len(members)):
        boxes.append(seal(hidden[index], seed_shares[index], key_shares[index]))
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
    or share key, too few boxes, a box of another length, a share that its hash does not cover.
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


def _framed(*parts: bytes) -> bytes:
    """Each part behind its length (4 bytes): no two lists of parts have the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
