"""Names of blobs as published: tests/vectors/blobs.json, each content from one byte and a length.

The properties of names are tested in tests/node/net/test_blob_names.py.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from kits import paths

from protocol import params
from protocol.errors import Malformed
from protocol.wire.blobs import ChunkList, blob_digest, chunks_of

VECTORS = json.loads((paths.VECTORS / "blobs.json").read_text())


def by_hand(content: bytes) -> bytes:
    """The rule once more, from the page: docs/spec/blobs.md."""
    size = 1_048_576
    chunks = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    hashes = [hashlib.sha256(chunk).digest() for chunk in chunks]
    if len(hashes) == 1:
        return hashes[0]
    head = b"assay/blob/1\n" + len(content).to_bytes(8, "big")
    return hashlib.sha256(head + b"".join(hashes)).digest()


@pytest.mark.parametrize("vector", VECTORS["names"], ids=lambda vector: str(vector["size"]))
def test_a_blob_has_its_published_name(vector: dict[str, Any]) -> None:
    content = bytes.fromhex(vector["byte"]) * vector["size"]
    assert blob_digest(content).hex() == vector["digest"]
    assert by_hand(content).hex() == vector["digest"]


def test_the_vectors_stand_on_both_sides_of_each_limit() -> None:
    sizes = {vector["size"] for vector in VECTORS["names"]}
    chunk = params.CHUNK_BYTES
    assert {0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1} <= sizes


@pytest.mark.parametrize("vector", VECTORS["lists"], ids=lambda vector: str(vector["why"]))
def test_a_chunk_list_holds_for_its_blob_alone(vector: dict[str, Any]) -> None:
    data, digest = bytes.fromhex(vector["list"]), bytes.fromhex(vector["digest"])
    if vector["holds"]:
        assert ChunkList.decode(data, digest, vector["size"]).encode() == data
    else:
        with pytest.raises(Malformed):
            ChunkList.decode(data, digest, vector["size"])


def document() -> str:
    """The vectors' file. This module prints it when it is run, with `PYTHONPATH=.:tests`."""
    chunk = params.CHUNK_BYTES
    sizes = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1]
    names = [
        {"byte": "a5", "size": size, "digest": by_hand(b"\xa5" * size).hex()} for size in sizes
    ]
    size = chunk + 1
    whole = chunks_of([b"\xa5" * size])
    data, digest = whole.encode(), whole.digest
    other = ChunkList(size, (whole.hashes[1], whole.hashes[0])).encode()
    lists = [
        ("holds", True, data, digest, size),
        ("another size", False, data, digest, size + 1),
        ("hashes exchanged", False, other, digest, size),
        ("a hash too few", False, data[:-32], digest, size),
        ("a byte too many", False, data + b"\0", digest, size),
        ("another tag", False, b"A" + data[1:], digest, size),
        ("of another blob", False, data, whole.hashes[0], size),
        ("its content's own list", False, data, hashlib.sha256(data).digest(), len(data)),
    ]
    keys = ("why", "holds", "list", "digest", "size")
    told = [
        dict(zip(keys, (why, holds, raw.hex(), name.hex(), length), strict=True))
        for why, holds, raw, name, length in lists
    ]
    return json.dumps({"names": names, "lists": told}, indent=1) + "\n"


def test_the_vectors_are_complete() -> None:
    assert json.loads(document()) == VECTORS


if __name__ == "__main__":
    print(document(), end="")
