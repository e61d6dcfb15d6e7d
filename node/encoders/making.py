"""An encoder package made of an ONNX file and, for texts, its tokenizer.

A network declares what it reads and gives, and that says most of what a manifest does; a confined
process reads it. What a file does not say, its publisher does: options, which go before the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.bounds.nesting import nests_deeper
from node.encoders import limits
from node.encoders.package import Manifest, Wishes, pack
from node.encoders.running import Form, forms
from protocol import params
from protocol.errors import InputError, Malformed
from protocol.spec.encoder import EncoderKind, Pooling


@dataclass(frozen=True, slots=True)
class Made:
    """A package's bytes, its manifest, and words on what stands in neither file nor wishes."""

    content: bytes
    manifest: Manifest
    assumed: tuple[str, ...]


def made(network: Path, tokenizer: Path | None, wishes: Wishes) -> Made:
    """The package of an ONNX file. Nothing of it is checked but its declared inputs and outputs.

    Raises InputError, with the option that would say it, for what cannot be read of the file, and
    as `node.encoders.running.forms`; OSError.
    """
    inputs, outputs = forms(network)
    if len(outputs) != 1:
        names = ", ".join(each.name for each in outputs[:5]) or "none"
        raise InputError(
            f"{network.name} has {len(outputs)} outputs ({names}); an encoder has one: export it "
            "anew with the one that its features are",
            "encoder.model",
        )
    assumed: list[str] = []
    kind = wishes.kind or _kind(network, inputs, tokenizer)
    pooling = wishes.pooling or _pooling(outputs[0], assumed)
    given = _bytes_of(tokenizer) if tokenizer else b""
    # What a kind has no use for stays as it was said: the manifest refuses it.
    parts: dict[str, Any] = {name: getattr(wishes, name) or 0 for name in _NUMBERS}
    parts |= {"mean": wishes.mean, "deviation": wishes.deviation}
    parts["size"] = _either(wishes.size, outputs[0], -1, "size", "features that it makes")
    if kind is EncoderKind.TEXT:
        if not given:
            error = InputError(f"{network.name} reads texts: its tokenizer is missing", "tokenizer")
            error.add_note("--tokenizer tokenizer.json, as it was published beside the network")
            raise error
        parts["max_tokens"] = _tokens(wishes.max_tokens, given, assumed)
    elif kind is EncoderKind.IMAGE:
        parts |= _of_image(_only(network, inputs), wishes, assumed)
    else:
        form = _only(network, inputs)
        parts["inputs"] = _either(wishes.inputs, form, 1, "inputs", "numbers that it reads")
    try:
        manifest = Manifest(
            title=wishes.title or network.resolve().name,
            licence=wishes.licence,
            source=wishes.source,
            kind=kind,
            pooling=pooling,
            model_bytes=network.stat().st_size,
            tokenizer_bytes=len(given),
            **parts,
        )
    except Malformed as error:
        raise InputError(f"no package can be made of {network.name}: {error}", "encoder") from None
    return Made(pack(manifest, network.read_bytes(), given), manifest, tuple(assumed))


#: Numbers of a manifest that wishes may have.
_NUMBERS: Final = ("inputs", "max_tokens", "width", "height", "channels")


def _only(network: Path, inputs: tuple[Form, ...]) -> Form:
    if len(inputs) != 1:
        raise InputError(f"{network.name} reads {len(inputs)} inputs; one is needed", "kind")
    return inputs[0]


def _kind(network: Path, inputs: tuple[Form, ...], tokenizer: Path | None) -> EncoderKind:
    if tokenizer is not None or any(each.name == "input_ids" for each in inputs):
        return EncoderKind.TEXT
    if len(inputs) == 1 and inputs[0].floats:
        if len(inputs[0].dimensions) == 4:
            return EncoderKind.IMAGE
        if len(inputs[0].dimensions) == 2:
            return EncoderKind.NUMBERS
    said = ", ".join(f"{each.name} {list(each.dimensions)}" for each in inputs[:5]) or "nothing"
    raise InputError(
        f"{network.name} reads {said}: input_ids are read of texts, [1, channels, height, width] "
        "floats of images, [1, inputs] of numbers; say --kind",
        "kind",
    )


def _pooling(output: Form, assumed: list[str]) -> Pooling:
    if len(output.dimensions) == 2:
        return Pooling.NONE
    if len(output.dimensions) != 3:
        raise InputError(
            f"its output {output.name} has {len(output.dimensions)} dimensions; [1, size], or "
            "[1, places, size] with --pooling mean or cls, is needed",
            "pooling",
        )
    assumed.append("pooling mean (--pooling cls if its publisher says so)")
    return Pooling.MEAN


def _tokens(wished: int | None, tokenizer: bytes, assumed: list[str]) -> int:
    """The most tokens of a text: as said, or as the tokenizer cuts, or the most there may be."""
    most = params.MAX_ENCODER_TOKENS
    if wished is not None:
        return wished
    try:
        # Read outside of the walls, where no RecursionError can be counted on.
        deep = nests_deeper(tokenizer, limits.MAX_TOKENIZER_DEPTH)
        said = None if deep else json.loads(tokenizer)["truncation"]["max_length"]
    except (ValueError, KeyError, TypeError):
        # No cut, or no tokenizer: what is none is refused where the package is read.
        said = None
    if type(said) is int and said > 0:
        return min(said, most)
    assumed.append(f"{most} tokens of a text at most (--max-tokens if the network reads fewer)")
    return most


def _of_image(form: Form, wishes: Wishes, assumed: list[str]) -> dict[str, Any]:
    channels = _either(wishes.channels, form, 1, "channels", "1 grey, 3 RGB")
    if not wishes.mean and not wishes.deviation:
        assumed.append("values from 0 to 1 (--mean and --deviation as its publisher says)")
    return {
        "channels": channels,
        "height": _either(wishes.height, form, 2, "height", "pixels"),
        "width": _either(wishes.width, form, 3, "width", "pixels"),
        "mean": wishes.mean or (0.0,) * min(channels, 3),
        "deviation": wishes.deviation or (1.0,) * min(channels, 3),
    }


def _either(wished: int | None, form: Form, place: int, name: str, what: str) -> int:
    """What was wished, or what stands at a place of a form's dimensions."""
    if wished is not None:
        return wished
    found = form.dimensions[place:][:1] if len(form.dimensions) > max(place, 0) else ()
    if not found or not found[0]:
        raise InputError(f"{form.name} leaves it open ({what}); say --{name}", name)
    return found[0]


def _bytes_of(tokenizer: Path) -> bytes:
    if (size := tokenizer.stat().st_size) > limits.MAX_TOKENIZER_BYTES:
        most = limits.MAX_TOKENIZER_BYTES
        raise InputError(f"{tokenizer.name} has {size} bytes; at most {most} are read", "tokenizer")
    return tokenizer.read_bytes()
