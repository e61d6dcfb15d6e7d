"""Machines of before parts, split into a head and parts: functions for one step of the schema.

A step that was released is never edited, so this knows a requester's state as it was then, by the
numbers of its fields, and nothing of the classes of today.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import msgpack

#: Fields of a requester's state, and of the round that it held at index 17, which became tables:
#: the name, its index, and where an entry's place stands in it (None: the order, "": the value).
_TABLES: Final[tuple[tuple[str, int, int | str | None], ...]] = (
    ("enrolments", 5, None),
    ("owed", 19, 0),
    ("liars", 20, ""),
    ("records", 21, 0),
    ("unpaid", 24, None),
    ("declined", 30, None),
)
_FIELDS: Final = 31
_ROUND: Final = 17
_ROUND_TABLES: Final[tuple[tuple[str, int, int | str | None], ...]] = (
    ("ready", 6, 0),
    ("refused", 7, ""),
    ("rosters", 8, 0),
    ("contributions", 9, 0),
    ("blocks", 10, 0),
    ("releases", 17, 0),
)


def offer(connection: sqlite3.Connection) -> None:
    """Let SQL on this connection call what splits a machine. The schema itself never does."""
    connection.create_function("machine_head", 2, _head, deterministic=True)
    connection.create_function("machine_parts_json", 2, _parts, deterministic=True)
    connection.create_function("bytes_of_hex", 1, bytes.fromhex, deterministic=True)


def _head(kind: str, state: bytes) -> bytes:
    """The state with its tables empty; as it is where it has none."""
    fields = _read(kind, state)
    if fields is None:
        return state
    for _, holder, index, _ in _places(fields):
        holder[index] = []
    return _packed(fields)


def _parts(kind: str, state: bytes) -> str:
    """Its tables' entries, as JSON: field, place and the body in hex."""
    fields = _read(kind, state)
    found = []
    for name, holder, index, rule in _places(fields) if fields is not None else ():
        for order, value in enumerate(holder[index]):
            place = order if rule is None else value if rule == "" else value[rule]
            found.append([name, place, _packed(value).hex()])
    return json.dumps(found)


def _read(kind: str, state: bytes) -> list[Any] | None:
    if kind != "requester":
        return None
    try:
        fields = msgpack.unpackb(state, raw=False, use_list=True)
    except (ValueError, msgpack.exceptions.UnpackException):
        return None  # damaged: whoever loads it says so
    return fields if isinstance(fields, list) and len(fields) == _FIELDS else None


def _places(fields: list[Any]) -> Iterator[tuple[str, list[Any], int, int | str | None]]:
    for name, index, rule in _TABLES:
        yield name, fields, index, rule
    if fields[_ROUND] is not None:
        for name, index, rule in _ROUND_TABLES:
            yield f"round.{name}", fields[_ROUND], index, rule


def _packed(value: Any) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))
