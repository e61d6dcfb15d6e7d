"""What a spec says of gaps: read, refused with the key that is wrong, encoded, shown again."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from kits.paths import VECTORS
from kits.specs import SPEC, with_

from protocol import params
from protocol.errors import Malformed
from protocol.spec.gaps import (
    GapCategoryFeature,
    GapClassTarget,
    GapNumberFeature,
    GapNumberTarget,
    GapRule,
    Missing,
    gap_rule,
)
from protocol.spec.job import (
    CategoryFeature,
    ClassTarget,
    NumberFeature,
    decode_spec,
    encode_spec,
    spec_digest,
)
from protocol.spec.parts import ChainRef, Party
from protocol.spec.read import SpecError
from protocol.spec.render import render_toml
from protocol.spec.toml import parse_toml

FILE = """
title = "Wards"
purpose = "research"

[[features]]
names = ["age", "dose"]
low = 0
high = 120
gaps = ["NA", "?", -1]
missing = 30
indicator = true

[[features]]
name = "ward"
categories = ["a", "b", 3]
missing = "b"

[[features]]
name = "visits"
low = 0
high = 9
missing = "drop-row"

[[features]]
name = "height"
low = 0
high = 3
missing = "refuse"

[target]
name = "stay"
classes = ["short", "long"]
gaps = ["-"]
missing = "drop-row"

[model]
family = "logistic"

[training]
rounds = 10

