"""An encoder package: one file with a network, its tokenizer where it reads text, and what it is.

    "assay/encoder/1\\n"     16 bytes
    length of the manifest   4 bytes, big-endian, at most MAX_ENCODER_MANIFEST_BYTES
    the manifest             canonical msgpack of `Manifest`
    the network              `model_bytes` bytes, an ONNX file
    the tokenizer            `tokenizer_bytes` bytes, a tokenizer.json; none but for texts

The same parts make the same bytes, and the file is named as a blob is (protocol/wire/blobs.py).
Reading one here reads its manifest alone: what the network says is read in a confined process.
Format and vectors: docs/spec/encoder.md.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from node.encoders import limits
from protocol import params
from protocol.errors import InputError, Malformed
from protocol.spec.checks import Fault, printable
from protocol.spec.encoder import Encoder, EncoderKind, Pooling
from protocol.spec.parts import Part
from protocol.wire.blobs import BlobHasher
from protocol.wire.codec import Range, Size, decode, encode

MAGIC: Final = b"assay/encoder/1\n"
_LENGTH_BYTES: Final = 4
_PIECE_BYTES: Final = 1024 * 1024

Words = Annotated[str, Size(0, limits.MAX_ENCODER_WORDS_BYTES)]


@dataclass(frozen=True, slots=True)
class Manifest(Part):
    """What a package holds, and what its network was made for.

    `title`, `licence` and `source` are words for people, which nobody checks. `pooling`, `size`,
    `max_tokens`, and an image's `width`, `height`, `channels`, `mean` and `deviation` mean what
    they do in `protocol.spec.encoder.Encoder`; `max_tokens` is the most that the network reads.
    """

    title: Annotated[str, Size(1, params.MAX_TITLE_BYTES)]
    licence: Words
    source: Words
    kind: EncoderKind
    pooling: Pooling
    size: Annotated[int, Range(1, params.MAX_ENCODER_FEATURES)]
    inputs: Annotated[int, Range(0, params.MAX_FEATURES)]
    max_tokens: Annotated[int, Range(0, params.MAX_ENCODER_TOKENS)]
    width: Annotated[int, Range(0, params.MAX_ENCODER_SIDE)]
    height: Annotated[int, Range(0, params.MAX_ENCODER_SIDE)]
    channels: Annotated[int, Range(0, 3)]
    mean: Annotated[tuple[float, ...], Size(0, 3)]
    deviation: Annotated[tuple[float, ...], Size(0, 3)]
    model_bytes: Annotated[int, Range(1, params.MAX_ENCODER_BYTES)]
    tokenizer_bytes: Annotated[int, Range(0, limits.MAX_TOKENIZER_BYTES)]

    def faults(self) -> Iterator[Fault]:
        """What a kind needs, and what it has no use for."""
        for name in ("title", "licence", "source"):
            yield from printable(name, getattr(self, name))
        for name, kind in _NEEDED:
            if bool(getattr(self, name)) != (self.kind is kind):
                found = "is missing" if self.kind is kind else "is given"
                yield Fault(name, f"{found}; exactly encoders of {kind} have it")
        if self.kind is EncoderKind.IMAGE:
            if self.channels not in (1, 3):
                yield Fault("channels", f"is {self.channels}; allowed are 1 (grey) and 3 (RGB)")
            elif not len(self.mean) == len(self.deviation) == self.channels:
                found = f"{len(self.mean)} and {len(self.deviation)} of mean and deviation"
                yield Fault("mean", f"has {found}; each has one a channel")
        if self.kind is EncoderKind.NUMBERS and self.pooling is not Pooling.NONE:
            yield Fault("pooling", f"is {self.pooling}; an encoder of numbers has 'none'")

    def unfit(self, recipe: Encoder) -> str | None:
        """Why a job's `recipe` cannot be followed with this package, or None."""
        for name in ("kind", "pooling", "size", "width", "height", "channels"):
            asked, held = getattr(recipe, name), getattr(self, name)
            if asked != held:
                return f"{name} is {asked} in the job, and {held} in the package"
        if recipe.max_tokens > self.max_tokens:
            return f"max_tokens is {recipe.max_tokens}; the package reads {self.max_tokens} at most"
        if self.kind is EncoderKind.NUMBERS and len(recipe.columns) != self.inputs:
            return f"{len(recipe.columns)} columns; the package reads {self.inputs} numbers"
        return None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person says of a network that is to be a package, as its `Manifest` has it. None and
    empty: to be read of the files (making.py); a title is then the file's name."""

    kind: EncoderKind | None = None
    pooling: Pooling | None = None
    size: int | None = None
    max_tokens: int | None = None
    inputs: int | None = None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    title: str | None = None
    licence: str = ""
    source: str = ""


