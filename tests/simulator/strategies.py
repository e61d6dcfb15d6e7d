"""Hypothesis strategies for whatever the codec can carry, read off the annotations."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from typing import Annotated, Any, TypeVar

from hypothesis import find
from hypothesis import strategies as st

from protocol import params
from protocol.wire.cards import Card, CardColumn, ColumnKind
from protocol.wire.codec import Range, Size, Uint, Wire
from protocol.wire.messages import Dealt, Decided, Freeze, Ready

W = TypeVar("W", bound=Wire)

#: Longest of what may be long: a test wants many small values.
_LONGEST = 4


def wire(cls: type[W]) -> st.SearchStrategy[W]:
    """Any valid `cls`."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {f.name: of(hints[f.name]) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return st.builds(functools.partial(_fitted, cls), **fields)


def _fitted(cls: type[W], **fields: Any) -> W:
    """A `cls` whose fields are made to keep the rules between them."""
    if cls is Ready:
        names = ("seed_hashes", "key_hashes", "boxes")
        count = min(len(fields[name]) for name in names)
        if count < params.MIN_BLOCK:  # nothing to share, as where contributions prove their norm
            count, fields["share_key"], fields["seed_hash"] = 0, b"", b""
        else:
            keys = {name: fields[name].ljust(32, b"k") for name in ("share_key", "seed_hash")}
            fields |= keys
        fields |= {name: fields[name][:count] for name in names}
    elif cls is Freeze:
        rosters = {roster.block: roster for roster in fields["rosters"]}
        fields["rosters"] = tuple(rosters[block] for block in sorted(rosters))
    elif cls is Dealt or cls is Decided:
        name = "lists" if cls is Dealt else "verdicts"
        entries = {entry.block: entry for entry in fields[name]}
        fields[name] = tuple(entries[block] for block in sorted(entries))
    elif cls is CardColumn:
        fields["name"] = _trimmed(fields["name"])
        words = fields["words"] if fields["kind"] is ColumnKind.CATEGORY else ()
        fields["words"] = tuple(dict.fromkeys(map(_trimmed, words)))
    elif cls is Card:
        fields["title"] = _trimmed(fields["title"])
        columns = {column.name: column for column in fields["columns"]}
        fields["columns"] = tuple(columns.values())
        purposes = {"".join(c for c in each if c in "abc") for each in fields["purposes"]}
        fields["purposes"] = tuple(sorted(purposes - {""}))
    return cls(**fields)


def _trimmed(text: str) -> str:
    return text.strip() or "a"


@functools.cache
def smallest(cls: type[W]) -> W:
    """The simplest valid `cls`."""
    return find(wire(cls), lambda _: True)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that fits an annotation."""
    limits: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        limits = tuple(rest)
    origin = typing.get_origin(hint)
    if hint is bytes:
        low, high = _sizes(limits)
        return st.binary(min_size=low, max_size=high)
    if hint is str:
        low, high = _sizes(limits)
        return st.text("abcé ", min_size=low, max_size=max(low, high // 2))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return _integers(limits)
    if hint is float:
        return st.floats(-1e6, 1e6)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and issubclass(hint, Wire):
        return wire(hint)
    if origin is tuple:
        return _tuples(typing.get_args(hint), limits)
    if origin in (typing.Union, types.UnionType):
        options = [st.none() if a is type(None) else of(a) for a in typing.get_args(hint)]
        return st.one_of(options)
    raise TypeError(f"no strategy for {hint!r}")


def _sizes(limits: tuple[Any, ...]) -> tuple[int, int]:
    size = next(limit for limit in limits if isinstance(limit, Size))
    high = size.low if size.high is None else size.high
    return size.low, min(high, size.low + _LONGEST)


def _integers(limits: tuple[Any, ...]) -> st.SearchStrategy[int]:
    for limit in limits:
        if isinstance(limit, Uint):
            return st.integers(0, 2**limit.bits - 1)
        if isinstance(limit, Range):
            return st.integers(int(limit.low), int(limit.high))
    return st.integers(0, 2**53)


def _tuples(args: tuple[Any, ...], limits: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        low, high = _sizes(limits)
        return st.lists(of(args[0]), min_size=low, max_size=high).map(tuple)
    return st.tuples(*(of(arg) for arg in args))
