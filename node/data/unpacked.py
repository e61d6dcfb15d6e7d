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

import numpy as np

from protocol import params
from protocol.errors import InputError

#: How a file of text may be packed, by the end of its name.
PACKED: Final = (".gz", ".zst")

#: What a core's cache holds, with what is made of it.
_PIECE_BYTES: Final = 128 * 1024
_BREAK: Final = ord("\n")
#: What is stripped from cells, in ASCII; and with which bytes others of Unicode's blanks begin.
_BLANKS: Final = (b" ", b"\t", b"\x0b", b"\x0c")
_LEADS: Final = (b"\xc2", b"\xe1", b"\xe2", b"\xe3")
#: Other kinds of files, by how they begin.
_OTHERS: Final = {
    b"PK\x03\x04": "a zip archive, as .xlsx and .npz are",
    b"\xd0\xcf\x11\xe0": "a document of an old Office, as .xls is: save it as .xlsx or .csv",
    b"\x1f\x8b": "packed by gzip, as .csv.gz is",
    b"\x28\xb5\x2f\xfd": "packed by zstd, as .csv.zst is",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database: --sql 'SELECT …' --url sqlite:///PATH",
}
_BOMS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Text:
    """A file's name, and its bytes in UTF-8: on disk if they are the file's own, else in memory.

    `breaks` counts its line breaks, `open_end` is 1 where none ends it, else 0. `quoted` says
    whether anything is quoted, `bare` that no cell has blanks around it, which is certain then,
    `encoding` how its characters were written.
    """

    name: str
    source: Path | bytes
    breaks: int
    open_end: int
    quoted: bool
    bare: bool = False
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
        begins = file.read(16)
    for start, kind in _OTHERS.items():
        if begins.startswith(start):
            raise InputError(f"{path.name} is no text, and begins like {kind}", "data")
    notes: tuple[str, ...] = ()
    if not encoding and begins[:2] in _BOMS:
        encoding = _BOMS[begins[:2]]
        notes = ("its characters are UTF-16",)
    if encoding and encoding != "utf-8":
        source = _decoded(path.name, source, encoding)
    found = encoding or "utf-8"
    seen = _looked_at(path.name, source)
    if seen.carriages and not seen.breaks:
        with _open(source) as file:
            source = file.read().replace(b"\r", b"\n")
        seen = _looked_at(path.name, source)
        notes = (*notes, "its lines end in CR alone")
    if not seen.valid and encoding:
        raise _not_declared(path.name, source)
    if not seen.valid:
        source, count = _by_lines(source)
        lines = "1 line is" if count == 1 else f"{count} lines are"
        notes = (*notes, f"{lines} not UTF-8 and read as Windows-1252; --encoding declares another")
        found = "utf-8, other lines windows-1252"
    bare = not (seen.quoted or seen.blanks) and seen.valid
    return Text(path.name, source, seen.breaks, seen.open_end, seen.quoted, bare, notes, found)


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


@dataclass(slots=True)
class _Seen:
    """Line breaks (there are at least as many as rows), whether there is a CR, whether anything is
    quoted, whether a cell may have blanks around it, and whether all of it is UTF-8."""

    breaks: int = 0
    carriages: bool = False
    open_end: int = 0
    quoted: bool = False
    blanks: bool = False
    valid: bool = True


def _looked_at(name: str, source: Path | bytes) -> _Seen:
    seen, before = _Seen(), b"\n"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open(source) as file:
        while piece := file.read(_PIECE_BYTES):
            at = piece.find(b"\0")
            if at >= 0:
                line = seen.breaks + piece.count(b"\n", 0, at) + 1
                raise InputError(
                    f"{name}, line {line}: a NUL, which no text "
                    "has; if the file is UTF-16, say so: --encoding utf-16-le",
                    "data",
                )
            seen.breaks += int(np.count_nonzero(np.frombuffer(piece, np.uint8) == _BREAK))
            seen.carriages = seen.carriages or (not seen.breaks and b"\r" in piece)
            seen.quoted = seen.quoted or b'"' in piece
            ascii_ = piece.isascii()
            # Two pieces may share a cell: the border between them is in the later one's look.
            seen.blanks = seen.blanks or _has_blanks(before + piece, ascii_)
            before = piece[-1:]
            try:
                if seen.valid and not (ascii_ and not decoder.getstate()[0]):
                    decoder.decode(piece)
            except UnicodeDecodeError:
                seen.valid = False
    seen.blanks = seen.blanks or before in _BLANKS
    seen.open_end = int(before != b"\n")
    seen.valid = seen.valid and not decoder.getstate()[0]
    return seen


def _has_blanks(piece: bytes, ascii_: bool) -> bool:
    """Whether a blank may stand beside what parts cells. It may beside any byte of a character that
    could be one of Unicode's blanks."""
    if not ascii_ and any(lead in piece for lead in _LEADS):
        return True
    found = [blank for blank in _BLANKS if blank in piece]
    if not found:
        return False
    codes = np.frombuffer(piece, np.uint8)
    # What parts cells is below the hyphen, but for two separators. So are a few other marks, which
    # makes this say too often that there are blanks, and never too seldom.
    parts = codes < ord("-")
    for separator in (b";", b"|"):
        if separator in piece:
            parts |= codes == separator[0]
    for blank in found:
        at = codes == blank[0]
        if (at[1:] & parts[:-1]).any() or (at[:-1] & parts[1:]).any():
            return True
    return False


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
