"""Writes tests/vectors/masks.json: run by hand when a format changes, from the repository's root.

By the words of docs/spec/arithmetic.md, with pycryptodome, hmac and plain integers: assay's own
code, and the library that it uses for all but joining shares, are not imported.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement
from Crypto.Protocol.KDF import HKDF
from Crypto.Protocol.SecretSharing import Shamir

VECTORS = Path(__file__).parent

N = 2**256 - 189
BINDING = {
    "chain_id": 31337,
    "contract": bytes(range(20)).hex(),
    "job": bytes(range(20, 52)).hex(),
    "round": 7,
    "attempt": 2,
    "model_digest": bytes(range(52, 84)).hex(),
    "roster_digest": bytes(range(84, 116)).hex(),
    "n": N.to_bytes(32, "big").hex(),
}
PLACE, OPENING = b"the encoding of a message's context", bytes(range(100, 132))
MEMBERS = [
    {
        "position": position,
        "private": bytes([fill] * 32).hex(),
        "seed": bytes([fill + 1] * 32).hex(),
    }
    for position, fill in ((0, 0x11), (3, 0x22), (30, 0x33))
]


def public(private: bytes) -> bytes:
    return import_x25519_private_key(private).public_key().export_key(format="raw")


def agree(private: bytes, peer: bytes) -> bytes:
    return key_agreement(
        static_priv=import_x25519_private_key(private),
        static_pub=import_x25519_public_key(peer),
        kdf=lambda secret: secret,
    )


def derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(secret, 32, b"", SHA256, context=info)


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def binding_digest() -> bytes:
    fields = {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in BINDING.items()}
    data = b"assay/1 mask binding\0" + struct.pack(">Q", fields["chain_id"]) + fields["contract"]
    data += fields["job"] + struct.pack(">II", fields["round"], fields["attempt"])
    data += fields["model_digest"] + fields["roster_digest"] + framed(fields["n"])
    return hashlib.sha256(data).digest()


def stream(seed: bytes, kind: int, bits: int, size: int) -> bytes:
    info = b"assay/1 mask stream\0" + struct.pack(">BH", kind, bits)
    key = hmac.new(seed, info + b"\1", hashlib.sha256).digest()  # HKDF-Expand, one block
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=2).encrypt(bytes(size))


def words(seed: bytes, bits: int, count: int) -> list[int]:
    size = 4 if bits <= 32 else 8
    data = stream(seed, 1, bits, size * count)
    cut = [data[start : start + size] for start in range(0, len(data), size)]
    return [int.from_bytes(part, "little") % 2**bits for part in cut]


def residues(seed: bytes, n: int, count: int) -> list[int]:
    size = -(-(n.bit_length() + 128) // 8)
    data = stream(seed, 0, n.bit_length(), size * count)
    return [int.from_bytes(data[i * size : (i + 1) * size], "big") % n for i in range(count)]


def pair_seed(private: bytes, peer: bytes) -> bytes:
    info = b"assay/1 pair mask\0" + binding_digest() + b"".join(sorted((public(private), peer)))
    return derive(agree(private, peer), info)


def self_seed(seed: bytes, key: bytes) -> bytes:
    return derive(seed, b"assay/1 self mask\0" + binding_digest() + key)


def masks(expand, modulus: int) -> list[list[str]]:
    """Each member's mask: itself, plus pairs before it in order, minus those after."""
    total = []
    for member in MEMBERS:
        private = bytes.fromhex(member["private"])
        parts = [(1, self_seed(bytes.fromhex(member["seed"]), public(private)))]
        for other in MEMBERS:
            if other is not member:
                sign = 1 if member["position"] < other["position"] else -1
                peer = public(bytes.fromhex(other["private"]))
                parts.append((sign, pair_seed(private, peer)))
        columns = zip(
            *([sign * value for value in expand(seed)] for sign, seed in parts), strict=True
        )
        total.append([hex(sum(column) % modulus) for column in columns])
    return total


def times(one: int, other: int) -> int:
    """Product in GF(2^128) modulo 1 + x + x^2 + x^7 + x^128, bit by bit."""
    total = 0
    for bit in range(128):
        if other >> bit & 1:
            total ^= one << bit
    for bit in range(254, 127, -1):
        if total >> bit & 1:
            total ^= (1 << 128 | 0b10000111) << (bit - 128)
    return total


def inverse(one: int) -> int:
    """To the power of 2^128 - 2."""
    total = 1
    for _ in range(127):
        one = times(one, one)
        total = times(total, one)
    return total


def at(x: int, points: list[tuple[int, int]]) -> int:
    """The polynomial through the points, at x."""
    total = 0
    for place, value in points:
        for other, _ in points:
            if other != place:
                value = times(value, times(x ^ other, inverse(place ^ other)))
        total ^= value
    return total


