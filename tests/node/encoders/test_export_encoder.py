"""scripts/export-encoder: the network that it writes computes what BERT computes.

The other side is numpy in 64 bits, written from the paper: Devlin et al. 2019, and Vaswani et al.
2017 for attention.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits import encoders
from numpy.typing import NDArray
from onnx import ModelProto

from node.encoders.package import manifest_of, unpack
from node.encoders.running import embed
from protocol.spec.encoder import EncoderKind, Pooling
from scripts.exporting.__main__ import main
from scripts.exporting.safetensors import read

Weights = dict[str, NDArray[Any]]

CONFIG = {
    "model_type": "bert",
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 10,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "type_vocab_size": 2,
    "vocab_size": len(encoders.WORDS),
}


def weights(config: dict[str, Any]) -> Weights:
    """Random ones, with the names and shapes that such folders have."""
    size, wide = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], size),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], size),
        "embeddings.token_type_embeddings.weight": (2, size),
    }
    linear = {}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{at}.attention.{name}"] = (size, size)
        linear[f"{at}.intermediate.dense"] = (wide, size)
        linear[f"{at}.output.dense"] = (size, wide)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    rng = np.random.default_rng(11)
    return {k: rng.normal(size=v).astype(np.float32) for k, v in sorted(shapes.items())}


def folder(tmp_path: Path, held: Weights, config: dict[str, Any], prefix: str = "") -> Path:
    where = tmp_path / "published"
    where.mkdir()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, value in held.items():
        end = at + value.nbytes
        header[prefix + name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [at, end]}
        at = end
    said = json.dumps(header).encode()
    content = struct.pack("<Q", len(said)) + said + b"".join(v.tobytes() for v in held.values())
    (where / "model.safetensors").write_bytes(content)
    (where / "config.json").write_text(json.dumps(config))
    (where / "tokenizer.json").write_bytes(encoders.tokenizer())
    return where


def bert(held: Weights, config: dict[str, Any], ids: list[int]) -> NDArray[np.float64]:
    """`[tokens, size]`: the last layer's output."""
    w = {name: value.astype(np.float64) for name, value in held.items()}

    def norm(x: NDArray[Any], name: str) -> NDArray[Any]:
        centred = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + config["layer_norm_eps"])
        return centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: NDArray[Any], name: str) -> NDArray[Any]:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def active(x: NDArray[Any]) -> NDArray[Any]:
        if config["hidden_act"] == "relu":
            return np.maximum(x, 0)
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    heads = config["num_attention_heads"]
    width = config["hidden_size"] // heads
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{at}.attention.self.{name}") for name in ("query", "key", "value")
        )
        mixed = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = query[:, part] @ key[:, part].T / math.sqrt(width)
            chances = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed.append(chances / chances.sum(axis=1, keepdims=True) @ value[:, part])
        out = linear(np.hstack(mixed), f"{at}.attention.output.dense")
        x = norm(out + x, f"{at}.attention.output.LayerNorm")
        wide = active(linear(x, f"{at}.intermediate.dense"))
        x = norm(linear(wide, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    return x


@pytest.mark.parametrize(("activation", "prefix"), [("gelu", ""), ("relu", "bert.")])
def test_the_network_computes_what_bert_computes(
    tmp_path: Path, activation: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {**CONFIG, "hidden_act": activation}
    held = weights(config)
    where, out = folder(tmp_path, held, config, prefix), tmp_path / "out.assay"
    assert main(["bert", str(where), str(out), "--title", "small", "--licence", "MIT"]) == 0
    said = manifest_of(out)
    recipe = encoders.recipe_of(out, said)
    assert f"digest {recipe.digest.hex()}" in capsys.readouterr().out
    assert (said.kind, said.pooling, said.size, said.max_tokens) == (
        EncoderKind.TEXT,
        Pooling.MEAN,
        12,
        10,
    )
    texts = ["a b c", "g", "f f f f f f f f f f f f f f"]
    ids = [[1, 2, 3], [7], [6] * 10]
    found = embed(out, recipe, texts)
    expected = np.array([bert(held, config, each).mean(axis=0) for each in ids])
    assert np.abs(found - expected).max() < 2e-5


def test_the_same_folder_makes_the_same_package(tmp_path: Path) -> None:
    where = folder(tmp_path, weights(CONFIG), CONFIG)
    (where / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    (where / "1_Pooling").mkdir()
    (where / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    contents = []
    for name in ("first", "second"):
        assert main(["bert", str(where), str(tmp_path / name)]) == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    manifest, model, tokenizer = unpack(contents[0])
    assert (manifest.max_tokens, manifest.pooling) == (7, Pooling.CLS)
    assert tokenizer == encoders.tokenizer()
    assert [each.version for each in ModelProto.FromString(model).opset_import] == [17]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "t5"}, "model_type is 't5'"),
        ({"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ({"position_embedding_type": "relative_key"}, "not absolute"),
        ({"num_hidden_layers": 3}, "encoder.layer.2.attention.self.query.weight' is missing"),
    ],
)
def test_what_is_no_bert_is_said(
    tmp_path: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = folder(tmp_path, weights(CONFIG), {**CONFIG, **changes})
    assert main(["bert", str(where), str(tmp_path / "out")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_onnx_file_is_wrapped_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "out"
    path.write_bytes(encoders.image_model().SerializeToString())
    line = ["onnx", str(path), str(out), "--kind", "image", "--size", "4", "--width", "8"]
    line += ["--height", "8", "--channels", "1", "--mean", "0.5", "--deviation", "0.25"]
    assert main(line) == 0
    rows = embed(out, encoders.recipe_of(out, manifest_of(out)), [encoders.picture()])
    assert rows.shape == (1, 4)
    path.write_bytes(encoders.text_model().SerializeToString())
    out.unlink()
    assert main(line) == 1
    assert "is no tensor of FLOAT" in capsys.readouterr().err
    assert not out.exists()


def test_a_file_of_weights_that_is_cut_off(tmp_path: Path) -> None:
    where = folder(tmp_path, weights(CONFIG), CONFIG) / "model.safetensors"
    content = where.read_bytes()
    assert len(read(where)) == len(weights(CONFIG))
    for length in (0, 7, 100, len(content) - 1):
        where.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            read(where)
