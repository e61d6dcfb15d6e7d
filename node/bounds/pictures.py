"""What a picture's first bytes say of it: its format and its sides, before anything decodes it.

Formats are those that an encoder's confined process decodes (node/encoders/picturing.py), and the
limits are that process's. What stands here refuses early, with words; what it cannot tell, that
process judges. Layouts: PNG (W3C), JPEG (ITU-T T.81, B.2.2), WebP (RFC 9649), BMP (Windows).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

#: A file of a picture, and its pixels: a photograph has 12 to 50 million; decoded, 150 MB.
MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 50_000_000

FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP")

_PNG: Final = b"\x89PNG\r\n\x1a\n"
#: JPEG's markers of a frame's head, and those that have no length behind them.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE: Final = frozenset([0x01, *range(0xD0, 0xD8)])
#: Segments before a JPEG's frame: a camera writes a dozen.
_MOST_SEGMENTS: Final = 4096


def fault_of(data: bytes) -> str:
    """Why an encoder would decode no pixel of this file, in words; empty where its first bytes do
    not say so. A file may still be broken or cut off."""
    if len(data) > MAX_IMAGE_BYTES:
        return f"a file of {len(data)} bytes; at most {MAX_IMAGE_BYTES} are read"
    if not _known(data):
        return f"{len(data)} bytes that are no picture of the formats {', '.join(FORMATS)}"
    sides = sides_of(data)
    if sides is not None and sides[0] * sides[1] > MAX_IMAGE_PIXELS:
        most = MAX_IMAGE_PIXELS
        return f"a picture of {sides[0]} x {sides[1]} pixels; at most {most} are decoded"
    return ""


def sides_of(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as a picture's head says; None where it does not say them."""
    try:
        if data.startswith(_PNG):
            wide, high = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"BM"):
            wide, high = _bitmap(data)
        elif data.startswith(b"\xff\xd8\xff"):
            wide, high = next(_frames(data))
        else:
            wide, high = _webp(data)
    except (struct.error, StopIteration):
        return None
    return wide, high


def _known(data: bytes) -> bool:
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return webp or data.startswith((_PNG, b"\xff\xd8\xff", b"BM"))


def _bitmap(data: bytes) -> tuple[int, int]:
    """An old head of 12 bytes has 16 bits a side, any other 32; a height below 0 is upside down."""
    (head,) = struct.unpack_from("<I", data, 14)
    if head == 12:
        wide, high = struct.unpack_from("<HH", data, 18)
        return wide, high
    wide, high = struct.unpack_from("<ii", data, 18)
    return abs(wide), abs(high)


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        (lead, marker) = struct.unpack_from(">BB", data, at)
        if lead != 0xFF:
            return
        if marker == 0xFF or marker in _BARE:  # a fill byte, or a marker alone
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            high, wide = struct.unpack_from(">HH", data, at + 5)
            yield wide, high
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, more, high, above = struct.unpack_from("<HBHB", data, 24)
        return 1 + wide + (more << 16), 1 + high + (above << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    wide, high = struct.unpack_from("<HH", data, 26)
    return wide & 0x3FFF, high & 0x3FFF
