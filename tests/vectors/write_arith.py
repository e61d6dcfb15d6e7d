"""Writes tests/vectors/arith/: run by hand when a format changes, from the repository's root.

Everything is computed by phe, hashlib, struct and plain integers, by the words of
docs/spec/arithmetic.md: assay's own arithmetic is not imported, so that the vectors hold it to
something outside itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from pathlib import Path

from phe.paillier import PaillierPublicKey, generate_paillier_keypair
from phe.util import is_prime

#: Who made the batches: any 32 bytes, for the format.
MAKER = hashlib.sha256(b"maker").digest()

VECTORS = Path(__file__).parent / "arith"


def hexed(number: int) -> str:
    return hex(number)


def paillier() -> dict:
    random.seed(1)
    cases = []
    for bits in (256, 512, 2048):
        public, private = generate_paillier_keypair(n_length=bits)
        n, size = public.n, bits // 8
        encryptions = []
        for plaintext in (0, 1, -1, n // 2, -(n // 2), random.randrange(n // 2)):
            r = random.randrange(2, n)
            ciphertext = public.raw_encrypt(plaintext % n, r_value=r)
            encryptions.append(
                {"plaintext": hexed(plaintext), "r": hexed(r), "ciphertext": hexed(ciphertext)}
            )
        first, second = (int(case["ciphertext"], 16) for case in encryptions[1:3])
        header = b"assay" + struct.pack(">BBHI", 1, 0, bits, len(encryptions)) + MAKER
        body = b"".join(
            int(case["ciphertext"], 16).to_bytes(bits // 4, "big") for case in encryptions
        )
        cases.append(
            {
                "bits": bits,
                "n": n.to_bytes(size, "big").hex(),
                "private": (
                    private.p.to_bytes(size // 2, "big") + private.q.to_bytes(size // 2, "big")
                ).hex(),
                "encryptions": encryptions,
                "sum_of_1_and_2": hexed(first * second % (n * n)),
                "maker": MAKER.hex(),
                "batch": (header + body).hex(),
            }
        )
    return {"keys": cases}


def short_order() -> dict:
    """Ma, Han and Lei's keys: p = 2us + 1, q = 2vt + 1, h = -y^(2st), and h_n^r as obfuscator."""
    random.seed(4)
    cases = []
    for bits, exponent_bits in ((256, 64), (512, 128), (2048, 448)):
        half, order = bits // 2, exponent_bits // 2

        def prime(length: int) -> int:
            while not is_prime(found := random.getrandbits(length) | 7 << (length - 3) | 1):
                pass
            return found

        def factor(half: int = half, order: int = order) -> tuple[int, int, int]:
            s = prime(half - order - 1)
            while not is_prime(2 * (u := prime(order)) * s + 1):
                pass
            return 2 * u * s + 1, u, s

        (p, u, s), (q, v, t) = sorted((factor(), factor()))
        n, size = p * q, bits // 8
        base = -pow(random.randrange(2, n), 2 * s * t, n) % n
        encryptions = []
        for plaintext in (0, 1, -1, n // 2, -(n // 2), random.randrange(n // 2)):
            r = random.getrandbits(exponent_bits)
            rho = pow(pow(base, n, n * n), r, n * n)
            ciphertext = (1 + plaintext * n) * rho % (n * n)
            encryptions.append(
                {"plaintext": hexed(plaintext), "r": hexed(r), "ciphertext": hexed(ciphertext)}
            )
        private = struct.pack(">BH", 1, bits) + b"".join(
            number.to_bytes(length // 8, "big")
            for number, length in ((p, half), (q, half), (u, order), (v, order), (base, bits))
        )
        cases.append(
            {
                "bits": bits,
                "exponent_bits": exponent_bits,
                "n": n.to_bytes(size, "big").hex(),
                "base": base.to_bytes(size, "big").hex(),
                "private": private.hex(),
                "encryptions": encryptions,
            }
        )
    return {"keys": cases, "refused_bases": refused_bases(cases[1])}


def refused_bases(case: dict) -> list[dict]:
    """Bases that no owner may use with the modulus of `case`, with the words of each refusal."""
    n, private = int(case["n"], 16), bytes.fromhex(case["private"])
    p, q = (int.from_bytes(private[at : at + 32], "big") for at in (3, 35))
    h, size = int(case["base"], 16), case["bits"] // 8
    tiny = (-q * pow(q, -1, p) + h * p * pow(p, -1, q)) % n  # -1 modulo p, h modulo q
    return [
        {"base": base.to_bytes(size, "big").hex(), "says": says}
        for base, says in (
            (0, "outside"),
            (1, "outside"),
            (n - 1, "outside"),
            (n, "outside"),
            (p, "no unit"),
            (3 * q, "no unit"),
            ((q * pow(q, -1, p) - p * pow(p, -1, q)) % n, "Jacobi"),
            (tiny, "tiny order"),
        )
    ]


def refused() -> dict:
    """Batches of two ciphertexts of one key, each with the words that its refusal must hold."""
    random.seed(2)
    public, private = generate_paillier_keypair(n_length=256)
    n = public.n
    good = [PaillierPublicKey(n).raw_encrypt(5, r_value=random.randrange(2, n)) for _ in range(2)]

    def batch(
        ciphertexts: list[int],
        magic: bytes = b"assay",
        version: int = 1,
        kind: int = 0,
        bits: int = 256,
        count: int = 2,
        maker: bytes = MAKER,
    ) -> str:
        body = b"".join(c.to_bytes(64, "big") for c in ciphertexts)
        return (magic + struct.pack(">BBHI", version, kind, bits, count) + maker + body).hex()

    return {
        "n": n.to_bytes(32, "big").hex(),
        "count": 2,
        "maker": MAKER.hex(),
        "accepted": batch(good),
        "refused": [
            {"batch": batch(good)[:-2], "says": "172 bytes"},
            {"batch": batch(good) + "00", "says": "174 bytes"},
            {"batch": batch([*good, good[0]], count=3), "says": "237 bytes"},
            {"batch": batch(good, magic=b"Assay"), "says": "does not begin"},
            {"batch": batch(good, version=2), "says": "version 2"},
            {"batch": batch(good, kind=1), "says": "kind 1"},
            {"batch": batch(good, maker=bytes(32)), "says": "the maker 0000"},
            {"batch": batch(good, bits=512), "says": "512 bits"},
            {"batch": batch(good, count=3), "says": "3 numbers"},
            {"batch": batch([good[0], 0]), "says": "ciphertext 1 lies outside"},
            {"batch": batch([n * n, good[1]]), "says": "ciphertext 0 lies outside"},
            {"batch": batch([good[0], n]), "says": "ciphertext 1 is no unit"},
            {"batch": batch([private.p, good[1]]), "says": "ciphertext 0 is no unit"},
        ],
    }


def lanes() -> list[dict]:
    random.seed(3)
    cases = []
    for value_bits, summands, key_bits in (
        (16, 32, 3072),
        (16, 5, 3072),
        (8, 1, 256),
        (32, 4096, 512),
        (4, 3, 256),
    ):
        width = value_bits + math.ceil(math.log2(summands))
        per = (key_bits - 2) // width
        top = 2 ** (value_bits - 1) - 1
        values = [top, -top, 0, 1, -1]
        values += [random.randint(-top, top) for _ in range(per)]
        plaintexts = [
            sum(v * 2 ** (width * i) for i, v in enumerate(values[start : start + per]))
            for start in range(0, len(values), per)
        ]
        cases.append(
            {
                "value_bits": value_bits,
                "summands": summands,
                "key_bits": key_bits,
                "width": width,
                "lanes": per,
                "values": values,
                "plaintexts": [hexed(plaintext) for plaintext in plaintexts],
            }
        )
    return cases


def vectors() -> dict:
    """Dense weights as the specification draws them, and the bytes of some vectors."""
    seed = bytes(range(32))
    inputs, hidden, outputs = 3, 4, 2
    weights: list[float] = []
    for layer, (fan_in, fan_out) in enumerate([(inputs, hidden), (hidden, outputs)]):
        stream = hashlib.shake_256(f"assay/initial/{layer}\0".encode() + seed).digest(
            8 * fan_in * fan_out
        )
        for (word,) in struct.iter_unpack("<Q", stream):
            uniform = (word >> 11) * 2.0**-53
            weights.append((2.0 * uniform - 1.0) * math.sqrt(6.0 / fan_in))
        weights += [0.0] * fan_out
    encodings = []
    for kind, floats in ((1, weights), (1, []), (2, [0.5, -1e300]), (3, [5e-324])):
        blob = b"assay" + struct.pack(">BBBQ", 1, kind, 0, len(floats))
        blob += b"".join(struct.pack("<d", value) for value in floats)
        encodings.append(
            {
                "kind": kind,
                "values": [value.hex() for value in floats],
                "bytes": blob.hex(),
                "sha256": hashlib.sha256(blob).hexdigest(),
            }
        )
    return {
        "initial": {
            "family": "dense",
            "inputs": inputs,
            "hidden": hidden,
            "outputs": outputs,
            "seed": seed.hex(),
            "bytes": encodings[0]["bytes"],
        },
        "encodings": encodings,
    }


if __name__ == "__main__":
    VECTORS.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("paillier", paillier()),
        ("short_order", short_order()),
        ("batches", refused()),
        ("lanes", lanes()),
        ("vectors", vectors()),
    ):
        (VECTORS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
