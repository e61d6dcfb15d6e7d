"""A file of text as UTF-8, whatever it is packed in and however its characters are written.

What a line becomes follows from that line and from what the file says at its beginning, never from
other lines: a line that is UTF-8 is read as such, any other as Windows-1252.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from protocol import params
from protocol.errors import InputError

#: How a file of text may be packed, by the end of its name.
PACKED: Final = (".gz", ".zst")

_PIECE_BYTES: Final = 1024 * 1024
_BOMS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Text:
    """A file's name, and its bytes in UTF-8: on disk if they are the file's own, else in memory.

    `breaks` counts its line breaks, `quoted` says whether anything is quoted, `encoding` how its
    characters were written.
    """

    name: str
    source: Path | bytes
    breaks: int
    quoted: bool
    notes: tuple[str, ...] = ()
    encoding: str = "utf-8"

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def lines(self) -> IO[str]:
        """The same as text, for Python's csv."""
        return io.TextIOWrapper(self.open(), encoding="utf-8-sig", newline="")


def unpacked(path: Path, encoding: str) -> Text:
    """The text in `path`; `encoding` is what its owner declared, or empty.

    Raises `InputError`: damaged, longer than is allowed once it is unpacked, of another encoding,
    or with a NUL in it.
    """
    source: Path | bytes = path
    if path.suffix.lower() in PACKED:
        source = _unpack(path)
    with _open(source) as file:
        begins = file.read(2)
    notes: tuple[str, ...] = ()
    if not encoding and begins in _BOMS:
        encoding = _BOMS[begins]
        notes = ("its characters are UTF-16",)
    if encoding and encoding != "utf-8":
        source = _decoded(path.name, source, encoding)
    found = encoding or "utf-8"
    breaks, quoted, valid = _looked_at(path.name, source)
    if not valid and encoding:
        raise _not_declared(path.name, source)
    if not valid:
        source, count = _by_lines(source)
        lines = "1 line is" if count == 1 else f"{count} lines are"
        notes = (f"{lines} not UTF-8 and read as Windows-1252; --encoding declares another",)
        found = "utf-8, other lines windows-1252"
    return Text(path.name, source, breaks, quoted, notes, found)


def _open(source: Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _unpack(path: Path) -> bytes:
    import zstandard

    out = bytearray()
    try:
        with path.open("rb") as packed:
            opened: Any = gzip.GzipFile(fileobj=packed)
            if path.suffix.lower() == ".zst":
                unpacker = zstandard.ZstdDecompressor()
                opened = unpacker.stream_reader(packed, read_across_frames=True)
            while piece := opened.read(_PIECE_BYTES):
                out += piece
                if len(out) > params.MAX_DATASET_FILE_BYTES:
                    raise InputError(
                        f"{path.name} holds more than the {params.MAX_DATASET_FILE_BYTES} bytes "
                        "that are allowed",
                        "data",
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise InputError(f"{path.name} cannot be unpacked: {error}", "data") from error
    return bytes(out)


def _decoded(name: str, source: Path | bytes, encoding: str) -> bytes:
    """As UTF-8, piece by piece."""
    decoder = codecs.getincrementaldecoder(encoding)()
    out, line = bytearray(), 1
    with _open(source) as file:
        more = True
        while more:
            piece = file.read(_PIECE_BYTES)
            more = bool(piece)
            try:
                found = decoder.decode(piece, not more).encode()
            except UnicodeError:
                raise InputError(
                    f"{name}, line {line} or below: not {encoding}, which --encoding declares",
                    "data",
                ) from None
            line += found.count(b"\n")
            out += found
    return bytes(out)


def _looked_at(name: str, source: Path | bytes) -> tuple[int, bool, bool]:
    """Line breaks (there are at least as many as rows), whether anything is quoted, and whether all
    of it is UTF-8."""
    breaks, quoted, valid = 0, False, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open(source) as file:
        while piece := file.read(_PIECE_BYTES):
            at = piece.find(b"\0")
            if at >= 0:
                line = breaks + piece.count(b"\n", 0, at) + 1
                raise InputError(
                    f"{name}, line {line}: a NUL, which no text "
                    "has; if the file is UTF-16, say so: --encoding utf-16-le",
                    "data",
                )
            breaks += piece.count(b"\n")
            quoted = quoted or b'"' in piece
            try:
                if valid and not (piece.isascii() and not decoder.getstate()[0]):
                    decoder.decode(piece)
            except UnicodeDecodeError:
                valid = False
    return breaks, quoted, valid and not decoder.getstate()[0]


def _by_lines(source: Path | bytes) -> tuple[bytes, int]:
    """Lines that are UTF-8 as they are, others from Windows-1252; how many others there are."""
    out, count = bytearray(), 0
    with _open(source) as file:
        for line in file:
            try:
                line.decode()
                out += line
            except UnicodeDecodeError:
                count += 1
                out += _windows(line).encode()
    return bytes(out), count


def _windows(line: bytes) -> str:
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:  # five of its bytes mean nothing
        return line.decode("latin-1")


def _not_declared(name: str, source: Path | bytes) -> InputError:
    """Names the first line that is no UTF-8."""
    with _open(source) as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                return InputError(
                    f"{name}, line {line}: not UTF-8, which --encoding declares", "data"
                )
    return InputError(f"{name}: not UTF-8", "data")
