"""How a file of text is written: what its owner declares by hand, where the file does not say it.

This module is light: the daemon imports it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import InputError

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
ENCODINGS: Final = ("utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")
MARKS: Final = (".", ",")


@dataclass(frozen=True, slots=True)
class Reading:
    """What `assay data add` was told; empty text where the file is to say it.

    `separator` is one character of `SEPARATORS`; `decimal` is the mark before a fraction, and its
    declaration allows marks between groups of three digits; `encoding` is one of `ENCODINGS`.
    `header` says whether the first row names the columns; None leaves it to that row, which is one
    of values where it is numbers alone. `names` are the columns' where there is no header.
    `images` are columns whose cells are paths of pictures beside the file, of whatever kind that
    is.
    """

    separator: str = ""
    decimal: str = ""
    encoding: str = ""
    header: bool | None = None
    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


def declared(
    separator: str | None,
    decimal: str | None,
    encoding: str | None,
    header: bool | None = None,
    names: Sequence[str] = (),
    images: Sequence[str] = (),
) -> Reading:
    """A reading of the options as they are typed. Raises `InputError`, which names the option."""
    mark = SEPARATORS.get(separator or "", separator or "")
    if mark and mark not in SEPARATORS.values():
        raise InputError(
            f"is {mark[:20]!r}; allowed are {', '.join(SEPARATORS)}, or that character", "separator"
        )
    if decimal and decimal not in MARKS:
        raise InputError(f"is {decimal[:20]!r}; allowed are '.' and ','", "decimal")
    name = (encoding or "").lower().replace("_", "-")
    name = {"utf8": "utf-8", "latin1": "latin-1", "iso-8859-1": "latin-1", "utf16": "utf-16"}.get(
        name, {"windows-1252": "cp1252"}.get(name, name)
    )
    if name and name not in ENCODINGS:
        raise InputError(f"is {name[:20]!r}; allowed are {', '.join(ENCODINGS)}", "encoding")
    if mark and mark == decimal:
        raise InputError(f"is {decimal!r}, which is the separator too", "decimal")
    if names and header is not False:
        raise InputError(
            "are for a file without a header: --no-header --names a,b,c; a column map gives other "
            "names to those of a header",
            "names",
        )
    given, pictured = (tuple(each.strip() for each in these) for these in (names, images))
    return Reading(mark, decimal or "", name, header, given, tuple(dict.fromkeys(pictured)))


def split_names(text: str | None) -> tuple[str, ...]:
    """Names as they are typed: a,b,c, quoted as in a CSV."""
    return tuple(next(csv.reader([text]), [])) if text else ()
