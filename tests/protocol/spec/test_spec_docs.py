"""docs/spec/job.md names every field of the spec, with its limits and its default."""

from __future__ import annotations

import re
import typing
from dataclasses import fields
from enum import Enum
from typing import Any

import pytest
from kits.paths import ROOT

from protocol import params
from protocol.spec.job import JobSpec, Terms
from protocol.spec.model import ModelSpec, TrainingSpec
from protocol.spec.parts import CohortSpec, EncryptionSpec, PaymentSpec, PrivacySpec, TimingSpec
from protocol.spec.toml import DEFAULTS, SEALED_DEFAULTS
from protocol.wire.codec import Range

PAGE = (ROOT / "docs" / "spec" / "job.md").read_text()
ROWS = {
    match[1]: [cell.strip() for cell in match[0].split("|")[2:-1]]
    for match in re.finditer(r"^\| `([a-z_.]+)` \|.*\|$", PAGE, re.MULTILINE)
}
SECTIONS = {
    "model": ModelSpec,
    "training": TrainingSpec,
    "privacy": PrivacySpec,
    "encryption": EncryptionSpec,
    "cohort": CohortSpec,
    "payment": PaymentSpec,
    "timing": TimingSpec,
}
KEYS = [
    *(("", Terms, name) for name in ("version", "title", "purpose", "outside")),
    *((section, cls, f.name) for section, cls in SECTIONS.items() for f in fields(cls)),
]


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bytes):
        return '`"ether"`'
    words: dict[Any, str] = {None: '`"none"`', (): "none"}
    if value is None or value == ():
        return words[value]
    return "`false`" if value is False else f"{value:g}"


@pytest.mark.parametrize(("section", "cls", "name"), KEYS)
def test_every_key_stands_on_the_page(section: str, cls: type, name: str) -> None:
    allowed, default, _ = ROWS[f"{section}.{name}" if section else name]
    if name in DEFAULTS[section]:
        told = shown(DEFAULTS[section][name])
        if name in (sealed := SEALED_DEFAULTS.get(section, {})):
            assert default in (f"{told}; sealed: {shown(sealed[name])}", told)
            assert (default == told) is (sealed[name] == DEFAULTS[section][name])
        else:
            assert default == told
    elif name != "max_owners":
        assert default == "required"
    hint = typing.get_type_hints(cls, include_extras=True)[name]
    listed = ("version", "key_bits", "epsilon", "delta", "dropouts")
    for limit in getattr(hint, "__metadata__", ()):
        if isinstance(limit, Range) and name not in listed:
            numbers = [float(n) for n in re.findall(r"[0-9.]+(?:e-?[0-9]+)?", allowed)[:2]]
            assert numbers == [limit.low, limit.high]


def test_every_part_of_the_bytes_stands_on_the_page_in_order() -> None:
    table = PAGE[PAGE.index("## The bytes") :]
    rows = re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE)
    named = [name for row in rows for name in row.split(", ")]
    assert named == ["field", *(field.name for field in fields(JobSpec))]
    assert f"A message of {len(fields(JobSpec))} fields" in table


def test_limits_on_the_page_are_those_of_the_code() -> None:
    text = PAGE.replace("\n", " ")
    for limit in (
        f"At most {params.MAX_SPEC_BYTES} bytes",
        f"1 to {params.MAX_FEATURES} columns, at most {params.MAX_INPUTS} inputs",
        f"2 to {params.MAX_CATEGORIES} different names",
        f"text, 1 to {params.MAX_NAME_BYTES}",
        f"text, 1 to {params.MAX_TITLE_BYTES}",
        f"At most {params.MAX_PARAMETERS:,}.".replace(",", " "),
        f"at most {params.MAX_STEP_CELLS:,} numbers".replace(",", " "),
        f"At most {params.MAX_BLOB_BYTES:,} bytes".replace(",", " "),
        f"block above {params.MAX_BLOCK}",
        ", ".join(map(str, params.KEY_BITS)),
    ):
        assert limit in text
