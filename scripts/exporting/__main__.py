"""scripts/export-encoder: makes an encoder package of a network that somebody published.

`bert FOLDER` reads config.json, tokenizer.json and model.safetensors, as sentence encoders of the
BERT family are published. `onnx FILE` takes a network that is an ONNX file already. The package is
read once in a confined process, as whoever uses it will, and named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.encoders import libraries, making
from node.encoders.package import Manifest, Wishes, name_of, pack
from node.encoders.running import Found, inspect
from protocol import params
from protocol.errors import AssayError
from protocol.spec.encoder import EncoderKind, Pooling
from scripts.exporting import safetensors


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if why := libraries.lacking():
        print(f"error: {why}", file=sys.stderr)
        return 1
    try:
        content = _of_bert(options) if options.of == "bert" else _of_onnx(options)
        found, digest = _written(options.out, content)
    except AssayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"error: {options.source_path}: {error} is missing", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    said = found.manifest
    print(
        f"{options.out}: {len(content):,} bytes, {found.weights:,} weights, operators {found.opset}"
    )
    print(f"kind {said.kind}, pooling {said.pooling}, {said.size} features")
    print(f"digest {digest.hex()}")
    return 0


def _written(out: Path, content: bytes) -> tuple[Found, bytes]:
    """The package at `out`, what was found in it, and its digest; nothing where it is refused."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / out.name
        made.write_bytes(content)
        found = inspect(made)
        made.replace(out)
    return found, name_of(out)[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/export-encoder", description=__doc__)
    kinds = parser.add_subparsers(dest="of", required=True)
    for name, what in (("bert", "a folder with safetensors"), ("onnx", "an ONNX file")):
        each = kinds.add_parser(name, help=what)
        each.add_argument("source_path", type=Path, metavar="FOLDER" if name == "bert" else "FILE")
        each.add_argument("out", type=Path, help="the package to write")
        each.add_argument("--title", help="what people see; else the folder's or file's name")
        each.add_argument("--licence", default="", help="such as Apache-2.0")
        each.add_argument("--source", default="", help="where it was published")
        each.add_argument("--pooling", type=Pooling, choices=list(Pooling))
        each.add_argument("--max-tokens", type=int, help="the most tokens of a text")
    onnx = kinds.choices["onnx"]
    onnx.add_argument("--kind", type=EncoderKind, choices=list(EncoderKind))
    onnx.add_argument("--size", type=int, help="features that it makes")
    onnx.add_argument("--tokenizer", type=Path, help="tokenizer.json, of texts")
    onnx.add_argument("--inputs", type=int, help="numbers that it reads, of numbers")
    for name in ("width", "height", "channels"):
        onnx.add_argument(f"--{name}", type=int, help="of images")
    for name in ("mean", "deviation"):
        onnx.add_argument(f"--{name}", type=float, nargs="+", default=[], help="of images")
    return parser


def _of_bert(options: argparse.Namespace) -> bytes:
    # Late: without the library the command says which one it is.
    from scripts.exporting import bert

    folder: Path = options.source_path
    shape = bert.Shape.of(_json(folder / "config.json"))
    model = bert.network(safetensors.read(folder / "model.safetensors"), shape)
    tokenizer = (folder / "tokenizer.json").read_bytes()
    reads = _optional(folder / "sentence_bert_config.json").get("max_seq_length", shape.positions)
    pooled = _optional(folder / "1_Pooling" / "config.json")
    pooling = Pooling.CLS if pooled.get("pooling_mode_cls_token") else Pooling.MEAN
    most = min(options.max_tokens or reads, shape.positions, params.MAX_ENCODER_TOKENS)
    manifest = Manifest(
        title=options.title or folder.resolve().name,
        licence=options.licence,
        source=options.source,
        kind=EncoderKind.TEXT,
        pooling=options.pooling or pooling,
        size=shape.size,
        inputs=0,
        max_tokens=most,
        width=0,
        height=0,
        channels=0,
        mean=(),
        deviation=(),
        model_bytes=len(model),
        tokenizer_bytes=len(tokenizer),
    )
    return pack(manifest, model, tokenizer)


def _of_onnx(options: argparse.Namespace) -> bytes:
    wishes = Wishes(
        kind=options.kind,
        pooling=options.pooling,
        size=options.size,
        max_tokens=options.max_tokens,
        inputs=options.inputs,
        width=options.width,
        height=options.height,
        channels=options.channels,
        mean=tuple(options.mean),
        deviation=tuple(options.deviation),
        title=options.title,
        licence=options.licence,
        source=options.source,
    )
    found = making.made(options.source_path, options.tokenizer, wishes)
    for each in found.assumed:
        print(f"assumed: {each}")
    return found.content


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
