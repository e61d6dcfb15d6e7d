"""Writes tests/vectors/proofs.json: run by hand when a format changes, from the repository's root.

By the words of docs/spec/proofs.md, slowly, with plain integers, hashlib, hmac and pycryptodome's
AES: nothing of assay is imported, and no transform is used where a sum does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES

VECTORS = Path(__file__).parent

P = 2**64 - 2**32 + 1
GENERATOR = 7
R, PLACES = 4, 64  # points, places of bits

Poly = list[int]


class Stream:
    def __init__(self, seed: bytes, purpose: str) -> None:
        info = b"assay/1 proof stream\0" + purpose.encode()
        key = hmac.new(seed, info + b"\x01", hashlib.sha256).digest()
        self.aes = AES.new(key, AES.MODE_CTR, nonce=bytes(12), initial_value=2)

    def take(self, count: int) -> bytes:
        return self.aes.encrypt(bytes(count))

    def below(self, limit: int) -> int:
        while True:
            word = int.from_bytes(self.take(8), "little")
            if word < limit:
                return word


def root(order: int) -> int:
    return pow(GENERATOR, (P - 1) // order, P)


def value(poly: Poly, x: int) -> int:
    return sum(c * pow(x, i, P) for i, c in enumerate(poly)) % P


def times(a: Poly, b: Poly) -> Poly:
    found = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            found[i + j] = (found[i + j] + x * y) % P
    return found


def plus(a: Poly, b: Poly) -> Poly:
    size = max(len(a), len(b))
    return [((a[i] if i < len(a) else 0) + (b[i] if i < len(b) else 0)) % P for i in range(size)]


def through(values: list[int]) -> Poly:
    """The polynomial that has these values at the roots of unity, in their order."""
    size = len(values)
    w = root(size)
    return [
        sum(v * pow(w, -i * k, P) for k, v in enumerate(values)) * pow(size, -1, P) % P
        for i in range(size)
    ]


def blinded(values: list[int], blinders: list[int]) -> Poly:
    size = len(values)
    vanishing = [P - 1] + [0] * (size - 1) + [1]
    return plus(through(values), times(vanishing, blinders))


class Case:
    def __init__(self, values: int, bound: int, members: int, threshold: int, corrupt: int) -> None:
        self.terms = (values, bound, members, threshold, corrupt)
        self.values, self.bound, self.members, self.threshold, _ = self.terms
        self.length = min(
            (2**k for k in range(3, 13)), key=lambda m: 8 * math.ceil(values / m) + 2 * m
        )
        self.wires = math.ceil(values / self.length)
        self.bits = (bound * bound).bit_length()
        self.weights = [2**i for i in range(self.bits - 1)]
        self.weights.append(bound * bound - sum(self.weights))
        sets = math.comb(members, threshold)
        self.rows = math.ceil((80 + 48 + 2 + math.ceil(math.log2(sets))) / 8) * 8
        self.tail = 8 * bound
        self.spread = 128 * self.tail
        self.window = self.spread - self.tail

    def rows_of(self, vector: list[int]) -> list[list[int]]:
        padded = [*vector, *[0] * (self.wires * self.length - self.values)]
        return [padded[self.length * j : self.length * (j + 1)] for j in range(self.wires)]

    def bits_of(self, squared: int) -> list[int]:
        low = sum(self.weights[:-1])
        last = int(squared > low)
        rest = squared - last * self.weights[-1]
        return [rest >> i & 1 for i in range(self.bits - 1)] + [last]

    def head(
        self,
        vector: list[int],
        bits: list[int],
        stream: Stream,
        spoil: Callable[[Poly], Poly] = lambda squares: squares,
    ) -> list[int]:
        """A piece's secrets up to its masks; `spoil` is a cheat's hand on the squares."""
        u = [stream.below(P) for _ in range(R * self.wires)]
        v = [stream.below(P) for _ in range(R)]
        squares: Poly = []
        for j, row in enumerate(self.rows_of([x % P for x in vector])):
            wire = blinded(row, u[R * j : R * (j + 1)])
            squares = plus(squares, times(wire, wire))
        f = blinded([*bits, *[0] * (PLACES - self.bits)], v)
        g = plus(times(f, f), [-c % P for c in f])
        quotient = [0] * (PLACES + 2 * R - 1)
        for i in reversed(range(len(quotient))):
            above = quotient[i + PLACES] if i + PLACES < len(quotient) else 0
            quotient[i] = (g[i + PLACES] + above) % P
        return [
            *[x % P for x in vector],
            *u,
            *[b % P for b in bits],
            *v,
            *spoil(squares),
            *quotient,
        ]

    def shares(self, secrets: list[int], stream: Stream) -> list[list[int]]:
        degrees = [[stream.below(P) for _ in secrets] for _ in range(self.threshold - 1)]
        return [
            [value([secret, *[row[i] for row in degrees]], x) for i, secret in enumerate(secrets)]
            for x in range(1, self.members + 1)
        ]

    def commitments(self, binding: bytes, pieces: list[list[int]]) -> bytes:
        found = b""
        for position, piece in enumerate(pieces):
            head, masks = encode(piece[: -self.rows]), encode(piece[-self.rows :])
            found += hashlib.sha256(
                b"assay/1 proof piece\0"
                + binding
                + struct.pack(">I", position)
                + hashlib.sha256(head).digest()
                + masks
            ).digest()
        return found

    def seed(self, binding: bytes, commitments: bytes) -> bytes:
        tag = b"assay/1 proof challenge\0"
        return hashlib.sha256(
            tag + struct.pack(">IIBBB", *self.terms) + binding + commitments
        ).digest()

    def points(self, seed: bytes) -> list[int]:
        stream, found = Stream(seed, "points"), []
        while len(found) < R:
            r = stream.below(P)
            if 1 not in (pow(r, self.length, P), pow(r, PLACES, P)) and r not in found:
                found.append(r)
        return found

    def projections(self, seed: bytes, vector: list[int]) -> list[int]:
        stream, found = Stream(seed, "projections"), [0] * self.rows
        for x in vector:
            a, b = stream.take(self.rows // 8), stream.take(self.rows // 8)
            for row in range(self.rows):
                shift = 7 - row % 8
                found[row] += x * ((a[row // 8] >> shift & 1) - (b[row // 8] >> shift & 1))
        return found

    def word(self, seed: bytes, piece: list[int]) -> list[int]:
        rest = list(piece)

        def next_of(count: int) -> list[int]:
            taken = rest[:count]
            del rest[:count]
            return taken

        vector, u = next_of(self.values), next_of(R * self.wires)
        bits, v = next_of(self.bits), next_of(R)
        squares = next_of(2 * self.length + 2 * R - 1)
        quotient, masks = next_of(PLACES + 2 * R - 1), rest
        rows = self.rows_of(vector)
        wires = [blinded(row, u[R * j : R * (j + 1)]) for j, row in enumerate(rows)]
        f = blinded([*bits, *[0] * (PLACES - self.bits)], v)
        found = []
        for r in self.points(seed):
            found += [value(wire, r) for wire in wires]
            found += [value(squares, r), value(f, r), value(quotient, r)]
        sums = self.length * (squares[0] + squares[self.length] + squares[2 * self.length])
        found.append((sums - sum(w * b for w, b in zip(self.weights, bits, strict=True))) % P)
        projected = self.projections(seed, vector)
        return found + [(y + g) % P for y, g in zip(projected, masks, strict=True)]

    def deal(
        self,
        vector: list[int],
        head: list[int],
        binding: bytes,
        stream: Stream,
        honest: bool = True,
    ) -> dict[str, Any]:
        """Pieces, commitments and words, and the seeds of all masks that were tried."""
        shares = self.shares(head, stream)
        seeds = []
        while True:
            seeds.append(hashlib.sha256(binding + bytes([len(seeds)])).digest())
            masks = Stream(seeds[-1], "masks")
            width = 2 * self.spread + 1
            hidden = [
                masks.below(2**64 // width * width) % width - self.spread for _ in range(self.rows)
            ]
            tails = self.shares([g % P for g in hidden], masks)
            pieces = [a + b for a, b in zip(shares, tails, strict=True)]
            commitments = self.commitments(binding, pieces)
            seed = self.seed(binding, commitments)
            projected = self.projections(seed, vector)
            fits = all(abs(y) <= self.tail for y in projected) and all(
                abs(y + g) <= self.window for y, g in zip(projected, hidden, strict=True)
            )
            if fits or not honest:
                words = [encode(self.word(seed, piece)) for piece in pieces]
                return {
                    "pieces": pieces,
                    "commitments": commitments,
                    "words": words,
                    "seeds": seeds,
                    "challenge": seed,
                }


def encode(numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def hexes(parts: list[bytes]) -> list[str]:
    return [part.hex() for part in parts]


def terms(case: Case) -> dict[str, int]:
    names = ("values", "bound", "members", "threshold", "corrupt")
    return dict(zip(names, case.terms, strict=True))


def honest(case: Case, vector: list[int], label: int, in_full: bool) -> dict[str, Any]:
    seed, binding = bytes([label]) * 32, bytes([label + 1]) * 32
    stream = Stream(seed, "shares")
    head = case.head(vector, case.bits_of(sum(x * x for x in vector)), stream)
    dealing = case.deal(vector, head, binding, stream)
    sums = [encode([2 * x % P for x in piece[: case.values]]) for piece in dealing["pieces"]]
    return {
        "statement": terms(case),
        "length": case.length,
        "wires": case.wires,
        "bits": case.bits,
        "rows": case.rows,
        "integers": vector,
        "binding": binding.hex(),
        "entropy": hexes([seed, *dealing["seeds"]]),
        "pieces": hexes([encode(piece) for piece in dealing["pieces"]]) if in_full else None,
        "commitments": dealing["commitments"].hex(),
        "challenge": dealing["challenge"].hex(),
        "points": [str(point) for point in case.points(dealing["challenge"])],
        "words": hexes(dealing["words"]),
        "sums of two": hexes(sums) if in_full else None,
    }


def judged(
    case: Case, name: str, dealing: dict[str, Any], words: list[bytes | None], **expected: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "statement": terms(case),
        "binding": dealing["binding"].hex(),
        "commitments": dealing["commitments"].hex(),
        "words": [None if word is None else word.hex() for word in words],
        "differing": [],
        "liars": [],
        "reason": "",
        **expected,
    }


def cheat(
    case: Case,
    label: int,
    vector: list[int],
    bits: list[int],
    spoil: Callable[[Poly], Poly] = lambda squares: squares,
) -> dict[str, Any]:
    binding = bytes([label]) * 32
    stream = Stream(bytes([label + 1]) * 32, "shares")
    head = case.head(vector, bits, stream, spoil)
    return {**case.deal(vector, head, binding, stream, honest=False), "binding": binding}


def verdicts() -> list[dict[str, Any]]:
    case = Case(20, 30, 5, 3, 0)
    wide = Case(20, 30, 7, 5, 1)
    vector = [(-1) ** i * (i % 8) for i in range(20)]
    squared = sum(x * x for x in vector)
    found = []

    def good(case: Case, label: int) -> dict[str, Any]:
        binding = bytes([label]) * 32
        stream = Stream(bytes([label + 1]) * 32, "shares")
        head = case.head(vector, case.bits_of(squared), stream)
        return {**case.deal(vector, head, binding, stream), "binding": binding}

    dealing = good(wide, 40)
    words = dealing["words"]
    spoiled = encode([(struct.unpack("<Q", words[2][:8])[0] + 1) % P]) + words[2][8:]
    lied = [*words[:2], spoiled, *words[3:]]
    found.append(judged(wide, "all honest", dealing, words, outcome="passed"))
    found.append(judged(wide, "one lies", dealing, lied, outcome="passed", differing=[2]))
    out = (P).to_bytes(8, "little") + words[4][8:]
    found.append(
        judged(
            wide,
            "a word out of the field, another cut off",
            dealing,
            [words[0][:-1], *words[1:4], out, *words[5:]],
            outcome="open",
            liars=[0, 4],
            reason="5 words, 6 are needed",
        )
    )
    found.append(
        judged(
            wide,
            "one lies, and one is silent",
            dealing,
            [None, *lied[1:]],
            outcome="open",
            reason="6 words contradict each other, 7 are needed to tell who is wrong",
        )
    )
    pieces = [list(piece) for piece in dealing["pieces"]]
    for position, piece in enumerate(pieces):
        piece[0] = (piece[0] + pow(position + 1, wide.threshold, P)) % P
    commitments = wide.commitments(dealing["binding"], pieces)
    seed = wide.seed(dealing["binding"], commitments)
    found.append(
        judged(
            wide,
            "shares of a higher degree",
            {**dealing, "commitments": commitments},
            [encode(wide.word(seed, piece)) for piece in pieces],
            outcome="failed",
            reason="its shares lie on no polynomial of the degree",
        )
    )
    one_over = [30, 1, *[0] * 18]
    full = case.bits_of(900)
    over = cheat(case, 60, one_over, full)
    found.append(
        judged(
            case,
            "a squared norm of bound^2 + 1",
            over,
            over["words"],
            outcome="failed",
            reason="the squares do not sum up to what the bits say",
        )
    )
    hidden = cheat(
        case, 62, one_over, full, lambda s: [(s[0] - pow(case.length, -1, P)) % P, *s[1:]]
    )
    found.append(
        judged(
            case,
            "the same, with squares that sum up",
            hidden,
            hidden["words"],
            outcome="failed",
            reason="the squares are not those of the vector",
        )
    )
    # The first bit counts 1, so that 2 there makes the sum right.
    two = cheat(case, 64, one_over, [2, *full[1:]])
    found.append(
        judged(
            case,
            "the same, with a bit that is 2",
            two,
            two["words"],
            outcome="failed",
            reason="a bit is neither 0 nor 1",
        )
    )
    # A root of -1 has the square -1: with 2^2 the sum is 3, modulo p.
    wraps = cheat(case, 66, [pow(GENERATOR, (P - 1) // 4, P), 2, *[0] * 18], case.bits_of(3))
    found.append(
        judged(
            case,
            "a vector that wraps around",
            wraps,
            wraps["words"],
            outcome="failed",
            reason="a projection is out of its window",
        )
    )
    return found


def main() -> None:
    case = Case(20, 30, 5, 4, 1)
    first = honest(case, [(-1) ** i * (i % 8) for i in range(20)], 1, in_full=True)
    wide = Case(70, 40_000, 8, 5, 1)
    second = honest(wide, [(-3) ** (i % 8) + i for i in range(70)], 20, in_full=False)
    content = {"proofs": [first, second], "verdicts": verdicts()}
    (VECTORS / "proofs.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
