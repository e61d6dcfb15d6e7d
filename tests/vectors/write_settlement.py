"""Writes settlement.json: lists, their bytes and roots, and places, without protocol/books.

Run with .venv's Python. Only Keccak-256 is a library's.
"""

from __future__ import annotations

import json
from pathlib import Path

from eth_hash.auto import keccak

HERE = Path(__file__).resolve().parent


def account(number: int) -> bytes:
    return keccak(b"settled %d" % number)[:20]


def leaf(who: bytes, rounds: int, merit: int) -> bytes:
    return who + rounds.to_bytes(32, "big") + merit.to_bytes(16, "big")


def levels(leaves: list[bytes]) -> list[list[bytes]]:
    level = [keccak(each) for each in leaves]
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    found = [level]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [keccak(a[:24] + bytes(8) + b[:24] + bytes(8)) for a, b in pairs]
        found.append(level)
    return found


def proved(parts: list[list[bytes]], position: int) -> bytes:
    part, at = divmod(position, 256)
    out = parts[part][at]
    for level in levels(parts[part])[:-1]:
        out += level[at ^ 1][:24]
        at >>= 1
    return out


def case(count: int) -> dict[str, object]:
    rows = sorted((account(n), (n * 7 + 1) % 2**255, n % 5 * 10**18) for n in range(count))
    leaves = [leaf(*row) for row in rows]
    parts = [leaves[at : at + 256] for at in range(0, count, 256)]
    missing = [bytes(20), b"\xff" * 20, account(count), account(count + 1)]
    places = []
    for who in [rows[0][0], rows[-1][0], *missing]:
        own = [n for n, row in enumerate(rows) if row[0] == who]
        below = sum(row[0] < who for row in rows)
        if own or below in (0, count):
            at = own[0] if own else min(below, count - 1)
            proof = proved(parts, at)
        else:
            at = below - 1
            proof = proved(parts, at) + proved(parts, at + 1)
        places.append({"account": who.hex(), "position": at, "proof": proof.hex()})
    return {
        "accounts": [[who.hex(), str(rounds), str(merit)] for who, rounds, merit in rows],
        "parts": [b"".join(part).hex() for part in parts],
        "roots": [levels(part)[-1][0][:24].hex() for part in parts],
        "places": places,
    }


def main() -> None:
    cases = [case(count) for count in (1, 2, 3, 5, 257)]
    (HERE / "settlement.json").write_text(json.dumps({"settlements": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
