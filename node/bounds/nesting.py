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
