"""What a table may be before any of it is taken into memory, and the refusal of one that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from protocol import params
from protocol.errors import InputError

#: Said once of a first column without a name, as pandas and R write row names.
INDEX_SAID: Final = "the first column has no name: it is taken as an index and left out"

#: How many names an error lists before it counts the rest.
_SHOWN: Final = 20


def check_names(file: str, names: Sequence[str]) -> None:
    """Raise `InputError` unless column names are there, distinct and not too many."""
    if not names:
        raise InputError(f"{file} has no columns", "data")
    if len(names) > params.MAX_DATASET_COLUMNS:
        raise InputError(
            f"{file} has {len(names)} columns; {params.MAX_DATASET_COLUMNS} are allowed", "data"
        )
    for place, name in enumerate(names, start=1):
        if not name:
            raise InputError(
                f"{file}: column {place} has no name; give it one, or leave the column out", "data"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{file} has more than one column named {name_list(twice)}; give each a name of its "
            "own",
            "data",
        )


def check_size(file: str, rows: int, columns: int) -> None:
    """Raise `InputError` if a table would be larger than is allowed."""
    if rows > params.MAX_DATASET_ROWS:
        raise InputError(f"{file} has {rows} rows; {params.MAX_DATASET_ROWS} are allowed", "data")
    if rows * columns > params.MAX_DATASET_CELLS:
        raise InputError(
            f"{file} has {rows} rows of {columns} columns; "
            f"{params.MAX_DATASET_CELLS} cells are allowed",
            "data",
        )


def name_list(names: Sequence[str]) -> str:
    """Names for a message, in quotes, cut after some."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
