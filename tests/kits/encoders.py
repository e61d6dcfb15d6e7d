"""Small encoder packages, made here with onnx's own helpers: whole ones, and what to spoil."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

from kits.books import make_spec
from node.encoders.package import Manifest, name_of, pack
from protocol.spec.encoder import Encoder, EncoderKind, Pooling
from protocol.spec.job import ClassTarget, Envelope, Family, JobSpec, ModelSpec
from protocol.spec.model import FeatureMap

SIZE = 4
WORDS = ("[UNK]", "a", "b", "c", "d", "e", "f", "g")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

Spoil = Callable[[onnx.ModelProto], None]


def table() -> np.ndarray[Any, np.dtype[np.float32]]:
    """The words' vectors, `[words, size]`."""
    return np.random.default_rng(5).normal(size=(len(WORDS), SIZE)).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: onnx.ValueInfoProto,
    weights: dict[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A network of these parts."""
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def text_model() -> onnx.ModelProto:
    """Each token's vector by a look-up."""
    return model(
        [helper.make_node("Gather", ["table", "input_ids"], ["out"], name="look")],
        [helper.make_tensor_value_info("input_ids", INT64, ["rows", "tokens"])],
        helper.make_tensor_value_info("out", FLOAT, ["rows", "tokens", SIZE]),
        {"table": table()},
    )


def numbers_model(*nodes: onnx.NodeProto, weights: dict[str, Any] | None = None) -> onnx.ModelProto:
    """Four numbers, `x`, to `out` by the nodes; without any, their ReLU."""
    return model(
        list(nodes) or [helper.make_node("Relu", ["x"], ["out"], name="relu")],
        [helper.make_tensor_value_info("x", FLOAT, [1, SIZE])],
        helper.make_tensor_value_info("out", FLOAT, [1, SIZE]),
        weights,
    )


def image_model() -> onnx.ModelProto:
    """An 8 x 8 grey picture to the means of its four quarters."""
    return model(
        [
            helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Reshape", ["p", "shape"], ["out"]),
        ],
        [helper.make_tensor_value_info("x", FLOAT, [1, 1, 8, 8])],
        helper.make_tensor_value_info("out", FLOAT, [1, SIZE]),
        {"shape": np.array([1, SIZE], np.int64)},
    )


def tokenizer(**changes: Any) -> bytes:
    """A tokenizer.json that splits at white space and looks words up."""
    said = {
        "version": "1.0",
        "truncation": None,
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[UNK]",
        },
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
    }
    return json.dumps({**said, **changes}).encode()


def manifest(kind: EncoderKind, model_bytes: int, tokenizer_bytes: int = 0) -> Manifest:
    """What a package of this kind says of itself."""
    text, image = kind is EncoderKind.TEXT, kind is EncoderKind.IMAGE
    return Manifest(
        title=f"small {kind}",
        licence="Apache-2.0",
        source="made by a test",
        kind=kind,
        pooling=Pooling.MEAN if text else Pooling.NONE,
        size=SIZE,
        inputs=SIZE if kind is EncoderKind.NUMBERS else 0,
        max_tokens=16 if text else 0,
        width=8 if image else 0,
        height=8 if image else 0,
        channels=1 if image else 0,
        mean=(0.5,) if image else (),
        deviation=(0.25,) if image else (),
        model_bytes=model_bytes,
        tokenizer_bytes=tokenizer_bytes,
    )


def write(
    folder: Path,
    kind: EncoderKind,
    network: onnx.ModelProto | bytes | None = None,
    words: bytes | None = None,
    **changes: Any,
) -> tuple[Path, Encoder]:
    """A package of this kind and the recipe that a job would have; `changes` are the recipe's and
    the manifest's."""
    given = network or _MODELS[kind]()
    data = given if isinstance(given, bytes) else given.SerializeToString(deterministic=True)
    words = tokenizer() if words is None and kind is EncoderKind.TEXT else words or b""
    said = replace(manifest(kind, len(data), len(words)), **changes)
    path = folder / f"{kind}.assay"
    path.write_bytes(pack(said, data, words))
    return path, recipe_of(path, said)


def recipe_of(path: Path, said: Manifest) -> Encoder:
    """The recipe of a job that uses the package as it was made to be used."""
    digest, size = name_of(path)
    numbers = said.kind is EncoderKind.NUMBERS
    return Encoder(
        digest=digest,
        package_bytes=size,
        kind=said.kind,
        columns=tuple(f"x{each}" for each in range(said.inputs)) if numbers else ("cell",),
        pooling=said.pooling,
        size=said.size,
        max_tokens=said.max_tokens,
        width=said.width,
        height=said.height,
        channels=said.channels,
        mean=said.mean,
        deviation=said.deviation,
        low=-1e6 if numbers else 0.0,
        high=1e6 if numbers else 0.0,
    )


def spec_of(encoder: Encoder) -> JobSpec:
    """A job with noise whose features the encoder makes."""
    base = make_spec(noisy=True)
    return replace(
        base,
        features=(encoder,),
        target=ClassTarget("mood", ("low", "high")),
        model=ModelSpec(Family.SOFTMAX, 0, FeatureMap.ENCODER),
        encryption=replace(base.encryption, envelope=Envelope.MASKS),
    )


def picture(
    form: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L", seed: int = 1
) -> bytes:
    """A file of random pixels."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, form)
    return file.getvalue()


_MODELS = {
    EncoderKind.TEXT: text_model,
    EncoderKind.NUMBERS: numbers_model,
    EncoderKind.IMAGE: image_model,
}
