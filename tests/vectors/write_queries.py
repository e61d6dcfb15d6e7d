"""Writes tests/vectors/arith/queries.json: run by hand when the format changes, from the
repository's root.

hashlib and plain integers, secp256k1 among them, by the words of docs/spec/queries.md; assay is not
imported.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from pathlib import Path

from phe.util import is_prime

TARGET = Path(__file__).parent / "arith" / "queries.json"

SLACK = 40
MAKER = bytes(range(32))
SELLER, BUYER = b"\x11" * 32, b"\x22" * 32

# SEC 2, section 2.4.1.
FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def plus(a: tuple | None, b: tuple | None) -> tuple | None:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % FIELD == 0:
            return None
        slope = 3 * a[0] ** 2 * pow(2 * a[1], -1, FIELD) % FIELD
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, FIELD) % FIELD
    x = (slope**2 - a[0] - b[0]) % FIELD
    return x, (slope * (a[0] - x) - a[1]) % FIELD


def times(k: int, a: tuple) -> tuple | None:
    total = None
    while k:
        total = plus(total, a) if k & 1 else total
        a, k = plus(a, a), k >> 1
    return total


def minus(a: tuple) -> tuple:
    return a[0], FIELD - a[1]


def packed(a: tuple) -> bytes:
    return bytes([2 + (a[1] & 1)]) + a[0].to_bytes(32, "big")


class Stream:
    """'Randomness' in arithmetic.md: bytes that a seed determines, call by call."""

    def __init__(self, seed: bytes, purpose: str) -> None:
        self.start, self.calls = b"assay/" + purpose.encode() + b"\0" + seed, 0

    def bytes(self, count: int) -> bytes:
        self.calls += 1
        number = struct.pack(">I", self.calls - 1)
        return hashlib.shake_256(self.start + number).digest(count)

    def below(self, bound: int) -> int:
        bits = (bound - 1).bit_length()
        size = math.ceil(bits / 8)
        while True:
            value = int.from_bytes(self.bytes(size), "big") >> (8 * size - bits)
            if value < bound:
                return value

    def unit(self, n: int) -> int:
        while math.gcd(found := self.below(n), n) != 1:
            pass
        return found


def bound(seed: bytes, sent: bytes) -> bytes:
    return hashlib.sha256(seed + sent).digest()


def layout(p: int, classes: int, feature_bits: int, sum_bits: int, bits: int, mode: str) -> dict:
    feature_max, sum_max = 2 ** (feature_bits - 1) - 1, 2**sum_bits - 1
    score_bits = (2 * feature_max * sum_max).bit_length()
    width = score_bits + (SLACK if mode == "label" else 0)
    lanes = (bits - 1 - SLACK) // width
    per_group = min(classes, lanes)
    return {
        "features": p,
        "classes": classes,
        "feature_bits": feature_bits,
        "sum_bits": sum_bits,
        "key_bits": bits,
        "mode": mode,
        "bound": feature_max * sum_max,
        "score_bits": score_bits,
        "width": width,
        "lanes": lanes,
        "per_group": per_group,
        "groups": math.ceil(classes / per_group),
    }


def prime(bits: int) -> int:
    while not is_prime(found := random.getrandbits(bits) | 3 << (bits - 2) | 3):
        pass
    return found


def batch(kind: int, bits: int, numbers: list[int]) -> bytes:
    header = b"assay" + struct.pack(">BBHI", 1, kind, bits, len(numbers)) + MAKER
    return header + b"".join(number.to_bytes(bits // 4, "big") for number in numbers)


def model(told: dict) -> tuple[list[list[int]], list[int]]:
    most = (2 ** told["sum_bits"] - 1) // (told["features"] + 1)
    rows = [
        [random.randint(-most, most) for _ in range(told["features"])]
        for _ in range(told["classes"])
    ]
    return rows, [random.randint(-most, most) for _ in range(told["classes"])]


def answered(told: dict, n: int, query: list[int], rows: list, bias: list, masks, stream) -> bytes:
    numbers, feature_max = [], 2 ** (told["feature_bits"] - 1) - 1
    a, w = told["per_group"], told["width"]
    for group, mask in enumerate(masks):
        number, plain = 1, mask
        for lane, c in enumerate(range(group * a, min((group + 1) * a, told["classes"]))):
            for ciphertext, weight in zip(query, rows[c], strict=True):
                number = number * pow(ciphertext, weight << w * lane, n * n) % (n * n)
            plain += (bias[c] * feature_max + told["bound"]) << w * lane
        number = number * (1 + plain % n * n) * pow(stream.unit(n), n, n * n) % (n * n)
        numbers.append(number)
    return batch(6, told["key_bits"], numbers)


def cleared(told: dict, mask: int, group: int) -> int:
    a = told["per_group"]
    for lane in range(min(a, told["classes"] - group * a)):
        mask &= ~((2 ** told["score_bits"] - 1) << told["width"] * lane)
    return mask


class Gates:
    """The garbler: labels for 0, and tables."""

    def __init__(self, name: bytes, stream: Stream) -> None:
        self.name, self.stream, self.tables, self.count = name, stream, b"", 0
        self.offset = self.fresh() | 1

    def fresh(self) -> int:
        return int.from_bytes(self.stream.bytes(16), "big")

    def hash(self, label: int) -> int:
        data = b"assay/1 query gate\0" + self.name + struct.pack(">I", self.count)
        return int.from_bytes(hashlib.sha256(data + label.to_bytes(16, "big")).digest()[:16], "big")

    def both(self, a: int, b: int) -> int:
        offset = self.offset
        one = self.hash(a)
        garbler = one ^ self.hash(a ^ offset) ^ (b & 1) * offset
        self.count += 1
        two = self.hash(b)
        evaluator = two ^ self.hash(b ^ offset) ^ a
        self.count += 1
        self.tables += garbler.to_bytes(16, "big") + evaluator.to_bytes(16, "big")
        return one ^ (a & 1) * garbler ^ two ^ (b & 1) * (evaluator ^ a)

    def turned(self, a: int, bit: int) -> int:
        return a ^ bit * self.offset


def circuit(told: dict, gates: Gates, zero: int, wires: list, blinding: list) -> list[int]:
    bits, classes = told["score_bits"], told["classes"]
    entries = []
    for c in range(classes):
        borrow, value = zero, []
        for i in range(bits):
            wire, mask = wires[c * bits + i], blinding[c * bits + i]
            value.append(gates.turned(wire ^ borrow, mask))
            if i < bits - 1:
                first, second = gates.turned(wire ^ borrow, 1), gates.turned(borrow, mask)
                borrow ^= gates.both(first, second)
        number = [gates.turned(zero, c >> i & 1) for i in range((classes - 1).bit_length())]
        entries.append((value, number))
    while len(entries) > 1:
        after = []
        for i in range(0, len(entries) - 1, 2):
            (left, name), (right, other) = entries[i : i + 2]
            wins = zero
            for x, y in zip(right, left, strict=True):
                wins = x ^ gates.both(x ^ wins, y ^ wins)
            value = []
            if len(entries) > 2:
                value = [x ^ gates.both(wins, x ^ y) for x, y in zip(left, right, strict=True)]
            number = [x ^ gates.both(wins, x ^ y) for x, y in zip(name, other, strict=True)]
            after.append((value, number))
        entries = after + (entries[-1:] if len(entries) % 2 else [])
    return entries[0][1]


def low_bits(told: dict, numbers: list[int]) -> list[int]:
    return [
        numbers[c // told["per_group"]] >> told["width"] * (c % told["per_group"]) + i & 1
        for c in range(told["classes"])
        for i in range(told["score_bits"])
    ]


def exchange(told: dict) -> dict:
    bits = told["key_bits"]
    while True:
        p, q = sorted((prime(bits // 2), prime(bits // 2)))
        n, phi = p * q, (p - 1) * (q - 1)
        if n.bit_length() == bits and math.gcd(n, phi) == 1:
            break
    rows, bias = model(told)
    feature_max = 2 ** (told["feature_bits"] - 1) - 1
    features = [random.randint(-feature_max, feature_max) for _ in range(told["features"])]
    query = [(1 + x % n * n) * pow(random.randrange(2, n), n, n * n) % (n * n) for x in features]
    asked = batch(5, bits, query)
    scores = [
        sum(x * w for x, w in zip(features, row, strict=True)) + feature_max * b
        for row, b in zip(rows, bias, strict=True)
    ]
    half = bits // 16
    found = {
        "layout": told,
        "private": (p.to_bytes(half, "big") + q.to_bytes(half, "big")).hex(),
        "matrix": rows,
        "bias": bias,
        "features": features,
        "maker": MAKER.hex(),
        "seller": SELLER.hex(),
        "buyer": BUYER.hex(),
        "query": asked.hex(),
        "scores": scores,
    }
    groups = told["groups"]
    if told["mode"] == "scores":
        stream = Stream(bound(SELLER, asked), "query scores")
        free = n - 2 ** (told["width"] * told["per_group"])
        masks = [cleared(told, stream.below(free), group) for group in range(groups)]
        reply = answered(told, n, query, rows, bias, masks, stream)
        return found | {"answer": reply.hex()}
    seed = bound(SELLER, hashlib.sha256(asked).digest())
    blinding = Stream(seed, "query blinding")
    masks = [blinding.below(n) for _ in range(groups)]
    reply = answered(told, n, query, rows, bias, masks, Stream(seed, "query mask"))
    transfer = Stream(seed, "query transfer")
    exponent, logarithm = (1 + transfer.below(ORDER - 1) for _ in range(2))
    other, base = times(logarithm, BASE), times(exponent, BASE)
    masked = reply + packed(other) + packed(base)
    # The buyer's bits: what the masked scores decrypt to.
    opened, a, w = [], told["per_group"], told["width"]
    for group, mask in enumerate(masks):
        held = range(group * a, min((group + 1) * a, told["classes"]))
        value = sum((scores[c] + told["bound"]) << w * lane for lane, c in enumerate(held))
        opened.append((value + mask) % n)
    chosen = low_bits(told, opened)
    stream = Stream(bound(BUYER, masked), "query choices")
    points = []
    for bit in chosen:
        own = times(1 + stream.below(ORDER - 1), BASE)
        points.append(plus(other, minus(own)) if bit else own)
    choices = b"".join(packed(each) for each in points)
    shape = f"{told['classes']} {told['score_bits']} {bits}".encode()
    name = hashlib.sha256(b"assay/1 query\0" + MAKER + shape).digest()
    gates = Gates(name, Stream(bound(seed, choices), "query circuit"))
    zero = gates.fresh()
    wires = [gates.fresh() for _ in chosen]
    outputs = circuit(told, gates, zero, wires, low_bits(told, masks))
    parts = [zero.to_bytes(16, "big")]
    for place, wire in enumerate(outputs):
        for label in (wire, wire ^ gates.offset):
            data = b"assay/1 query output\0" + name + struct.pack(">I", place)
            parts.append(hashlib.sha256(data + label.to_bytes(16, "big")).digest()[:16])
    whole = times(exponent, other)
    for index, (wire, chosen_point) in enumerate(zip(wires, points, strict=True)):
        first = times(exponent, chosen_point)
        for bit, shared in enumerate((first, plus(whole, minus(first)))):
            data = b"assay/1 query transfer\0" + name + struct.pack(">IB", index, bit)
            pad = hashlib.sha256(data + packed(shared)).digest()[:16]
            label = gates.turned(wire, bit) ^ int.from_bytes(pad, "big")
            parts.append(label.to_bytes(16, "big"))
    made = b"".join(parts) + gates.tables
    return found | {
        "masked": masked.hex(),
        "choices": choices.hex(),
        "circuit": made.hex(),
        "label": scores.index(max(scores)),
    }


def main() -> None:
    random.seed(15)
    shapes = [
        (384, 10, 16, 24, 3072),
        (1024, 256, 16, 28, 2048),
        (1, 2, 4, 16, 512),
        (30, 100, 12, 20, 4096),
    ]
    vectors = {
        "layouts": [layout(*shape, mode) for shape in shapes for mode in ("scores", "label")],
        "exchanges": [
            exchange(layout(3, 4, 8, 16, 256, "scores")),
            exchange(layout(2, 12, 8, 16, 256, "scores")),
            exchange(layout(3, 3, 6, 16, 512, "label")),
            exchange(layout(2, 7, 4, 16, 256, "label")),
        ],
    }
    TARGET.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