[payment]
rate = "0.001 ether"
"""


def test_each_column_says_what_a_gap_becomes() -> None:
    terms = parse_toml(FILE).terms
    gaps = ("NA", "?", "-1")
    assert terms.features == (
        GapNumberFeature("age", 0.0, 120.0, gaps, Missing.FILL, 30.0, True),
        GapNumberFeature("dose", 0.0, 120.0, gaps, Missing.FILL, 30.0, True),
        GapCategoryFeature("ward", ("a", "b", "3"), (), Missing.FILL, "b", False),
        GapNumberFeature("visits", 0.0, 9.0, (), Missing.DROP_ROW, None, False),
        # It says what a column that says nothing does, and is encoded as one.
        NumberFeature("height", 0.0, 3.0),
    )
    assert terms.target == GapClassTarget("stay", ("short", "long"), ("-",), Missing.DROP_ROW)
    # Two numbers with an indicator each, three words, two numbers without.
    assert terms.inputs == 4 + 3 + 2
    assert terms.parameter_count == terms.inputs + 1


def test_an_indicator_counts_wherever_a_size_is_derived() -> None:
    plain = SPEC.features
    told = (GapNumberFeature("age", 0.0, 120.0, (), Missing.FILL, 1.0, True), plain[1])
    without, with_it = SPEC, with_("features", told)
    assert with_it.inputs == without.inputs + 1
    assert with_it.parameter_count == without.parameter_count + 3
    assert with_it.feature_count == without.feature_count + 1
    assert with_it.model_bytes == without.model_bytes + 3 * 8


def test_columns_that_say_nothing_refuse_gaps() -> None:
    assert gap_rule(SPEC.features[0]) == GapRule((), Missing.REFUSE, None, False)
    assert gap_rule(SPEC.target) == GapRule((), Missing.REFUSE, None, False)


@pytest.mark.parametrize("column", ["features", "target"])
def test_saying_refuse_is_saying_nothing(column: str) -> None:
    """One meaning has one digest."""
    text = FILE.replace('missing = "drop-row"', "").replace('gaps = ["-"]', "")
    said = text.replace("[model]", 'missing = "refuse"\ngaps = []\n[model]')
    assert parse_toml(said) == parse_toml(text)
    with pytest.raises(Malformed, match="missing: is 'refuse' without any words"):
        GapNumberFeature("age", 0.0, 1.0, (), Missing.REFUSE, None, False)
    with pytest.raises(Malformed, match="missing: is 'refuse' without any words"):
        GapNumberTarget("age", 0.0, 1.0, (), Missing.REFUSE)


MISTAKES = [
    ("missing = 30", "missing = 121", "features[0].missing", "is 121; a number from 0 to 120"),
    ("missing = 30", "missing = 'mean'", "features[0].missing", "allowed is 'refuse', 'drop-row'"),
    ("missing = 30", "missing = true", "features[0].missing", "is true; allowed is 'refuse'"),
    ("missing = 30", "missing = nan", "features[0].missing", "is nan; allowed is 'refuse'"),
    ("missing = 30", "mising = 30", "features[0].mising", "did you mean missing?"),
    ("missing = 30", "", "features[0].indicator", "no row with a gap is used"),
    ("missing = 30", "missing = 'drop-row'", "features[0].indicator", "missing = 'drop-row'"),
    (
        "indicator = true",
        "indicator = 1",
        "features[0].indicator",
        "is 1; allowed is true or false",
    ),
    ('"?", -1', '"NA"', "features[0].gaps[1]", "'NA' stands here twice"),
    ('"?", -1', "1.5", "features[0].gaps[1]", "is 1.5; allowed is text"),
    ('["NA", "?", -1]', "'NA'", "features[0].gaps", "a span such as"),
    ('["NA", "?", -1]', "3", "features[0].gaps", "allowed is a list of names"),
    ('["NA", "?", -1]', str(list(range(17))), "features[0].gaps", "has 17; at most 16"),
    ('missing = "b"', 'missing = "c"', "features[2].missing", "is 'c', which is none of the cat"),
    ('missing = "b"', "missing = 4", "features[2].missing", "is '4', which is none of the cat"),
    ('missing = "b"', "missing = 1.5", "features[2].missing", "or one of the categories"),
    ('missing = "b"', 'gaps = ["a"]', "features[2].gaps[0]", "is 'a', and 'a' is a category"),
    ('missing = "b"', 'gaps = ["3.0"]', "features[2].gaps[0]", "is '3.0', and '3' is a category"),
    (
        'categories = ["a", "b", 3]\nmissing = "b"',
        'categories = ["a", "refuse"]\ngaps = ["-"]\nmissing = "refuse"',
        None,
        "",
    ),
    ('gaps = ["-"]', 'gaps = ["long"]', "target.gaps[0]", "is 'long', and 'long' is a class"),
    ('gaps = ["-"]\nmissing = "drop-row"', "missing = 1", "target.missing", "or 'drop-row'"),
    ('gaps = ["-"]\nmissing = "drop-row"', 'missing = "long"', "target.missing", "'refuse' or"),
    ('gaps = ["-"]', "indicator = true", "target.indicator", "is not known"),
]


@pytest.mark.parametrize(("old", "new", "field", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_key(
    old: str, new: str, field: str | None, message: str
) -> None:
    assert FILE.count(old) == 1
    text = FILE.replace(old, new)
    if field is None:  # the word is the rule's: a category of that name is not filled in
        assert gap_rule(parse_toml(text).terms.features[2]).missing is Missing.REFUSE
        return
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    # A table that makes two columns says what is wrong once.
    place = {"features[2]": "features[1]"}.get(field.split(".")[0], field.split(".")[0])
    found = {problem.field: problem.message for problem in caught.value.problems}
    assert message in found[".".join([place, *field.split(".")[1:]])]


WRONG = [
    (lambda: GapNumberFeature("x", 0.0, 1.0, (), Missing.FILL, None, False), "missing: is fill"),
    (lambda: GapNumberFeature("x", 0.0, 1.0, (), Missing.DROP_ROW, 1.0, False), "a value goes"),
    (lambda: GapNumberFeature("x", 0.0, 1.0, (), Missing.FILL, 1.1, False), "missing: is 1.1"),
    (lambda: GapNumberFeature("x", 2.0, 1.0, ("?",), Missing.REFUSE, None, False), "above low"),
    (lambda: GapNumberFeature("x", 0.0, 1.0, (" ?",), Missing.REFUSE, None, False), "begins or"),
    (
        lambda: GapNumberFeature(
            "x",
            0.0,
            1.0,
            tuple(f"w{i}" for i in range(params.MAX_GAP_WORDS + 1)),
            Missing.REFUSE,
            None,
            False,
        ),
        "length 17",
    ),
    (
        lambda: GapCategoryFeature("x", ("a", "refuse"), (), Missing.FILL, "refuse", False),
        "a rule's name",
    ),
    (lambda: GapClassTarget("x", ("a", "b"), (), Missing.FILL), "nothing|refuse"),
    (lambda: GapClassTarget("x", ("a", "b"), ("b",), Missing.REFUSE), r"gaps\[0\]: is 'b'"),
]


@pytest.mark.parametrize(("build", "message"), WRONG)
def test_a_column_that_breaks_a_rule_cannot_be_built(build: Any, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        build()


def test_neighbours_with_the_same_rule_are_shown_as_one_table() -> None:
    terms = parse_toml(FILE).terms
    text = render_toml(terms)
    assert 'names = ["age", "dose"]\nlow = 0.0\nhigh = 120.0\ngaps = ["NA", "?", "-1"]\n' in text
    assert text.count("indicator = true") == 1
    assert parse_toml(text).terms == terms


def vectors() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / "spec" / "gaps.json").read_text())["cases"]
    return cases


@pytest.mark.parametrize("case", vectors(), ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if "error" in case:
        with pytest.raises(Malformed, match=case["error"]):
            decode_spec(data)
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
    )
    assert encode_spec(spec) == data
    assert decode_spec(data) == spec
    assert spec_digest(data).hex() == case["digest"]
    assert spec.inputs == case["inputs"]


def test_what_says_more_is_another_spec() -> None:
    columns = (GapNumberFeature("age", 0.0, 120.0, (), Missing.DROP_ROW, None, False),)
    more = with_("features", (*columns, *SPEC.features[1:]))
    assert spec_digest(encode_spec(more)) != spec_digest(encode_spec(SPEC))
    assert {type(each) for each in SPEC.features} == {NumberFeature, CategoryFeature}
    assert type(SPEC.target) is ClassTarget
    assert dataclasses.replace(more, features=SPEC.features) == SPEC