#: Fields that exactly one kind has.
_NEEDED: Final = (
    ("tokenizer_bytes", EncoderKind.TEXT),
    ("max_tokens", EncoderKind.TEXT),
    ("width", EncoderKind.IMAGE),
    ("height", EncoderKind.IMAGE),
    ("channels", EncoderKind.IMAGE),
    ("deviation", EncoderKind.IMAGE),
    ("inputs", EncoderKind.NUMBERS),
)


def pack(manifest: Manifest, model: bytes, tokenizer: bytes = b"") -> bytes:
    """The one package of these parts.

    Raises InputError if a part has not the length that the manifest says, or the whole is larger
    than MAX_ENCODER_BYTES.
    """
    for name, part, length in (
        ("model", model, manifest.model_bytes),
        ("tokenizer", tokenizer, manifest.tokenizer_bytes),
    ):
        if len(part) != length:
            raise InputError(f"{name} has {len(part)} bytes, the manifest says {length}", "encoder")
    said = encode(manifest)
    whole = b"".join((MAGIC, len(said).to_bytes(_LENGTH_BYTES, "big"), said, model, tokenizer))
    if len(whole) > params.MAX_ENCODER_BYTES:
        allowed = f"an encoder has at most {params.MAX_ENCODER_BYTES}"
        raise InputError(f"the package has {len(whole)} bytes; {allowed}", "encoder")
    return whole


def read_manifest(file: BinaryIO, size: int, name: str) -> Manifest:
    """The manifest of a package of `size` bytes that `file` is at the beginning of; leaves it at
    the network.

    Raises InputError, with `name` for people, if it is no package, or not of the length that its
    manifest says. Reads at most MAX_ENCODER_MANIFEST_BYTES and 20 bytes.
    """
    where = f"the encoder package {name}"
    if size > params.MAX_ENCODER_BYTES:
        most = params.MAX_ENCODER_BYTES
        raise InputError(f"{where} has {size} bytes; allowed are at most {most}", "encoder")
    head = file.read(len(MAGIC) + _LENGTH_BYTES)
    if not head.startswith(MAGIC):
        how = "assay encoder add FILE.onnx makes one of a network"
        raise InputError(f"{where} does not begin as one does ({MAGIC!r}); {how}", "encoder")
    length = int.from_bytes(head[len(MAGIC) :], "big")
    if len(head) < len(MAGIC) + _LENGTH_BYTES or length > limits.MAX_ENCODER_MANIFEST_BYTES:
        most = limits.MAX_ENCODER_MANIFEST_BYTES
        found = f"{where}: its manifest has {length} bytes; allowed are at most {most}"
        raise InputError(found, "encoder")
    said = file.read(length)
    if len(said) < length:
        found = f"{where} is cut off: its manifest ends after {len(said)} bytes of {length}"
        raise InputError(found, "encoder")
    try:
        manifest = decode(Manifest, said, limits.MAX_ENCODER_MANIFEST_BYTES)
    except Malformed as error:
        raise InputError(f"{where}: its manifest cannot be read: {error}", "encoder") from None
    whole = len(head) + length + manifest.model_bytes + manifest.tokenizer_bytes
    if size != whole:
        found = "is cut off" if size < whole else "goes on behind its end"
        said_bytes = f"it has {size} bytes, its manifest says {whole}"
        raise InputError(f"{where} {found}: {said_bytes}", "encoder")
    return manifest


def manifest_of(path: Path) -> Manifest:
    """The manifest of the package at `path`. Raises InputError as `read_manifest`, OSError."""
    with path.open("rb") as file:
        return read_manifest(file, os.fstat(file.fileno()).st_size, path.name)


def is_package(path: Path) -> bool:
    """Whether a file begins as a package does. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def name_of(path: Path) -> tuple[bytes, int]:
    """The digest and size of a package, as a blob's, in constant memory.

    Raises InputError if it is larger than a package may be.
    """
    hasher, size = BlobHasher(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            size += len(piece)
            if size > params.MAX_ENCODER_BYTES:
                most = params.MAX_ENCODER_BYTES
                raise InputError(f"{path.name}: more than the {most} bytes of a package", "encoder")
            hasher.update(piece)
    return hasher.digest(), size


def unpack(whole: bytes) -> tuple[Manifest, bytes, bytes]:
    """Manifest, network and tokenizer. Raises InputError as `read_manifest`."""
    file = io.BytesIO(whole)
    manifest = read_manifest(file, len(whole), "given")
    return manifest, file.read(manifest.model_bytes), file.read()
