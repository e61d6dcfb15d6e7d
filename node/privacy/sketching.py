"""What workers do with sketches of rows: make one of a data set's copy, compare two.

A sketch leaves a worker sealed, and is opened in a worker alone: at rest it is closed under a key
that follows from the node's identity, as its other secrets are. This module is light: the daemon
imports it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from node.home.vault import decrypt, encrypt
from node.store.blobs import Blobs
from protocol.errors import InputError

_NAME = b"sketch of rows"


@dataclass(frozen=True, slots=True)
class SketchKeys:
    """32 bytes under which rows become prints, and 32 under which sketches are sealed. Secret."""

    prints: bytes = field(repr=False)
    sealing: bytes = field(repr=False)


def sketch_copy(directory: Path, digest: bytes, keys: SketchKeys) -> bytes:
    """The sealed sketch of the copy in `directory`. Runs in a worker. Raises FatalError where the
    copy is gone or damaged."""
    from node.data.table import read_table
    from node.privacy.prints import encode_sketch, sketch_of

    table = read_table(Blobs(directory).path(digest))
    return encrypt(keys.sealing, encode_sketch(sketch_of(table, keys.prints)), _NAME)


def compare(one: bytes, other: bytes, keys: SketchKeys) -> float:
    """`shared_part` of two sealed sketches. Runs in a worker. Raises InputError where one does not
    open."""
    from node.privacy.prints import decode_sketch, shared_part

    return shared_part(*(decode_sketch(_opened(each, keys)) for each in (one, other)))


def _opened(sealed: bytes, keys: SketchKeys) -> bytes:
    content = decrypt(keys.sealing, sealed, _NAME)
    if content is None:
        raise InputError(
            "a stored sketch of rows does not open: it is damaged, or of another node's keys; "
            "restore store and keys of one node",
            "sketch",
        )
    return content