def shared(secret: bytes, given: list[bytes], count: int) -> list[bytes]:
    """All shares of a secret, the first of which are given."""
    shares = list(given)
    for x in range(len(given) + 1, count + 1):
        halves = []
        for half in (slice(16), slice(16, 32)):
            values = [int.from_bytes(each[half], "big") for each in (secret, *given)]
            halves.append(at(x, list(enumerate(values))).to_bytes(16, "big"))
        shares.append(b"".join(halves))
    return shares


def sharing() -> dict:
    """Two secrets shared among five; the sender is at position 1."""
    secrets = {"seed": bytes(range(32)), "key": bytes(range(32, 64))}
    sender, threshold = b"recipient 1's peer id", 3
    peers = [b"recipient %d's peer id" % number for number in range(5)]
    ephemeral = bytes([0x44] * 32)
    privates = [bytes([0x50 + number] * 32) for number in range(5)]
    contexts, pads = [], {"seed": [], "key": []}
    for peer, private in zip(peers, privates, strict=True):
        context = hashlib.sha256(
            b"assay/1 box context\0" + framed(PLACE, OPENING, sender, peer)
        ).digest()
        contexts.append(context)
        for kind, found in pads.items():
            info = f"assay/1 {kind} share pad\0".encode()
            info += framed(context, public(ephemeral), public(private))
            found.append(derive(agree(ephemeral, public(private)), info))
    shares = {
        kind: shared(secret, pads[kind][: threshold - 1], 5) for kind, secret in secrets.items()
    }
    for kind, secret in secrets.items():
        for half in (slice(16), slice(16, 32)):
            some = [(index + 1, shares[kind][index][half]) for index in (1, 3, 4)]
            assert Shamir.combine(some, False) == secret[half]
    boxes = [b""] * (threshold - 1)
    for index in range(threshold - 1, 5):
        plain = shares["seed"][index] + shares["key"][index]
        pad = pads["seed"][index] + pads["key"][index]
        boxes.append(bytes(a ^ b for a, b in zip(plain, pad, strict=True)))
    return {
        "place": PLACE.hex(),
        "opening": OPENING.hex(),
        "sender": sender.hex(),
        "recipients": [peer.hex() for peer in peers],
        "secrets": {kind: secret.hex() for kind, secret in secrets.items()},
        "threshold": threshold,
        "shares": {kind: [share.hex() for share in each] for kind, each in shares.items()},
        "share_hashes": {
            kind: [
                hashlib.sha256(
                    f"assay/1 {kind} share hash\0".encode()
                    + framed(OPENING, sender, struct.pack(">I", index), share)
                ).hexdigest()[:32]
                for index, share in enumerate(each)
            ]
            for kind, each in shares.items()
        },
        "seed_hash": hashlib.sha256(
            b"assay/1 seed hash\0" + framed(OPENING, sender, secrets["seed"])
        ).hexdigest(),
        "ephemeral_private": ephemeral.hex(),
        "ephemeral_public": public(ephemeral).hex(),
        "sealing_privates": [private.hex() for private in privates],
        "sealing_publics": [public(private).hex() for private in privates],
        "box_contexts": [context.hex() for context in contexts],
        "boxes": [box.hex() for box in boxes],
        "batch_maker": hashlib.sha256(
            b"assay/1 batch maker\0" + framed(PLACE) + sender
        ).hexdigest(),
    }


def main() -> None:
    seed = bytes(range(32))
    first, second = (bytes.fromhex(member["private"]) for member in MEMBERS[:2])
    content = {
        "binding": BINDING,
        "binding_digest": binding_digest().hex(),
        "members": [
            member | {"public": public(bytes.fromhex(member["private"])).hex()}
            for member in MEMBERS
        ],
        "pair_seed_of_0_and_3": pair_seed(first, public(second)).hex(),
        "self_seed_of_0": self_seed(bytes.fromhex(MEMBERS[0]["seed"]), public(first)).hex(),
        "stream_seed": seed.hex(),
        "words": [
            {
                "bits": bits,
                "first": words(seed, bits, 5),
                "number_40000": words(seed, bits, 40_001)[-1],
            }
            for bits in (8, 24, 32, 40, 64)
        ],
        "residues": [
            {"n": hex(n), "first": [hex(value) for value in residues(seed, n, 3)]}
            for n in (N, 2**3072 - 1103717)
        ],
        "masks_of_24_bit_words": masks(lambda each: words(each, 24, 4), 2**24),
        "masks_modulo_n": masks(lambda each: residues(each, N, 2), N),
        "sharing": sharing(),
    }
    (VECTORS / "masks.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
