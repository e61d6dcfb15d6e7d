"""How deep a JSON text nests, told before it is parsed.

eth_account's py_ecc raises Python's recursion limit to 100,000 for the whole process: with it,
json.loads overflows the C stack on 50 KB of '[' and ends the daemon. So text from outside is
measured first, because no RecursionError can be counted on.
"""

from __future__ import annotations

from typing import Final

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def depth_exceeds(body: bytes, limit: int) -> bool:
    """True if JSON nests deeper than `limit`, cheaply and without parsing it.

    Brackets in strings count too: where a text's own do not balance, it may be refused although it
    is flat, which is safe.
    """
    depth = 0
    for bracket in body.translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False


def nests_deeper(body: bytes, limit: int) -> bool:
    """The same of texts whose strings hold brackets that need not balance, such as lists of words:
    these are looked through once more, without what stands in their strings."""
    return depth_exceeds(body, limit) and depth_exceeds(_without_texts(body), limit)


def _without_texts(data: bytes) -> bytes:
    """JSON without the insides of its strings, where brackets are words."""
    kept = bytearray()
    at, inside = 0, False
    while at < len(data):
        byte = data[at]
        if inside and byte == 0x5C:
            at += 2
            continue
        if byte == 0x22:
            inside = not inside
        elif not inside:
            kept.append(byte)
        at += 1
    return bytes(kept)
