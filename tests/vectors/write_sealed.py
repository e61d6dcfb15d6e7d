"""Writes tests/vectors/arith/sealed.json: run by hand when a format changes.

By the words of docs/spec/sealed-ciphertexts.md, with phe, pycryptodome, struct and plain integers:
assay's own arithmetic is not imported.
"""

from __future__ import annotations

import json
import math
import random
import struct
from fractions import Fraction
from pathlib import Path

from Crypto.Cipher import ChaCha20_Poly1305
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from phe.paillier import PaillierPrivateKey, PaillierPublicKey
from phe.util import is_prime

VECTORS = Path(__file__).parent / "arith"

FRACTION = 16
LIMIT = 8.0


def prime(bits: int) -> int:
    while not is_prime(found := random.getrandbits(bits) | 3 << (bits - 2) | 3):
        pass
    return found


def layout(p: int, outputs: int, value_bits: int, key_bits: int, members: int) -> dict:
    weight_max = 2 ** (value_bits - 1) - 1
    row_max = 0  # the largest whole r <= sqrt(p) 2^F + p / 2
    for bit in reversed(range(40)):
        over = Fraction(row_max + 2**bit) - Fraction(p, 2)
        if over <= 0 or over**2 <= p * 4**FRACTION:
            row_max += 2**bit
    max_int = 2 * row_max * weight_max
    width = max_int.bit_length() + 1 + math.ceil(math.log2(members))
    lanes = (key_bits - 2) // width
    per_group = min(outputs, lanes)
    groups = math.ceil(outputs / per_group)
    rows_per_reply = lanes // per_group
    return {
        "features": p,
        "outputs": outputs,
        "value_bits": value_bits,
        "key_bits": key_bits,
        "members": members,
        "weight_max": weight_max,
        "row_max": row_max,
        "bound": row_max * weight_max,
        "max_int": max_int,
        "width": width,
        "lanes": lanes,
        "per_group": per_group,
        "groups": groups,
        "rows_per_reply": rows_per_reply,
        "model_ciphertexts": groups * p,
        "reply_ciphertexts": groups * math.ceil(p / rows_per_reply),
    }


def declared(told: dict) -> bytes:
    names = ("features", "outputs", "per_group", "groups", "width", "members", "value_bits")
    return struct.pack(">IIIIHHBB", *(told[name] for name in names), FRACTION) + bytes(10)


def header(kind: int, told: dict, count: int, last: bytes) -> bytes:
    return b"assay" + struct.pack(">BBHI", 1, kind, told["key_bits"], count) + last


def signed(number: int, n: int) -> int:
    return number - n if number > n // 2 else number


