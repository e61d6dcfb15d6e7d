"""The published vectors (tests/vectors/arith/), which write_arith.py made without assay."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from gmpy2 import mpz
from kits.paths import VECTORS
from phe.paillier import PaillierPublicKey

from protocol.arith import kernels
from protocol.arith.encoding.lanes import Lanes
from protocol.arith.learning.models import Model
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.arith.paillier.batch import decode_batch, encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, add, encrypt_with
from protocol.arith.paillier.obfuscation import Obfuscator
from protocol.errors import InputError, Malformed


def load(name: str):
    path = VECTORS / "arith" / f"{name}.json"
    return json.loads(path.read_text())


def number(text: str) -> int:
    return int(text, 16)


@pytest.mark.parametrize("case", load("paillier")["keys"], ids=lambda case: case["bits"])
def test_paillier(case: dict) -> None:
    public = PublicKey.from_bytes(bytes.fromhex(case["n"]))
    private = PrivateKey.from_bytes(bytes.fromhex(case["private"]))
    assert private.public == public
    assert public.bits == case["bits"]
    assert private.to_bytes().hex() == case["private"]
    ciphertexts = [number(entry["ciphertext"]) for entry in case["encryptions"]]
    plaintexts = [number(entry["plaintext"]) for entry in case["encryptions"]]
    assert private.decrypt(ciphertexts) == plaintexts
    for entry in case["encryptions"]:
        theirs = PaillierPublicKey(public.n).raw_encrypt(
            number(entry["plaintext"]) % public.n, r_value=number(entry["r"])
        )
        assert theirs == number(entry["ciphertext"])
    assert add(public, ciphertexts[1], ciphertexts[2]) == number(case["sum_of_1_and_2"])
    batch, maker = bytes.fromhex(case["batch"]), bytes.fromhex(case["maker"])
    assert encode_batch(public, ciphertexts, maker) == batch
    assert decode_batch(batch, public, len(ciphertexts), maker) == ciphertexts


@pytest.mark.parametrize("case", load("short_order")["keys"], ids=lambda case: case["bits"])
def test_short_order(case: dict) -> None:
    n, base = bytes.fromhex(case["n"]), bytes.fromhex(case["base"])
    public = PublicKey.from_bytes(n, base)
    private = PrivateKey.from_bytes(bytes.fromhex(case["private"]))
    assert private.public == public
    assert (public.bits, public.exponent_bits) == (case["bits"], case["exponent_bits"])
    assert private.to_bytes().hex() == case["private"]
    plaintexts = [number(entry["plaintext"]) for entry in case["encryptions"]]
    ciphertexts = [number(entry["ciphertext"]) for entry in case["encryptions"]]
    assert private.decrypt(ciphertexts) == plaintexts
    theirs = private.to_phe()
    assert [theirs.raw_decrypt(each) for each in ciphertexts] == [m % public.n for m in plaintexts]
    # ours, with their randomness
    for entry in case["encryptions"]:
        rho = pow(pow(public.base, public.n, public.n**2), number(entry["r"]), public.n**2)
        drawn = Obfuscator(mpz(rho % public.n), mpz(rho // public.n))
        made = encrypt_with(public, [number(entry["plaintext"])], [drawn])
        assert list(made) == [number(entry["ciphertext"])]


def test_bases_refused() -> None:
    vectors = load("short_order")
    n = bytes.fromhex(vectors["keys"][1]["n"])
    assert len(vectors["refused_bases"]) == 8
    for entry in vectors["refused_bases"]:
        with pytest.raises(InputError, match=entry["says"]) as caught:
            PublicKey.from_bytes(n, bytes.fromhex(entry["base"]))
        assert caught.value.field == "key.base"


def test_batches_accepted_and_refused() -> None:
    case = load("batches")
    public = PublicKey.from_bytes(bytes.fromhex(case["n"]))
    count, maker = case["count"], bytes.fromhex(case["maker"])
    decode_batch(bytes.fromhex(case["accepted"]), public, count, maker)
    assert len(case["refused"]) == 13
    for entry in case["refused"]:
        with pytest.raises(Malformed, match=entry["says"]):
            decode_batch(bytes.fromhex(entry["batch"]), public, count, maker)


@pytest.mark.parametrize("case", load("lanes"), ids=lambda case: case["width"])
def test_lanes(case: dict) -> None:
    layout = Lanes(case["value_bits"], case["summands"], case["key_bits"])
    assert (layout.width, layout.lanes_per_ciphertext) == (case["width"], case["lanes"])
    plaintexts = [number(plaintext) for plaintext in case["plaintexts"]]
    assert layout.pack(np.array(case["values"], dtype=np.int64)) == plaintexts
    assert layout.unpack(plaintexts, len(case["values"])).tolist() == case["values"]


def test_float_vectors() -> None:
    case = load("vectors")
    for entry in case["encodings"]:
        values = np.array([float.fromhex(value) for value in entry["values"]])
        blob = encode_vector(Kind(entry["kind"]), values)
        assert blob.hex() == entry["bytes"]
        assert hashlib.sha256(blob).hexdigest() == entry["sha256"]
        back = decode_vector(Kind(entry["kind"]), blob, len(values))
        np.testing.assert_array_equal(back, values)
    start = case["initial"]
    model = Model(start["family"], start["inputs"], start["outputs"], start["hidden"])
    made = kernels.initial_model(model, bytes.fromhex(start["seed"]))
    assert made.hex() == start["bytes"]
