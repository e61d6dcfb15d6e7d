"""Specs whose features an encoder makes: what is refused, and that file and bytes say the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from protocol import params
from protocol.errors import Malformed
from protocol.spec.encoder import Encoder, EncoderKind, Pooling, column_names, column_rules
from protocol.spec.gaps import GapRule, Missing
from protocol.spec.read import SpecError
from protocol.spec.render import render_toml
from protocol.spec.toml import parse_toml
from protocol.wire.codec import decode, encode

DIGEST = bytes(range(32))
TEXT = Encoder(DIGEST, 5_000, EncoderKind.TEXT, ("note",), Pooling.MEAN, 384, 128)
IMAGE = Encoder(
    DIGEST,
    5_000,
    EncoderKind.IMAGE,
    ("picture",),
    Pooling.NONE,
    32,
    width=28,
    height=28,
    channels=3,
    mean=(0.5, 0.4, 0.3),
    deviation=(0.2, 0.2, 0.2),
    missing=Missing.DROP_ROW,
)
NUMBERS = Encoder(
    DIGEST, 5_000, EncoderKind.NUMBERS, ("a", "b"), Pooling.NONE, 2, low=-1.0, high=1.0
)

FILE = f"""
title = "Moods"
purpose = "research"

[encoder]
digest = "{DIGEST.hex()}"
package_bytes = 5000
kind = "text"
columns = ["note"]
pooling = "mean"
size = 384
max_tokens = 128

[target]
name = "mood"
classes = ["low", "high"]

[model]
family = "logistic"

[training]
rounds = 2

[payment]
rate = "0.001 ether"
"""

SEALED = FILE + "\n[privacy]\nsealed = true\n"


@pytest.mark.parametrize("encoder", [TEXT, IMAGE, NUMBERS])
def test_one_encoder_has_one_encoding(encoder: Encoder) -> None:
    assert decode(Encoder, encode(encoder), 1_000) == encoder
    assert encoder.inputs == encoder.size


VECTORS = json.loads((Path(__file__).parents[2] / "vectors/spec/encoder.json").read_text())


@pytest.mark.parametrize(
    ("encoder", "vector"), zip((TEXT, IMAGE, NUMBERS), VECTORS["encoders"], strict=True)
)
def test_the_published_bytes_are_read_and_written(encoder: Encoder, vector: dict[str, Any]) -> None:
    assert encode(encoder).hex() == vector["bytes"]
    assert decode(Encoder, bytes.fromhex(vector["bytes"]), 1_000) == encoder


@pytest.mark.parametrize(
    ("base", "changes", "field"),
    [
        (TEXT, {"max_tokens": 0}, "max_tokens"),
        (TEXT, {"columns": ("note", "more")}, "columns"),
        (TEXT, {"width": 8}, "width"),
        (TEXT, {"mean": (0.5,)}, "mean"),
        (TEXT, {"high": 1.0}, "high"),
        (TEXT, {"missing": Missing.FILL}, "missing"),
        (TEXT, {"gaps": ("NA", "NA")}, "gaps"),
        (IMAGE, {"max_tokens": 8}, "max_tokens"),
        (IMAGE, {"height": 0}, "height"),
        (IMAGE, {"channels": 2}, "channels"),
        (IMAGE, {"mean": (0.5,)}, "mean"),
        (IMAGE, {"deviation": (0.2, 0.0, 0.2)}, "deviation"),
        (IMAGE, {"mean": (0.5, 2e6, 0.5)}, "mean"),
        (NUMBERS, {"pooling": Pooling.MEAN}, "pooling"),
        (NUMBERS, {"high": -1.0}, "high"),
        (NUMBERS, {"high": 1e39}, "high"),
        (NUMBERS, {"columns": ("a", "a")}, "columns"),
    ],
)
def test_what_a_kind_has_no_use_for_is_refused(
    base: Encoder, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Malformed, match=field):
        dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("size", params.MAX_ENCODER_FEATURES),
        ("max_tokens", params.MAX_ENCODER_TOKENS),
        ("package_bytes", params.MAX_ENCODER_BYTES),
    ],
)
def test_limits_hold_at_the_limit_and_one_past_it(field: str, most: int) -> None:
    changes: dict[str, Any] = {field: most}
    assert getattr(dataclasses.replace(TEXT, **changes), field) == most
    with pytest.raises(Malformed, match=field):
        dataclasses.replace(TEXT, **{field: most + 1})


@pytest.mark.parametrize("text", [FILE, SEALED])
def test_a_file_is_read_and_written_again(text: str) -> None:
    terms = parse_toml(text).terms
    assert terms.encoder == TEXT
    assert terms.columns == ("note", "mood")
    assert (terms.inputs, terms.feature_count) == (384, 384)
    assert parse_toml(render_toml(terms)).terms == terms


def test_columns_and_rules_of_both_kinds_of_features() -> None:
    terms = parse_toml(FILE).terms
    assert column_names((NUMBERS,)) == ("a", "b")
    rules = dict(column_rules((IMAGE,), terms.target))
    assert rules == {"picture": GapRule((), Missing.DROP_ROW), "mood": GapRule()}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("[target]", '[[features]]\nname = "age"\nlow = 0\nhigh = 1\n[target]', "features"),
        (DIGEST.hex(), DIGEST.hex()[2:], "encoder.digest"),
        (f'digest = "{DIGEST.hex()}"', "", "encoder.digest"),
        ('kind = "text"', 'kind = "sound"', "encoder.kind"),
        ("max_tokens = 128", "tokens = 128", "encoder.tokens"),
        ("max_tokens = 128", "max_tokens = 128\nmissing = 0", "encoder.missing"),
        ('family = "logistic"', 'family = "logistic"\nmap = "none"', "model.map"),
        ('family = "logistic"', 'family = "logistic"\nmap_width = 8', "model.map_width"),
        ('name = "mood"', 'name = "note"', "target.name"),
        ("size = 384", "size = 1024", "encoder.size"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(old: str, new: str, field: str) -> None:
    assert old in FILE
    with pytest.raises(SpecError) as caught:
        parse_toml(FILE.replace(old, new, 1))
    assert field in {problem.field for problem in caught.value.problems}


def test_the_map_needs_its_encoder() -> None:
    columns = '[[features]]\nname = "age"\nlow = 0\nhigh = 1\n'
    start, end = FILE.index("[encoder]"), FILE.index("[target]")
    text = FILE[:start] + columns + FILE[end:]
    parse_toml(text)
    with pytest.raises(SpecError, match=r"write \[encoder\]"):
        parse_toml(text.replace('"logistic"', '"logistic"\nmap = "encoder"'))


def test_a_sealed_center_has_no_meaning_for_features_without_a_range() -> None:
    with pytest.raises(SpecError, match=r"model\.center"):
        parse_toml(SEALED.replace('"logistic"', '"logistic"\ncenter = 0.5'))
