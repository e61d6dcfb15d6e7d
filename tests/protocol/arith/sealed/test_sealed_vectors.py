"""tests/vectors/arith/sealed.json, which write_sealed.py made without assay."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gmpy2 import mpz
from kits import paths

from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.sealed import SealedLanes
from protocol.arith.numbers.shape import Kind
from protocol.arith.paillier.batch import decode_batch, encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt_with
from protocol.arith.paillier.obfuscation import Obfuscator
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.sealed.state import State, open_state, seal_state
from protocol.arith.secagg.masks import Binding, Residues
from protocol.arith.secagg.sharing import Secrets
from protocol.errors import Malformed
from protocol.layout.sealed import SealedLayout

PATH = paths.VECTORS / "arith" / "sealed.json"
VECTORS = json.loads(PATH.read_text())
TOLD = ("features", "outputs", "value_bits", "key_bits", "members")
DERIVED = (
    "weight_max",
    "row_max",
    "bound",
    "max_int",
    "width",
    "lanes",
    "per_group",
    "groups",
    "rows_per_reply",
    "model_ciphertexts",
    "reply_ciphertexts",
)


def numbers(texts: list[str]) -> list[int]:
    return [int(text, 16) for text in texts]


def opened(case: dict) -> tuple[PrivateKey, Envelope, SealedLayout]:
    key = PrivateKey.from_bytes(bytes.fromhex(case["private"]))
    layout = SealedLayout(*(case[name] for name in TOLD))
    envelope = Envelope(
        key.public.to_bytes(),
        case["value_bits"],
        case["weight_limit"],
        case["members"],
        sealed=layout,
    )
    return key, envelope, layout


@pytest.mark.parametrize("case", [*VECTORS["layouts"], *VECTORS["rounds"]])
def test_layouts(case: dict) -> None:
    layout = SealedLayout(*(case[name] for name in TOLD))
    assert {name: getattr(layout, name) for name in DERIVED} == {
        name: case[name] for name in DERIVED
    }


@pytest.mark.parametrize("case", VECTORS["rounds"], ids=lambda case: case["width"])
def test_models(case: dict) -> None:
    key, envelope, layout = opened(case)
    blob = bytes.fromhex(case["model"])
    assert layout.field.hex() == case["declared"]
    assert len(blob) == layout.model_bytes
    weights = np.array([float.fromhex(value) for value in case["weights"]])
    integers, clipped = sealed.quantise_weights(envelope, weights)
    assert (integers.tolist(), clipped) == (case["integers"], case["clipped"])
    assert sealed.decrypt_model(key, envelope, blob).tolist() == case["integers"]
    # ours, with their randomness
    n = mpz(key.public.n)
    powers = [pow(mpz(r), n, n * n) for r in numbers(case["r"])]
    drawn = [Obfuscator(power % n, power // n) for power in powers]
    made = encrypt_with(key.public, SealedLanes(layout).pack_model(integers), drawn)
    assert encode_batch(key.public, made, layout.field, Kind.SEALED_MODEL) == blob


@pytest.mark.parametrize("case", VECTORS["rounds"], ids=lambda case: case["width"])
def test_replies(case: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    key, envelope, layout = opened(case)
    n, masks = key.public.n, numbers(case["masks"])
    monkeypatch.setattr(sealed, "contribution_mask", lambda *_: [mpz(mask) for mask in masks])
    draws = iter(numbers(case["u"]))
    reply = sealed.reply(
        envelope,
        bytes.fromhex(case["model"]),
        np.array(case["matrix"], np.int64),
        np.array(case["offset"], np.int64),
        Secrets(bytes(32), bytes(32)),
        0,
        [],
        Binding(1, bytes(20), bytes(32), 1, 1, bytes(32), bytes(32), envelope.n),
        bytes.fromhex(case["maker"]),
        lambda count: next(draws).to_bytes(count, "big"),
    )
    assert reply.hex() == case["reply"]
    maker = bytes.fromhex(case["maker"])
    masked = decode_batch(reply, key.public, layout.reply_ciphertexts, maker)
    plain = Residues(n).subtract(key.decrypt(masked), masks)
    signed = [int(number) - n if number > n // 2 else int(number) for number in plain]
    assert SealedLanes(layout).unpack(signed, layout.values).tolist() == case["values"]


def test_refused_models() -> None:
    case = VECTORS["rounds"][0]
    _, envelope, _ = opened(case)
    sealed.check_model(envelope, bytes.fromhex(case["model"]))
    assert len(VECTORS["refused"]) == 17
    for entry in VECTORS["refused"]:
        with pytest.raises(Malformed, match=entry["says"]):
            sealed.check_model(envelope, bytes.fromhex(entry["model"]))


def test_states() -> None:
    case = VECTORS["state"]
    key = PrivateKey.from_bytes(bytes.fromhex(case["private"]))
    blob = bytes.fromhex(case["bytes"])
    found = open_state(key, blob, len(case["weights"]))
    assert found.momentum is not None
    assert found.turn == case["turn"]
    assert found.weights.tolist() == case["weights"]
    assert found.momentum.tolist() == case["momentum"]
    state = State(case["turn"], np.array(case["weights"]), np.array(case["momentum"]))
    assert seal_state(key, state, lambda _: bytes.fromhex(case["salt"])) == blob
