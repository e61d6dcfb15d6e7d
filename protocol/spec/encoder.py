"""The encoder of a job's spec: a pretrained network that makes features of its owners' cells.

It stands in the place of the columns that a table of numbers has: a spec has either those or one
`Encoder`, and `model.map = "encoder"` says the latter. The network is an *encoder package*, a blob
(manifest, ONNX file, tokenizer) that the spec names by digest and size; owners accept it by that
digest and run it on their own machine, row by row. docs/spec/job.md, 'Encoders'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeAlias

from protocol import params
from protocol.spec.checks import Fault, distinct
from protocol.spec.gaps import GapRule, GapWords, Missing, gap_rule
from protocol.spec.parts import Feature, Name, Part, Target
from protocol.wire.codec import Range, Size


class EncoderKind(StrEnum):
    """What the network reads: one text, one picture, or numbers, of each row."""

    TEXT = "text"
    IMAGE = "image"
    NUMBERS = "numbers"


class Pooling(StrEnum):
    """How a row's vector follows from the network's output.

    MEAN: the mean over a text's tokens, or an image's patches (output [1, places, size]); CLS: the
    first of them; NONE: the output is the vector (output [1, size]).
    """

    MEAN = "mean"
    CLS = "cls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Encoder(Part):
    """Which network makes a row's `size` features of which cells, and how.

    `digest` and `package_bytes` name it as a blob (protocol.wire.blobs). `columns` are those that
    it reads: one of texts, one of images, or one or more of numbers, in the network's order. A text
    is cut to `max_tokens`. An image is brought to `width` x `height` with `channels` (1 grey, 3
    RGB); a pixel's value v from 0 to 255 becomes (v / 255 - mean) / deviation, channel by channel.
    A number reaches the network as it is, and one outside of `low` to `high` is met as the spec
    says (`outside`). What a kind has no use for is 0 or empty. `gaps` and `missing` say what an
    empty cell becomes: nothing fills it.
    """

    digest: Annotated[bytes, Size(32)]
    package_bytes: Annotated[int, Range(1, params.MAX_ENCODER_BYTES)]
    kind: EncoderKind
    columns: Annotated[tuple[Name, ...], Size(1, params.MAX_FEATURES)]
    pooling: Pooling
    size: Annotated[int, Range(1, params.MAX_ENCODER_FEATURES)]
    max_tokens: Annotated[int, Range(0, params.MAX_ENCODER_TOKENS)] = 0
    width: Annotated[int, Range(0, params.MAX_ENCODER_SIDE)] = 0
    height: Annotated[int, Range(0, params.MAX_ENCODER_SIDE)] = 0
    channels: Annotated[int, Range(0, 3)] = 0
    mean: Annotated[tuple[float, ...], Size(0, 3)] = ()
    deviation: Annotated[tuple[float, ...], Size(0, 3)] = ()
    low: float = 0.0
    high: float = 0.0
    gaps: GapWords = ()
    missing: Missing = Missing.REFUSE

    def faults(self) -> Iterator[Fault]:
        yield from distinct("columns", self.columns)
        yield from distinct("gaps", self.gaps)
        if self.missing is Missing.FILL:
            found = "is a value; allowed is 'refuse' or 'drop-row': nothing stands for a text"
            yield Fault("missing", found)
        if self.kind is not EncoderKind.NUMBERS and len(self.columns) > 1:
            found = f"names {len(self.columns)}; an encoder of {self.kind} reads one column"
            yield Fault("columns", found)
        if self.kind is EncoderKind.NUMBERS and self.pooling is not Pooling.NONE:
            yield Fault("pooling", f"is {self.pooling}; an encoder of numbers has 'none'")
        yield from self._text_faults()
        yield from self._image_faults()
        yield from self._number_faults()

    @property
    def inputs(self) -> int:
        """Numbers that a row becomes, as of every feature."""
        return self.size

    @property
    def rule(self) -> GapRule:
        """What becomes of the gaps of each of its columns."""
        return GapRule(self.gaps, self.missing)

    def _text_faults(self) -> Iterator[Fault]:
        if self.kind is EncoderKind.TEXT and not self.max_tokens:
            most = params.MAX_ENCODER_TOKENS
            yield Fault("max_tokens", f"is 0; a text is cut to at least 1 token, at most {most}")
        if self.kind is not EncoderKind.TEXT and self.max_tokens:
            yield Fault("max_tokens", f"is {self.max_tokens}; only an encoder of text has it")

    def _image_faults(self) -> Iterator[Fault]:
        if self.kind is not EncoderKind.IMAGE:
            for name in ("width", "height", "channels", "mean", "deviation"):
                if getattr(self, name):
                    yield Fault(name, f"is given; an encoder of {self.kind} has none")
            return
        for name in ("width", "height"):
            if not getattr(self, name):
                yield Fault(name, f"is 0; 1 to {params.MAX_ENCODER_SIDE} pixels are allowed")
        if self.channels not in (1, 3):
            yield Fault("channels", f"is {self.channels}; allowed are 1 (grey) and 3 (RGB)")
            return
        for name in ("mean", "deviation"):
            if len(getattr(self, name)) != self.channels:
                found = f"has {len(getattr(self, name))} numbers"
                yield Fault(name, f"{found}; one for each of {self.channels} channels is needed")
        if not all(1e-6 <= each <= 1e6 for each in self.deviation):
            yield Fault("deviation", "must lie from 1e-06 to 1e+06")
        if not all(abs(each) <= 1e6 for each in self.mean):
            yield Fault("mean", "must lie from -1e+06 to 1e+06")

    def _number_faults(self) -> Iterator[Fault]:
        if self.kind is EncoderKind.NUMBERS:
            # The network takes 32-bit floats.
            if not -3e38 <= self.low < self.high <= 3e38 or not math.isfinite(self.high - self.low):
                found = f"is {self.high:g} beside low = {self.low:g}"
                yield Fault("high", f"{found}; low < high, both of at most 3e+38, are needed")
        elif self.low or self.high:
            yield Fault("high", f"is given; an encoder of {self.kind} has no range")


#: What a spec's features may be.
Input: TypeAlias = Feature | Encoder


def column_names(features: Sequence[Input]) -> tuple[str, ...]:
    """The columns that features are made of, in order."""
    return tuple(
        name
        for feature in features
        for name in (feature.columns if isinstance(feature, Encoder) else (feature.name,))
    )


def column_rules(features: Sequence[Input], target: Target) -> Iterator[tuple[str, GapRule]]:
    """What becomes of the gaps of each column of a spec, by its name."""
    for feature in features:
        if isinstance(feature, Encoder):
            yield from ((name, feature.rule) for name in feature.columns)
        else:
            yield feature.name, gap_rule(feature)
    yield target.name, gap_rule(target)


def feature_faults(features: Sequence[Input], target: str, encoded: bool) -> Iterator[Fault]:
    """Faults between a spec's features. An encoder stands alone, and `encoded` says that one does;
    no two columns have one name; inputs are not too many."""
    encoders = sum(isinstance(feature, Encoder) for feature in features)
    if encoders and len(features) > 1:
        yield Fault("features", "hold an encoder and other columns; an encoder stands alone")
    elif encoders and not encoded:
        yield Fault("model.map", "must be 'encoder': the features are an encoder's")
    elif encoded and not encoders:
        yield Fault("model.map", "is encoder; write [encoder] in the place of [[features]]")
    seen: set[str] = set()
    for i, name in enumerate(column_names(features)):
        if name in seen and not encoders:
            yield Fault(f"features[{i}].name", f"another feature is {name!r} already")
        seen.add(name)
    if target in seen:
        yield Fault("target.name", f"a feature is {target!r} already")
    if (inputs := sum(feature.inputs for feature in features)) > params.MAX_INPUTS:
        yield Fault("features", f"make {inputs} inputs, {params.MAX_INPUTS} are allowed")
