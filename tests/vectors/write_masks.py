"""Writes tests/vectors/masks.json: run by hand when a format changes, from the repository's root.

By the words of docs/spec/arithmetic.md, with pycryptodome, hmac and plain integers: assay's own
code, and the library that it uses for all but Shamir's shares, are not imported.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path

from Crypto.Cipher import AES, ChaCha20_Poly1305
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


def sharing() -> dict:
    """Shares, their hashes and a box; the sender is at position 1, the recipient at 2."""
    secret, sender, recipient = bytes(range(32)), b"sender's peer id", b"recipient's peer id"
    halves = [Shamir.split(3, 5, secret[start : start + 16]) for start in (0, 16)]
    shares = [(left + right) for (_, left), (_, right) in zip(*halves, strict=True)]
    ephemeral, private = bytes([0x44] * 32), bytes([0x55] * 32)
    context = hashlib.sha256(
        b"assay/1 box context\0" + framed(PLACE, OPENING, sender, recipient)
    ).digest()
    info = b"assay/1 box key\0" + framed(context, public(ephemeral), public(private))
    key = derive(agree(ephemeral, public(private)), info)
    cipher = ChaCha20_Poly1305.new(key=key, nonce=bytes(12))
    box = b"".join(cipher.encrypt_and_digest(shares[2] + shares[3]))
    hashes = {
        kind: hashlib.sha256(
            f"assay/1 {kind} share hash\0".encode()
            + framed(OPENING, sender, struct.pack(">I", 2), shares[2])
        ).hexdigest()[:32]
        for kind in ("seed", "key")
    }
    return {
        "place": PLACE.hex(),
        "opening": OPENING.hex(),
        "sender": sender.hex(),
        "recipient": recipient.hex(),
        "secret": secret.hex(),
        "threshold": 3,
        "shares": [share.hex() for share in shares],
        "position": 2,
        "share_hashes_of_position": hashes,
        "seed_hash": hashlib.sha256(
            b"assay/1 seed hash\0" + framed(OPENING, sender, secret)
        ).hexdigest(),
        "ephemeral_private": ephemeral.hex(),
        "ephemeral_public": public(ephemeral).hex(),
        "sealing_private": private.hex(),
        "sealing_public": public(private).hex(),
        "box_context": context.hex(),
        "box_of_shares_2_and_3": box.hex(),
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
