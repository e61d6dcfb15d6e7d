"""The file of a package: vectors, and every way to be none."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import encoders

from node.encoders import limits
from node.encoders.package import Manifest, manifest_of, name_of, pack, unpack
from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import EncoderKind, Pooling

ROOT = Path(__file__).resolve().parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "encoder.json").read_text())


def said(case: dict[str, Any]) -> Manifest:
    given = dict(case["manifest"])
    given["kind"], given["pooling"] = EncoderKind(given["kind"]), Pooling(given["pooling"])
    given["mean"], given["deviation"] = tuple(given["mean"]), tuple(given["deviation"])
    lengths = (len(case["model"]) // 2, len(case["tokenizer"]) // 2)
    return Manifest(**given, model_bytes=lengths[0], tokenizer_bytes=lengths[1])


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["manifest"]["title"])
def test_packages_are_as_the_vectors(tmp_path: Path, case: dict[str, Any]) -> None:
    content, manifest = bytes.fromhex(case["package"]), said(case)
    model, tokenizer = bytes.fromhex(case["model"]), bytes.fromhex(case["tokenizer"])
    assert pack(manifest, model, tokenizer) == content
    assert unpack(content) == (manifest, model, tokenizer)
    path = tmp_path / "package"
    path.write_bytes(content)
    assert manifest_of(path) == manifest
    assert name_of(path) == (bytes.fromhex(case["digest"]), len(content))
    assert list(case["manifest"]) == [field.name for field in fields(Manifest)][:-2]


@pytest.mark.parametrize("reason", VECTORS["bad"])
def test_what_is_no_package_is_refused(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "package"
    path.write_bytes(bytes.fromhex(VECTORS["bad"][reason]))
    with pytest.raises(InputError, match="package"):
        manifest_of(path)


def test_every_beginning_is_refused() -> None:
    content = bytes.fromhex(VECTORS["good"][0]["package"])
    for length in range(len(content)):
        with pytest.raises(InputError):
            unpack(content[:length])


@given(st.data())
def test_spoiled_packages_are_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(bytes.fromhex(data.draw(st.sampled_from(VECTORS["good"]))["package"]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        parts = unpack(bytes(content))
    except InputError:
        return
    assert pack(*parts) == content


def test_the_largest_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = encoders.write(tmp_path, EncoderKind.TEXT)
    content = path.read_bytes()
    monkeypatch.setattr(params, "MAX_ENCODER_BYTES", len(content))
    assert pack(*unpack(content)) == content
    monkeypatch.setattr(params, "MAX_ENCODER_BYTES", len(content) - 1)
    with pytest.raises(InputError, match="at most"):
        manifest_of(path)
    with pytest.raises(InputError, match="more than"):
        name_of(path)


def test_parts_have_the_lengths_that_the_manifest_says() -> None:
    manifest = encoders.manifest(EncoderKind.TEXT, 5, 2)
    with pytest.raises(InputError, match="model has 4 bytes, the manifest says 5"):
        pack(manifest, b"four", b"{}")
    with pytest.raises(InputError, match="tokenizer has 1 bytes"):
        pack(manifest, b"fives", b"{")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 5}, "size is 5 in the job, and 4"),
        ({"pooling": Pooling.CLS}, "pooling is cls in the job, and mean"),
        ({"max_tokens": 17}, "max_tokens is 17; the package reads 16"),
    ],
)
def test_a_recipe_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path, recipe = encoders.write(tmp_path, EncoderKind.TEXT)
    manifest = manifest_of(path)
    assert manifest.unfit(recipe) is None
    assert manifest.unfit(replace(recipe, max_tokens=1)) is None
    assert words in str(manifest.unfit(replace(recipe, **changes)))


def test_columns_are_as_many_as_the_numbers(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, EncoderKind.NUMBERS)
    less = replace(recipe, columns=recipe.columns[1:])
    assert "3 columns; the package reads 4" in str(manifest_of(path).unfit(less))


def test_the_page_says_the_limits() -> None:
    page = (ROOT / "docs" / "spec" / "encoder.md").read_text()
    numbers = {int(each) for each in re.findall(r"[0-9]+", page)}
    said = {name: getattr(limits, name) for name in dir(limits) if name.isupper()}
    said |= {name: getattr(params, name) for name in dir(params) if "_ENCODER_" in name}
    # A side's limit is the spec of jobs'.
    del said["MAX_ENCODER_SIDE"]
    for name, value in said.items():
        assert set(value if isinstance(value, tuple) else (value,)) <= numbers, name
    for field in fields(Manifest):
        assert f"`{field.name}`" in page, field.name


def test_the_guide_lists_the_operators() -> None:
    from node.encoders.inspecting import OPERATORS

    page = (ROOT / "docs" / "encoders.md").read_text()
    block = page.partition("<!-- operators -->")[2].partition("<!-- end -->")[0]
    assert set(block.split()) == OPERATORS
