"""Whom this node was connected with, for its next start: addresses as their peers signed them.

A node that starts where nobody looks for it (another port, another address) is found by nobody, but
it can dial those it knew. The file is a help and no more: what of it cannot be read is left out.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from node.home.home import write_private

#: Peers that are kept: more than a node dials of its own accord, and the members of a small job.
MAX_KNOWN: Final = 64
#: A record and its line; what is longer is none.
_MAX_LINE_BYTES: Final = 4096


def load(path: Path) -> list[bytes]:
    """The records in the file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KNOWN * _MAX_LINE_BYTES)
    except OSError:
        return []
    found = []
    for line in content.split(b"\n")[:MAX_KNOWN]:
        try:
            record = base64.b64decode(line, validate=True)
        except binascii.Error:
            continue
        if record:
            found.append(record)
    return found


def save(path: Path, records: list[bytes]) -> None:
    """Keep these records, the first 64 of them, in the place of all before. Raises OSError."""
    lines = [base64.b64encode(record) for record in records[:MAX_KNOWN]]
    write_private(path, b"".join(line + b"\n" for line in lines if len(line) < _MAX_LINE_BYTES))
