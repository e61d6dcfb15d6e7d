"""A column map as its owner writes it: TOML in, one canonical text to store, and back.

    [columns]
    sex = { name = "gender", words = { M = "male", F = "female" } }
    weight_lb = { name = "weight_kg", multiply = 0.45359237 }
    temp_f = { name = "temp_c", multiply = 0.5555555555555556, offset = -17.77777777777778 }
    occupancy = { hundredths = true }

This module is light: the daemon imports it. docs/guides/owner.md describes maps to people.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol import params
from protocol.errors import InputError

#: Bytes of a map's file: every column that a data set may have, with some words each.
MAX_MAP_BYTES: Final = 256 * 1024

_KEYS: Final = ("name", "multiply", "offset", "hundredths", "words")
_NAME_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Renamed:
    """What becomes of one column of the file.

    Jobs see it as `name`. A cell that is a number becomes number x `multiply` + `offset`; with
    `hundredths` a percent sign is left out and the number divided by 100. A cell that is the first
    of a pair of `words` becomes the second; an empty second makes it an empty cell. Every other
    cell stays as it is.
    """

    column: str
    name: str
    multiply: float = 1.0
    offset: float = 0.0
    hundredths: bool = False
    words: tuple[tuple[str, str], ...] = ()

    @property
    def scales(self) -> bool:
        """Whether numbers change."""
        return self.hundredths or (self.multiply, self.offset) != (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Columns by the file's names; those that it does not name stay as they are."""

    columns: tuple[Renamed, ...] = ()

    def of(self, column: str) -> Renamed:
        """What becomes of a column of the file."""
        found = next((each for each in self.columns if each.column == column), None)
        return found or Renamed(column, column)

    def column_of(self, name: str) -> str | None:
        """Which column of the file jobs see as `name`, if the file has it; None if there is none,
        because its own name was changed."""
        for each in self.columns:
            if each.name == name:
                return each.column
        return None if any(each.column == name for each in self.columns) else name

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Names as jobs see them, for the file's columns in order.

        Raises `InputError`: the map names a column that is not there, or two would have one name.
        """
        lost = [each.column for each in self.columns if each.column not in set(columns)]
        if lost:
            shown = ", ".join(map(repr, columns[:10])) + (", …" if len(columns) > 10 else "")
            raise InputError(
                f"there is no column {lost[0][:60]!r}; the file has {shown}", f"columns.{lost[0]}"
            )
        renamed = {each.column: each.name for each in self.columns}
        found = tuple(renamed.get(column, column) for column in columns)
        for name, count in Counter(found).items():
            if count > 1:
                raise InputError(f"{count} columns would be called {name!r}", "columns")
        return found


def parse_map(text: str) -> ColumnMap:
    """The map that a TOML file declares. Raises `InputError`, which names the field."""
    if len(text.encode()) > MAX_MAP_BYTES:
        raise InputError(f"a column map has at most {MAX_MAP_BYTES} bytes", "map")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"no TOML: {error}", "map") from None
    unknown = [key for key in found if key != "columns"]
    columns = found.get("columns")
    if unknown or not isinstance(columns, dict):
        what = f"holds {unknown[0][:60]!r}" if unknown else "has no table [columns]"
        raise InputError(f"the file {what}; a map is one table: [columns]", "map")
    if len(columns) > params.MAX_DATASET_COLUMNS:
        raise InputError(f"more than {params.MAX_DATASET_COLUMNS} columns", "columns")
    return ColumnMap(tuple(_renamed(column, said) for column, said in sorted(columns.items())))


def _renamed(column: str, said: object) -> Renamed:
    where = f"columns.{column[:60]}"
    if isinstance(said, str):
        said = {"name": said}
    if not isinstance(said, dict):
        raise InputError(f"is neither a name nor a table of {', '.join(_KEYS)}", where)
    for key in said:
        if key not in _KEYS:
            raise InputError(
                f"is no part of a map; allowed are {', '.join(_KEYS)}", f"{where}.{key}"
            )
    made = Renamed(
        column,
        _name(said.get("name", column), where),
        _number(said, "multiply", 1.0, where),
        _number(said, "offset", 0.0, where),
        _truth(said, where),
        _words(said.get("words", {}), where),
    )
    if made.multiply == 0:
        raise InputError("is 0, which makes one number of all", f"{where}.multiply")
    if made.words and made.scales:
        raise InputError("has words and units; a column has one of them", where)
    if made.hundredths and (made.multiply, made.offset) != (1.0, 0.0):
        raise InputError("has hundredths and other units; a column has one of them", where)
    return made


def _name(value: object, where: str) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= _NAME_CHARACTERS
        or value != value.strip()
    ):
        text = f"a name has 1 to {_NAME_CHARACTERS} characters and no blanks around them"
        raise InputError(text, f"{where}.name")
    return value


def _number(said: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError("is no finite number", f"{where}.{key}")
    return float(value)


def _truth(said: Mapping[str, Any], where: str) -> bool:
    value = said.get("hundredths", False)
    if not isinstance(value, bool):
        raise InputError("is neither true nor false", f"{where}.hundredths")
    return value


def _words(value: object, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise InputError('is no table such as { M = "male", F = "female" }', f"{where}.words")
    if len(value) > params.MAX_CATEGORIES:
        raise InputError(
            f"{len(value)} words; {params.MAX_CATEGORIES} are allowed", f"{where}.words"
        )
    if any(not word.strip() for word in value):
        raise InputError(
            "an empty cell stays empty: a job's spec says what it means", f"{where}.words"
        )
    words = [word.strip() for word in value]
    for word in words:
        if words.count(word) > 1:
            raise InputError(f"{word[:60]!r} stands twice", f"{where}.words")
    return tuple(sorted((word.strip(), to.strip()) for word, to in value.items()))


def encode_map(given: ColumnMap) -> str:
    """One text for one map; empty for a map that changes nothing."""
    if not given.columns:
        return ""
    rows = [
        [each.column, each.name, each.multiply, each.offset, each.hundredths, each.words]
        for each in given.columns
    ]
    return json.dumps(rows, separators=(",", ":"))


def decode_map(text: str) -> ColumnMap:
    """The map that `encode_map` wrote."""
    if not text:
        return ColumnMap()
    return ColumnMap(
        tuple(
            Renamed(column, name, multiply, offset, hundredths, tuple((a, b) for a, b in words))
            for column, name, multiply, offset, hundredths, words in json.loads(text)
        )
    )
