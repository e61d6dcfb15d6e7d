"""The figure `encode`: what walls, pipes and checks cost beside the runtime called bare.

The network has the shape of a sentence encoder that people use (MiniLM: six layers, 384 features,
22 million weights) with weights drawn at random: they decide what comes out, not how long it takes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from node.encoders.package import Manifest, name_of, pack
from node.encoders.running import embed
from protocol.spec.encoder import Encoder, EncoderKind, Pooling
from scripts.benchmarks.figures import Context, Measurement
from scripts.exporting import bert

TOKENS: Final = 64

#: Rows that `embed` sends at once; time is taken batch by batch, and the bare runs lie between.
_BATCH: Final = 64
_SIZE, _WIDE, _LAYERS, _WORDS = 384, 1536, 6, 30_522

_SHAPE: Final = bert.Shape(
    size=_SIZE, layers=_LAYERS, heads=12, positions=512, epsilon=1e-12, activation="gelu"
)


def encode(context: Context) -> Measurement:
    """Milliseconds of one sentence, one core; the ratio is ours over bare."""
    model, vocabulary = bert.network(_weights(), _SHAPE), {f"w{each}": each for each in range(64)}
    tokenizer = _tokenizer(vocabulary)
    manifest = Manifest(
        title="a sentence encoder's shape",
        licence="",
        source="",
        kind=EncoderKind.TEXT,
        pooling=Pooling.MEAN,
        size=_SIZE,
        inputs=0,
        max_tokens=TOKENS,
        width=0,
        height=0,
        channels=0,
        mean=(),
        deviation=(),
        model_bytes=len(model),
        tokenizer_bytes=len(tokenizer),
    )
    text = " ".join(vocabulary)
    ids = np.array([list(vocabulary.values())], np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.assay"
        path.write_bytes(pack(manifest, model, tokenizer))
        digest, size = name_of(path)
        recipe = Encoder(
            digest=digest,
            package_bytes=size,
            kind=EncoderKind.TEXT,
            columns=("text",),
            pooling=Pooling.MEAN,
            size=_SIZE,
            max_tokens=TOKENS,
        )
        ours, bare, same = _interleaved(path, recipe, model, text, ids, context.runs)
    mine, theirs = statistics.median(ours), statistics.median(bare)
    return Measurement(
        mine * 1e3,
        theirs * 1e3,
        own_ratio=mine / theirs,
        notes=[
            f"a sentence of {TOKENS} tokens; {len(ours)} batches of {_BATCH} on each side, in turn",
            f"ours {min(ours) * 1e3:.4g} to {max(ours) * 1e3:.4g}, bare {min(bare) * 1e3:.4g} to "
            f"{max(bare) * 1e3:.4g}; both give the same features to {same:.1g}",
            "without the start, once a call: seconds for a process and a package of 90 MB",
        ],
    )


def _interleaved(
    path: Path, recipe: Encoder, model: bytes, text: str, ids: NDArray[Any], runs: int
) -> tuple[list[float], list[float], float]:
    """Seconds of one sentence, batch by batch, of both sides; and how far they are apart."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
    ours: list[float] = []
    bare: list[float] = []
    began = time.perf_counter()

    def between(done: int, total: int) -> None:
        nonlocal began
        ours.append((time.perf_counter() - began) / _BATCH)
        at = time.perf_counter()
        for _ in range(_BATCH):
            session.run(None, feed)
        bare.append((time.perf_counter() - at) / _BATCH)
        began = time.perf_counter()

    rows = embed(path, recipe, [text] * (_BATCH * (runs + 1)), between)
    apart = float(np.abs(rows[0] - session.run(None, feed)[0][0].mean(axis=0)).max())
    if apart > 1e-4:
        raise ValueError(f"the two sides' features differ by {apart}")
    # The first turn starts the process.
    return ours[1:], bare[1:], apart


def _weights() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (_WORDS, _SIZE),
        "embeddings.position_embeddings.weight": (512, _SIZE),
        "embeddings.token_type_embeddings.weight": (2, _SIZE),
        **_of("embeddings.LayerNorm", (_SIZE,)),
    }
    for at in (f"encoder.layer.{layer}" for layer in range(_LAYERS)):
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _of(f"{at}.attention.{name}", (_SIZE, _SIZE))
        shapes |= _of(f"{at}.intermediate.dense", (_WIDE, _SIZE))
        shapes |= _of(f"{at}.output.dense", (_SIZE, _WIDE))
        shapes |= _of(f"{at}.attention.output.LayerNorm", (_SIZE,))
        shapes |= _of(f"{at}.output.LayerNorm", (_SIZE,))
    return {
        name: rng.normal(scale=0.05, size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def _of(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _tokenizer(vocabulary: dict[str, int]) -> bytes:
    said = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    }
    return json.dumps(said).encode()
