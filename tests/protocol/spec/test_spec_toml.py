"""A job's file: what it means, and that every mistake in it is named with its place."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.paths import ROOT, VECTORS
from kits.specs import SPEC, specs

from protocol import params
from protocol.amounts import format_about, format_amount, parse_amount
from protocol.errors import InputError
from protocol.spec.columns import expand_names
from protocol.spec.job import (
    ETHER,
    CategoryFeature,
    ClassTarget,
    JobSpec,
    NumberFeature,
    Terms,
    encode_spec,
    spec_digest,
)
from protocol.spec.parts import ChainRef, Party
from protocol.spec.read import SpecError
from protocol.spec.render import render_toml
from protocol.spec.toml import Draft, parse_toml

FILE = """
title = "Wards"
purpose = "research"

[[features]]
name = "age"
low = 0
high = 120

[[features]]
name = "ward"
categories = ["a", "b", 3]

[target]
name = "stay"
classes = ["short", "long"]

[model]
family = "logistic"

[training]
rounds = 10

[payment]
rate = "0.001 ether"
"""


def problems(text: str) -> dict[str, str]:
    """Field to message of everything that is wrong with a file."""
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    found = {problem.field: problem.message for problem in caught.value.problems}
    assert len(set(caught.value.problems)) == len(caught.value.problems)
    assert caught.value.field == caught.value.problems[0].field
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    assert "\n" not in str(caught.value)
    return found


def swap(old: str, new: str) -> str:
    assert FILE.count(old) == 1
    return FILE.replace(old, new)


def complete(draft: Draft) -> JobSpec:
    return draft.complete(
        salt=SPEC.salt,
        requester=SPEC.requester,
        chain=SPEC.chain,
        modulus=SPEC.modulus,
        seed=SPEC.seed,
        now=1_800_000_000,
        proof=bytes(len(SPEC.modulus) * params.KEY_PROOF_ROOTS * draft.terms.privacy.sealed),
    )


def test_a_short_file_is_a_whole_job() -> None:
    draft = parse_toml(FILE)
    terms = draft.terms
    assert terms.features == (
        NumberFeature("age", 0.0, 120.0),
        CategoryFeature("ward", ("a", "b", "3")),
    )
    assert terms.target == ClassTarget("stay", ("short", "long"))
    assert (terms.cohort.min_owners, terms.cohort.max_owners, terms.cohort.block_size) == (5, 5, 5)
    assert terms.payment.rate == 10**15
    assert terms.payment.token == ETHER
    assert terms.privacy.epsilon is None
    assert terms.encryption.key_bits == params.DEFAULT_KEY_BITS
    assert draft.lifetime_seconds >= terms.least_lifetime


def test_the_daemon_completes_it() -> None:
    draft = parse_toml(FILE)
    spec = complete(draft)
    assert spec.expires_at == 1_800_000_000 + draft.lifetime_seconds
    assert (spec.salt, spec.chain, spec.modulus) == (SPEC.salt, SPEC.chain, SPEC.modulus)
    terms = {f.name: getattr(spec, f.name) for f in dataclasses.fields(Terms)}
    assert Terms(**terms) == draft.terms


def test_a_key_of_another_size_is_the_users_mistake() -> None:
    draft = parse_toml(FILE + "[encryption]\nkey_bits = 2048\n")
    with pytest.raises(SpecError, match="modulus: has 3072 bits; key_bits is 2048"):
        complete(draft)


def test_a_spec_too_long_for_the_wire_is_refused_before_it_is_posted() -> None:
    names = '", "'.join(f"{i:060d}" for i in range(3000))
    draft = parse_toml(swap('name = "age"', f'names = ["{names}"]'))
    with pytest.raises(SpecError, match=f"{params.MAX_SPEC_BYTES} are allowed"):
        complete(draft)


@given(specs())
def test_what_is_rendered_is_read_back(spec: JobSpec) -> None:
    terms = Terms(**{field.name: getattr(spec, field.name) for field in dataclasses.fields(Terms)})
    assert parse_toml(render_toml(terms)).terms == terms
    assert parse_toml(render_toml(spec)).terms == terms


def test_a_rendered_spec_says_what_the_daemon_filled_in() -> None:
    text = render_toml(SPEC)
    assert "# requester 0x1111111111111111111111111111111111111111" in text
    assert "# chain 1337, contract 0x3333333333333333333333333333333333333333" in text
    assert f"# expires at {SPEC.expires_at}" in text
    assert 'rate = "0.001 ether"' in text


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").glob("*.toml")))
def test_the_examples_are_jobs(path: Path) -> None:
    draft = parse_toml(path.read_text())
    spec = complete(draft)
    assert len(encode_spec(spec)) < params.MAX_SPEC_BYTES
    least = spec.cohort.min_owners
    assert spec.cohort.blocks(least) == (least,)
    if path.stem.startswith("digits"):
        assert spec.columns[:9] == (*(f"pixel_0_{i}" for i in range(8)), "pixel_1_0")
        assert (spec.inputs, spec.outputs) == (64, 10)


MISTAKES = [
    ('title = "Wards"', "", "title", "is missing; allowed is text of 1 to 120 bytes"),
    ('title = "Wards"', "title = 3", "title", "is 3; allowed is text of 1 to 120 bytes"),
    ('title = "Wards"', 'title = ""', "title", "is ''; allowed is text of 1 to 120 bytes"),
    ('title = "Wards"', 'titel = "Wards"\ntitle = "W"', "titel", "did you mean title?"),
    ('title = "Wards"', "zzz = 1\ntitle = 'W'", "zzz", "known are version, title"),
    ('title = "Wards"', "version = 2\ntitle = 'W'", "version", "is 2; allowed is a whole number"),
    ('"research"', '"Re search"', "purpose", "'Re search'; lower-case words"),
    ("high = 120", "high = 0", "features[0].high", "is 0; above low = 0"),
    ("high = 120", "high = '9'", "features[0].high", "is '9'; allowed is a number"),
    ("high = 120", "high = nan", "features[0].high", "is nan; allowed is a number"),
    ("high = 120", "", "features[0].high", "is missing; allowed is a number"),
    ("high = 120", "hihg = 120", "features[0].hihg", "did you mean high?"),
    ("high = 120", "categories = ['a', 'b']", "features[0]", "either low and high"),
    ("high = 120", "high = true", "features[0].high", "is true; allowed is a number"),
    ('name = "age"', "", "features[0]", "either name, for one column, or names"),
    ('name = "age"', 'name = "age"\nnames = ["b"]', "features[0]", "either name"),
    ('name = "age"', 'names = "age"', "features[0].names", "a span such as {0..63}"),
    ('name = "age"', 'names = "p{9..1}"', "features[0].names", "runs backwards"),
    ('name = "age"', 'names = "p{0..4096}"', "features[0].names", "more than 4096 names"),
    ('name = "age"', 'names = ["a", "\\u0007"]', "features[0].names[1]", "do not print"),
    ('name = "age"', 'names = ["a", 1.5]', "features[0].names[1]", "is 1.5; allowed is text"),
    ('name = "age"', 'names = ["a", "a"]', "features[0].name", "another feature is 'a' already"),
    ('name = "age"', 'names = ["x", "ward"]', "features[1].name", "another feature is 'ward'"),
    ('["a", "b", 3]', '["a", "a"]', "features[1].categories[1]", "'a' stands here twice"),
    ('["a", "b", 3]', '["a"]', "features[1].categories", "has 1; 2 to 1024 are allowed"),
    ('["a", "b", 3]', "7", "features[1].categories", "is 7; allowed is a list of names"),
    ('["short", "long"]', '"{0..9}"', "model.family", "is logistic, which takes 2 classes, not 10"),
    ('"logistic"', '"logistics"', "model.family", "linear or logistic or softmax or dense"),
    ('"logistic"', '"linear"', "model.family", "is linear; its target is a number"),
    ('"logistic"', '"dense"', "model.hidden", "is 0; a dense model has at least 1"),
    ("rounds = 10", "rounds = 256", "training.rounds", "is 256; allowed is a whole number from 1"),
    ("rounds = 10", "rounds = 10.0", "training.rounds", "is 10.0; allowed is a whole number"),
    ("rounds = 10", "rounds = true", "training.rounds", "is true; allowed is a whole number"),
    ("rounds = 10", "rounds = 10\nrate = 1e400", "training.rate", "is inf; allowed is a number"),
    ("rounds = 10", "rounds = 10\nrate = -1", "training.rate", "from 1e-09 to 1000000"),
    ("rounds = 10", f"rounds = 10\nrate = 1{'0' * 400}", "training.rate", "from 1e-09"),
    ('title = "Wards"', "training = 3\ntitle = 'W'", "", "no valid TOML: Cannot overwrite"),
    ('"0.001 ether"', '"0.001 eth"', "payment.rate", "units are wei, gwei, ether"),
    ('"0.001 ether"', "0.001", "payment.rate", "is 0.001; allowed is a whole number of wei"),
    ('"0.001 ether"', "-1", "payment.rate", "is -1; an amount is from 0"),
    ('"0.001 ether"', "0", "payment.rate", "is 0; a contribution must be worth"),
    ('"0.001 ether"', '"0.5 wei"', "payment.rate", "no whole number of the smallest unit"),
    ('"0.001 ether"', f"{2**127}", "payment.rate", "at most 2^96 - 1"),
    ("[payment]", "[payment]\ntoken = '0x12'", "payment.token", "40 hex digits"),
    ("[payment]", f"[payment]\ntoken = '0x{'ab' * 20}'", "payment.rate", "smallest unit"),
    (
        "[payment]",
        "[payment]\ntoken = '0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed'",
        "payment.token",
        "checksum",
    ),
]

SECTIONS = [
    (
        "[privacy]\nsealed = true\n[encryption]\nenvelope = 'masks'",
        "encryption.envelope",
        "sealed weights are Paillier ciphertexts",
    ),
    ("[privacy]\nepsilon = 8", "privacy.delta", "is 0; with epsilon it is above 0"),
    ("[privacy]\nepsilon = 8\ndelta = 1e-5", "training.local_steps", "with epsilon it is 1"),
    ("[privacy]\nepsilon = 'no'", "privacy.epsilon", 'a number from 1e-06 to 1000, or "none"'),
    ("[privacy]\ndropouts = 1", "privacy.dropouts", "without epsilon (no noise) it is 0"),
    ("[privacy]\ncorrupt = 2", "privacy.corrupt", "beside 0 dropouts: in a block of 5, 4 shares"),
    ("[privacy]\nepsilom = 1", "privacy.epsilom", "did you mean epsilon?"),
    ("[cohort]\nblock_size = 4", "cohort.block_size", "is 4; allowed is a whole number from 5"),
    ("[cohort]\nblock_size = 33", "cohort.block_size", "from 5 to 32"),
    ("[cohort]\nmin_owners = 9\nmax_owners = 8", "cohort.min_owners", "above max_owners 8"),
    ("[cohort]\nadmission = ['x']", "cohort.admission", "'x' is not an address"),
    ("[cohort]\nadmission = 'x'", "cohort.admission", "allowed is a list of addresses, 0 to 4096"),
    ("[encryption]\nkey_bits = 3000", "encryption.key_bits", "allowed are 2048, 3072, 4096, 7680"),
    ("[encryption]\nenvelope = 'none'", "encryption.envelope", "allowed is paillier or masks"),
    ("[cohort]\nshuffle = true", "cohort.shuffle", "without epsilon (no noise) blocks stay fixed"),
    ("[cohort]\nshuffle = 1", "cohort.shuffle", "is 1; allowed is true or false"),
    ("[timing]\nunmask_seconds = 0", "timing.unmask_seconds", "from 1 to 604800"),
    ("[encryption]\nvalue_bits = 3", "encryption.value_bits", "from 4 to 32"),
    ("[timing]\ncommit_seconds = 3601", "timing.commit_seconds", "from 1 to 3600"),
    ("[timing]\nlifetime_seconds = 60", "timing.lifetime_seconds", "the deadlines of all rounds"),
    ("[timing]\nlifetime_days = 367", "timing.lifetime_days", "to 366"),
    ("[timing]\nlifetime_days = 1\nlifetime_seconds = 9e4", "timing.lifetime_days", "given twice"),
]


@pytest.mark.parametrize(("old", "new", "field", "message"), MISTAKES)
def test_a_mistake_is_named(old: str, new: str, field: str, message: str) -> None:
    found = problems(swap(old, new))
    assert message in found[field]


@pytest.mark.parametrize(("section", "field", "message"), SECTIONS)
def test_a_mistake_in_a_section_is_named(section: str, field: str, message: str) -> None:
    assert message in problems(f"{FILE}\n{section}\n")[field]


def test_a_section_that_is_no_table_is_named() -> None:
    text = FILE.replace("[training]\nrounds = 10\n", "")
    assert problems(f"training = 3\n{text}")["training"] == "is 3; a table is expected"
    assert problems(f"training = [1]\n{text}")["training"] == "is a list of 1; a table is expected"


def test_all_mistakes_are_told_at_once() -> None:
    text = swap("high = 120", "high = -1").replace("rounds = 10", "rounds = 0\nrat = 1")
    text = text.replace('"0.001 ether"', '"much"') + "[timing]\nready_seconds = 'x'\n"
    assert set(problems(text)) == {
        "features[0].high",
        "training.rat",
        "training.rounds",
        "payment.rate",
        "timing.ready_seconds",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "no valid TOML"),
        ("a = 1\na = 2", "no valid TOML"),
        ("a = " + "[" * 100_000, "no valid TOML"),
        ("# " + "x" * params.MAX_SPEC_BYTES, "262146 bytes; 262144 are allowed"),
    ],
)
def test_what_is_no_toml_is_said_to_be_none(text: str, message: str) -> None:
    assert message in problems(text)[""]


def test_an_empty_file_lacks_what_has_no_default() -> None:
    assert set(problems("")) == {
        "title",
        "purpose",
        "features",
        "target",
        "model.family",
        "training.rounds",
        "payment.rate",
    }


@given(st.text(max_size=300))
def test_any_text_is_a_job_or_a_list_of_problems(text: str) -> None:
    assert problems(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9999) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def toml_value(value: Any) -> str:
    """JSON is TOML but for null, tables, and how floats without a number are written."""
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {toml_value(one)}" for key, one in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps("" if value is None else value)


@given(
    st.sampled_from(
        ["features", "target", "model", "training", "privacy", "encryption", "cohort", "timing"]
    ),
    values,
)
def test_any_value_in_any_section_is_read_or_named(section: str, value: Any) -> None:
    text = f'title = "t"\npurpose = "p"\n{section} = {toml_value(value)}\n'
    found = problems(text)
    assert not {"title", "purpose"} & set(found)


def test_pixels_are_one_line() -> None:
    assert expand_names("pixel_{0..3}", 9) == ("pixel_0", "pixel_1", "pixel_2", "pixel_3")
    assert expand_names("{08..10}x", 9) == ("08x", "09x", "10x")
    assert expand_names("{0..1}{0..1}", 4) == ("00", "01", "10", "11")
    with pytest.raises(InputError, match="more than 3 names"):
        expand_names("{0..1}{0..1}", 3)
    with pytest.raises(InputError, match="more than 4096"):
        expand_names("{0..999999}" * 2, 4096)


def test_addresses_are_sorted_so_that_one_list_has_one_digest() -> None:
    accounts = [f"0x{i:040x}" for i in (9, 3, 7, 5, 1)]
    draft = parse_toml(f"{FILE}\n[cohort]\nadmission = {json.dumps(accounts)}\n")
    assert [int.from_bytes(a, "big") for a in draft.terms.cohort.admission] == [1, 3, 5, 7, 9]
    assert (
        "lists an account twice"
        in problems(f"{FILE}\n[cohort]\nadmission = {json.dumps(accounts * 2)}\n")[
            "cohort.admission"
        ]
    )


@given(st.integers(0, 2**256 - 1))
def test_amounts_are_exact(amount: int) -> None:
    assert parse_amount(format_amount(amount)) == amount
    half = amount // 2
    low, high = parse_amount(format_about(half)), parse_amount(format_about(half, up=True))
    assert low <= half <= high
    assert high - low in (0, 10**12)
    assert parse_amount(amount) == amount
    assert parse_amount(str(amount), units=False) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.002 ether", 2 * 10**15),
        ("1500 gwei", 1500 * 10**9),
        ("1.5gwei", 15 * 10**8),
        (" 7 wei ", 7),
        ("0.000000000000000001 ether", 1),
        ("1.000000000000000000000 ether", 10**18),
        ("42", 42),
    ],
)
def test_amounts_as_people_write_them(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "ether", "1,5 ether", "1e3", "-1", "+1", ".5 ether", "1. ether", "1 Ether", "0x10"),
        *("١", "0.0000000000000000001 ether", "0.5", str(2**256), "9" * 79),
        *(True, 1.0, None, [1], -1, 2**256),
    ],
)
def test_what_is_no_amount(text: object) -> None:
    with pytest.raises(InputError, match="rate: is "):
        parse_amount(text, "rate")


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / "spec" / name).read_text())["cases"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", vectors("toml.json"), ids=lambda case: case["name"])
def test_toml_vectors(case: dict[str, Any]) -> None:
    if "problems" in case:
        assert list(problems(case["toml"])) == case["problems"]
        return
    filled = case["filled"]
    spec = parse_toml(case["toml"]).complete(
        salt=bytes.fromhex(filled["salt"]),
        requester=Party(
            bytes.fromhex(filled["requester"]["account"]),
            bytes.fromhex(filled["requester"]["peer_id"]),
        ),
        chain=ChainRef(filled["chain"]["chain_id"], bytes.fromhex(filled["chain"]["contract"])),
        modulus=bytes.fromhex(filled["modulus"]),
        seed=bytes.fromhex(filled["seed"]),
        now=filled["now"],
        proof=bytes.fromhex(filled.get("proof", "")),
    )
    data = encode_spec(spec)
    assert data.hex() == case["hex"]
    assert spec_digest(data).hex() == case["digest"]
