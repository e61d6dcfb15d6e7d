"""Files into tables, by their suffix. Runs in workers.

A file is the local user's own, but it may be anything: limits hold before memory is taken, and
every refusal is an `InputError` that names file, line and column. Nothing about a file's content
leaves this node: messages are for the user's eyes, never for a peer's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.data.npz import read_npz
from node.data.reading import Reading
from node.data.rows.pictures import with_pictures
from node.data.stored_files import read_arrow, read_excel, read_parquet
from node.data.table import Table
from node.data.text_files import PACKED, read_text
from protocol import params
from protocol.errors import InputError

_TEXT: Final = (".csv", ".tsv", ".tab")
_STORED: Final[dict[str, Callable[[Path], Table]]] = {
    ".parquet": read_parquet,
    ".feather": read_arrow,
    ".arrow": read_arrow,
    ".npz": read_npz,
}
_EXCEL: Final = ".xlsx"


def read_file(path: Path, reading: Reading | None = None) -> Table:
    """The table in `path`, whose suffix says what it is. Raises `InputError`.

    `reading` is what its owner declared of a file of text, and of columns that name pictures.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory, not a file", "data")
    images = () if reading is None else reading.images
    reader = _reader(path, None if reading is None else dataclasses.replace(reading, images=()))
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InputError(f"{path} is not a file", "data")
        if size > params.MAX_DATASET_FILE_BYTES:
            raise InputError(
                f"{path.name} has {size} bytes; {params.MAX_DATASET_FILE_BYTES} are allowed", "data"
            )
        table = reader(path)
        if images:
            table = with_pictures(table, path.parent, images)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", "data") from error
    if table.rows == 0:
        raise InputError(f"{path.name} has no rows", "data")
    if not (table.numbers or table.texts or table.images):
        raise InputError(f"{path.name} has no column of numbers, text or images", "data")
    written = (("images", ", ".join(images)),) if images else ()
    kind = " ".join(suffix.lower().lstrip(".") for suffix in path.suffixes[-2:])
    return dataclasses.replace(table, written=(("file", kind), *table.written, *written))


def _reader(path: Path, reading: Reading | None) -> Callable[[Path], Table]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    kind = "".join(suffixes[-2:-1] if packed else suffixes[-1:])
    if kind in _TEXT:
        return lambda found: read_text(found, reading or Reading())
    if kind == _EXCEL and not packed:
        given = reading or Reading()
        if given != Reading(header=given.header, names=given.names):
            raise InputError(
                f"{path.name} is no text; separator, decimal and encoding are for "
                f"{', '.join(_TEXT)}",
                "data",
            )
        return lambda found: read_excel(found, given)
    if packed or kind not in _STORED:
        allowed = ", ".join([*_TEXT, _EXCEL, *_STORED])
        also = f"; {', '.join(_TEXT)} may end in {' or '.join(PACKED)}"
        raise InputError(
            f"{path.name} is none of {allowed}{also}; save it as one of them, or call it what it "
            "is",
            "data",
        )
    if reading not in (None, Reading()):
        raise InputError(
            f"{path.name} is no text; separator, decimal and encoding are for {', '.join(_TEXT)}, "
            f"a header and names also for {_EXCEL}",
            "data",
        )
    return _STORED[kind]
