"""Writes tests/vectors/encoder.json: run by hand when a format changes, from the repository's root.

Bytes by msgpack and struct, digests by hashlib, from docs/spec/encoder.md; assay is not imported.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import msgpack

TARGET = Path(__file__).parent / "encoder.json"
MAGIC = b"assay/encoder/1\n"

TEXT = {
    "title": "words",
    "licence": "Apache-2.0",
    "source": "somewhere",
    "kind": "text",
    "pooling": "mean",
    "size": 384,
    "inputs": 0,
    "max_tokens": 256,
    "width": 0,
    "height": 0,
    "channels": 0,
    "mean": [],
    "deviation": [],
}
IMAGE = {
    **TEXT,
    "title": "pictures",
    "kind": "image",
    "pooling": "none",
    "max_tokens": 0,
    "width": 224,
    "height": 224,
    "channels": 3,
    "mean": [0.485, 0.456, 0.406],
    "deviation": [0.229, 0.224, 0.225],
}
NUMBERS = {**TEXT, "title": "signals", "kind": "numbers", "pooling": "none", "inputs": 12}
NUMBERS["max_tokens"] = 0


def package(manifest: dict, model: bytes, tokenizer: bytes, magic: bytes = MAGIC) -> bytes:
    said = msgpack.packb([*manifest.values(), len(model), len(tokenizer)], use_bin_type=True)
    return magic + struct.pack(">I", len(said)) + said + model + tokenizer


def name(content: bytes) -> str:
    """docs/spec/blobs.md: one chunk, or a list of chunks."""
    chunks = [content[at : at + 2**20] for at in range(0, len(content), 2**20)] or [b""]
    hashes = [hashlib.sha256(chunk).digest() for chunk in chunks]
    if len(hashes) == 1:
        return hashes[0].hex()
    whole = b"assay/blob/1\n" + struct.pack(">Q", len(content)) + b"".join(hashes)
    return hashlib.sha256(whole).hexdigest()


def good(manifest: dict, model: bytes, tokenizer: bytes) -> dict:
    content = package(manifest, model, tokenizer)
    return {
        "manifest": manifest,
        "model": model.hex(),
        "tokenizer": tokenizer.hex(),
        "package": content.hex(),
        "digest": name(content),
    }


def main() -> None:
    first = package(TEXT, b"network", b"{}")
    packed = msgpack.packb([*TEXT.values(), 7, 2], use_bin_type=True)
    longer = msgpack.packb([*TEXT.values(), 7, 2, 1], use_bin_type=True)
    wide = packed.replace(b"\xcd\x01\x80", b"\xce\x00\x00\x01\x80")
    assert wide != packed

    def with_manifest(said: bytes) -> bytes:
        return MAGIC + struct.pack(">I", len(said)) + said + b"network{}"

    bad = {
        "empty": b"",
        "another beginning": b"assay/encoder/2\n" + first[16:],
        "cut in its head": first[:18],
        "cut in its manifest": first[:60],
        "cut in its tokenizer": first[:-1],
        "one byte more": first + b"\x00",
        "a long manifest": MAGIC + struct.pack(">I", 2049) + bytes(4000),
        "a field more": with_manifest(longer),
        "a longer form of a number": with_manifest(wide),
        "a text without a tokenizer": package(TEXT, b"network", b""),
        "numbers with a tokenizer": package(NUMBERS, b"network", b"{}"),
        "no network": package(TEXT, b"", b"{}"),
        "too many features": package({**TEXT, "size": 1024}, b"network", b"{}"),
        "a deviation missing": package({**IMAGE, "deviation": [0.2, 0.2]}, b"network", b""),
        "two channels": package({**IMAGE, "channels": 2}, b"network", b""),
        "numbers that are averaged": package({**NUMBERS, "pooling": "mean"}, b"network", b""),
        "a title that moves the cursor": package({**TEXT, "title": "\x1b[2J"}, b"network", b"{}"),
        "another kind": package({**TEXT, "kind": "sound"}, b"network", b"{}"),
    }
    found = {
        "good": [
            good(TEXT, b"network", b"{}"),
            good(IMAGE, bytes(range(256)), b""),
            good(NUMBERS, b"\x00", b""),
        ],
        "bad": {reason: content.hex() for reason, content in bad.items()},
    }
    TARGET.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