def round_of(told: dict) -> dict:
    """A model, one owner's reply to it, and what the reply's plaintexts hold under the masks."""
    p, outputs, w = told["features"], told["outputs"], told["width"]
    per, k = told["per_group"], told["rows_per_reply"]
    half = told["key_bits"] // 2
    first, second = sorted((prime(half), prime(half)))
    n = first * second
    assert n.bit_length() == told["key_bits"]
    assert math.gcd(n, (first - 1) * (second - 1)) == 1
    size, square = told["key_bits"] // 4, n * n
    public = PaillierPublicKey(n)
    private = PaillierPrivateKey(public, first, second)

    weights = [random.uniform(-LIMIT, LIMIT) for _ in range(p * outputs)]
    weights[:3] = [LIMIT, -LIMIT, 1.5 * LIMIT]
    top, unit = told["weight_max"], Fraction(LIMIT) / told["weight_max"]
    integers = [max(-top, min(top, round(Fraction(value) / unit))) for value in weights]

    def weight(j: int, c: int) -> int:
        return integers[j * outputs + c]

    of_group = [range(g * per, min((g + 1) * per, outputs)) for g in range(told["groups"])]
    noise = [random.randrange(2, n) for _ in range(told["model_ciphertexts"])]
    plain = [
        sum(weight(j, c) * 2 ** (w * (c - held[0])) for c in held)
        for held in of_group
        for j in range(p)
    ]
    model = [public.raw_encrypt(m % n, r_value=r) for m, r in zip(plain, noise, strict=True)]

    matrix = [[random.randint(-told["row_max"] // p, 0) for _ in range(p)] for _ in range(p)]
    matrix[0] = [-told["row_max"]] + [0] * (p - 1)
    bound = told["bound"]
    offset = [[random.randint(-bound, bound) for _ in range(outputs)] for _ in range(p)]
    offset[-1][-1] = bound
    masks = [random.randrange(n) for _ in range(told["reply_ciphertexts"])]
    blinders = [random.randrange(2, n) for _ in masks]
    values = [
        [sum(matrix[i][j] * weight(j, c) for j in range(p)) + offset[i][c] for c in range(outputs)]
        for i in range(p)
    ]
    numbers = []
    for g, held in enumerate(of_group):
        for start in range(0, p, k):
            rows = range(start, min(start + k, p))
            total = 1
            for i in rows:
                for j in range(p):
                    shift = 2 ** (w * per * (i % k))
                    total = total * pow(model[g * p + j], matrix[i][j] * shift, square) % square
            added = sum(
                offset[i][c] * 2 ** (w * (per * (i % k) + c - held[0])) for i in rows for c in held
            )
            at = len(numbers)
            total = total * (1 + (added + masks[at]) % n * n) % square
            total = total * pow(blinders[at], n, square) % square
            wanted = sum(
                values[i][c] * 2 ** (w * (per * (i % k) + c - held[0])) for i in rows for c in held
            )
            assert signed((private.raw_decrypt(total) - masks[at]) % n, n) == wanted
            numbers.append(total)
    maker = SHA256.new(b"maker").digest()
    return told | {
        "private": (first.to_bytes(half // 8, "big") + second.to_bytes(half // 8, "big")).hex(),
        "declared": declared(told).hex(),
        "weight_limit": LIMIT,
        "weights": [value.hex() for value in weights],
        "integers": integers,
        "clipped": 1,
        "r": [hex(r) for r in noise],
        "model": (
            header(4, told, len(model), declared(told))
            + b"".join(c.to_bytes(size, "big") for c in model)
        ).hex(),
        "matrix": matrix,
        "offset": offset,
        "masks": [hex(mask) for mask in masks],
        "u": [hex(u) for u in blinders],
        "maker": maker.hex(),
        "reply": (
            header(0, told, len(numbers), maker)
            + b"".join(c.to_bytes(size, "big") for c in numbers)
        ).hex(),
        "values": [value for row in values for value in row],
    }


def refused(case: dict) -> list[dict]:
    """Models that no owner takes, with the words that a refusal must hold."""
    good, size = bytes.fromhex(case["model"]), case["key_bits"] // 4
    head, parts = good[:45], [good[at : at + size] for at in range(45, len(good), size)]
    private = bytes.fromhex(case["private"])
    first, second = (
        int.from_bytes(private[at : at + len(private) // 2], "big") for at in (0, len(private) // 2)
    )
    n = first * second

    def told(at: int, what: bytes) -> bytes:
        return head[:at] + what + head[at + len(what) :] + b"".join(parts)

    def number(index: int, value: int) -> bytes:
        return head + b"".join([*parts[:index], value.to_bytes(size, "big"), *parts[index + 1 :]])

    return [
        {"model": model.hex(), "says": says}
        for model, says in (
            (good[:-size], "bytes"),
            (good + parts[0], "bytes"),
            (told(6, b"\0"), "kind 0"),
            (told(13 + 3, b"\1"), "features 1"),
            (told(13 + 7, b"\1"), "outputs 1"),
            (told(13 + 11, b"\1"), "per_group 1"),
            (told(13 + 15, b"\7"), "groups 7"),
            (told(13 + 17, b"\x20"), "width 32"),
            (told(13 + 19, b"\7"), "members 7"),
            (told(13 + 20, b"\5"), "value_bits 5"),
            (told(13 + 21, b"\x0f"), "fraction_bits 15"),
            (told(13 + 25, b"\1"), "does not end in zeros"),
            (number(1, 0), "ciphertext 1 lies outside"),
            (number(1, n * n), "ciphertext 1 lies outside"),
            (number(2, n), "ciphertext 2 is no unit"),
            (number(0, second), "ciphertext 0 is no unit"),
            (
                number(2, int.from_bytes(parts[1], "big")),
                "ciphertexts 1 and 2 are the same",
            ),
        )
    ]


def state(case: dict) -> dict:
    """The requester's own blob, with momentum, under the key of `case`."""
    salt, turn = bytes(range(32)), 3
    weights, momentum = [0.5, -1.25, 0.0], [1e-300, 2.0, -3.0]
    vectors = b"".join(
        b"assay" + struct.pack(">BBBQ", 1, kind, 0, 3) + struct.pack("<3d", *values)
        for kind, values in ((1, weights), (2, momentum))
    )
    start = b"assay" + struct.pack(">BB", 1, 16) + salt
    private = bytes.fromhex(case["private"])
    key = HKDF(private, 32, salt, SHA256, context=b"assay/1 sealed state\0")
    cipher = ChaCha20_Poly1305.new(key=key, nonce=bytes(12))
    cipher.update(start)
    body = b"".join(cipher.encrypt_and_digest(bytes([turn, 2]) + vectors))
    return {
        "private": case["private"],
        "salt": salt.hex(),
        "turn": turn,
        "weights": weights,
        "momentum": momentum,
        "bytes": (start + body).hex(),
    }


def main() -> None:
    random.seed(5)
    layouts = [layout(257, 10, 16, 3072, 6), layout(1024, 1000, 32, 7680, 63)]
    rounds = [
        round_of(layout(*told))
        for told in ((5, 2, 4, 256, 6), (3, 11, 4, 256, 5), (4, 3, 16, 512, 32))
    ]
    content = {
        "layouts": layouts,
        "rounds": rounds,
        "refused": refused(rounds[0]),
        "state": state(rounds[0]),
    }
    (VECTORS / "sealed.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
