"""Writes tests/vectors/arith/key_proof.json: run by hand when the format changes, from the
repository's root.

hashlib and plain integers, by the words of docs/spec/arithmetic.md; assay is not imported.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path

from phe.util import is_prime

ROOTS = 8

TARGET = Path(__file__).parent / "arith" / "key_proof.json"


def prime(bits: int) -> int:
    while not is_prime(found := random.getrandbits(bits) | 3 << (bits - 2) | 1):
        pass
    return found


def challenges(n: int) -> list[int]:
    modulus = n.to_bytes(n.bit_length() // 8, "big")
    found = []
    for index in range(ROOTS):
        material = b"assay/1 key proof" + b"\0" + index.to_bytes(4, "big") + modulus
        digest = hashlib.shake_256(material).digest(len(modulus) + 16)
        found.append(int.from_bytes(digest, "big") % n)
    return found


def joined(numbers: list[int], n: int) -> str:
    return b"".join(number.to_bytes(n.bit_length() // 8, "big") for number in numbers).hex()


def good(bits: int) -> dict:
    p, q = sorted((prime(bits // 2), prime(bits // 2)))
    n, phi = p * q, (p - 1) * (q - 1)
    assert n.bit_length() == bits
    assert math.gcd(n, phi) == 1
    rhos = challenges(n)
    roots = [pow(rho, pow(n, -1, phi), n) for rho in rhos]
    half = bits // 16
    return {
        "bits": bits,
        "n": n.to_bytes(bits // 8, "big").hex(),
        "private": (p.to_bytes(half, "big") + q.to_bytes(half, "big")).hex(),
        "challenges": joined(rhos, n),
        "proof": joined(roots, n),
        "refused": [
            {"why": "bytes", "proof": ""},
            {"why": "bytes", "proof": joined(roots, n)[:-2]},
            {"why": "bytes", "proof": joined(roots, n) + "00"},
            {"why": "outside", "proof": joined([0, *roots[1:]], n)},
            {"why": "outside", "proof": joined([*roots[:-1], n], n)},
            {"why": "is none", "proof": joined([*roots[1:], roots[0]], n)},
            {"why": "is none", "proof": joined([*roots[:-1], n - roots[-1]], n)},
        ],
    }


def shared(bits: int, common: int) -> dict:
    """`common` divides n and phi(n); each root is right modulo all but q, where there is none."""
    while True:
        q = 2 * common * random.getrandbits(bits - 2 * common.bit_length()) + 1
        if (q * common).bit_length() == bits and is_prime(q) and (q - 1) % common**2:
            break
    n = common * q
    order = (q - 1) // common * (common - 1)
    roots = [pow(rho, pow(n, -1, order), n) for rho in challenges(n)]
    return {
        "n": n.to_bytes(bits // 8, "big").hex(),
        "why": "is none",
        "proof": joined(roots, n),
    }


def main() -> None:
    random.seed(57)
    vectors = {
        "keys": [good(bits) for bits in (256, 512, 2048)],
        "refused": [shared(256, 65537), shared(2048, 65537), shared(512, prime(128))],
    }
    TARGET.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
