"""Digests against eth-account's own encoder, signatures against keys, both against the vectors."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_keys import keys
from eth_keys.constants import SECPK1_N
from hypothesis import given
from hypothesis import strategies as st
from kits import paths
from kits.examples import examples

from protocol.books.typed_data import (
    Commitment,
    Domain,
    Enrolment,
    commitment_digest,
    enrolment_digest,
    recover,
)
from protocol.errors import Malformed
from protocol.params import MAX_COHORT, MAX_ROUNDS

VECTORS = json.loads((paths.VECTORS / "typed_data.json").read_text())

COMMITMENT_FIELDS = [
    {"name": "job", "type": "bytes32"},
    {"name": "round", "type": "uint16"},
    {"name": "root", "type": "bytes32"},
    {"name": "count", "type": "uint16"},
    {"name": "modelDigest", "type": "bytes32"},
    {"name": "validUntil", "type": "uint64"},
]
ENROLMENT_FIELDS = [
    {"name": "job", "type": "bytes32"},
    {"name": "account", "type": "address"},
    {"name": "payout", "type": "address"},
    {"name": "peer", "type": "bytes32"},
    {"name": "rows", "type": "uint32"},
]
BOUNDS = {
    "round": (0, MAX_ROUNDS - 1),
    "count": (1, MAX_COHORT),
    "valid_until": (0, 2**64 - 1),
    "rows": (0, 2**32 - 1),
}

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
domains = st.builds(Domain, st.integers(0, 2**256 - 1), addresses)
commitments = st.builds(
    Commitment,
    words,
    st.integers(*BOUNDS["round"]),
    words,
    st.integers(*BOUNDS["count"]),
    words,
    st.integers(*BOUNDS["valid_until"]),
)
enrolments = st.builds(Enrolment, words, addresses, addresses, words, st.integers(*BOUNDS["rows"]))
private_keys = st.integers(1, SECPK1_N - 1).map(
    lambda number: keys.PrivateKey(number.to_bytes(32, "big"))
)


def by_eth_account(domain: Domain, name: str, fields: list[dict[str, str]], message: Any) -> bytes:
    """The same digest by another implementation of EIP-712."""
    where = {
        "name": "assay",
        "version": "1",
        "chainId": domain.chain_id,
        "verifyingContract": "0x" + domain.contract.hex(),
    }
    values = dict(zip((field["name"] for field in fields), message, strict=True))
    for field in fields:
        if field["type"] == "address":
            values[field["name"]] = "0x" + values[field["name"]].hex()
    return bytes(_hash_eip191_message(encode_typed_data(where, {name: fields}, values)))


def sign(key: keys.PrivateKey, digest: bytes) -> bytes:
    signature = key.sign_msg_hash(digest).to_bytes()
    return bytes(signature[:64]) + bytes([27 + signature[64]])


@examples(0.3)
@given(domains, commitments)
def test_a_commitments_digest_is_eip_712s(domain: Domain, commitment: Commitment) -> None:
    values = dataclasses.astuple(commitment)
    expected = by_eth_account(domain, "Commitment", COMMITMENT_FIELDS, values)
    assert commitment_digest(domain, commitment) == expected


@examples(0.3)
@given(domains, enrolments)
def test_an_enrolments_digest_is_eip_712s(domain: Domain, enrolment: Enrolment) -> None:
    values = dataclasses.astuple(enrolment)
    expected = by_eth_account(domain, "Enrolment", ENROLMENT_FIELDS, values)
    assert enrolment_digest(domain, enrolment) == expected


@given(private_keys, words)
def test_a_signature_names_its_signer(key: keys.PrivateKey, digest: bytes) -> None:
    assert recover(digest, sign(key, digest)) == key.public_key.to_canonical_address()


@given(private_keys, words)
def test_a_signature_has_one_form(key: keys.PrivateKey, digest: bytes) -> None:
    good = sign(key, digest)
    mirrored = (SECPK1_N - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    with pytest.raises(Malformed, match="upper half"):
        recover(digest, good[:32] + mirrored + bytes([55 - good[64]]))
    with pytest.raises(Malformed, match="27 or 28"):
        recover(digest, good[:64] + bytes([good[64] - 27]))
    with pytest.raises(Malformed, match="65 bytes, not 66"):
        recover(digest, good + b"\x00")


@given(words, st.binary(min_size=65, max_size=65) | st.binary(max_size=80))
def test_any_bytes_are_a_signer_or_malformed(digest: bytes, signature: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert len(recover(digest, signature)) == 20


@given(commitments | enrolments, st.data())
def test_a_message_out_of_bounds_cannot_be_made(
    message: Commitment | Enrolment, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from([field.name for field in dataclasses.fields(message)]))
    if field in BOUNDS:
        lowest, highest = BOUNDS[field]
        dataclasses.replace(message, **{field: lowest})
        dataclasses.replace(message, **{field: highest})
        bad: list[Any] = [lowest - 1, highest + 1, True, "1", 1.0, None]
    else:
        size = len(getattr(message, field))
        bad = [bytes(size - 1), bytes(size + 1), "0" * size, bytearray(size), None]
    with pytest.raises(Malformed, match=field.replace("_", " ")):
        dataclasses.replace(message, **{field: data.draw(st.sampled_from(bad))})


def test_a_domain_is_one_contract_on_one_chain() -> None:
    for chain_id, contract in (
        (-1, bytes(20)),
        (2**256, bytes(20)),
        (1, bytes(19)),
        (1, bytes(21)),
    ):
        with pytest.raises(Malformed):
            Domain(chain_id, contract)
    separators = {Domain(n, bytes([m]) * 20).separator for n in (1, 2) for m in (1, 2)}
    assert len(separators) == 4


def domain_of(case: dict[str, Any]) -> Domain:
    return Domain(case["chain_id"], bytes.fromhex(case["contract"]))


def message_of(kind: type[Any], case: dict[str, Any]) -> Any:
    values = {field.name: case[field.name] for field in dataclasses.fields(kind)}
    return kind(**{k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in values.items()})


def test_the_digest_vectors() -> None:
    for case in VECTORS["domains"]:
        assert domain_of(case).separator.hex() == case["separator"]
    for kind, digest_of in ((Commitment, commitment_digest), (Enrolment, enrolment_digest)):
        for case in VECTORS[f"{kind.__name__.lower()}s"]:
            digest = digest_of(domain_of(case["domain"]), message_of(kind, case))
            assert digest.hex() == case["digest"]
            assert recover(digest, bytes.fromhex(case["signature"])).hex() == case["signer"]


@pytest.mark.parametrize("case", VECTORS["signatures"], ids=lambda case: case["name"])
def test_a_signature_vector(case: dict[str, Any]) -> None:
    digest, signature = bytes.fromhex(case["digest"]), bytes.fromhex(case["signature"])
    if case["expect"] == "malformed":
        with pytest.raises(Malformed):
            recover(digest, signature)
    else:
        assert recover(digest, signature).hex() == case["signer"]
