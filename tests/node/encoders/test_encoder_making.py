"""A package made of an ONNX file: what the file says is read of it, what it cannot say is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from kits import encoders as small
from onnx import helper

from node.encoders.making import made
from node.encoders.package import Wishes, manifest_of, unpack
from node.encoders.piping import EncoderFailed
from node.encoders.running import embed, inspect
from protocol.errors import InputError
from protocol.spec.encoder import EncoderKind, Pooling
from scripts.exporting.__main__ import main


def file_of(folder: Path, network: onnx.ModelProto) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(network.SerializeToString(deterministic=True))
    return path


def words_of(folder: Path, **changes: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_bytes(small.tokenizer(**changes))
    return path


def opened(network: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, every dimension but the first of its output and inputs left open."""
    for each in (*network.graph.input, *network.graph.output):
        for dim in each.type.tensor_type.shape.dim[1:]:
            dim.ClearField("value")
    return network


def test_a_network_of_texts_says_all_but_pooling_and_its_longest_text(tmp_path: Path) -> None:
    network, words = file_of(tmp_path, small.text_model()), words_of(tmp_path)
    found = made(network, words, Wishes())
    said = found.manifest
    assert (said.kind, said.pooling, said.size) == (EncoderKind.TEXT, Pooling.MEAN, small.SIZE)
    assert (said.max_tokens, said.title) == (512, "net.onnx")
    assert [each.split(" ")[0] for each in found.assumed] == ["pooling", "512"]
    package = tmp_path / "made.assay"
    package.write_bytes(found.content)
    assert inspect(package).inputs == ("input_ids",)
    recipe = small.recipe_of(package, said)
    expected = small.table()[1:3].mean(axis=0)
    np.testing.assert_allclose(embed(package, recipe, ["a b"])[0], expected, rtol=1e-6)


def test_the_longest_text_is_the_tokenizers_cut_and_an_option_goes_before_it(
    tmp_path: Path,
) -> None:
    network = file_of(tmp_path, small.text_model())
    cut = {"max_length": 128, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    words = words_of(tmp_path, truncation=cut)
    assert made(network, words, Wishes()).manifest.max_tokens == 128
    wishes = Wishes(max_tokens=16, pooling=Pooling.CLS, title="t", licence="MIT", source="s")
    found = made(network, words, wishes)
    said = found.manifest
    assert (said.max_tokens, said.pooling, found.assumed) == (16, Pooling.CLS, ())
    assert (said.title, said.licence, said.source) == ("t", "MIT", "s")


def test_images_and_numbers_are_told_by_what_the_network_reads(tmp_path: Path) -> None:
    found = made(file_of(tmp_path, small.image_model()), None, Wishes())
    said = found.manifest
    assert (said.kind, said.width, said.height, said.channels) == (EncoderKind.IMAGE, 8, 8, 1)
    assert (said.mean, said.deviation, said.pooling) == ((0.0,), (1.0,), Pooling.NONE)
    assert "--mean" in found.assumed[0]
    said = made(file_of(tmp_path, small.numbers_model()), None, Wishes()).manifest
    assert (said.kind, said.inputs, said.size) == (EncoderKind.NUMBERS, 4, 4)


@pytest.mark.parametrize(
    ("network", "wishes", "field", "words"),
    [
        (small.text_model, Wishes(), "tokenizer", "its tokenizer is missing"),
        (lambda: opened(small.numbers_model()), Wishes(), "size", "say --size"),
        (lambda: opened(small.numbers_model()), Wishes(size=4), "inputs", "say --inputs"),
        (lambda: opened(small.image_model()), Wishes(size=4), "channels", "say --channels"),
        (small.numbers_model, Wishes(max_tokens=3), "encoder", "max_tokens: is given"),
        (small.numbers_model, Wishes(size=0), "encoder", "size"),
        (small.numbers_model, Wishes(size=2000), "encoder", "size"),
        (small.image_model, Wishes(channels=2), "encoder", "channels"),
        (small.image_model, Wishes(title="two\nlines"), "encoder", "title"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_option(
    tmp_path: Path, network: Any, wishes: Wishes, field: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        made(file_of(tmp_path, network()), None, wishes)
    assert caught.value.field == field


def test_a_tokenizer_that_nests_deep_ends_nothing(tmp_path: Path) -> None:
    """A daemon's libraries raise the recursion limit for the whole process."""
    before = sys.getrecursionlimit()
    words_file = words_of(tmp_path)
    words_file.write_bytes(b"[" * 1_000_000)
    try:
        sys.setrecursionlimit(100_000)
        made(file_of(tmp_path, small.text_model()), words_file, Wishes())
    finally:
        sys.setrecursionlimit(before)


def test_hostile_files_end_in_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    whole = small.text_model().SerializeToString()
    many = small.numbers_model()
    many.graph.output.extend([many.graph.output[0]] * 9)
    deep = small.numbers_model()
    deep.graph.input[0].type.tensor_type.shape.dim.extend([onnx.TensorShapeProto.Dimension()] * 9)
    two = small.numbers_model()
    two.graph.output.append(helper.make_tensor_value_info("other", small.FLOAT, [1, 2]))
    for content, words in (
        (b"", "has 0 outputs"),
        (b"no network", "unknown field|cut off|form"),
        (whole[: len(whole) // 2], "cut off"),
        (many.SerializeToString(), "declares 10"),
        (deep.SerializeToString(), "has 11 dimensions"),
        (two.SerializeToString(), "has 2 outputs"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            made(path, None, Wishes())
    # A dimension of 2^62, and a tokenizer that nests a million deep: both are only told.
    huge = small.numbers_model()
    huge.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2**62
    with pytest.raises(InputError, match="size"):
        made(file_of(tmp_path, huge), None, Wishes())
    words_file = words_of(tmp_path)
    words_file.write_bytes(b"[" * 1_000_000)
    path = file_of(tmp_path, small.text_model())
    found = made(path, words_file, Wishes())
    (tmp_path / "made.assay").write_bytes(found.content)
    with pytest.raises(InputError, match="tokenizer"):
        inspect(tmp_path / "made.assay")


def test_a_process_that_answers_garbage_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.encoders import running

    path = file_of(tmp_path, small.numbers_model())
    for said in ([], [[], "x"], [[1], []], [[["x", 0, ["y"]]], []], [[["x", "f", []]], []]):
        monkeypatch.setattr(running._Process, "start", lambda *_, said=said: said)
        with pytest.raises(EncoderFailed, match="garbage"):
            running.forms(path)


def test_the_exporter_makes_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, words = file_of(tmp_path, small.text_model()), words_of(tmp_path)
    out = tmp_path / "out.assay"
    assert main(["onnx", str(network), str(out), "--tokenizer", str(words)]) == 0
    assert "assumed: pooling mean" in capsys.readouterr().out
    assert out.read_bytes() == made(network, words, Wishes()).content
    manifest, model, tokenizer = unpack(out.read_bytes())
    assert (manifest, model, tokenizer) == (
        manifest_of(out),
        network.read_bytes(),
        words.read_bytes(),
    )
    assert json.loads(tokenizer)["model"]["type"] == "WordLevel"
