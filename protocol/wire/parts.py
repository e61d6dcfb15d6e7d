"""A state in parts: a head, and one part for each entry of its tables.

What a step changed is a new head and the entries that are not those of the state before. Whoever
keeps head and entries has the state: `join` puts it together again.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgpack

from protocol.errors import Malformed
from protocol.wire.codec import Wire, decode, entry_schema, fields_of, parse
from protocol.wire.tables import Table

W = TypeVar("W", bound=Wire)

#: A table's value: a record of some digests, or one with the members of a block.
_MAX_ENTRY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """An entry of a table: `field` names it, as `round.ready` does. Empty bytes: it is gone."""

    field: str
    place: int
    body: bytes


def head(state: Wire) -> bytes:
    """The encoding of `state` as it were if its tables were empty."""
    return bytes(msgpack.packb(_head(state), use_bin_type=True))


def changes(before: Wire | None, after: Wire) -> list[Part]:
    """The entries of `after` that `before` (None: nothing) has not, and those that are gone.

    Looks at what the two do not share, and at nothing else. Raises Malformed for an entry that
    cannot be.
    """
    found = []
    for path, cls in _tables(type(after)):
        field, schema = ".".join(path), entry_schema(cls.item)
        was, now = _at(before, path), _at(after, path)
        if now is was:
            continue
        for place, value in (now or cls()).changes(was or cls()):
            body = b""
            if value is not None:
                schema.check(value, field)
                body = bytes(msgpack.packb(schema.pack(value), use_bin_type=True))
            found.append(Part(field, place, body))
    return found


def join(cls: type[W], head: bytes, parts: Iterable[Part], limit: int) -> W:
    """The state of this head, of at most `limit` bytes, and these entries. Raises Malformed."""
    state = decode(cls, head, limit)
    tables = {".".join(path): (path, table) for path, table in _tables(cls)}
    held: dict[str, list[tuple[int, Any]]] = {}
    for part in parts:
        if part.field not in tables:
            raise Malformed(f"{cls.__name__} has no table {part.field[:40]!r}")
        schema = entry_schema(tables[part.field][1].item)
        value = schema.unpack(parse(part.body, _MAX_ENTRY_BYTES, part.field), part.field)
        schema.check(value, part.field)
        held.setdefault(part.field, []).append((part.place, value))
    for field, values in held.items():
        path, table = tables[field]
        state = _with(state, path, table.placed(values))
    return state


def _tables(cls: type[Wire]) -> tuple[tuple[tuple[str, ...], type[Table[Any]]], ...]:
    """Where a class has tables, in its own fields and in those of records that it holds."""
    if cls not in _known:
        _known[cls] = tuple(_found(cls))
    return _known[cls]


_known: dict[type, tuple[tuple[tuple[str, ...], type[Table[Any]]], ...]] = {}


def _found(cls: type[Wire]) -> Iterator[tuple[tuple[str, ...], type[Table[Any]]]]:
    for name, hint in typing.get_type_hints(cls).items():
        kind = _kind(hint)
        if isinstance(kind, type) and issubclass(kind, Table):
            yield (name,), kind
        elif isinstance(kind, type) and issubclass(kind, Wire):
            yield from (((name, *path), table) for path, table in _tables(kind))


def _kind(hint: Any) -> Any:
    """What a field holds; of an optional one, what it holds if it holds anything."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(hint) if each is not type(None)]
        hint = kinds[0] if len(kinds) == 1 else None
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _head(value: Wire) -> list[Any]:
    holders = {path[0] for path, _ in _tables(type(value))}
    packed = []
    for name, schema in fields_of(type(value)):
        one = getattr(value, name)
        if name not in holders or one is None:
            packed.append(schema.pack(one))
        else:
            packed.append([] if isinstance(one, Table) else _head(one))
    return packed


def _at(state: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if state is None:
            return None
        state = getattr(state, name)
    return state


def _with(state: Any, path: tuple[str, ...], table: Table[Any]) -> Any:
    name, *rest = path
    inner = getattr(state, name)
    if inner is None:
        raise Malformed(f"an entry of a table in {name}, which is not there")
    return dataclasses.replace(state, **{name: _with(inner, tuple(rest), table) if rest else table})
